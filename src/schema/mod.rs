//! What messages must look like: JSON Schema, checked before a handler sees them, in bounded time and memory.
//!
//! `parse` bounds what is built of a message, `metered` the work of checking it, `flaw` the words about what is wrong;
//! `rooms` checks what is published in rooms.

mod flaw;
mod metered;
mod parse;
#[cfg(feature = "protocol")]
mod rooms;

use crate::error::{Error, Result};
use flaw::Flaw;
use jsonschema::{PatternOptions, Validator};
use metered::{Metered, View, Work};
use parking_lot::RwLock;
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use std::{fmt, fs};
use tungstenite::Message;

/// A JSON Schema that messages are checked against, of draft 4, 6, 7, 2019-09 or 2020-12 (as `$schema` says; the last, if it
/// says nothing). Clones are the same one: what one is replaced by, all have.
///
/// ```
/// use switchboard::{Schema, Server};
///
/// # fn main() -> switchboard::Result<()> {
/// let schema = Schema::parse(r#"{"type": "object", "required": ["say"], "properties": {"say": {"type": "string"}}}"#)?;
/// let server = Server::builder()
///     .route("/chat", |mut ws| {
///         let room = ws.join("chat")?;
///         while let Some(message) = ws.recv()? {
///             room.send(message); // it fits the schema
///         }
///         Ok(())
///     })
///     .check("/chat", move |_, message| schema.check(message))
///     .bind("127.0.0.1:0")?
///     .start()?;
///
/// let mut client = server.connect("/chat")?;
/// client.send(r#"{"say": 5}"#)?;
/// let answer = client.recv()?.unwrap();
/// assert_eq!(
///     answer.to_text().unwrap(),
///     r#"{"type":"error","code":"invalid_data","path":"/say","message":"it is not of type \"string\""}"#
/// );
/// # Ok(())
/// # }
/// ```
///
/// # What it does not do
///
/// - It reads nothing but the schema itself: a `$ref` to another file or host is an error.
/// - `format` is not checked; what matters can be said with `pattern`.
/// - `pattern` and `patternProperties` know no lookaround and no backreferences: they take time in proportion to the text,
///   whatever the text.
///
/// # What it costs
///
/// A message is refused that nests arrays and objects more than 64 deep, has more than 65 536 values, one name twice in an
/// object, or a number above 1.8e308. While a message is checked its values take up to 10 MB, and the check up to 64 KiB of
/// the stack (256 KiB in a debug build): leave [`Limits::stack`](crate::Limits::stack) at its 1 MiB. The time is bounded in
/// proportion to the message's length; a message that would need more, as it can where branches lead to further branches, is
/// refused.
#[derive(Clone)]
pub struct Schema {
    validator: Arc<RwLock<Arc<Validator<Metered>>>>,
}

/// Looks that the check of a message may take for each of its bytes. A schema of some dozen branches, each tried on all of a
/// message, needs a few for each branch.
const LOOKS: u64 = 256;
/// Bytes that every message is counted more than it has.
const AT_LEAST: usize = 1024;

impl Schema {
    /// Reads a schema from a JSON file.
    ///
    /// # Errors
    /// [`Error::Config`] when the file cannot be read, is no JSON (with line and column) or no schema that can be used (with a
    /// JSON pointer to what cannot). The text names the file.
    ///
    /// ```
    /// use switchboard::Schema;
    ///
    /// let error = Schema::read("no-such.json").err().unwrap();
    /// assert!(error.to_string().starts_with("the schema no-such.json cannot be read: "));
    /// ```
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let name = path.as_ref().display();
        let text = fs::read_to_string(&path)
            .map_err(|error| Error::Config(format!("the schema {name} cannot be read: {error}")))?;
        compile(&text).map_err(|what| Error::Config(format!("the schema {name}: {what}")))
    }

    /// A schema from its JSON text.
    ///
    /// # Errors
    /// [`Error::Config`] as for [`Schema::read`].
    ///
    /// ```
    /// use switchboard::Schema;
    ///
    /// assert!(Schema::parse(r#"{"maxLength": 1000}"#).is_ok());
    /// let error = Schema::parse(r#"{"properties": {"a": {"type": "strin"}}}"#).err().unwrap();
    /// assert!(error.to_string().starts_with("the schema: at /properties/a/type: "));
    /// ```
    pub fn parse(json: &str) -> Result<Self> {
        compile(json).map_err(|what| Error::Config(format!("the schema: {what}")))
    }

    /// Takes over what `other` says, as when a file was read again: messages that come from now on are checked against that,
    /// wherever this schema or a clone of it was given to. Any thread may call it. Does not block.
    ///
    /// ```
    /// use switchboard::{Message, Schema};
    ///
    /// # fn main() -> switchboard::Result<()> {
    /// let schema = Schema::parse(r#"{"type": "string"}"#)?;
    /// let in_use = schema.clone();
    /// schema.replace(&Schema::parse(r#"{"type": "number"}"#)?);
    /// assert_eq!(in_use.check(&Message::text("5")), Ok(()));
    /// # Ok(())
    /// # }
    /// ```
    pub fn replace(&self, other: &Self) {
        let new = other.validator.read().clone();
        *self.validator.write() = new;
    }

    /// Whether the message fits, for [`Builder::check`](crate::Builder::check). Does not block. Takes a
    /// microsecond for a short message; up to 2 s for one of 1 MiB that was made for it, with a schema that lets it.
    ///
    /// # Errors
    /// The answer for whoever sent it, `{"type":"error","code":…,"message":…}`, with a text of at most 300 bytes:
    ///
    /// | code | |
    /// |---|---|
    /// | `bad_request` | it is a binary message |
    /// | `bad_json` | it is no JSON |
    /// | `invalid_data` | it does not fit; `path` is the JSON pointer (RFC 6901) to the value that does not, or, when that would have more than 300 bytes, to what it lies in |
    ///
    /// ```
    /// use switchboard::{Message, Schema};
    ///
    /// # fn main() -> switchboard::Result<()> {
    /// let schema = Schema::parse(r#"{"items": {"type": "integer"}}"#)?;
    /// assert_eq!(schema.check(&Message::text("[1, 2]")), Ok(()));
    /// let answer = schema.check(&Message::text("[1, true]")).unwrap_err();
    /// assert!(answer.to_text().unwrap().contains(r#""path":"/1""#));
    /// # Ok(())
    /// # }
    /// ```
    pub fn check(&self, message: &Message) -> Result<(), Message> {
        let Message::Text(text) = message else {
            return Err(error("bad_request", None, "send JSON as a text message, not a binary one"));
        };
        let value = parse::parse(text).map_err(|why| match why.is_data() {
            true => error("invalid_data", Some(""), &why.to_string()),
            false => error("bad_json", None, &format!("this is not JSON: {why}")),
        })?;
        self.flaw(&value, text.len())
            .map_or(Ok(()), |flaw| Err(error("invalid_data", Some(&flaw.path), &flaw.what)))
    }

    /// What is wrong with a value whose text has so many bytes.
    fn flaw(&self, value: &Value, length: usize) -> Option<Flaw> {
        let limit = LOOKS * (length + AT_LEAST) as u64;
        let work = Work::new(limit);
        let validator = self.validator.read().clone();
        let is_valid = validator.is_valid(View::new(value, &work));
        if work.is_used_up() {
            return Some(Flaw::whole("checking it against the schema takes too much work"));
        }
        if is_valid {
            return None;
        }
        // Where, takes another walk: with many branches a longer one, that may come to nothing.
        let work = Work::new(limit);
        let error = validator.validate(View::new(value, &work)).err().filter(|_| !work.is_used_up());
        Some(
            error.map_or_else(|| Flaw::whole("it does not fit the schema"), |error| Flaw::of_message(&error)),
        )
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Schema")
    }
}

fn compile(text: &str) -> Result<Schema, String> {
    let schema = parse::parse(text).map_err(|error| error.to_string())?;
    let validator = jsonschema::options_for::<Metered>()
        .offline()
        .with_pattern_options(PatternOptions::regex())
        .should_validate_formats(false)
        .build(&schema)
        .map_err(|error| Flaw::of_schema(&error, &schema).to_string())?;
    Ok(Schema { validator: Arc::new(RwLock::new(Arc::new(validator))) })
}

/// The fields stand in this order whatever `serde_json` was built with.
fn error(code: &str, path: Option<&str>, message: &str) -> Message {
    let path = path.map_or(String::new(), |path| format!(r#","path":{}"#, Value::from(path)));
    let message = Value::from(message);
    Message::text(format!(r#"{{"type":"error","code":"{code}"{path},"message":{message}}}"#))
}

#[cfg(test)]
mod tests;
