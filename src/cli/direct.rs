//! `/conn_ws/{nick}`: direct chat. JSON in, the same JSON out to the one it is meant for, and nobody speaks in another's
//! name.

use super::routes::{forbidden, json};
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use switchboard::{Denied, Identity, Message, Request, Result, WebSocket};

/// With authentication, the nick is the user's name.
pub(crate) fn authorize(request: &Request, identity: &Identity) -> Result<(), Denied> {
    match identity.name() {
        Some(name) if name == request.param("nick") => Ok(()),
        Some(name) => Err(forbidden(&format!("you are {name} here, and nobody else"))),
        None => Err(forbidden("direct chat needs a token with a user's name")),
    }
}

pub(crate) fn chat(mut ws: WebSocket) -> Result<()> {
    let nick = ws.param("nick").to_string();
    ws.identify(&user_name(&nick))?;
    while let Some(message) = ws.recv()? {
        match address(&nick, message) {
            Ok((to, message)) => {
                let nobody = error("no_such_user", &format!("nobody is connected as `{to}`"));
                ws.user(&user_name(&to)).send_or(message, nobody);
            }
            Err(error) => ws.send(error)?,
        }
    }
    Ok(())
}

/// Nicks of this chat are no users of anything else.
fn user_name(nick: &str) -> String {
    format!("nick:{nick}")
}

/// The fields that must be there. Serde refuses a field that comes twice: one reader would believe the first `from_user`,
/// another the last. Values that need not be understood are skipped, which takes no stack however deeply they are nested.
#[derive(Deserialize)]
struct Direct<'a> {
    #[serde(borrow, default, deserialize_with = "given")]
    from_user: Option<&'a RawValue>,
    to_user: String,
    #[serde(rename = "message")]
    _message: IgnoredAny,
}

/// A field that is there, be it null.
fn given<'de, D: Deserializer<'de>>(field: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(field).map(Some)
}

/// Whom the message is for, and the message as it is to be delivered; or the error that answers it.
fn address(nick: &str, message: Message) -> Result<(String, Message), Message> {
    let Message::Text(text) = message else {
        return Err(error("bad_request", "send JSON as a text message, not a binary one"));
    };
    let direct: Direct<'_> = serde_json::from_str(&text).map_err(|why| match why.classify() {
        serde_json::error::Category::Data => error("bad_request", &format!("{EXPECTED}: {why}")),
        _ => error("bad_json", &format!("this is not JSON: {why}")),
    })?;
    // Serde takes a list of values for a struct.
    let Some(fields) = text.trim_ascii_end().strip_suffix('}') else {
        return Err(error("bad_request", EXPECTED));
    };
    let name = Value::from(nick);
    let mended = match direct.from_user {
        Some(given) if serde_json::from_str::<String>(given.get()).is_ok_and(|given| given == nick) => None,
        Some(given) => {
            // It lies in `text`.
            let at = given.get().as_ptr().addr() - text.as_ptr().addr();
            Some(format!("{}{name}{}", &text[..at], &text[at + given.get().len()..]))
        }
        None => Some(format!("{fields},\"from_user\":{name}}}")),
    };
    Ok((direct.to_user, mended.map_or(Message::Text(text), Message::text)))
}

const EXPECTED: &str = r#"send {"from_user":…,"to_user":…,"message":…}"#;
/// Characters of an error's text: what it is about may be as long as a message.
const ERROR_MAX: usize = 300;

/// What answers a message that cannot be passed on.
pub(super) fn error(code: &str, message: &str) -> Message {
    let message: String = message.chars().take(ERROR_MAX).collect();
    json(&json!({"type": "error", "code": code, "message": message}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::{Index, select};
    use std::collections::BTreeMap;

    fn check(text: &str, expected: Result<(&str, &str), &str>) {
        match (address("ann", Message::text(text)), expected) {
            (Ok((to, message)), Ok((expected_to, expected_text))) => {
                assert_eq!((to.as_str(), message.to_text().unwrap()), (expected_to, expected_text));
            }
            (Err(message), Err(code)) => {
                let reply: Value = serde_json::from_str(message.to_text().unwrap()).unwrap();
                assert_eq!((&reply["type"], &reply["code"]), (&"error".into(), &code.into()), "{reply}");
                assert!(!reply["message"].as_str().unwrap().is_empty());
            }
            (got, _) => panic!("{text}: {got:?}"),
        }
    }

    #[test]
    fn what_is_in_one_s_own_name_goes_byte_for_byte() {
        let text = r#"{ "to_user":"bob",  "message":"h\u0069", "from_user":"ann","more":[1] }"#;
        check(text, Ok(("bob", text)));
    }

    #[test]
    fn a_wrong_or_missing_name_is_mended() {
        let mended = r#"{"from_user":"ann","to_user":"bob","message":"hi"}"#;
        check(r#"{"from_user":"eve","to_user":"bob","message":"hi"}"#, Ok(("bob", mended)));
        check(r#"{"from_user":null,"to_user":"bob","message":"hi"}"#, Ok(("bob", mended)));
        check(
            r#"{"to_user":"bob","message":"hi"}"#,
            Ok(("bob", r#"{"to_user":"bob","message":"hi","from_user":"ann"}"#)),
        );
    }

    #[test]
    fn a_name_given_twice_is_refused() {
        check(r#"{"from_user":"eve","from_user":"ann","to_user":"bob","message":"hi"}"#, Err("bad_request"));
        check(r#"{"from_user":"ann","to_user":"bob","to_user":"eve","message":"hi"}"#, Err("bad_request"));
    }

    #[test]
    fn what_a_name_is_mended_in_stays_as_it_is() {
        check(
            r#"{"message":[1.50, 1e999,12345678901234567890123],"from_user" : ["ann"] ,"to_user":"bob"}  "#,
            Ok((
                "bob",
                r#"{"message":[1.50, 1e999,12345678901234567890123],"from_user" : "ann" ,"to_user":"bob"}  "#,
            )),
        );
        check(
            r#" {"message":1.50,"to_user":"bob" } "#,
            Ok(("bob", r#" {"message":1.50,"to_user":"bob" ,"from_user":"ann"}"#)),
        );
        check(
            r#"{"to_user":"bob","message":1,"from_user":"\u0061nn"}"#,
            Ok(("bob", r#"{"to_user":"bob","message":1,"from_user":"\u0061nn"}"#)),
        );
    }

    #[test]
    fn a_list_is_no_direct_message() {
        check(r#"["ann","bob","hi"]"#, Err("bad_request"));
        check(r#" ["eve","bob","hi"]"#, Err("bad_request"));
    }

    #[test]
    fn an_error_is_short_whatever_it_is_about() {
        let long = "\u{200b}".repeat(100_000);
        for (text, code) in [
            (format!("\"{long}\""), "bad_request"),
            (format!(r#"{{"to_user":7,"message":1,"{long}":2}}"#), "bad_request"),
        ] {
            let reply = address("ann", Message::text(text)).unwrap_err();
            assert!(reply.len() < 1000 && reply.to_text().unwrap().contains(code), "{} bytes", reply.len());
        }
        assert!(error("no_such_user", &long).len() < 1000);
    }

    #[test]
    fn what_is_no_direct_message_is_answered_with_an_error() {
        for text in ["", "hello", "{", r#"{"to_user":"bob","message":"#] {
            check(text, Err("bad_json"));
        }
        for text in [
            "[]",
            "1",
            "null",
            "{}",
            r#"{"to_user":"bob"}"#,
            r#"{"message":"hi"}"#,
            r#"{"to_user":1,"message":"hi"}"#,
        ] {
            check(text, Err("bad_request"));
        }
        assert!(address("ann", Message::binary(&b"{}"[..])).is_err());
    }
    proptest! {
        /// A byte or two of a good message are changed: it goes out in one's own name and is otherwise as it was, or is
        /// answered with an error.
        #[test]
        fn whatever_comes_nobody_speaks_in_another_s_name(
            edits in vec((any::<Index>(), select(r#"{}[]",:\ua0.e-"#.chars().collect::<Vec<_>>())), 0..3),
            from in select(vec![r#""ann""#, r#""eve""#, "null", r#"{"a":["ann"]}"#, r#""\u0061nn""#]),
        ) {
            let mut text: Vec<char> =
                format!(r#" {{"more":[1.50,{{}}],"from_user":{from} ,"to_user":"b\u006fb","message":"h\"i"}}"#)
                    .chars()
                    .collect();
            for (at, to) in edits {
                let at = at.index(text.len());
                text[at] = to;
            }
            let text = text.into_iter().collect::<String>();
            match address("ann", Message::text(text.as_str())) {
                Ok((to, message)) => {
                    let fields = fields(message.to_text().unwrap());
                    prop_assert_eq!(string(&fields["from_user"]), "ann");
                    prop_assert_eq!(string(&fields["to_user"]), to);
                    for (name, value) in self::fields(&text).iter().filter(|(name, _)| *name != "from_user") {
                        prop_assert_eq!(value.get(), fields[name].get());
                    }
                }
                Err(reply) => {
                    prop_assert_eq!(string(&fields(reply.to_text().unwrap())["type"]), "error");
                }
            }
        }
    }

    fn fields(text: &str) -> BTreeMap<String, Box<RawValue>> {
        serde_json::from_str(text).unwrap()
    }

    fn string(value: &RawValue) -> String {
        serde_json::from_str(value.get()).unwrap()
    }
}
