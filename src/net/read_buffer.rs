//! What a connection reads into: small at first, large for a peer that sends much, and small again later.

use crate::limits::KIB;

/// Thousands of connections have one each, and most messages are smaller.
const SMALL: usize = KIB;
/// For a peer that sends much.
pub(super) const LARGE: usize = 64 * KIB;
/// After so many reads that needed less, a large buffer is given back.
const SMALL_READS: u32 = 16;

pub(super) struct ReadBuffer {
    bytes: Vec<u8>,
    small_reads: u32,
}

impl ReadBuffer {
    /// One that holds what has been read already, and only that.
    pub(super) fn of(bytes: Vec<u8>) -> Self {
        Self { bytes, small_reads: 0 }
    }

    /// Nothing in it is needed any longer: the first read goes into a small one.
    pub(super) fn begin(&mut self) {
        self.bytes.resize(SMALL, 0);
        self.bytes.shrink_to_fit();
    }

    pub(super) fn bytes(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// After a read of so many bytes: grows if that filled it (`true`) and it may, shrinks when it has long been too large.
    pub(super) fn fit(&mut self, read: usize, may_grow: bool) -> bool {
        let grow = may_grow && read == self.len() && self.len() < LARGE;
        if grow {
            self.bytes.resize(self.len() * 4, 0);
        }
        self.small_reads = if read <= SMALL { self.small_reads + 1 } else { 0 };
        if SMALL_READS < self.small_reads {
            self.shrink();
        }
        grow
    }

    pub(super) fn shrink(&mut self) {
        if SMALL < self.len() {
            self.bytes = vec![0; SMALL];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_with_what_fills_it_and_is_given_back() {
        let mut buffer = ReadBuffer::of(vec![1; 3]);
        assert_eq!(buffer.bytes(), [1; 3]);
        buffer.begin();
        assert_eq!(buffer.len(), SMALL);
        assert!(!buffer.fit(SMALL - 1, true) && !buffer.fit(SMALL, false));
        assert_eq!(buffer.len(), SMALL);
        let mut sizes = Vec::new();
        while buffer.fit(buffer.len(), true) {
            sizes.push(buffer.len());
        }
        assert_eq!(sizes, [4 * SMALL, 16 * SMALL, LARGE]);
        for _ in 0..SMALL_READS {
            assert!(!buffer.fit(1, true));
            assert_eq!(buffer.len(), LARGE);
        }
        buffer.fit(1, true);
        assert_eq!(buffer.len(), SMALL);
    }
}
