//! What is wrong with a message or a schema, and where: short, whatever it is about.

use jsonschema::error::ValidationErrorKind as Kind;
use jsonschema::{ReferencingError, ValidationError};
use serde_json::Value;
use std::fmt::{self, Write};

/// Bytes of a text about a flaw, and of a pointer to one.
const TEXT: usize = 300;

/// A flaw of a document.
pub(super) struct Flaw {
    /// JSON pointer (RFC 6901) to the value that has it, or to what that lies in.
    pub(super) path: String,
    pub(super) what: String,
}

impl Flaw {
    /// A flaw of all of it.
    pub(super) fn whole(what: &str) -> Self {
        Self { path: String::new(), what: what.into() }
    }

    pub(super) fn of_message(error: &ValidationError<'_>) -> Self {
        Self::of_value(culprit(error))
    }

    /// Why `schema` cannot be used.
    pub(super) fn of_schema(error: &ValidationError<'_>, schema: &Value) -> Self {
        let error = culprit(error);
        let (reference, what) = match error.kind() {
            Kind::Referencing(ReferencingError::Unretrievable { uri, .. }) => (
                uri.as_str(),
                format!(
                    "the reference to {uri} leads out of the schema: no file and no host is asked; put what it means under `$defs`"
                ),
            ),
            Kind::Referencing(ReferencingError::UnknownSpecification { specification }) => (
                specification.as_str(),
                format!(
                    "`$schema` is {specification}, which is not known: draft 4, 6, 7, 2019-09 and 2020-12 are"
                ),
            ),
            Kind::Referencing(what @ ReferencingError::PointerToNowhere { pointer }) => {
                (pointer.as_str(), what.to_string())
            }
            Kind::Referencing(what @ ReferencingError::NoSuchAnchor { anchor }) => {
                (anchor.as_str(), what.to_string())
            }
            Kind::Format { format } if format == "regex" => {
                let what = "this pattern cannot be used: it is none, is too large, or has lookaround or backreferences";
                return Self { what: what.into(), ..Self::of_value(error) };
            }
            _ => return Self::of_value(error),
        };
        let path = place_of(reference, schema, "").unwrap_or_default();
        Self { path: short_path(&path), what: short(&what) }
    }

    fn of_value(error: &ValidationError<'_>) -> Self {
        let what = match error.kind() {
            // The error holds no copy of the array that it would count.
            Kind::AdditionalItems { limit } => short(&format_args!("it has more than {limit} items")),
            Kind::PropertyNames { error } => {
                short(&format_args!("a name in it: {}", error.masked_with("it")))
            }
            _ => short(&error.masked_with("it")),
        };
        Self { path: short_path(error.instance_path().as_str()), what }
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => f.write_str(&self.what),
            path => write!(f, "at {path}: {}", self.what),
        }
    }
}

/// What is to be mended. That a value fits none of several branches says little; if all but one are for values of another
/// kind, it is what that one says.
fn culprit<'e, 'i>(error: &'e ValidationError<'i>) -> &'e ValidationError<'i> {
    let (Kind::AnyOf { context } | Kind::OneOfNotValid { context }) = error.kind() else { return error };
    let of_another_kind = |branch: &Vec<ValidationError<'static>>| {
        branch.iter().any(|flaw| match flaw.kind() {
            Kind::Type { .. } => flaw.instance_path() == error.instance_path(),
            // As of a property that tells kinds of messages apart.
            Kind::Constant { .. } | Kind::Enum { .. } => flaw.instance_path() != error.instance_path(),
            _ => false,
        })
    };
    let mut branches = context.iter().filter(|branch| !of_another_kind(branch));
    match (branches.next().and_then(|branch| branch.first()), branches.next()) {
        (Some(first), None) => culprit(first),
        _ => error,
    }
}

/// Where the schema refers to this: a keyword such as `$ref` whose text is it, or ends or begins with it.
fn place_of(reference: &str, schema: &Value, path: &str) -> Option<String> {
    let is_it = |text: &str| {
        let file = text.split('#').next().unwrap_or_default();
        text.ends_with(reference) || !file.is_empty() && reference.ends_with(file)
    };
    match schema {
        Value::Object(members) => members.iter().find_map(|(name, value)| {
            let path = format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"));
            match value {
                Value::String(text) if name.starts_with('$') && is_it(text) => Some(path),
                value => place_of(reference, value, &path),
            }
        }),
        Value::Array(elements) => {
            let mut elements = elements.iter().enumerate();
            elements.find_map(|(at, value)| place_of(reference, value, &format!("{path}/{at}")))
        }
        _ => None,
    }
}

/// A pointer, or the longest beginning of it that is short enough and a pointer too.
fn short_path(path: &str) -> String {
    let end = match path.len() <= TEXT {
        true => path.len(),
        false => path[..path.floor_char_boundary(TEXT + 1)].rfind('/').unwrap_or_default(),
    };
    path[..end].into()
}

/// The text, with `…` for what is too much of it, of which little is even written.
fn short(text: &dyn fmt::Display) -> String {
    let mut short = Short(String::new());
    let _ = write!(short, "{text}");
    let Short(mut text) = short;
    if TEXT < text.len() {
        text.truncate(text.floor_char_boundary(TEXT - '…'.len_utf8()));
        text.push('…');
    }
    text
}

/// Takes no more once it has too much.
struct Short(String);

impl Write for Short {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.push_str(&text[..text.floor_char_boundary(TEXT + 1)]);
        if self.0.len() <= TEXT { Ok(()) } else { Err(fmt::Error) }
    }
}
