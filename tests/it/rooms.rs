//! What is kept of the rooms of `/ws`, and who may publish in them: flags, environment, file.

use crate::config::{File, ended};
use crate::support::{Program, eventually, serve_binary, switchboard};
use crate::support_v1::Speaker;
use rustix::process::Signal;
use serde_json::{Value, json};

fn publish(speaker: &mut Speaker, room: &str, data: impl Into<Value>) -> Value {
    speaker.ask(json!({"type": "publish", "room": room, "data": data.into()}))
}

/// What is kept of a room that `speaker` is in.
fn kept(speaker: &mut Speaker, room: &str) -> Vec<Value> {
    let reply = speaker.ask(json!({"type": "history", "room": room}));
    let messages = reply["messages"].as_array().unwrap_or_else(|| panic!("{reply}"));
    messages.iter().map(|message| message["data"].clone()).collect()
}

fn join(speaker: &mut Speaker, room: &str) {
    let reply = speaker.ask(json!({"type": "join", "room": room}));
    assert_eq!(reply["type"], "joined", "{reply}");
}

#[test]
fn a_room_keeps_what_its_rules_say() {
    let rules = "game-*:history=0;game-chess:history=1;old-*:age=1ms;small:bytes=1K";
    let program = serve_binary(&["--history", "3", "--grace", "7s", "--room-rules", rules]);
    let mut ann = Speaker::connect(&program, "?user=ann");
    let limits = ann.next()["limits"].clone();
    assert_eq!((&limits["history"], &limits["grace"]), (&json!(3), &json!(7000)));
    for (room, expected) in [
        ("tea", &[3, 4, 5][..]),
        ("game-1", &[]),
        ("game-chess", &[5]),
        ("game-", &[]),
        ("gam", &[3, 4, 5]),
        ("small", &[3, 4, 5]),
    ] {
        join(&mut ann, room);
        for data in 1..=5 {
            assert_eq!(publish(&mut ann, room, data)["offset"], data);
        }
        assert_eq!(kept(&mut ann, room), expected, "{room}");
    }
    assert_eq!(publish(&mut ann, "small", "x".repeat(1024))["code"], "too_large");
    assert_eq!(publish(&mut ann, "tea", "x".repeat(1024))["offset"], 6);
    join(&mut ann, "old-1");
    publish(&mut ann, "old-1", 1);
    eventually("what is too old is forgotten", || kept(&mut ann, "old-1").is_empty());
}

#[test]
fn all_rooms_together_keep_no_more_than_the_total() {
    let program = serve_binary(&["--history-total", "3K", "--history-bytes", "2K"]);
    let mut ann = Speaker::open(&program, "ann");
    for room in ["a", "b"] {
        join(&mut ann, room);
        publish(&mut ann, room, "x".repeat(1024));
    }
    assert_eq!((kept(&mut ann, "a").len(), kept(&mut ann, "b").len()), (1, 1));
    publish(&mut ann, "b", 2);
    publish(&mut ann, "b", "x".repeat(500));
    assert_eq!((kept(&mut ann, "a").len(), kept(&mut ann, "b").len()), (0, 3));
}

#[test]
fn who_leaves_is_gone_when_the_room_says_so() {
    let program = serve_binary(&["--grace", "1h", "--room-rules", "game-*:grace=0s"]);
    let [mut ann, mut bob] = ["ann", "bob"].map(|user| Speaker::open(&program, user));
    for room in ["tea", "game-1"] {
        join(&mut bob, room);
        join(&mut ann, room);
        bob.next_of("presence");
    }
    drop(ann);
    let presence = bob.next_of("presence");
    assert_eq!((&presence["room"], &presence["change"]), (&json!("game-1"), &json!("leave")));
    let members = bob.ask(json!({"type": "members", "room": "tea"}));
    assert_eq!(members["members"][0], json!({"user": "ann", "connections": 0}));
}

#[test]
fn only_members_publish_where_that_is_asked_for() {
    let mut command = switchboard(&["serve", "--bind", "127.0.0.1:0"]);
    command.env("SWITCHBOARD_MEMBERS_PUBLISH", "yes");
    command.env("SWITCHBOARD_ROOM_RULES", "open-*:members-publish=false;a,b:history=1");
    // The second has a comma in its name.
    let program = Program::start(&mut command);
    let mut ann = Speaker::open(&program, "ann");
    assert_eq!(publish(&mut ann, "tea", 1)["code"], "not_member");
    assert_eq!(publish(&mut ann, "open-1", 1)["offset"], 1);
    join(&mut ann, "a,b");
    publish(&mut ann, "a,b", 1);
    publish(&mut ann, "a,b", 2);
    assert_eq!(kept(&mut ann, "a,b"), [2]);
}

#[test]
fn a_file_has_tables_for_some_rooms() {
    let file = File::new(
        "bind = \"127.0.0.1:0\"\nhistory = 2\nroom-rules.\"a:b*\" = { history = 1, members_publish = true }\n\
         [room-rules.game]\nhistory = 0\ngrace = \"0s\"\n",
    );
    let program = Program::start(&mut switchboard(&["--config", file.path()]));
    let mut ann = Speaker::open(&program, "ann");
    assert_eq!(publish(&mut ann, "a:b", 1)["code"], "not_member");
    for (room, expected) in [("a:b", &[2][..]), ("game", &[]), ("tea", &[1, 2])] {
        join(&mut ann, room);
        for data in [1, 2] {
            publish(&mut ann, room, data);
        }
        assert_eq!(kept(&mut ann, room), expected, "{room}");
    }
    file.write("bind = \"127.0.0.1:0\"\nhistory = 3\nroom-rules.game = { history = 0 }\n");
    program.signal(Signal::HUP);
    assert_eq!(program.wait_said("needs a restart: history = "), "3, was 2");
    assert_eq!(
        program.wait_said("needs a restart: room-rules = "),
        "[\"game:history=0\"], was [\"a:b*:history=1,members_publish=true\", \"game:history=0,grace=0s\"]"
    );
}

#[test]
fn every_mistake_in_a_table_has_its_place() {
    let file = File::new(
        "history-bytes = 10\nroom-rules.\"a*b\" = { history = 1, grace = 2 }\nroom-rules.plain = 7\n\
         [room-rules.\"game-*\"]\nhist = 10\nage = \"60x\"\ngrace = \"1s,age=2s\"\nmembers-publish = [1]\nbind = \"127.0.0.1:0\"\n\
         bytes = oops\n[room-rules.none]\n",
    );
    let check = || {
        let (code, stdout, _) = ended(switchboard(&["config", "check", file.path()]).output().unwrap());
        (code, stdout.replace(file.path(), "FILE"))
    };
    let expected = "\
FILE:1:1: history-bytes: the rule `bytes` of a room must be at least 1024, or hardly a message would fit
FILE:2:22: room-rules: `a*b`: `*` can stand at the end only
FILE:3:12: `room-rules` holds tables; write room-rules.\"plain\" = { … }
FILE:5:1: room-rules: `hist` is no rule of a room; did you mean `history`?
FILE:6:1: room-rules: age = 60x: `x` is no unit of time; write seconds, or ms, s, m, h, as 20s or 500ms
FILE:7:1: room-rules: grace = \"1s,age=2s\": write one value
FILE:8:1: room-rules: `members-publish` is an array here; write a string or a number
FILE:9:1: room-rules: `bind` is no rule of a room; the rules are history, bytes, age, grace, members-publish; the key `bind` stands above all tables
FILE:10:9: this is no TOML: string values must be quoted, expected literal string
FILE:11:13: room-rules: there is no rule; the rules are history, bytes, age, grace, members-publish
";
    assert_eq!(check(), (Some(1), expected.into()));
    file.write("[room-rules.a]\nage = 0\n");
    let expected = "FILE:1:2: room-rules: the rooms `a`: the rule `age` of a room must be 1 ms to 100 years; for no history set `messages` to 0\n";
    assert_eq!(check(), (Some(1), expected.into()));
    file.write("[[room-rules]]\nage = 1\n");
    let expected = "FILE:1:1: write [room-rules.\"PATTERN\"], in single brackets\n";
    assert_eq!(check(), (Some(1), expected.into()));
    file.write("history-total = \"1M\"\nroom-rules = [\"a:history=1\"]\n");
    let expected = "FILE:1:1: history-total: the rule `bytes` of a room must be at most the limit `history`, which is for all rooms, less 256: raise that (the program's --history-total)\n";
    assert_eq!(check(), (Some(1), expected.into()));
}
