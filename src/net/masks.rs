//! Masking keys from the system's randomness: "The masking key needs to be unpredictable". RFC 6455 §5.3.

use parking_lot::Mutex;
use rustix::rand::{GetRandomFlags, getrandom};

/// Random bytes are fetched so many at a time: a system call for each frame would cost more than the frame.
const FETCH: usize = 256;

#[derive(Default)]
pub(crate) struct Masks(Mutex<Vec<u8>>);

impl Masks {
    pub(crate) fn key(&self) -> [u8; 4] {
        let mut unused = self.0.lock();
        if unused.len() < 4 {
            *unused = random();
        }
        let rest = unused.len().saturating_sub(4);
        let key = unused.split_off(rest);
        key.try_into().unwrap_or_default()
    }
}

/// Unpredictable bytes.
pub(crate) fn random() -> Vec<u8> {
    let mut bytes = vec![0; FETCH];
    // Up to 256 bytes come whole, and once the system has started nothing can fail. getrandom(2)
    let _ = getrandom(&mut bytes[..], GetRandomFlags::empty());
    bytes
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
