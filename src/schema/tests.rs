//! Schemas and messages: what fits, where what does not fit is wrong, and what it costs to find out.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::json;
use std::thread;

fn schema(text: &str) -> Schema {
    Schema::parse(text).unwrap()
}

/// Code, path and text of the answer to a message that does not fit.
fn refused(schema: &Schema, text: impl Into<String>) -> (String, Option<String>, String) {
    let answer = schema.check(&Message::text(text.into())).unwrap_err();
    let answer: Value = serde_json::from_str(answer.to_text().unwrap()).unwrap();
    let field = |name: &str| answer[name].as_str().map(String::from);
    assert_eq!(field("type").as_deref(), Some("error"));
    let message = field("message").unwrap();
    assert!((1..=300).contains(&message.len()), "{} bytes: {message}", message.len());
    assert!(field("path").is_none_or(|path| path.len() <= 300));
    (field("code").unwrap(), field("path"), message)
}

#[track_caller]
fn invalid(schema: &Schema, text: impl Into<String>, path: &str, message: &str) {
    let text = text.into();
    let expected = ("invalid_data".into(), Some(path.into()), message.into());
    assert_eq!(refused(schema, &text), expected, "{}", &text[..text.len().min(200)]);
}

#[test]
fn what_fits_passes_and_what_does_not_is_shown() {
    let schema = schema(
        r#"{
            "type": "object",
            "required": ["say"],
            "additionalProperties": false,
            "properties": {
                "say": {"type": "string", "minLength": 1, "maxLength": 5, "pattern": "^[^<]*$"},
                "to": {"type": "array", "items": {"enum": ["ann", "bob"]}, "maxItems": 3, "uniqueItems": true},
                "at": {"properties": {"x/y~": {"type": "integer", "maximum": 10, "multipleOf": 2}}},
                "names": {"propertyNames": {"maxLength": 2}}
            }
        }"#,
    );
    for good in [
        r#"{"say":"hello"}"#,
        r#" { "to" : ["ann", "bob"], "say":"\u4f60\u597d\ud83e\udd80"}  "#,
        r#"{"say":"x","at":{"x/y~":10.0,"more":[1e300]},"names":{"ab":1}}"#,
    ] {
        assert_eq!(schema.check(&Message::text(good)), Ok(()), "{good}");
    }
    for (bad, path, message) in [
        ("[]", "", r#"it is not of type "object""#),
        ("{}", "", r#""say" is a required property"#),
        (r#"{"say":5}"#, "/say", r#"it is not of type "string""#),
        (r#"{"say":""}"#, "/say", "it is shorter than 1 character"),
        (r#"{"say":"大家好大家好"}"#, "/say", "it is longer than 5 characters"),
        (r#"{"say":"<b>"}"#, "/say", r#"it does not match "^[^<]*$""#),
        (r#"{"say":"a","to":["ann","eve"]}"#, "/to/1", r#"it is not one of "ann" or "bob""#),
        (r#"{"say":"a","to":["ann","ann"]}"#, "/to", "it has non-unique elements"),
        (r#"{"say":"a","to":["ann","bob","ann","bob"]}"#, "/to", "it has more than 3 items"),
        (r#"{"say":"a","at":{"x/y~":12}}"#, "/at/x~1y~0", "it is greater than the maximum of 10"),
        (r#"{"say":"a","at":{"x/y~":1e300}}"#, "/at/x~1y~0", "it is greater than the maximum of 10"),
        (r#"{"say":"a","at":{"x/y~":3}}"#, "/at/x~1y~0", "it is not a multiple of 2"),
        (r#"{"say":"a","at":{"x/y~":2.5}}"#, "/at/x~1y~0", r#"it is not of type "integer""#),
        (r#"{"say":"a","names":{"abc":1}}"#, "/names", "a name in it: it is longer than 2 characters"),
        (r#"{"say":"a","too":"much"}"#, "", "Additional properties are not allowed ('too' was unexpected)"),
        (r#"{"say":"a","say":5}"#, "", r#"the name "say" comes twice in one object at line 1 column 16"#),
    ] {
        invalid(&schema, bad, path, message);
    }
}

#[test]
fn what_is_no_json_or_no_text_is_told_so() {
    let schema = schema("true");
    for text in ["", "hello", "{\"a\":", "{\"a\":1e999}", "[1,]", "NaN"] {
        let (code, path, message) = refused(&schema, text);
        assert_eq!((code.as_str(), path), ("bad_json", None), "{text}");
        assert!(message.contains("this is not JSON: ") && message.contains("line 1 column "), "{message}");
    }
    let answer = schema.check(&Message::binary(&b"{}"[..])).unwrap_err();
    assert!(answer.to_text().unwrap().starts_with(r#"{"type":"error","code":"bad_request","message":""#));
}

#[test]
fn the_branch_for_this_kind_of_message_says_what_is_wrong() {
    let schema = schema(
        r##"{
            "$defs": {"place": {"anyOf": [{"type": "string", "maxLength": 3}, {"type": "object", "required": ["x"]}]}},
            "oneOf": [
                {"required": ["is", "text"], "properties": {"is": {"const": "say"}, "text": {"type": "string"}}},
                {"required": ["is", "to"], "properties": {"is": {"enum": ["go", "run"]}, "to": {"$ref": "#/$defs/place"}}}
            ]
        }"##,
    );
    assert_eq!(schema.check(&Message::text(r#"{"is":"run","to":{"x":1}}"#)), Ok(()));
    invalid(&schema, r#"{"is":"say","text":1}"#, "/text", r#"it is not of type "string""#);
    invalid(&schema, r#"{"is":"say"}"#, "", r#""text" is a required property"#);
    invalid(&schema, r#"{"is":"go","to":"home"}"#, "/to", "it is longer than 3 characters");
    invalid(&schema, r#"{"is":"go","to":{"y":1}}"#, "/to", r#""x" is a required property"#);
    let none = "it is not valid under any of the schemas listed in the 'oneOf' keyword";
    invalid(&schema, r#"{"is":"fly"}"#, "", none);
}

#[test]
fn numbers_may_be_as_large_as_they_like() {
    let schema = schema(r#"{"items": {"type": "integer", "multipleOf": 0.5, "minimum": -1e308}}"#);
    let digits = "9".repeat(300);
    let text =
        format!("[{digits}, 1.7e308, -99999999999999999999, 18446744073709551615, 1e-999, {digits}e-300]");
    assert_eq!(schema.check(&Message::text(text.as_str())), Ok(()));
    let tiny = format!("[0.{}1]", "0".repeat(100));
    invalid(&schema, tiny, "/0", r#"it is not of type "integer""#);
    let (code, _, message) = refused(&schema, format!("[{}]", "9".repeat(1_000_000)));
    assert_eq!(code, "bad_json", "{message}");
}

#[test]
fn answers_are_short_whatever_they_are_about() {
    let long = "大\u{1}".repeat(100_000);
    let (code, path, message) = refused(
        &schema(r#"{"properties": {"a": true}, "additionalProperties": false}"#),
        serde_json::to_string(&json!({long.chars().take(900).collect::<String>(): 1})).unwrap(),
    );
    assert_eq!((code.as_str(), path.as_deref()), ("invalid_data", Some("")));
    assert!(message.len() > 290 && message.ends_with('…'), "{message}");

    let strings = schema(r#"{"additionalProperties": {"additionalProperties": {"type": "string"}}}"#);
    let names = |first: usize, second: usize| {
        let (first, second) = ("é".repeat(first), "n".repeat(second));
        (format!(r#"{{"{first}":{{"{second}":1}}}}"#), format!("/{first}/{second}"), format!("/{first}"))
    };
    let is = r#"it is not of type "string""#;
    let (text, whole, _) = names(100, 98);
    invalid(&strings, text, &whole, is);
    let (text, _, first) = names(100, 99);
    invalid(&strings, text, &first, is);
    let (text, _, _) = names(200, 1);
    invalid(&strings, text, "", is);

    let text = serde_json::to_string(&long).unwrap();
    invalid(&schema(r#"{"maxLength": 9}"#), text.as_str(), "", "it is longer than 9 characters");
    let options: Vec<String> = (0..1000).map(|at| format!("option {at}")).collect();
    let one_of_many = schema(&json!({"enum": options}).to_string());
    assert!(refused(&one_of_many, text).2.starts_with(r#"it is not one of "option 0", "#));
}

/// The stack that a message may need, with less than a connection's thread has.
#[test]
fn deep_messages_need_little_stack() {
    for (schema_text, open, close) in [
        (
            r##"{"allOf": [{"items": {"$ref": "#"}, "maximum": 0}, {"if": {"type": "array"}, "then": {"minItems": 1}}]}"##,
            "[",
            "]",
        ),
        (
            r##"{"anyOf": [{"type": "object", "properties": {"a": {"$ref": "#"}}}, {"type": "string"}]}"##,
            r#"{"a":"#,
            "}",
        ),
        (
            r##"{"$dynamicAnchor": "n", "additionalProperties": {"$dynamicRef": "#n"}, "not": {"const": 1}}"##,
            r#"{"a":"#,
            "}",
        ),
        (r##"{"allOf": [{"items": {"$ref": "#"}}], "unevaluatedItems": false, "maximum": 0}"##, "[", "]"),
    ] {
        let schema = schema(schema_text);
        let nested = move |depth: usize| open.repeat(depth) + "1" + &close.repeat(depth);
        let check = move || {
            let is = |text: String| refused(&schema, text).2;
            assert!(!is(nested(parse::DEPTH)).contains("deep"));
            assert!(is(nested(parse::DEPTH + 1)).contains("more than 64 deep"));
            assert!(is(open.repeat(200_000)).contains("more than 64 deep"));
        };
        thread::Builder::new().stack_size(512 * 1024).spawn(check).unwrap().join().unwrap();
    }
}

/// Each of these would take for ever, or all memory, if the work were not bounded: the place is not found then.
#[test]
fn a_check_ends_whatever_the_schema_makes_of_it() {
    let branch =
        |at: usize| json!({"required": ["b"], "properties": {"a": {"$ref": "#"}, "b": {"const": at}}});
    let tree = schema(&json!({"anyOf": (0..3).map(branch).collect::<Vec<_>>()}).to_string());
    let nested = |depth: usize| r#"{"b":0,"a":"#.repeat(depth) + r#"{"b":7}"# + &"}".repeat(depth);
    assert_eq!(tree.check(&Message::text(nested(60).replace('7', "2"))), Ok(()));
    let neither = "it is not valid under any of the schemas listed in the 'anyOf' keyword";
    invalid(&tree, nested(2), "/a/a", neither);
    invalid(&tree, nested(60), "", "it does not fit the schema");

    // An error for each element and branch, each with the long way to it.
    let lists = schema(
        r#"{"additionalProperties": {"anyOf": [{"items": {"type": "string"}}, {"items": {"type": "object"}}]}}"#,
    );
    let list = format!(r#"{{"{}":[1{}]}}"#, "n".repeat(4000), ",1".repeat(60_000));
    invalid(&lists, list, "", "it does not fit the schema");

    // What the branches say is not remembered, as no reference leads back to where it came from.
    let mut nest = json!({"$ref": "#/$defs/20", "$defs": {"0": {"type": "null"}}});
    for level in 0..20 {
        let list = json!({"items": {"$ref": format!("#/$defs/{level}")}});
        nest["$defs"][(level + 1).to_string()] = json!({"anyOf": [list, list, list]});
    }
    let nest = schema(&nest.to_string());
    invalid(
        &nest,
        "[".repeat(20) + "1" + &"]".repeat(20),
        "",
        "checking it against the schema takes too much work",
    );
}

#[test]
fn elements_are_told_apart_by_value_and_quickly() {
    let unique = schema(r#"{"uniqueItems": true}"#);
    for distinct in [
        "[1, true, \"1\", null, [1], [[1]], [], {}, {\"a\":1}, {\"a\":[1]}, {\"b\":1}, 1.5, \"\", 0, false]",
        "[18446744073709551615, 18446744073709551614, 9007199254740993, 9007199254740992, -1, 1e300, 1e-300]",
        r#"[{"a":1,"b":2},{"a":2,"b":1},[1,2],[2,1],[[1],2],[[1,2]]]"#,
    ] {
        assert_eq!(unique.check(&Message::text(distinct)), Ok(()), "{distinct}");
    }
    for same in
        ["[1, 2, 1.0]", "[0, -0.0]", r#"[{"a":1,"b":[2]},{"b":[2.0],"a":1}]"#, "[[], []]", "[1e2, 100]"]
    {
        invalid(&unique, same, "", "it has non-unique elements");
    }
    // Alike but for where the brackets are: the same to a hash that knows no brackets.
    let alike = |number: u32| {
        (0..13).fold(String::from("1"), |inner, bit| match number >> bit & 1 {
            0 => format!("[{inner},[]]"),
            _ => format!("[[],{inner}]"),
        })
    };
    let alike = (0..2400).map(alike).collect::<Vec<_>>().join(",");
    assert_eq!(unique.check(&Message::text(format!("[{alike}]"))), Ok(()));
    invalid(&unique, format!("[{alike},2,2]"), "", "it has non-unique elements");
}

#[test]
fn patterns_take_time_in_proportion_to_the_text() {
    let catastrophic = schema(r#"{"pattern": "^(a+)+$", "patternProperties": {"^(x*)*y$": false}}"#);
    let text = "a".repeat(500_000);
    assert_eq!(catastrophic.check(&Message::text(format!("\"{text}\""))), Ok(()));
    invalid(&catastrophic, format!("\"{text}!\""), "", r#"it does not match "^(a+)+$""#);
    let names = format!(r#"{{"{}":1}}"#, "x".repeat(4000));
    assert_eq!(catastrophic.check(&Message::text(names)), Ok(()));
}

#[test]
fn a_schema_that_cannot_be_used_is_told_where() {
    let lookaround = r#"{"properties": {"a/b": {"pattern": "(?=a)b"}}}"#;
    let pattern =
        "this pattern cannot be used: it is none, is too large, or has lookaround or backreferences";
    let type_ = r#"at /properties/a/type: it is not one of "array", "boolean" or 5 other candidates"#;
    let leads_out =
        |uri: &str| format!("at /items/anyOf/1/$ref: the reference to {uri} leads out of the schema: ");
    let refers =
        |uri: &str| format!(r#"{{"items": {{"anyOf": [{{"const": "{uri}"}}, {{"$ref": "{uri}"}}]}}}}"#);
    for (text, expected) in [
        ("{\n  \"type\": \n}", "expected value at line 3 column 1"),
        ("", "EOF while parsing a value at line 1 column 0"),
        (
            "{\"type\":\"string\",\n\"type\":1}",
            "the name \"type\" comes twice in one object at line 2 column 6",
        ),
        ("[]", r#"it is not of types "boolean", "object""#),
        (r#"{"properties": {"a": {"type": "strin"}}}"#, type_),
        (r#"{"required": "a"}"#, r#"at /required: it is not of type "array""#),
        (r#"{"multipleOf": 0}"#, "at /multipleOf: it is less than or equal to the minimum of 0"),
        (lookaround, &format!("at /properties/a~1b/pattern: {pattern}")),
        (
            r#"{"patternProperties": {"a{999999}": {}}}"#,
            &format!("at /patternProperties/a{{999999}}: {pattern}"),
        ),
        (&refers("http://example.com/x"), &leads_out("http://example.com/x")),
        (&refers("https://example.com/x#/y"), &leads_out("https://example.com/x")),
        (&refers("file:///etc/passwd"), &leads_out("file:///etc/passwd")),
        (&refers("other.json"), &leads_out("other.json")),
        (&refers("../other.json#a"), &leads_out("../other.json#a")),
        (r##"{"not": {"$ref": "#/$defs/a"}}"##, "at /not/$ref: Pointer '/$defs/a' does not exist"),
        (r##"{"$dynamicRef": "#a"}"##, "at /$dynamicRef: "),
        (r#"{"$schema": "http://example.com/draft"}"#, "at /$schema: `$schema` is http://example.com/draft"),
    ] {
        let error = Schema::parse(text).unwrap_err().to_string();
        let what = error.strip_prefix("the schema: ").unwrap_or_default();
        assert!(what.starts_with(expected), "{text}\nsays {error}\nnot  {expected}");
    }
    let error = Schema::read("/no/such/schema.json").unwrap_err().to_string();
    assert!(error.starts_with("the schema /no/such/schema.json cannot be read: "), "{error}");
}

#[test]
fn references_within_a_schema_are_followed() {
    for text in [
        r##"{"$id": "http://example.com/a", "$defs": {"b": {"$id": "b", "type": "string"}}, "items": {"$ref": "b"}}"##,
        r##"{"$defs": {"b": {"$anchor": "s", "type": "string"}}, "items": {"$ref": "#s"}}"##,
        r##"{"$schema": "http://json-schema.org/draft-04/schema#", "definitions": {"b": {"type": "string"}}, "items": {"$ref": "#/definitions/b"}}"##,
    ] {
        let schema = schema(text);
        assert_eq!(schema.check(&Message::text(r#"["a"]"#)), Ok(()));
        invalid(&schema, "[\"a\",1]", "/1", r#"it is not of type "string""#);
    }
    for endless in [r##"{"$ref": "#"}"##, r##"{"allOf": [{"$ref": "#"}], "anyOf": [{"$ref": "#"}]}"##] {
        assert_eq!(schema(endless).check(&Message::text("{}")), Ok(()));
    }
}

/// Any small value, of few different parts, so that they are often equal and often fit.
fn any_value() -> impl Strategy<Value = Value> {
    let part = prop::sample::select(vec![
        json!(null),
        json!(true),
        json!(0),
        json!(1),
        json!(1.0),
        json!(-2.5),
        json!(u64::MAX),
        json!("a"),
        json!("bb"),
    ]);
    part.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            vec((prop::sample::select(vec!["a", "b", "c"]), inner), 0..4).prop_map(|members| {
                Value::Object(members.into_iter().map(|(name, value)| (name.into(), value)).collect())
            }),
        ]
    })
}

proptest! {
    /// The count of looks and the own test for equal elements change no verdict.
    #[test]
    fn the_verdict_is_the_validator_s_own(value in any_value()) {
        for schema in [
            json!({"uniqueItems": true, "additionalProperties": {"$ref": "#"}}),
            json!({"type": ["array", "object", "integer"], "items": {"$ref": "#"}, "maxProperties": 2}),
            json!({"anyOf": [{"type": "object"}, {"contains": {"const": 1}}, {"items": {"enum": ["a", 1, [], {"a": 1}]}}]}),
            json!({"oneOf": [{"minItems": 2}, {"required": ["a"]}, {"maxLength": 1}, {"exclusiveMinimum": 0}]}),
            json!({"properties": {"a": {"type": "number"}}, "unevaluatedProperties": false, "allOf": [{"properties": {"b": true}}]}),
            json!({"patternProperties": {"^[ab]$": {"not": {"type": "null"}}}, "propertyNames": {"pattern": "a|b"}}),
            json!({"prefixItems": [{"type": "string"}], "items": {"multipleOf": 0.5}, "if": {"minItems": 3}, "then": false}),
        ] {
            let theirs = jsonschema::validator_for(&schema).unwrap().is_valid(&value);
            let ours = self::schema(&schema.to_string()).check(&Message::text(value.to_string()));
            prop_assert_eq!(ours.is_ok(), theirs, "{} {} {:?}", schema, value, ours);
        }
    }
}
