//! What a typed line means: a message, or a command.

use std::fs;
use std::path::Path;
use switchboard::{Bytes, Message};

pub(super) const HELP: &str = "commands:
  TEXT                    send TEXT; it may begin with //, which sends one slash
  /close [CODE [REASON]]  close, with 1000 if nothing else is said
  /send FILE              send a file as a binary message
  /text FILE              send a file as a text message
  /hex BYTES              send bytes as a binary message, as /hex 00 ff 7f
  /ping [TEXT]            send a ping; the answer is not shown
  /help                   this list
  Ctrl-C, Ctrl-D          close; Ctrl-C once more leaves without waiting for the server";

/// The longest reason that fits into a Close frame, and the longest payload of a ping. RFC 6455 §5.5
const REASON_MAX: usize = 123;
const PING_MAX: usize = 125;

#[derive(Debug, PartialEq)]
pub(super) enum Input {
    Send(Message),
    /// A file to be sent; `text`: as a text message.
    File {
        path: String,
        text: bool,
    },
    Close(u16, String),
    Help,
}

/// What the line means; otherwise what to write instead.
pub(super) fn parse(line: &str) -> Result<Input, String> {
    let Some(command) = line.strip_prefix('/') else { return Ok(Input::Send(Message::text(line))) };
    if command.starts_with('/') {
        return Ok(Input::Send(Message::text(command)));
    }
    let (name, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
    let rest = rest.trim();
    match name {
        "close" => close(rest),
        "send" | "text" if rest.is_empty() => Err(format!("which file? Write /{name} FILE")),
        "send" | "text" => Ok(Input::File { path: rest.into(), text: name == "text" }),
        "hex" => Ok(Input::Send(Message::Binary(bytes(rest)?.into()))),
        "ping" if PING_MAX < rest.len() => Err(format!("a ping carries {PING_MAX} bytes at most")),
        "ping" => Ok(Input::Send(Message::Ping(Bytes::copy_from_slice(rest.as_bytes())))),
        "help" => Ok(Input::Help),
        _ => Err(format!(
            "there is no command /{name}; /help lists them. To send this as a text, write /{line}"
        )),
    }
}

fn close(rest: &str) -> Result<Input, String> {
    let (code, reason) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let code = if code.is_empty() { Ok(1000) } else { code.parse() };
    match code {
        Ok(code @ (1000..=1003 | 1007..=1014 | 3000..=4999)) if reason.trim().len() <= REASON_MAX => {
            Ok(Input::Close(code, reason.trim().into()))
        }
        Ok(1000..=1003 | 1007..=1014 | 3000..=4999) => {
            Err(format!("a reason has {REASON_MAX} bytes at most"))
        }
        _ => Err("a code to close with is 1000 to 1003, 1007 to 1014, or 3000 to 4999: \
                  /close 4000 enough for today"
            .into()),
    }
}

/// Bytes from pairs of hex digits; blanks, colons and commas between them, and `0x` before them, do not matter.
fn bytes(text: &str) -> Result<Vec<u8>, String> {
    let wrong = || "write pairs of hex digits, as /hex 00 ff 7f".to_string();
    let groups = text.split(|c: char| c.is_whitespace() || c == ':' || c == ',');
    let mut bytes = Vec::new();
    for group in groups {
        let digits = group.strip_prefix("0x").unwrap_or(group);
        for pair in digits.as_bytes().chunks(2) {
            let digit = |at: usize| pair.get(at).and_then(|digit| char::from(*digit).to_digit(16));
            let (Some(high), Some(low)) = (digit(0), digit(1)) else { return Err(wrong()) };
            bytes.push((high << 4 | low) as u8);
        }
    }
    Ok(bytes)
}

/// The message that a file makes; otherwise what is wrong with it.
pub(super) fn read(path: &str, text: bool) -> Result<Message, String> {
    // What never ends, or has not begun, would hold the prompt up.
    if fs::metadata(Path::new(path)).is_ok_and(|found| !found.is_file()) {
        return Err(format!("{path} is no regular file"));
    }
    let content = fs::read(path).map_err(|error| format!("cannot read {path}: {error}"))?;
    if !text {
        return Ok(Message::Binary(content.into()));
    }
    let text = String::from_utf8(content);
    text.map(Message::text).map_err(|_| format!("{path} is not UTF-8, as a text must be; send it with /send"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn close(code: u16, reason: &str) -> Result<Input, String> {
        Ok(Input::Close(code, reason.into()))
    }

    #[test]
    fn lines_that_are_messages() {
        for (line, sent) in
            [("hello", "hello"), ("", ""), (" /close", " /close"), ("//close", "/close"), ("///", "//")]
        {
            assert_eq!(parse(line), Ok(Input::Send(Message::text(sent))), "{line:?}");
        }
    }

    #[test]
    fn closing() {
        assert_eq!(parse("/close"), close(1000, ""));
        assert_eq!(parse("/close  "), close(1000, ""));
        assert_eq!(parse("/close 4000"), close(4000, ""));
        assert_eq!(parse("/close 1001 going  home "), close(1001, "going  home"));
        assert_eq!(parse(&format!("/close 1000 {}", "r".repeat(123))), close(1000, &"r".repeat(123)));
        let reserved =
            ["/close 1005", "/close 999", "/close 5000", "/close 2000", "/close bye", "/close 70000"];
        for line in reserved {
            assert!(parse(line).unwrap_err().contains("3000 to 4999"), "{line}");
        }
        assert!(parse(&format!("/close 1000 {}", "r".repeat(124))).unwrap_err().contains("123"));
    }

    #[test]
    fn hex() {
        for (text, expected) in [
            ("", &[][..]),
            ("00ff7f", &[0, 255, 127]),
            ("00 FF 7f", &[0, 255, 127]),
            ("0x00, 0xff", &[0, 255]),
            ("de:ad", &[0xde, 0xad]),
        ] {
            assert_eq!(bytes(text), Ok(expected.to_vec()), "{text:?}");
        }
        for text in ["0", "f f", "zz", "+f", "é"] {
            assert!(bytes(text).is_err(), "{text:?}");
        }
        assert_eq!(parse("/hex 01"), Ok(Input::Send(Message::Binary(vec![1].into()))));
    }

    #[test]
    fn files_pings_and_help() {
        assert_eq!(parse("/send my cat.jpg"), Ok(Input::File { path: "my cat.jpg".into(), text: false }));
        assert_eq!(parse("/text a"), Ok(Input::File { path: "a".into(), text: true }));
        assert!(parse("/send").unwrap_err().contains("/send FILE"));
        assert_eq!(parse("/ping there?"), Ok(Input::Send(Message::Ping("there?".into()))));
        assert!(parse(&format!("/ping {}", "p".repeat(126))).is_err());
        assert_eq!(parse("/help"), Ok(Input::Help));
        assert!(parse("/exit now").unwrap_err().ends_with("write //exit now"));
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        assert!(read("/nonexistent", false).unwrap_err().starts_with("cannot read /nonexistent"));
        assert!(read("/dev/zero", false).unwrap_err().contains("no regular file"));
        assert!(read(env!("CARGO_MANIFEST_DIR"), true).unwrap_err().contains("no regular file"));
    }

    proptest! {
        /// Any text can be sent, and any bytes.
        #[test]
        fn what_is_to_be_sent_is_what_is_sent(text in ".*", content in proptest::collection::vec(any::<u8>(), 0..40)) {
            let line = if text.starts_with('/') { format!("/{text}") } else { text.clone() };
            prop_assert_eq!(parse(&line), Ok(Input::Send(Message::text(text))));
            let hex: String = content.iter().map(|byte| format!("{byte:02X} ")).collect();
            prop_assert_eq!(parse(&format!("/hex {hex}")), Ok(Input::Send(Message::Binary(content.into()))));
        }

        /// Whatever follows a slash, it is a command that a connection can carry out, or is answered with what to write.
        #[test]
        fn commands_are_possible_or_explained(
            name in "close|hex|ping|send|text|help|\\PC{0,4}",
            rest in "[ \t]{0,2}([0-9]{0,5}|\\PC{0,20})[ ]{0,2}\\PC{0,130}",
        ) {
            match parse(&format!("/{name}{rest}")) {
                Ok(Input::Close(code, reason)) => {
                    prop_assert!((1000..5000).contains(&code) && ![1004, 1005, 1006, 1015].contains(&code));
                    prop_assert!(reason.len() <= REASON_MAX);
                }
                Ok(Input::Send(Message::Ping(payload))) => prop_assert!(payload.len() <= PING_MAX),
                Ok(Input::File { path, .. }) => prop_assert!(!path.is_empty()),
                Ok(Input::Send(_) | Input::Help) => {}
                Err(what) => prop_assert!(!what.is_empty()),
            }
        }
    }
}
