//! `--store`: what was acknowledged is there, whatever happens to the server or to the disk.

use crate::support::{Program, eventually, get, serve_binary, serve_binary_at, switchboard};
use crate::support_v1::Speaker;
use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};
use switchboard::Client;
use switchboard::engine::{Engine, Inbox, Notice, Order, RoomRules, Store};

/// A folder that goes away with the test.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("switchboard-store-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn file(&self) -> String {
        self.0.join("rooms.db").to_str().unwrap().into()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn publish(room: &str, data: impl Into<Value>, key: &str) -> Value {
    json!({"type": "publish", "room": room, "data": data.into(), "key": key})
}

/// Ends it as no program can prepare for.
fn kill(program: Program) {
    program.signal(Signal::KILL);
    drop(program);
}

#[test]
fn rooms_epochs_offsets_and_keys_outlive_the_server() {
    let folder = Folder::new("outlive");
    let args = ["--store", &folder.file()];
    let program = serve_binary(&args);
    let mut ann = Speaker::open(&program, "ann");
    let first = ann.ask(publish("r", "one", "k1"));
    assert_eq!((&first["type"], &first["offset"]), (&json!("published"), &json!(1)));
    let epoch = first["epoch"].clone();
    for data in ["two", "three"] {
        ann.ask(publish("r", data, data));
    }
    kill(program);

    let program = serve_binary(&args);
    let mut ann = Speaker::open(&program, "ann");
    let again = ann.ask(publish("r", "one", "k1"));
    assert_eq!((&again["offset"], &again["epoch"]), (&json!(1), &epoch));
    assert_eq!(ann.ask(publish("r", "four", "k4"))["offset"], 4);
    let mut bob = Speaker::open(&program, "bob");
    let joined = bob.ask(json!({"type": "join", "room": "r", "since": {"epoch": epoch, "offset": 1}}));
    assert_eq!((&joined["recovered"], &joined["offset"]), (&json!(true), &json!(4)));
    let said: Vec<&Value> = joined["messages"].as_array().unwrap().iter().map(|m| &m["data"]).collect();
    assert_eq!(said, ["two", "three", "four"]);
    // A clean end loses nothing either.
    assert_eq!(program.all_said().matches("error").count(), 0);
    let program = serve_binary(&args);
    let mut bob = Speaker::open(&program, "bob");
    assert_eq!(bob.ask(json!({"type": "join", "room": "r", "history": 9}))["offset"], 4);
}

/// Asks until the server that it is connected to is gone, over whatever comes next.
struct Publisher {
    number: u64,
    acknowledged: BTreeMap<u64, u64>,
}

impl Publisher {
    /// Up to 8 at once; everything that was not acknowledged is said again, with its key.
    fn run(&mut self, url: &str, next: &AtomicU64, done: &AtomicBool) {
        let mut open: Vec<u64> = Vec::new();
        while !done.load(SeqCst) || !open.is_empty() {
            let Ok(mut client) = Client::connect(url) else {
                thread::yield_now();
                continue;
            };
            let say = |client: &mut Client, message: u64| {
                let key = format!("{}-{message}", self.number);
                let mut request = publish("r", message, &key);
                request["id"] = message.into();
                client.send(request.to_string())
            };
            if open.iter().any(|message| say(&mut client, *message).is_err()) {
                continue;
            }
            loop {
                while open.len() < 8 && !done.load(SeqCst) {
                    let message = next.fetch_add(1, SeqCst);
                    open.push(message);
                    if say(&mut client, message).is_err() {
                        break;
                    }
                }
                if open.is_empty() {
                    break;
                }
                let Ok(Some(text)) = client.recv() else { break };
                let text: Value = serde_json::from_str(text.to_text().unwrap()).unwrap();
                if text["type"] == "published" {
                    let message = text["id"].as_u64().unwrap();
                    open.retain(|other| *other != message);
                    self.acknowledged.insert(message, text["offset"].as_u64().unwrap());
                }
            }
        }
    }
}

/// Reads the room through all ends of the server, and never misses or repeats anything.
fn subscribe(url: &str, until: impl Fn(u64) -> bool) -> BTreeMap<u64, u64> {
    let (mut seen, mut epoch, mut last) = (BTreeMap::new(), String::new(), 0);
    loop {
        let Ok(mut client) = Client::connect(url) else {
            thread::yield_now();
            continue;
        };
        let mut join = json!({"type": "join", "room": "r", "id": 1, "history": 1_000_000});
        if !epoch.is_empty() {
            join["since"] = json!({"epoch": epoch, "offset": last});
        }
        if client.send(join.to_string()).is_err() {
            continue;
        }
        while let Ok(Some(text)) = client.recv() {
            let text: Value = serde_json::from_str(text.to_text().unwrap()).unwrap();
            let messages = match text["type"].as_str().unwrap() {
                "joined" => {
                    assert_eq!(text["recovered"] == true, !epoch.is_empty(), "{text}");
                    assert!(epoch.is_empty() || text["epoch"] == epoch.as_str(), "{text}");
                    epoch = text["epoch"].as_str().unwrap().into();
                    text["messages"].as_array().unwrap().clone()
                }
                "message" => vec![text],
                "error" => panic!("{text}"),
                _ => continue,
            };
            for message in messages {
                assert_eq!(message["offset"], last + 1, "in order, without a hole");
                last += 1;
                let twice = seen.insert(message["data"].as_u64().unwrap(), last);
                assert_eq!(twice, None, "{message} came twice");
            }
            if until(last) {
                return seen;
            }
        }
    }
}

#[test]
fn fifty_times_kill_9_loses_and_repeats_nothing_acknowledged() {
    let folder = Folder::new("kill");
    let args = ["--store", &folder.file(), "--history", "1000000", "--history-bytes", "60M"];
    let mut program = serve_binary(&args);
    let address = program.address.to_string();
    let url = |user: &str| format!("ws://{address}/ws?user={user}");
    let (next, done, last) = (AtomicU64::new(1), AtomicBool::new(false), AtomicU64::new(u64::MAX));
    let (publishers, seen) = thread::scope(|scope| {
        let publishers: Vec<_> = (0..4)
            .map(|number| {
                let (url, next, done) = (url(&format!("p{number}")), &next, &done);
                scope.spawn(move || {
                    let mut publisher = Publisher { number, acknowledged: BTreeMap::new() };
                    publisher.run(&url, next, done);
                    publisher
                })
            })
            .collect();
        let last_offset = &last;
        let reached = move |offset| last_offset.load(SeqCst) <= offset;
        let reader = url("reader");
        let reader = scope.spawn(move || subscribe(&reader, reached));
        let mut moment = 0x9e37_79b9_u64;
        for _ in 0..50 {
            // At a moment that has nothing to do with what the server is doing: after some messages, and then some time.
            let before = next.load(SeqCst);
            eventually("something is said", || before + 20 < next.load(SeqCst));
            moment = moment.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            thread::park_timeout(Duration::from_micros(moment >> 49));
            kill(program);
            program = serve_binary_at(&address, &args);
        }
        done.store(true, SeqCst);
        let publishers: Vec<Publisher> =
            publishers.into_iter().map(|thread| thread.join().unwrap()).collect();
        let newest = publishers.iter().flat_map(|publisher| publisher.acknowledged.values()).max();
        last.store(*newest.unwrap(), SeqCst);
        // Whatever is said now makes the reader look.
        Speaker::open(&program, "last").ask(publish("r", 0, "end"));
        (publishers, reader.join().unwrap())
    });
    let acknowledged: BTreeMap<u64, u64> =
        publishers.into_iter().flat_map(|publisher| publisher.acknowledged).collect();
    assert!(1000 < acknowledged.len(), "only {} messages", acknowledged.len());
    for (message, offset) in &acknowledged {
        assert_eq!(seen.get(message), Some(offset), "message {message}");
    }
}

#[test]
fn a_full_disk_is_told_and_loses_nothing_acknowledged() {
    let folder = Folder::new("full");
    // As a full disk: the file may not grow beyond that. Whoever ignores the signal gets an error from `write`.
    let mut command = Command::new("sh");
    let serve = switchboard(&[]);
    command.args(["-c", r#"trap '' XFSZ; ulimit -S -f 8192; exec "$0" serve --bind 127.0.0.1:0 --history 100000 --history-bytes 60M --store "$1""#]);
    command.arg(serve.get_program()).arg(folder.file());
    let program = Program::start(&mut command);
    let mut ann = Speaker::open(&program, "ann");
    ann.ask(json!({"type": "join", "room": "r"}));
    let (data, mut acknowledged) = ("x".repeat(10_000), 0);
    let refused = loop {
        let reply = ann.ask(publish("r", data.clone(), &format!("k{acknowledged}")));
        if reply["type"] != "published" {
            break reply;
        }
        acknowledged += 1;
        assert_eq!(reply["offset"], acknowledged);
        assert!(acknowledged < 1000, "it never fills");
    };
    assert_eq!(refused["code"], "unavailable", "{refused}");
    assert!(refused["message"].as_str().unwrap().contains("rooms.db"), "{refused}");
    assert!(20 < acknowledged);
    let unready = get(program.address, "/readyz");
    assert!(unready.status == 503 && unready.text().contains("rooms.db"), "{}", unready.text());
    let join = json!({"type": "join", "room": "r"});
    assert_eq!(ann.ask(join.clone())["code"], "unavailable");
    // There is space again.
    let pid = Pid::from_raw(program.pid().cast_signed()).unwrap();
    prlimit(Some(pid), Resource::Fsize, Rlimit { current: None, maximum: None }).unwrap();
    eventually("it is ready again", || get(program.address, "/readyz").status == 200);
    // Said again with its key it is there once, whether or not it had reached the disk.
    let said = ann.ask(publish("r", data, &format!("k{acknowledged}")));
    assert_eq!((&said["type"], &said["offset"]), (&json!("published"), &json!(acknowledged + 1)));
    kill(program);
    let program = serve_binary(&["--history", "100000", "--history-bytes", "60M", "--store", &folder.file()]);
    let mut bob = Speaker::open(&program, "bob");
    assert_eq!(bob.ask(join)["offset"], acknowledged + 1);
    // Page by page, as all of it is more than one message may be.
    let mut seen = 0;
    while seen < acknowledged + 1 {
        let page = bob.ask(json!({"type": "history", "room": "r", "after": seen}));
        for message in page["messages"].as_array().unwrap() {
            seen += 1;
            assert_eq!(message["offset"], seen);
        }
        assert_eq!(page["more"] == true, seen < acknowledged + 1);
    }
}

/// How `serve` ends with that store, and what it says.
fn serve_fails(file: &Path) -> (Option<i32>, String) {
    let mut command = switchboard(&["serve", "--bind", "127.0.0.1:0", "--store"]);
    let output = command.arg(file).stdin(Stdio::null()).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_store_that_cannot_be_is_an_error_that_says_what_to_do() {
    let folder = Folder::new("cannot");
    let file = folder.0.join("rooms.db");
    let program = serve_binary(&["--store", file.to_str().unwrap()]);
    let (code, said) = serve_fails(&file);
    assert!(code == Some(1) && said.contains("another process has it open"), "{code:?} {said}");
    drop(program);
    let text = folder.0.join("text");
    fs::write(&text, "this is no database ".repeat(1000)).unwrap();
    for (place, expected) in [
        (text.as_path(), "damaged, or no store"),
        (folder.0.as_path(), "name a file"),
        (Path::new("/no/such/folder/rooms.db"), "name a file"),
    ] {
        let (code, said) = serve_fails(place);
        assert!(code == Some(1) && said.contains(expected), "{place:?}: {code:?} {said}");
    }
    assert!(fs::read(&text).unwrap().starts_with(b"this is no database"), "it was left alone");
}

#[test]
fn old_messages_leave_the_file_too() {
    let folder = Folder::new("bounded");
    let program = serve_binary(&["--store", &folder.file()]);
    let mut ann = Speaker::open(&program, "ann");
    // 100 messages are kept, and 1 MiB.
    let data = "x".repeat(50_000);
    for number in 0..600 {
        ann.ask(publish("r", data.clone(), &number.to_string()));
    }
    let size = fs::metadata(folder.file()).unwrap().len();
    assert!(size < 12 << 20, "30 MB were said, 1 MB is kept, and the file has {size} bytes");
    kill(program);
    let began = Instant::now();
    let program = serve_binary(&["--store", &folder.file()]);
    let mut bob = Speaker::open(&program, "bob");
    let joined = bob.ask(json!({"type": "join", "room": "r", "history": 1000}));
    let kept = joined["messages"].as_array().unwrap().len();
    assert!((10..=21).contains(&kept), "{kept} messages after {:?}", began.elapsed());
    assert_eq!(joined["offset"], 600);
}

/// What the store has of the room `r`, or why it cannot be opened.
fn read_store(file: &Path) -> Result<Vec<String>, String> {
    let store = Store::open(file).map_err(|error| error.to_string())?;
    let (tell, told) = channel();
    store.start("test", Inbox::new(move |notices| tell.send(notices).is_ok())).unwrap();
    let order = Order::Open { room: "r".into(), rules: RoomRules::default() };
    assert_eq!(store.take(vec![order]), []);
    let mut notices = told.iter().flatten();
    let messages = notices.find_map(|notice| match notice {
        Notice::State { messages, .. } => Some(messages),
        _ => None,
    });
    let messages = messages.unwrap().iter().map(|message| message.element.to_string()).collect();
    store.stop();
    Ok(messages)
}

#[test]
fn a_damaged_file_is_an_error_or_right_but_never_wrong() {
    let folder = Folder::new("damaged");
    let file = folder.0.join("rooms.db");
    let program = serve_binary(&["--store", file.to_str().unwrap()]);
    let mut ann = Speaker::open(&program, "ann");
    for number in 0..50 {
        ann.ask(publish("r", format!("message {number} {}", "x".repeat(number * 7)), &number.to_string()));
    }
    kill(program);
    let whole = fs::read(&file).unwrap();
    let right = read_store(&file).unwrap();
    assert_eq!(right.len(), 50);
    let (mut random, mut errors) = (0x2545_f491_4f6c_dd1d_u64, 0);
    let mut number = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random as usize % below
    };
    let copy = folder.0.join("copy.db");
    for round in 0..150 {
        let mut bytes = whole.clone();
        match round % 3 {
            0 => bytes.truncate(number(whole.len())),
            1 => bytes[number(whole.len())] ^= 1 << number(8),
            _ => {
                let start = number(whole.len() - 512);
                bytes[start..start + 512].fill(0);
            }
        }
        fs::write(&copy, &bytes).unwrap();
        match read_store(&copy) {
            // The newest transactions may be gone with what was damaged; what there is, is right.
            Ok(messages) => assert!(right.starts_with(&messages), "round {round}: {messages:?}"),
            Err(why) => {
                errors += 1;
                assert!(
                    why.contains("copy.db") && why.contains("move the file away"),
                    "round {round}: {why}"
                );
            }
        }
    }
    assert!(10 < errors, "only {errors} of 150 damages were found");
}
