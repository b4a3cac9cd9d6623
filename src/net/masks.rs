//! Masking keys from the system's randomness: "The masking key needs to be unpredictable". RFC 6455 §5.3.

use super::random::random;
use parking_lot::Mutex;

/// Bytes for keys to come: a system call for each frame would cost more than the frame.
#[derive(Default)]
pub(crate) struct Masks(Mutex<Vec<u8>>);

impl Masks {
    pub(crate) fn key(&self) -> [u8; 4] {
        let mut unused = self.0.lock();
        if unused.len() < 4 {
            *unused = random();
        }
        let key = unused.last_chunk().copied().unwrap_or_default();
        let rest = unused.len().saturating_sub(key.len());
        unused.truncate(rest);
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn keys_differ() {
        let masks = Masks::default();
        let keys: HashSet<[u8; 4]> = (0..1000).map(|_| masks.key()).collect();
        assert!(990 < keys.len());
    }
}
