//! JSON text to a value, within bounds: what a client may make the server build and walk through.
//!
//! A name that comes twice in one object is refused (RFC 8259 §4: the readers of such a message do not agree): a check would
//! see one value, and whoever gets the message perhaps the other.

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::cell::Cell;
use std::fmt;

/// Arrays and objects within each other. Parsing and checking take stack for each: see `Schema` for how much.
pub(super) const DEPTH: usize = 64;
/// Values in one text. Each takes up to 150 bytes of memory, some 100 times its text.
const VALUES: usize = 65_536;
/// Bytes of the names on the way to a value, as JSON pointers to it repeat them all.
const NAMES: usize = 4096;

/// Errors of the category `Data` are bounds and repeated names; the others say that this is no JSON.
pub(super) fn parse(text: &str) -> serde_json::Result<Value> {
    let mut text = serde_json::Deserializer::from_str(text);
    let value = Slot { depth: 0, names: 0, values: &Cell::new(0) }.deserialize(&mut text)?;
    text.end()?;
    Ok(value)
}

/// A place for one value.
#[derive(Clone, Copy)]
struct Slot<'a> {
    /// Arrays and objects around it.
    depth: usize,
    /// Bytes of the names that lead to it.
    names: usize,
    /// Values so far.
    values: &'a Cell<usize>,
}

impl Slot<'_> {
    /// The place of a value in an array or, with its name, in an object.
    fn within<E: Error>(self, name: &str) -> Result<Self, E> {
        let within = Self { depth: self.depth + 1, names: self.names + name.len(), ..self };
        match within.names <= NAMES {
            true => Ok(within),
            false => Err(E::custom(format!("the names that lead to a value have more than {NAMES} bytes"))),
        }
    }

    fn container<E: Error>(self) -> Result<(), E> {
        match self.depth < DEPTH {
            true => Ok(()),
            false => Err(E::custom(format!("arrays and objects lie more than {DEPTH} deep in each other"))),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Slot<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, text: D) -> Result<Value, D::Error> {
        if self.values.replace(self.values.get() + 1) == VALUES {
            return Err(D::Error::custom(format!("there are more than {VALUES} values")));
        }
        text.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Slot<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        self.container()?;
        let mut array = Vec::new();
        while let Some(value) = elements.next_element_seed(self.within("")?)? {
            array.push(value);
        }
        Ok(array.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        self.container()?;
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if object.contains_key(&name) {
                let name: String = name.chars().take(40).collect();
                return Err(A::Error::custom(format!("the name {name:?} comes twice in one object")));
            }
            let value = members.next_value_seed(self.within(&name)?)?;
            object.insert(name, value);
        }
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::error::Category;

    fn nested(depth: usize) -> String {
        format!("{}1{}", "[".repeat(depth), "]".repeat(depth))
    }

    #[test]
    fn the_bounds_hold_and_what_lies_within_them_is_parsed() {
        let list = |values: usize| format!("[0{}]", ",0".repeat(values - 2));
        let name = |bytes: usize| format!(r#"{{"{}":[1]}}"#, "n".repeat(bytes));
        let way = format!(r#"{{"{}":{{"{}":1}}}}"#, "a".repeat(NAMES / 2), "b".repeat(NAMES / 2 + 1));
        for (good, bad, why) in [
            (nested(DEPTH), nested(DEPTH + 1), "deep"),
            (r#"{"a":"#.repeat(DEPTH) + "1" + &"}".repeat(DEPTH), r#"{"a":"#.repeat(100_000), "deep"),
            (list(VALUES), list(VALUES + 1), "65536 values"),
            (name(NAMES), name(NAMES + 1), "4096 bytes"),
            ("{}".into(), way, "4096 bytes"),
            (r#"[{"a":1},{"a":2}]"#.into(), r#"{"a":1,"b":{},"\u0061":2}"#.into(), r#""a" comes twice"#),
        ] {
            assert_eq!(parse(&good).unwrap(), good.parse::<Value>().unwrap());
            let error = parse(&bad).unwrap_err();
            assert!(error.classify() == Category::Data && error.to_string().contains(why), "{error}");
            assert!(error.to_string().len() < 200, "{error}");
        }
    }

    #[test]
    fn what_is_no_json_is_told_so() {
        for text in ["", "hello", "{", "[1,]", "1 2", "{\"a\" 1}", "\"\u{1}\"", "[1e999]", "\u{feff}1"] {
            let error = parse(text).unwrap_err();
            assert!(matches!(error.classify(), Category::Syntax | Category::Eof), "{text}: {error}");
        }
        let error = parse(&"[".repeat(DEPTH)).unwrap_err();
        assert_eq!((error.classify(), error.line(), error.column()), (Category::Eof, 1, DEPTH));
    }

    proptest! {
        /// It is serde's own reading, but for what the bounds and the repeated names say.
        #[test]
        fn any_text_is_read_as_serde_reads_it(text in r#"([\[\]{},:]|"a"|"b"|1|-0\.5e3|9{20}|null|true){0,12}"#) {
            match (parse(&text), text.parse::<Value>()) {
                (Ok(ours), theirs) => prop_assert_eq!(Some(ours), theirs.ok()),
                (Err(error), Ok(_)) => prop_assert!(error.to_string().contains("twice"), "{}: {}", text, error),
                (Err(_), Err(_)) => {}
            }
        }
    }
}
