//! What a connection reads into: small at first, larger for a peer that fills it, small again for one that no longer does.

use crate::limits::KIB;

/// At first: thousands of connections have one each, and most messages are smaller.
const SMALL: usize = KIB;
/// For a peer that sends much.
pub(crate) const LARGE: usize = 64 * KIB;
/// After so many reads that needed less, a large one is given back.
const SMALL_READS: u32 = 16;

pub(crate) struct ReadBuffer {
    pub(crate) bytes: Vec<u8>,
    small_reads: u32,
}

impl ReadBuffer {
    /// Bytes that were read before.
    pub(crate) fn of(bytes: Vec<u8>) -> Self {
        Self { bytes, small_reads: 0 }
    }

    /// What was in it is done with.
    pub(crate) fn reset(&mut self) {
        self.bytes.resize(SMALL, 0);
        self.bytes.shrink_to_fit();
    }

    /// So much was read. Grows when that filled it and it may (`true`), shrinks after many small reads.
    pub(crate) fn fit(&mut self, read: usize, may_grow: bool) -> bool {
        let size = self.bytes.len();
        let grow = read == size && size < LARGE && may_grow;
        if grow {
            self.bytes.resize(size * 4, 0);
        }
        self.small_reads = if read <= SMALL { self.small_reads + 1 } else { 0 };
        if SMALL_READS < self.small_reads {
            self.shrink();
        }
        grow
    }

    pub(crate) fn shrink(&mut self) {
        if SMALL < self.bytes.len() {
            self.bytes = vec![0; SMALL];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_with_what_fills_it_and_shrinks_after_small_reads() {
        let mut buffer = ReadBuffer::of(b"before".to_vec());
        assert_eq!(buffer.bytes, b"before");
        buffer.reset();
        assert!(!buffer.fit(SMALL, false) && buffer.bytes.len() == SMALL);
        while buffer.bytes.len() < LARGE {
            let size = buffer.bytes.len();
            assert!(buffer.fit(size, true) && buffer.bytes.len() == 4 * size);
        }
        assert!(!buffer.fit(LARGE, true), "it is as large as it gets");
        for _ in 0..SMALL_READS {
            assert!(!buffer.fit(10, true) && buffer.bytes.len() == LARGE);
        }
        assert!(!buffer.fit(10, true) && buffer.bytes.len() == SMALL);
    }
}
