//! Who watches which descriptor. A slot is used again and again; its generation tells the uses apart, so that a
//! late event finds nobody instead of the wrong one.

use std::os::fd::RawFd;

use crate::interest::Interest;
use crate::token::Token;

/// In `by_fd` and as the end of the list of free slots: none.
const NOBODY: u32 = u32::MAX;

#[derive(Debug)]
struct Slot<S> {
    generation: u32,
    interest: Interest,
    fd: RawFd,
    use_: Use<S>,
}

#[derive(Debug)]
enum Use<S> {
    Taken(S),
    /// The next free slot.
    Free(u32),
}

/// Sources by [`Token`], and tokens by descriptor.
#[derive(Debug)]
pub struct Registry<S> {
    slots: Vec<Slot<S>>,
    free: u32,
    len: usize,
    by_fd: Vec<u32>,
}

impl<S> Default for Registry<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Registry<S> {
    /// No sources.
    pub const fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: NOBODY,
            len: 0,
            by_fd: Vec::new(),
        }
    }

    /// How many sources are registered.
    #[inline]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether no source is registered.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The token that the next [`Registry::insert`] gives out.
    #[inline]
    pub fn next_token(&self) -> Token {
        match self.slots.get(self.free as usize) {
            Some(slot) => Token::new(self.free, slot.generation),
            None => Token::new(self.slots.len() as u32, 0),
        }
    }

    /// Registers a source, with no interest yet.
    ///
    /// The descriptor's number belongs to the newest source: if an older one still holds the number, because the
    /// descriptor was closed behind our back and the number given away again, that one stays reachable by its
    /// token only.
    pub fn insert(&mut self, fd: RawFd, source: S) -> Token {
        let token = self.next_token();
        let index = token.slot() as usize;
        let taken = Use::Taken(source);
        match self.slots.get_mut(index) {
            Some(slot) => {
                if let Use::Free(next) = slot.use_ {
                    self.free = next;
                }
                slot.fd = fd;
                slot.interest = Interest::NONE;
                slot.use_ = taken;
            }
            None => self.slots.push(Slot {
                generation: 0,
                interest: Interest::NONE,
                fd,
                use_: taken,
            }),
        }
        self.len += 1;
        if let Ok(number) = usize::try_from(fd) {
            if number >= self.by_fd.len() {
                self.by_fd.resize(number + 1, NOBODY);
            }
            self.by_fd[number] = token.slot();
        }
        token
    }

    #[inline]
    fn slot(&self, token: Token) -> Option<&Slot<S>> {
        self.slots
            .get(token.slot() as usize)
            .filter(|slot| slot.generation == token.generation())
    }

    #[inline]
    fn slot_mut(&mut self, token: Token) -> Option<&mut Slot<S>> {
        self.slots
            .get_mut(token.slot() as usize)
            .filter(|slot| slot.generation == token.generation())
    }

    /// The source, unless the token is stale.
    #[inline]
    pub fn get(&self, token: Token) -> Option<&S> {
        match &self.slot(token)?.use_ {
            Use::Taken(source) => Some(source),
            Use::Free(_) => None,
        }
    }

    /// The source, unless the token is stale.
    #[inline]
    pub fn get_mut(&mut self, token: Token) -> Option<&mut S> {
        match &mut self.slot_mut(token)?.use_ {
            Use::Taken(source) => Some(source),
            Use::Free(_) => None,
        }
    }

    /// Whether the token names a registered source.
    #[inline]
    pub fn contains(&self, token: Token) -> bool {
        self.get(token).is_some()
    }

    /// The descriptor that was registered, unless the token is stale.
    #[inline]
    pub fn fd(&self, token: Token) -> Option<RawFd> {
        self.slot(token)
            .filter(|slot| matches!(slot.use_, Use::Taken(_)))
            .map(|slot| slot.fd)
    }

    /// What the source waits for, unless the token is stale.
    #[inline]
    pub fn interest(&self, token: Token) -> Option<Interest> {
        self.slot(token)
            .filter(|slot| matches!(slot.use_, Use::Taken(_)))
            .map(|slot| slot.interest)
    }

    /// Notes what the source waits for. False when the token is stale.
    ///
    /// The kernel is not told: that is [`Turn::set_interest`](crate::Turn::set_interest).
    #[inline]
    pub fn set_interest(&mut self, token: Token, interest: Interest) -> bool {
        match self.slot_mut(token) {
            Some(slot) if matches!(slot.use_, Use::Taken(_)) => {
                slot.interest = interest;
                true
            }
            _ => false,
        }
    }

    /// Takes the source out; its token is stale from now on.
    pub fn remove(&mut self, token: Token) -> Option<(RawFd, S)> {
        let free = self.free;
        let slot = self
            .slot_mut(token)
            .filter(|slot| matches!(slot.use_, Use::Taken(_)))?;
        let fd = slot.fd;
        let source = match std::mem::replace(&mut slot.use_, Use::Free(free)) {
            Use::Taken(source) => source,
            Use::Free(_) => return None,
        };
        match slot.generation.checked_add(1) {
            Some(generation) => {
                slot.generation = generation;
                self.free = token.slot();
            }
            // After four billion uses a slot retires: another one would answer to tokens of the first.
            None => slot.use_ = Use::Free(NOBODY),
        }
        self.len -= 1;
        if let Some(owner) = usize::try_from(fd)
            .ok()
            .and_then(|number| self.by_fd.get_mut(number))
            && *owner == token.slot()
        {
            *owner = NOBODY;
        }
        Some((fd, source))
    }

    /// The newest source of a descriptor.
    #[inline]
    pub fn token_of(&self, fd: RawFd) -> Option<Token> {
        let slot = *self.by_fd.get(usize::try_from(fd).ok()?)?;
        Some(Token::new(slot, self.slots.get(slot as usize)?.generation))
    }

    /// Every source, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (Token, RawFd, &S)> {
        self.slots
            .iter()
            .enumerate()
            .filter_map(|(index, slot)| match &slot.use_ {
                Use::Taken(source) => {
                    Some((Token::new(index as u32, slot.generation), slot.fd, source))
                }
                Use::Free(_) => None,
            })
    }

    /// Takes every source out; their tokens are stale from now on.
    pub fn drain_all(&mut self) -> Vec<(RawFd, S)> {
        let tokens: Vec<_> = self.iter().map(|(token, ..)| token).collect();
        tokens
            .into_iter()
            .filter_map(|token| self.remove(token))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_token_finds_nobody() {
        let mut registry = Registry::new();
        let first = registry.insert(3, "first");
        assert_eq!(registry.remove(first), Some((3, "first")));
        let second = registry.insert(3, "second");
        assert_eq!(second.slot(), first.slot(), "the slot is used again");
        assert_ne!(second, first);
        assert_eq!(
            (registry.get(first), registry.get(second)),
            (None, Some(&"second"))
        );
        assert_eq!((registry.interest(first), registry.fd(first)), (None, None));
        assert!(!registry.set_interest(first, Interest::READ) && registry.remove(first).is_none());
        assert!(registry.get_mut(first).is_none() && !registry.contains(first));
    }

    #[test]
    fn the_number_belongs_to_the_newest_source() {
        let mut registry = Registry::new();
        let old = registry.insert(5, "old");
        let new = registry.insert(5, "new");
        assert_eq!(registry.token_of(5), Some(new));
        assert_eq!(registry.remove(old), Some((5, "old")));
        assert_eq!(
            registry.token_of(5),
            Some(new),
            "the older one takes nothing with it"
        );
        registry.remove(new);
        assert_eq!(registry.token_of(5), None);
        assert_eq!((registry.token_of(-1), registry.token_of(99)), (None, None));
    }

    #[test]
    fn interests_start_empty_for_each_use() {
        let mut registry = Registry::new();
        let first = registry.insert(1, ());
        assert!(registry.set_interest(first, Interest::BOTH));
        assert_eq!(registry.interest(first), Some(Interest::BOTH));
        registry.remove(first);
        let second = registry.insert(1, ());
        assert_eq!(registry.interest(second), Some(Interest::NONE));
    }

    #[test]
    fn a_used_up_slot_retires() {
        let mut registry = Registry::new();
        let token = registry.insert(1, 'a');
        registry.slots[0].generation = u32::MAX;
        let last = Token::new(token.slot(), u32::MAX);
        assert_eq!(registry.remove(last), Some((1, 'a')));
        assert!(!registry.contains(last) && registry.remove(last).is_none());
        let next = registry.insert(1, 'b');
        assert_ne!(next.slot(), last.slot());
        assert_eq!((registry.len(), registry.get(next)), (1, Some(&'b')));
    }

    #[test]
    fn everything_can_be_seen_and_taken() {
        let mut registry = Registry::new();
        assert!(registry.is_empty());
        let a = registry.insert(4, 'a');
        registry.insert(6, 'b');
        registry.remove(a);
        registry.insert(8, 'c');
        let seen: Vec<_> = registry
            .iter()
            .map(|(_, fd, source)| (fd, *source))
            .collect();
        assert_eq!(seen, [(8, 'c'), (6, 'b')]);
        assert_eq!(registry.drain_all(), [(8, 'c'), (6, 'b')]);
        assert!(registry.is_empty() && registry.token_of(8).is_none());
    }
}
