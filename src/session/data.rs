//! JSON that is passed on: kept as the text it came as, read when somebody wants to know.

use crate::error::{Error, Result};
use serde::de::DeserializeOwned;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use std::fmt;

/// A JSON value, as the text that was sent.
///
/// It is text and not a tree because the protocol carries *any* JSON: numbers that no type of Rust holds, and nesting of any
/// depth, pass through a `Data` unchanged, and a message that nobody looks into costs no parsing. [`Data::parse`] reads it as
/// whatever the program expects.
///
/// ```
/// use switchboard::session::Data;
///
/// let data = Data::new(&("move", [10, 20]))?;
/// assert_eq!(data.json(), r#"["move",[10,20]]"#);
/// let (what, at): (String, [i32; 2]) = data.parse()?;
/// assert_eq!((what.as_str(), at), ("move", [10, 20]));
/// assert!(data.parse::<bool>().is_err());
/// assert_eq!(Data::from_json("1e400")?.json(), "1e400");
/// # Ok::<(), switchboard::Error>(())
/// ```
///
/// It can be published again as it is: it is [`Serialize`], by `serde_json`.
#[derive(Clone)]
pub struct Data(pub(super) Box<RawValue>);

impl Data {
    /// A value as JSON.
    ///
    /// # Errors
    /// [`Error::Other`] for what JSON cannot express, as a map whose keys are no strings.
    pub fn new(value: &(impl Serialize + ?Sized)) -> Result<Self> {
        serde_json::value::to_raw_value(value).map(Self).map_err(Error::other)
    }

    /// JSON that is there as text.
    ///
    /// # Errors
    /// [`Error::Other`] when it is no JSON.
    pub fn from_json(text: impl Into<String>) -> Result<Self> {
        RawValue::from_string(text.into()).map(Self).map_err(Error::other)
    }

    /// The JSON text: a string has its quotes.
    pub fn json(&self) -> &str {
        self.0.get()
    }

    /// Reads the value as a type of the program's own choice, `serde_json::Value` among them.
    ///
    /// # Errors
    /// [`Error::Other`] when it is something else.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_str(self.json()).map_err(Error::other)
    }
}

impl PartialEq for Data {
    fn eq(&self, other: &Self) -> bool {
        self.json() == other.json()
    }
}

impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.json())
    }
}

impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.json())
    }
}

impl Serialize for Data {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}
