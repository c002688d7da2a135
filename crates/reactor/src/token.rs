//! The identity of a watched descriptor: a slot and the generation of its use. Never the descriptor's number,
//! which the kernel gives away again the moment it is free.

/// Names one use of one slot of the [`Registry`](crate::Registry).
///
/// A token that outlives its registration matches nothing: the slot's generation has moved on.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub struct Token(u64);

impl Token {
    /// The highest slot a registry may give out; the one above is the kernel's own, for its waker and its alarm.
    pub const MAX_SLOT: u32 = u32::MAX - 1;

    /// What the kernel files its waker under. No registry gives it out.
    pub(crate) const WAKER: Self = Self(u64::MAX);

    /// What the kernel files its alarm under. No registry gives it out.
    pub(crate) const ALARM: Self = Self(u64::MAX - 1);

    /// Puts a token together.
    #[inline]
    pub const fn new(slot: u32, generation: u32) -> Self {
        Self((slot as u64) << 32 | generation as u64)
    }

    /// The place in the registry.
    #[inline]
    pub const fn slot(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// How many times the slot had been used before.
    #[inline]
    pub const fn generation(self) -> u32 {
        self.0 as u32
    }

    /// The token as the kernel carries it.
    #[inline]
    pub const fn to_u64(self) -> u64 {
        self.0
    }

    /// The inverse of [`Token::to_u64`].
    #[inline]
    pub const fn from_u64(value: u64) -> Self {
        Self(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_survive_the_way_through_the_kernel() {
        for (slot, generation) in [
            (0, 0),
            (1, 0),
            (0, 1),
            (7, u32::MAX),
            (Token::MAX_SLOT, u32::MAX),
        ] {
            let token = Token::from_u64(Token::new(slot, generation).to_u64());
            assert_eq!((token.slot(), token.generation()), (slot, generation));
            assert_ne!(token, Token::WAKER);
        }
    }
}
