//! Messages that are checked against JSON Schema, by `--schema` and by the library.

use crate::support::{BINARY, Client, Program, exchange, get, metric, serve, serve_binary};
use crate::support_v1::Speaker;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};
use switchboard::{Limits, Schema};

const NOTE: &str =
    r#"{"type": "object", "required": ["say"], "properties": {"say": {"type": "string", "maxLength": 5}}}"#;

/// Schema files, which go with it.
struct Files(PathBuf);

impl Files {
    fn new(test: &str, files: &[(&str, &str)]) -> Self {
        let folder = env::temp_dir().join(format!("switchboard-schema-{test}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        for (name, text) in files {
            fs::write(folder.join(name), text).unwrap();
        }
        Self(folder)
    }

    /// `PATTERN=FILE`
    fn rule(&self, pattern: &str, file: &str) -> String {
        format!("{pattern}={}", self.0.join(file).display())
    }

    fn serve(&self, rules: &[(&str, &str)]) -> Program {
        let rules: Vec<String> = rules.iter().map(|(pattern, file)| self.rule(pattern, file)).collect();
        let args: Vec<&str> = rules.iter().flat_map(|rule| ["--schema", rule]).collect();
        serve_binary(&args)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The answer to a message that is not passed on: its code and path.
#[track_caller]
fn refused(client: &mut Client) -> (String, String) {
    let answer: Value = serde_json::from_str(&client.text()).unwrap();
    let field = |name: &str| answer[name].as_str().unwrap_or_default().to_string();
    assert!(field("type") == "error" && (1..=300).contains(&field("message").len()), "{answer}");
    (field("code"), field("path"))
}

#[track_caller]
fn expect_refused(client: &mut Client, text: &str, code: &str, path: &str) {
    client.send(text);
    assert_eq!(refused(client), (code.into(), path.into()), "{}", &text[..text.len().min(100)]);
}

#[test]
fn what_fits_is_passed_on_byte_for_byte_and_what_does_not_to_nobody() {
    let files = Files::new("fits", &[("note.json", NOTE)]);
    let program = files.serve(&[("/room/*", "note.json")]);
    let [mut ann, mut bob] = [0; 2].map(|_| Client::settled(program.address, "/room/x"));
    for good in [r#"{"say":"hello"}"#, " {\n\"more\":[1.50,1E2], \"say\" : \"\\u4f60\\n\"}\t"] {
        ann.send(good);
        ann.expect(good);
        bob.expect(good);
    }
    expect_refused(&mut ann, r#"{"say":"hello!"}"#, "invalid_data", "/say");
    expect_refused(&mut ann, r#"{"say":null}"#, "invalid_data", "/say");
    expect_refused(&mut ann, r#"{"say":"a","say":"b"}"#, "invalid_data", "");
    expect_refused(&mut ann, "[]", "invalid_data", "");
    expect_refused(&mut ann, "hello", "bad_json", "");
    expect_refused(&mut ann, "", "bad_json", "");
    ann.send_frame(BINARY, br#"{"say":"hello"}"#, true);
    assert_eq!(refused(&mut ann), ("bad_request".into(), String::new()));
    ann.send(r#"{"say":"end"}"#);
    bob.expect(r#"{"say":"end"}"#);
    assert_eq!(metric(get(program.address, "/metrics").text(), "invalid_messages_total"), 7);
}

#[test]
fn what_is_too_deep_too_large_or_too_many_is_refused_and_harms_nobody() {
    let nested = r##"{"items": {"$ref": "#"}, "additionalProperties": {"$ref": "#"}}"##;
    let files = Files::new("deep", &[("nested.json", nested)]);
    let program = files.serve(&[("/chat/*", "nested.json")]);
    let [mut ann, mut bob] = [0; 2].map(|_| Client::settled(program.address, "/chat/x"));
    for (bad, code) in [
        ("[".repeat(1_000_000), "invalid_data"),
        (r#"{"a":"#.repeat(100_000), "invalid_data"),
        ("[".repeat(65) + &"]".repeat(65), "invalid_data"),
        (format!("[0{}]", ",0".repeat(500_000)), "invalid_data"),
        (format!(r#"{{"{}":1}}"#, "n".repeat(1_000_000)), "invalid_data"),
        ("9".repeat(1_000_000), "bad_json"),
        ("1e9999".into(), "bad_json"),
    ] {
        expect_refused(&mut ann, &bad, code, "");
    }
    let good = "[".repeat(63) + r#"{"number":-123456789012345678901234567890.5e-10}"# + &"]".repeat(63);
    ann.send(&good);
    bob.expect(&good);
}

#[test]
fn the_longest_pattern_counts_however_the_path_is_written() {
    let files = Files::new(
        "longest",
        &[
            ("any.json", "true"),
            ("text.json", r#"{"type": "string"}"#),
            ("number.json", r#"{"type": "number"}"#),
            ("list.json", r#"{"type": "array"}"#),
        ],
    );
    let rules = [
        ("/room/*", "any.json"),
        ("/room/team-a*", "text.json"),
        ("/room/team-*", "number.json"),
        ("/room/team-a", "list.json"),
        ("/room/大厅/", "text.json"),
        ("/e*", "list.json"),
        ("/conn_ws", "text.json"),
    ];
    let program = files.serve(&rules);
    for (path, good, bad) in [
        ("/room/lobby", "null", "no json"),
        ("/room/team-b", "1", "[]"),
        ("/room/%74eam-b/", "1", "[]"),
        ("/room/team-ab", "\"a\"", "1"),
        ("/room/team-a", "[]", "\"a\""),
        ("/room/team-a/", "[]", "\"a\""),
        ("/room/team%2Da", "[]", "\"a\""),
        ("/room/%E5%A4%A7%e5%8e%85", "\"a\"", "1"),
        ("/echo", "[1]", "{}"),
        ("/conn_ws", "\"a\"", "{}"),
    ] {
        let mut client = Client::settled(program.address, path);
        client.send(bad);
        refused(&mut client);
        client.send(good);
        client.expect(good);
    }
    let mut free = Client::settled(program.address, "/conn_ws/ann");
    free.send(r#"{"to_user":"ann","message":1}"#);
    free.expect(r#"{"to_user":"ann","message":1,"from_user":"ann"}"#);
}

#[test]
fn every_path_can_have_a_schema() {
    let files = Files::new("every", &[("none.json", "false")]);
    let program = files.serve(&[("/*", "none.json")]);
    for path in ["/echo", "/conn_ws", "/conn_ws/ann", "/chat/x", "/room/x", "/room/x/"] {
        let mut client = Client::settled(program.address, path);
        expect_refused(&mut client, r#"{"to_user":"ann","message":1}"#, "invalid_data", "");
    }
}

/// The program, that is not to start.
fn start(rule: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_switchboard"));
    for (name, _) in env::vars().filter(|(name, _)| name.starts_with("SWITCHBOARD_")) {
        command.env_remove(name);
    }
    command.args(["serve", "--bind", "127.0.0.1:0", "--schema", rule]).output().unwrap()
}

#[test]
fn a_schema_that_cannot_be_used_is_told_at_the_start() {
    let files = Files::new(
        "broken",
        &[
            ("syntax.json", "{\n  \"type\" \"string\"\n}"),
            ("type.json", r#"{"properties": {"a": {"type": "strin"}}}"#),
            ("http.json", r#"{"items": {"$ref": "http://127.0.0.1:9/x.json"}}"#),
            ("file.json", r#"{"items": {"$ref": "file:///etc/passwd"}}"#),
            ("other.json", r#"{"items": {"$ref": "type.json#/properties/a"}}"#),
            ("pattern.json", r#"{"patternProperties": {"(a)\\1": true}}"#),
        ],
    );
    let out = "leads out of the schema: no file and no host is asked";
    for (file, place, why) in [
        ("syntax.json", "expected `:` at line 2 column 10", ""),
        ("type.json", "at /properties/a/type: ", "not one of"),
        ("http.json", "at /items/$ref: the reference to http://127.0.0.1:9/x.json ", out),
        ("file.json", "at /items/$ref: the reference to file:///etc/passwd ", out),
        ("other.json", "at /items/$ref: the reference to type.json#/properties/a ", out),
        ("pattern.json", "at /patternProperties/(a)\\1: this pattern cannot be used", "backreferences"),
        ("missing.json", "", "cannot be read: "),
    ] {
        let output = start(&files.rule("/room/*", file));
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(output.stdout.is_empty(), "it does not serve");
        let expected = format!("switchboard: the schema {}", files.0.join(file).display());
        assert!(said.starts_with(&expected) && said.contains(place) && said.contains(why), "{said}");
    }
    for rule in ["/room/*", "/rooms/*=a.json", "/room/*/x=a.json"] {
        let output = start(rule);
        assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn the_doctor_reads_the_schemas_that_the_configuration_names() {
    let files = Files::new("doctor", &[("note.json", NOTE), ("type.json", r#"{"type": 5}"#)]);
    for (file, code, expected) in
        [("note.json", 0, "1 can be used"), ("type.json", 1, "type.json: at /type: ")]
    {
        let config = files.0.join("switchboard.toml");
        let rule = files.rule("/room/*", file);
        fs::write(&config, format!("bind = \"127.0.0.1:0\"\nschema = ['{rule}']\n")).unwrap();
        let mut doctor = Command::new(env!("CARGO_BIN_EXE_switchboard"));
        let output = doctor.arg("doctor").arg("--config").arg(&config).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.code() == Some(code) && said.contains(expected), "{said}");
    }
}

/// A regular expression that takes ages in an engine that tries one way after the other, and a schema whose branches double
/// with each level: who sends what takes longest is answered, and others go on meanwhile.
#[test]
fn what_takes_long_elsewhere_stalls_nobody() {
    let branch =
        |at: u32| json!({"required": ["b"], "properties": {"a": {"$ref": "#/$defs/n"}, "b": {"const": at}}});
    let text = json!({
        "$defs": {"n": {"anyOf": [branch(0), branch(1), branch(2)]}},
        "properties": {"text": {"pattern": "^((a+)+|(a|aa)*)+$"}, "tree": {"$ref": "#/$defs/n"}},
    });
    let schema = Schema::parse(&text.to_string()).unwrap();
    let server = serve(Limits::default(), |builder| {
        builder
            .route("/checked", |mut ws| ws.recv().map(drop))
            .check("/checked", move |_, message| schema.check(message))
            .route("/echo", |mut ws| {
                while let Some(message) = ws.recv()? {
                    ws.send(message)?;
                }
                Ok(())
            })
    });
    let address = server.local_addr();
    let text = format!(r#"{{"text":"{}!"}}"#, "a".repeat(500_000));
    let tree = format!(r#"{{"tree":{}{{"b":7}}{}}}"#, r#"{"b":0,"a":"#.repeat(60), "}".repeat(60));
    let slow: Vec<Client> = (0..8)
        .map(|at| {
            let mut client = Client::settled(address, "/checked");
            client.send(if at % 2 == 0 { &text } else { &tree });
            client
        })
        .collect();
    let mut other = Client::settled(address, "/echo");
    for at in 0..100 {
        other.send(&at.to_string());
        other.expect(&at.to_string());
    }
    for (at, mut client) in slow.into_iter().enumerate() {
        let path = if at % 2 == 0 { "/text" } else { "" };
        assert_eq!(refused(&mut client), ("invalid_data".into(), path.into()));
    }
}

#[test]
fn what_is_published_in_a_room_must_fit_its_schema() {
    let files =
        Files::new("ws", &[("note.json", NOTE), ("any.json", "true"), ("list.json", r#"{"type": "array"}"#)]);
    let program =
        files.serve(&[("ws:note-*", "note.json"), ("ws:note-any", "any.json"), ("ws:*", "list.json")]);
    let [mut ann, mut bob] = ["ann", "bob"].map(|user| Speaker::open(&program, user));
    for client in [&mut bob, &mut ann] {
        client.ask(json!({"type": "join", "room": "note-1"}));
    }
    let mut publish =
        |room: &str, data: Value| ann.ask(json!({"type": "publish", "room": room, "data": data, "key": "k"}));
    for (room, data, path) in [
        ("note-1", json!({"say": "hello!"}), "/say"),
        ("note-1", json!({"say": null}), "/say"),
        ("note-1", json!([]), ""),
        ("note", json!({"say": "a"}), ""),
    ] {
        let error = publish(room, data);
        assert_eq!((&error["type"], &error["code"]), (&json!("error"), &json!("invalid_data")), "{error}");
        assert_eq!(error["path"], path, "{error}");
        assert!((1..=300).contains(&error["message"].as_str().unwrap().len()), "{error}");
    }
    for (room, data) in [("note-1", json!({"say": "hello"})), ("note-any", json!(7)), ("note", json!([1]))] {
        assert_eq!(publish(room, data)["offset"], 1, "what was refused has taken no key and no offset");
    }
    let message = bob.next_of("message");
    assert_eq!((&message["data"], &message["offset"]), (&json!({"say": "hello"}), &json!(1)));
    let metrics = get(program.address, "/metrics");
    assert_eq!(metric(metrics.text(), "invalid_messages_total"), 4);
    // To one user anything can be said.
    assert_eq!(ann.ask(json!({"type": "direct", "to": "bob", "data": 1}))["connections"], 1);
}

#[test]
fn data_goes_on_byte_for_byte_and_what_cannot_be_checked_does_not() {
    let nested = r##"{"items": {"$ref": "#"}, "additionalProperties": {"$ref": "#"}}"##;
    let files = Files::new("bytes", &[("nested.json", nested)]);
    let program = files.serve(&[("ws:x", "nested.json")]);
    let mut ann = Client::connect(program.address, "/ws?user=ann");
    ann.text();
    ann.send(r#"{"type":"join","room":"x"}"#);
    let mut refused = |data: &str, id: &str, expected: &str| {
        ann.send(&format!(r#"{{"type":"publish","room":"x","data":{data}{id}}}"#));
        let answer = ann.text();
        assert!(answer.starts_with(expected) && answer.ends_with(r#""path":""}"#), "{answer}");
    };
    let (plain, with_id) =
        (r#"{"type":"error","code":"invalid_data","#, r#"{"type":"error","id":"i","code":"invalid_data","#);
    for data in [
        "[".repeat(65) + &"]".repeat(65),
        format!("[0{}]", ",0".repeat(70_000)),
        r#"{"a":1,"\u0061":2}"#.into(),
        "1e9999".into(),
    ] {
        refused(&data, "", plain);
        refused(&data, r#","id":"i""#, with_id);
    }
    let data = r#"{ "b" : [1.50,1E2,  "\u4f60" ] }"#;
    ann.send(&format!(r#"{{"type":"publish","room":"x","data":{data}}}"#));
    let message = ann.text();
    assert!(message.contains(&format!(r#""offset":1,"from":"ann","data":{data},"#)), "{message}");
}

#[test]
fn sighup_reads_the_files_again() {
    let text = r#"{"type": "string"}"#;
    let files = Files::new("sighup", &[("path.json", text), ("room.json", text)]);
    let program = files.serve(&[("/echo", "path.json"), ("ws:x", "room.json")]);
    let mut echo = Client::settled(program.address, "/echo");
    let mut ann = Speaker::open(&program, "ann");
    let mut takes = |value: Value| {
        let text = value.to_string();
        echo.send(&text);
        let on_path = echo.text() == text;
        let in_room = ann.ask(json!({"type": "publish", "room": "x", "data": value}))["type"] == "published";
        (on_path, in_room)
    };
    let write = |file: &str, text: &str| fs::write(files.0.join(file), text).unwrap();
    assert_eq!((takes(json!("a")), takes(json!(1))), ((true, true), (false, false)));
    // One is broken: both stay as they were.
    write("path.json", r#"{"type": "number"}"#);
    write("room.json", r#"{"type": 5}"#);
    program.signal(Signal::HUP);
    let why = program.wait_said("the old schemas stay: ");
    assert!(why.contains("room.json: at /type: "), "{why}");
    assert_eq!((takes(json!("a")), takes(json!(1))), ((true, true), (false, false)));
    write("room.json", r#"{"type": "number"}"#);
    program.signal(Signal::HUP);
    program.wait_said("the schemas were read again");
    assert_eq!((takes(json!("a")), takes(json!(1))), ((false, false), (true, true)));
}

#[test]
fn the_server_api_publishes_only_what_fits_too() {
    let files = Files::new("api", &[("note.json", NOTE)]);
    let program =
        serve_binary(&["--api-key", "swordfish", "--schema", &files.rule("ws:note-*", "note.json")]);
    let publish = |data: Value| {
        let body = json!({"room": "note-1", "data": data}).to_string();
        let head = format!("Host: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n", body.len());
        let head = format!("POST /api/publish HTTP/1.1\r\n{head}Authorization: Bearer swordfish\r\n\r\n");
        let answer = exchange(program.address, head + &body);
        (answer.status, serde_json::from_str::<Value>(answer.text()).unwrap())
    };
    let (status, error) = publish(json!({"say": 5}));
    assert_eq!(
        (status, &error["code"], &error["path"]),
        (400, &json!("invalid_data"), &json!("/say")),
        "{error}"
    );
    let (status, published) = publish(json!({"say": "hello"}));
    assert_eq!((status, &published["offset"]), (200, &json!(1)), "{published}");
}
