//! PEM (RFC 7468): the blocks of a text. rustls' reader passes over "RSA PUBLIC KEY", which is one that is needed here.

use crate::error::{Error, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// A block: its label, as `PUBLIC KEY`, and its DER.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) label: String,
    pub(super) der: Vec<u8>,
}

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";

/// Whether somebody has meant this to be PEM.
pub(super) fn is_pem(text: &[u8]) -> bool {
    text.windows(BEGIN.len()).any(|window| window == BEGIN.as_bytes())
}

/// The one block that there must be; text before and behind it is passed over.
pub(super) fn only_block(text: &str) -> Result<Block> {
    let wrong = |what: String| Error::Config(what);
    let mut lines = text.lines().map(str::trim);
    let label = |line: &str, mark: &str| Some(line.strip_prefix(mark)?.strip_suffix(DASHES)?.to_string());
    let Some(found) = lines.find_map(|line| label(line, BEGIN)) else {
        return Err(wrong("it has no line `-----BEGIN …-----`: give a key in PEM".into()));
    };
    let (mut base64, mut is_whole) = (String::new(), false);
    for line in lines.by_ref() {
        if label(line, END).as_ref() == Some(&found) {
            is_whole = true;
            break;
        }
        base64.push_str(line);
    }
    if !is_whole {
        return Err(wrong(format!("the block {found} has no end: copy it whole")));
    }
    if lines.any(|line| line.starts_with(BEGIN)) {
        return Err(wrong("it has more than one block: give each key in a file of its own".into()));
    }
    match STANDARD.decode(base64) {
        Ok(der) => Ok(Block { label: found, der }),
        Err(_) => Err(wrong(format!("the block {found} is damaged: copy it again"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::soup_tests::{Soup, soup};
    use proptest::prelude::*;

    #[test]
    fn one_block_is_read_whatever_stands_around_it() {
        let block = |text: &str| only_block(text).map(|block| (block.label, block.der));
        let expected = ("X Y".to_string(), b"hello".to_vec());
        for text in [
            "-----BEGIN X Y-----\naGVsbG8=\n-----END X Y-----",
            "about\r\n-----BEGIN X Y-----\r\naGVs\r\n bG8=\r\n-----END X Y-----\r\nand more\r\n",
        ] {
            assert_eq!(block(text).unwrap(), expected, "{text}");
        }
        for (text, what) in [
            ("", "no line"),
            ("aGVsbG8=", "no line"),
            ("-----BEGIN X-----\naGVsbG8=\n", "no end"),
            ("-----BEGIN X-----\naGVsbG8=\n-----END Y-----", "no end"),
            ("-----BEGIN X-----\naGVsbG8\n-----END X-----", "damaged"),
            ("-----BEGIN X-----\nProc-Type: 4\n\naGVsbG8=\n-----END X-----", "damaged"),
            ("-----BEGIN X-----\n-----END X-----\n-----BEGIN X-----\n-----END X-----", "more than one"),
        ] {
            let error = block(text).unwrap_err().to_string();
            assert!(error.contains(what), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_block_or_not(Soup(text) in soup(&b"-----BEGIN X-----\naGVsbG8=\n-----END X-----"[..])) {
            let text = String::from_utf8_lossy(&text);
            prop_assert!(only_block(&text).is_err() || is_pem(text.as_bytes()));
        }
    }
}
