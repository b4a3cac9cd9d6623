//! What came, made fit for a terminal or a pipe.

use std::fmt::Write;
use switchboard::Message;

/// Bytes of a binary message that a terminal shows.
const SHOWN: usize = 16;

/// A message as a terminal shows it. Lines behind the first are set in, so that a message cannot pass for two.
pub(super) fn for_terminal(message: &Message) -> String {
    match message {
        Message::Text(text) => escape(text).replace('\n', "\n  "),
        other => binary(&other.clone().into_data()),
    }
}

/// A message as one line; a text with line breaks is as many lines. `escaped`: it goes to a terminal after all.
pub(super) fn for_pipe(message: &Message, escaped: bool) -> String {
    match message {
        Message::Text(text) if escaped => escape(text),
        Message::Text(text) => text.to_string(),
        other => hex(&other.clone().into_data(), ""),
    }
}

fn binary(bytes: &[u8]) -> String {
    let shown = hex(&bytes[..bytes.len().min(SHOWN)], " ");
    let unit = if bytes.len() == 1 { "byte" } else { "bytes" };
    match bytes.len() {
        0 => "(binary) 0 bytes".into(),
        length if length <= SHOWN => format!("(binary) {shown}, {length} {unit}"),
        length => format!("(binary) {shown} … {length} {unit}"),
    }
}

fn hex(bytes: &[u8], between: &str) -> String {
    let mut out = String::with_capacity(bytes.len() * (2 + between.len()));
    for (n, byte) in bytes.iter().enumerate() {
        let between = if n == 0 { "" } else { between };
        // Writing to a string does not fail.
        let _ = write!(out, "{between}{byte:02x}");
    }
    out
}

/// Makes visible what would drive the terminal, or turn the order of what stands on it: all control characters but line
/// break and tab, and the marks of direction.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let _ = match c {
            '\n' | '\t' => write!(out, "{c}"),
            '\r' => write!(out, "\\r"),
            '\0'..='\x1f' | '\x7f' => write!(out, "\\x{:02x}", u32::from(c)),
            '\u{80}'..='\u{9f}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' => {
                write!(out, "\\u{{{:x}}}", u32::from(c))
            }
            _ => write!(out, "{c}"),
        };
    }
    out
}

/// The line that tells how the connection ended.
pub(super) fn close_line(code: u16, reason: &str) -> String {
    let meaning = meaning(code);
    if reason.is_empty() {
        format!("connection closed: {code} ({meaning})")
    } else {
        // A reason is one line, or somebody else's line could follow.
        format!("connection closed: {code} ({meaning}): {}", escape(reason).replace('\n', "\\n"))
    }
}

/// What a close code stands for. RFC 6455 §7.4, and IANA's registry.
fn meaning(code: u16) -> &'static str {
    match code {
        1000 => "OK",
        1001 => "going away",
        1002 => "protocol error",
        1003 => "unsupported data",
        1005 => "no code",
        1006 => "abnormal: no Close frame came",
        1007 => "invalid data",
        1008 => "policy violation",
        1009 => "message too big",
        1010 => "extension missing",
        1011 => "internal error",
        1012 => "service restart",
        1013 => "try again later",
        1014 => "bad gateway",
        3000..=3999 => "registered",
        4000..=4999 => "private use",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_drives_a_terminal_is_escaped() {
        for (text, shown) in [
            ("plain é 🦀\t\\x1b", "plain é 🦀\t\\x1b"),
            ("\x1b[2J\x07\x7f", "\\x1b[2J\\x07\\x7f"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("over\rwritten", "over\\rwritten"),
            ("a\u{202e}b\u{2066}\u{2028}", "a\\u{202e}b\\u{2066}\\u{2028}"),
        ] {
            assert_eq!(escape(text), shown);
        }
    }

    #[test]
    fn one_message_cannot_pass_for_two() {
        let text = Message::text("one\n< two\n> three");
        assert_eq!(for_terminal(&text), "one\n  < two\n  > three");
        assert_eq!(close_line(4000, "a\nb"), "connection closed: 4000 (private use): a\\nb");
    }

    #[test]
    fn binary_is_hex_with_its_length() {
        let shown = |bytes: Vec<u8>| for_terminal(&Message::Binary(bytes.into()));
        assert_eq!(shown(vec![]), "(binary) 0 bytes");
        assert_eq!(shown(vec![7]), "(binary) 07, 1 byte");
        assert_eq!(shown(vec![0, 255]), "(binary) 00 ff, 2 bytes");
        assert!(shown(vec![1; SHOWN]).ends_with("01, 16 bytes"));
        assert!(shown(vec![1; 5000]).ends_with("01 01 … 5000 bytes"));
        assert_eq!(shown(vec![1; 5000]).matches("01").count(), SHOWN);
    }

    #[test]
    fn a_pipe_gets_the_message_itself() {
        let text = Message::text("\x1b[1m");
        assert_eq!((for_pipe(&text, false), for_pipe(&text, true)), ("\x1b[1m".into(), "\\x1b[1m".into()));
        assert_eq!(for_pipe(&Message::Binary(vec![0, 1, 255].into()), false), "0001ff");
    }

    #[test]
    fn the_last_line() {
        assert_eq!(close_line(1000, ""), "connection closed: 1000 (OK)");
        assert_eq!(
            close_line(1011, "handler failed"),
            "connection closed: 1011 (internal error): handler failed"
        );
    }
}
