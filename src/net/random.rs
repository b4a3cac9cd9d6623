//! What nobody can predict, from the system.

use rustix::rand::{GetRandomFlags, getrandom};

/// So many bytes come whole, and once the system has started nothing can fail. getrandom(2)
const FETCH: usize = 256;

pub(crate) fn random() -> Vec<u8> {
    let mut bytes = vec![0; FETCH];
    let _ = getrandom(&mut bytes[..], GetRandomFlags::empty());
    bytes
}

/// A name that nobody else has: so many bytes in hexadecimal digits.
pub(crate) fn random_name(bytes: usize) -> String {
    random().iter().take(bytes).map(|byte| format!("{byte:02x}")).collect()
}
