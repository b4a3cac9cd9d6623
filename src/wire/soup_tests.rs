//! Good bytes gone bad, for the property tests of whatever reads bytes from outside.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use std::fmt;

/// What means something to some parser here.
const SPICE: [&[u8]; 20] = [
    b"\r\n",
    b"\n",
    b"\0",
    b"\xff",
    b"%",
    b"%zz",
    b",",
    b";",
    b"=",
    b"\"",
    b": ",
    b"://",
    b"[",
    b"]:",
    b"@",
    b"?",
    b"/",
    b"\t",
    b"\x80",
    "é".as_bytes(),
];

/// Bytes that a failed test shows as text.
#[derive(Clone)]
pub(crate) struct Soup(pub(crate) Vec<u8>);

impl fmt::Debug for Soup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}

#[derive(Clone, Debug)]
enum Change {
    Replace(u8),
    Flip(u8),
    Insert(Vec<u8>),
    Remove(usize),
    Repeat(usize),
    Cut,
}

/// `good` after a few changes, or none.
pub(crate) fn spoiled(good: impl Into<Vec<u8>>) -> impl Strategy<Value = Soup> {
    let good = good.into();
    let change = prop_oneof![
        any::<u8>().prop_map(Change::Replace),
        (0..8u8).prop_map(Change::Flip),
        vec(any::<u8>(), 1..4).prop_map(Change::Insert),
        select(&SPICE[..]).prop_map(|spice| Change::Insert(spice.to_vec())),
        (1usize..30).prop_map(Change::Remove),
        (1usize..30).prop_map(Change::Repeat),
        Just(Change::Cut),
    ];
    vec((any::<Index>(), change), 0..5).prop_map(move |changes| {
        let mut bytes = good.clone();
        for (at, change) in changes {
            let at = at.index(bytes.len() + 1);
            let end = |length: usize| bytes.len().min(at + length);
            match change {
                Change::Replace(to) => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = to),
                Change::Flip(bit) => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << bit),
                Change::Insert(more) => drop(bytes.splice(at..at, more)),
                Change::Remove(length) => drop(bytes.drain(at..end(length))),
                Change::Repeat(length) => {
                    let again = bytes[at..end(length)].to_vec();
                    bytes.splice(at..at, again);
                }
                Change::Cut => bytes.truncate(at),
            }
        }
        Soup(bytes)
    })
}

/// Anything at all, or [`spoiled`].
pub(crate) fn soup(good: impl Into<Vec<u8>>) -> impl Strategy<Value = Soup> {
    prop_oneof![1 => vec(any::<u8>(), 0..400).prop_map(Soup), 4 => spoiled(good)]
}
