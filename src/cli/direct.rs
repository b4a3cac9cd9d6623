//! `/conn_ws/{nick}`: direct chat. JSON in, the same JSON out to the one it is meant for, and nobody speaks in another's
//! name.

use super::routes::json;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use switchboard::{Message, Result, WebSocket};

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
/// another the last.
#[derive(Deserialize)]
struct Direct {
    #[serde(default)]
    from_user: Value,
    to_user: String,
    #[serde(rename = "message")]
    _message: Value,
}

/// Whom the message is for, and the message as it is to be delivered; or the error that answers it.
fn address(nick: &str, message: Message) -> Result<(String, Message), Message> {
    let Message::Text(text) = message else {
        return Err(error("bad_request", "send JSON as a text message, not a binary one"));
    };
    let direct: Direct = serde_json::from_str(&text).map_err(|why| match why.classify() {
        serde_json::error::Category::Data => error("bad_request", &format!("{EXPECTED}: {why}")),
        _ => error("bad_json", &format!("this is not JSON: {why}")),
    })?;
    if direct.from_user == nick {
        return Ok((direct.to_user, Message::Text(text)));
    }
    let Ok(mut fields) = serde_json::from_str::<Map<String, Value>>(&text) else {
        return Err(error("bad_request", EXPECTED));
    };
    fields.insert("from_user".into(), nick.into());
    Ok((direct.to_user, json(&Value::Object(fields))))
}

const EXPECTED: &str = r#"send {"from_user":…,"to_user":…,"message":…}"#;

fn error(code: &str, message: &str) -> Message {
    json(&json!({"type": "error", "code": code, "message": message}))
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
