//! What is still to be sent: chunks in order, and how far into the first one the peer has been served.

use std::collections::VecDeque;
use std::io::IoSlice;

/// Room that is kept when the queue has run empty.
const KEEP: usize = 64;

/// Chunks waiting to be sent. No byte is copied; each chunk is handed back when it is finished.
///
/// A chunk must give the same bytes for as long as it is queued.
#[derive(Debug)]
pub struct WriteQueue<B> {
    chunks: VecDeque<B>,
    /// Bytes of the first chunk that are sent already.
    sent: usize,
    len_bytes: usize,
}

impl<B> Default for WriteQueue<B> {
    fn default() -> Self {
        Self {
            chunks: VecDeque::new(),
            sent: 0,
            len_bytes: 0,
        }
    }
}

impl<B: AsRef<[u8]>> WriteQueue<B> {
    /// An empty queue; it allocates with the first chunk.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a chunk. One without bytes is handed back at once.
    #[inline]
    pub fn push(&mut self, chunk: B) -> Option<B> {
        self.push_from(chunk, 0)
    }

    /// Appends a chunk of which the first `sent` bytes are not to be sent: a send has taken them already. One
    /// without bytes left is handed back at once.
    ///
    /// Only the first chunk can be begun, so on a queue that is not empty `sent` has to be 0.
    #[inline]
    pub fn push_from(&mut self, chunk: B, sent: usize) -> Option<B> {
        debug_assert!(
            sent == 0 || self.chunks.is_empty(),
            "only the first chunk can be begun"
        );
        let length = chunk.as_ref().len();
        if length <= sent {
            return Some(chunk);
        }
        if self.chunks.is_empty() {
            self.sent = sent;
        }
        self.len_bytes += length - sent;
        self.chunks.push_back(chunk);
        None
    }

    /// How many bytes are still to be sent.
    #[inline]
    pub const fn len_bytes(&self) -> usize {
        self.len_bytes
    }

    /// How many chunks are queued.
    #[inline]
    pub fn len(&self) -> usize {
        self.chunks.len()
    }

    /// Whether everything has been sent.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// The bytes to be sent, in order, a slice per chunk.
    pub fn slices(&self) -> impl Iterator<Item = &[u8]> {
        let mut skip = self.sent;
        self.chunks
            .iter()
            .map(move |chunk| &chunk.as_ref()[std::mem::take(&mut skip)..])
    }

    /// The rest of the first chunk.
    #[inline]
    pub fn front(&self) -> Option<&[u8]> {
        self.chunks
            .front()
            .map(|chunk| &chunk.as_ref()[self.sent..])
    }

    /// Appends up to `max` slices for a vectored send to `out`.
    pub fn front_slices<'a>(&'a self, max: usize, out: &mut Vec<IoSlice<'a>>) {
        out.extend(self.slices().take(max).map(IoSlice::new));
    }

    /// Puts slices for a vectored send into an array, without allocating. Says how many.
    pub fn fill_slices<'a>(&'a self, out: &mut [IoSlice<'a>]) -> usize {
        out.iter_mut()
            .zip(self.slices())
            .map(|(place, slice)| *place = IoSlice::new(slice))
            .count()
    }

    /// `count` bytes have been sent. Chunks that are finished go to `finished`, which must not touch the queue.
    pub fn advance(&mut self, count: usize, mut finished: impl FnMut(B)) {
        debug_assert!(count <= self.len_bytes, "more was sent than was queued");
        let mut count = count.min(self.len_bytes);
        self.len_bytes -= count;
        while let Some(first) = self.chunks.front() {
            let rest = first.as_ref().len() - self.sent;
            if count < rest {
                self.sent += count;
                return;
            }
            count -= rest;
            self.sent = 0;
            if let Some(chunk) = self.chunks.pop_front() {
                finished(chunk);
            }
        }
        if self.chunks.capacity() > KEEP {
            self.chunks.shrink_to(KEEP);
        }
    }

    /// Gives up on everything and hands the chunks back; the room is given back too.
    pub fn clear(&mut self) -> Vec<B> {
        self.sent = 0;
        self.len_bytes = 0;
        std::mem::take(&mut self.chunks).into()
    }

    /// The chunks, oldest first.
    pub fn chunks(&self) -> impl Iterator<Item = &B> {
        self.chunks.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_send_leaves_the_rest_of_a_chunk() {
        let mut queue = WriteQueue::new();
        for chunk in ["hello", " ", "world"] {
            assert_eq!(queue.push(chunk), None);
        }
        let mut finished = Vec::new();
        queue.advance(8, |chunk| finished.push(chunk));
        assert_eq!(finished, ["hello", " "]);
        assert_eq!((queue.len(), queue.len_bytes()), (1, 3));
        assert_eq!(queue.front(), Some(&b"rld"[..]));
        queue.advance(3, |chunk| finished.push(chunk));
        assert_eq!(finished.len(), 3);
        assert!(queue.is_empty() && queue.front().is_none());
    }

    #[test]
    fn chunks_without_bytes_come_straight_back() {
        let mut queue = WriteQueue::new();
        assert_eq!(queue.push(""), Some(""));
        assert_eq!(queue.push_from("sent", 4), Some("sent"));
        assert!(queue.is_empty());
        assert_eq!(queue.push_from("half", 2), None);
        assert_eq!((queue.len_bytes(), queue.front()), (2, Some(&b"lf"[..])));
    }

    #[test]
    fn slices_are_limited_and_start_where_the_last_send_ended() {
        let mut queue = WriteQueue::new();
        for chunk in ["ab", "cd", "ef"] {
            queue.push(chunk);
        }
        queue.advance(1, |_| ());
        let mut out = Vec::new();
        queue.front_slices(2, &mut out);
        assert_eq!(
            out.iter().map(|slice| &**slice).collect::<Vec<_>>(),
            [&b"b"[..], b"cd"]
        );
        let mut array = [IoSlice::new(&[]); 8];
        assert_eq!(queue.fill_slices(&mut array), 3);
        assert_eq!(&*array[2], b"ef");
    }

    #[test]
    fn clearing_hands_everything_back() {
        let mut queue = WriteQueue::new();
        queue.push("ab");
        queue.push("cd");
        queue.advance(1, |_| ());
        assert_eq!(queue.chunks().count(), 2);
        assert_eq!(queue.clear(), ["ab", "cd"]);
        assert_eq!((queue.is_empty(), queue.len_bytes()), (true, 0));
        queue.push("ef");
        assert_eq!(
            queue.front(),
            Some(&b"ef"[..]),
            "nothing of the old chunk is remembered"
        );
    }
}
