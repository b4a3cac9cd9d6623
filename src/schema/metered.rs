//! A message as the validator sees it: each look at it is counted, and once the count is used up there is nothing more to
//! see, and so nothing more to do.
//!
//! JSON Schema itself bounds no work: a schema that refers to itself from two branches can make a validator walk a tree that
//! doubles with each level of a small message. Through this view its work, and the memory of the errors it notes, are
//! bounded whatever it does.

use jsonschema::JsonType;
use jsonschema::json::{Array, Json, Node, NodeIdentity, Object, cmp};
use serde_json::{Map, Number, Value};
use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashSet;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::{ptr, slice};

/// The work that one walk over a message may be. A look at a value costs 1, at a text or a name 1 more for each byte.
pub(super) struct Work {
    left: Cell<u64>,
    /// What it costs that the validator notes an error.
    error: u64,
}

impl Work {
    /// At most 1024 errors are noted: each holds the way to its value as text.
    pub(super) fn new(limit: u64) -> Self {
        Self { left: Cell::new(limit), error: limit / 1024 }
    }

    /// Whether there was too little of it: what came out is worth nothing then.
    pub(super) fn is_used_up(&self) -> bool {
        self.left.get() == 0
    }

    /// Whether some is left afterwards.
    fn spend(&self, work: u64) -> bool {
        self.left.set(self.left.get().saturating_sub(work));
        !self.is_used_up()
    }
}

/// This representation of JSON, in the validator's terms.
pub(super) struct Metered;

/// A value that is looked at on account of some work; the name of a property, as a value of its own, on nobody's.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    value: &'a Value,
    work: Option<&'a Work>,
}

impl<'a> View<'a> {
    pub(super) fn new(value: &'a Value, work: &'a Work) -> Self {
        Self { value, work: Some(work) }
    }

    fn spend(self, work: u64) -> bool {
        self.work.is_none_or(|left| left.spend(work))
    }

    fn look(self) -> &'a Value {
        if self.spend(1) { self.value } else { &Value::Null }
    }

    /// Another value on the same account.
    fn at(self, value: &'a Value) -> Self {
        Self { value, ..self }
    }
}

impl Json for Metered {
    type Node<'a> = View<'a>;
    type PreparedKey = String;
    type StringBuffer = Value;

    fn prepare_key(key: &str) -> String {
        key.into()
    }

    fn with_string_node<T>(buffer: &mut Value, string: &str, f: impl FnOnce(View<'_>) -> T) -> T {
        *buffer = string.into();
        f(View { value: buffer, work: None })
    }
}

impl<'a> Node<'a, Metered> for View<'a> {
    type Object = Members<'a>;
    type Array = Elements<'a>;
    type Number = &'a Number;

    fn as_object(&self) -> Option<Members<'a>> {
        self.look().as_object().map(|members| Members { of: *self, members })
    }

    fn as_array(&self) -> Option<Elements<'a>> {
        self.look().as_array().map(|elements| Elements { of: *self, elements })
    }

    fn as_string(&self) -> Option<Cow<'a, str>> {
        let text = self.look().as_str()?;
        self.spend(text.len() as u64).then_some(Cow::Borrowed(text))
    }

    fn as_number(&self) -> Option<&'a Number> {
        match self.look() {
            Value::Number(number) => Some(number),
            _ => None,
        }
    }

    fn as_boolean(&self) -> Option<bool> {
        self.look().as_bool()
    }

    fn is_null(&self) -> bool {
        self.look().is_null()
    }

    fn json_type(&self) -> JsonType {
        match self.look() {
            Value::Null => JsonType::Null,
            Value::Bool(_) => JsonType::Boolean,
            Value::Number(_) => JsonType::Number,
            Value::String(_) => JsonType::String,
            Value::Array(_) => JsonType::Array,
            Value::Object(_) => JsonType::Object,
        }
    }

    fn equals_value(&self, expected: &Value) -> bool {
        // No larger than what the schema expects.
        cmp::equal(self.look(), expected)
    }

    /// Asked for when an error is noted. Errors need no copy of what they are about.
    fn to_value(&self) -> Cow<'a, Value> {
        self.spend(self.work.map_or(0, |work| work.error));
        Cow::Owned(Value::Null)
    }

    fn identity(&self) -> Option<NodeIdentity> {
        Some(NodeIdentity::new(ptr::from_ref(self.value).addr()))
    }
}

pub(super) struct Members<'a> {
    of: View<'a>,
    members: &'a Map<String, Value>,
}

impl<'a> Object<'a, Metered> for Members<'a> {
    type Node = View<'a>;
    type MemberName = &'a str;
    type MembersIter = MembersIter<'a>;

    fn len(&self) -> usize {
        self.members.len()
    }

    fn get(&self, key: &String) -> Option<View<'a>> {
        self.members.get(key).filter(|_| self.of.spend(1)).map(|value| self.of.at(value))
    }

    fn members(&self) -> MembersIter<'a> {
        MembersIter { of: self.of, members: self.members.iter() }
    }
}

pub(super) struct MembersIter<'a> {
    of: View<'a>,
    members: serde_json::map::Iter<'a>,
}

impl<'a> Iterator for MembersIter<'a> {
    type Item = (&'a str, View<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, value) = self.members.next()?;
        self.of.spend(1 + name.len() as u64).then(|| (name.as_str(), self.of.at(value)))
    }
}

pub(super) struct Elements<'a> {
    of: View<'a>,
    elements: &'a [Value],
}

impl<'a> Array<'a, Metered> for Elements<'a> {
    type Node = View<'a>;
    type ElementsIter = ElementsIter<'a>;

    fn len(&self) -> usize {
        self.elements.len()
    }

    fn elements(&self) -> ElementsIter<'a> {
        ElementsIter { of: self.of, elements: self.elements.iter() }
    }

    fn is_unique(&self) -> bool {
        let (keys, mut seen) = (RandomState::new(), HashSet::new());
        self.elements.iter().all(|value| seen.insert(fingerprint(self.of.at(value), &keys)))
    }
}

pub(super) struct ElementsIter<'a> {
    of: View<'a>,
    elements: slice::Iter<'a, Value>,
}

impl<'a> Iterator for ElementsIter<'a> {
    type Item = View<'a>;

    fn next(&mut self) -> Option<View<'a>> {
        self.elements.next().filter(|_| self.of.spend(1)).map(|value| self.of.at(value))
    }
}

/// Equal for equal values. Of others it is equal once in 2⁶⁴ times, and as the keys are new each time nobody can choose
/// values of which it is: with what the validator itself uses, `[1]` and `[[1]]` are as good as equal, and telling apart many
/// of their kind takes a time that grows with the square of their number.
fn fingerprint(view: View<'_>, keys: &RandomState) -> u64 {
    let mut hash = keys.build_hasher();
    match view.look() {
        Value::Null => 0.hash(&mut hash),
        Value::Bool(value) => (1, value).hash(&mut hash),
        Value::Number(number) => (2, exactly(number)).hash(&mut hash),
        Value::String(text) => {
            view.spend(text.len() as u64);
            (3, text).hash(&mut hash);
        }
        Value::Array(elements) => {
            (4, elements.len()).hash(&mut hash);
            elements.iter().for_each(|value| fingerprint(view.at(value), keys).hash(&mut hash));
        }
        Value::Object(members) => {
            // In whatever order they are.
            let sum = members.iter().fold(0_u64, |sum, (name, value)| {
                view.spend(name.len() as u64);
                sum.wrapping_add(keys.hash_one((name, fingerprint(view.at(value), keys))))
            });
            (5, members.len(), sum).hash(&mut hash);
        }
    }
    hash.finish()
}

/// A number's value, however it is written: 1 is 1.0. Whole numbers are exact beyond what an `f64` holds.
fn exactly(number: &Number) -> (i128, u64) {
    const TWO_POW_126: f64 = (1_u128 << 126) as f64;
    match (number.as_i128(), number.as_f64()) {
        (Some(whole), _) => (whole, 0),
        (None, Some(value)) if value.fract() == 0.0 && value.abs() < TWO_POW_126 => (value as i128, 0),
        (None, value) => (0, value.map_or(0, f64::to_bits)),
    }
}
