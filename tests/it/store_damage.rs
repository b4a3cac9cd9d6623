//! `--store`: a file that somebody damages while the server has it open.

use crate::store::Folder;
use crate::support::{eventually, get, serve_binary};
use crate::support_v1::Speaker;
use serde_json::{Value, json};
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;

/// What is said of a database that has panicked.
const ADVICE: &str = "move the file away to begin without history";

fn publish(data: &str) -> Value {
    json!({"type": "publish", "room": "r", "data": data})
}

/// Damages the file of a server that runs; everybody is answered all the same, and another file makes all well again.
fn damaged(name: &str, why: &str, damage: impl Fn(&fs::File)) {
    let folder = Folder::new(name);
    // More than is held in memory of the file.
    let program = serve_binary(&["--history", "1000", "--history-bytes", "60M", "--store", &folder.file()]);
    let mut ann = Speaker::open(&program, "ann");
    ann.ask(json!({"type": "join", "room": "r"}));
    let data = "x".repeat(20_000);
    let mut request = publish(&data);
    request["id"] = "many".into();
    let request = request.to_string();
    for turn in 1..=22 {
        (0..50).for_each(|_| ann.client.send(request.as_str()).unwrap());
        let published = (0..50).map(|_| ann.next_of("published"));
        assert_eq!(published.last().unwrap()["offset"], turn * 50);
    }
    damage(&OpenOptions::new().write(true).open(folder.file()).unwrap());
    let mut refused = Value::Null;
    // What is still in memory may go on for a while.
    for _ in 0..1000 {
        refused = ann.ask(publish(&data));
        if refused["type"] != "published" {
            break;
        }
    }
    assert_eq!(refused["code"], "unavailable", "{refused}");
    assert!(refused["message"].as_str().unwrap().contains(why), "{refused}");
    let unready = get(program.address, "/readyz");
    assert!(unready.status == 503 && unready.text().contains("rooms.db"), "{}", unready.text());
    assert_eq!(ann.ask(publish("2"))["code"], "unavailable");
    assert_eq!(ann.ask(json!({"type": "join", "room": "other"}))["code"], "unavailable");
    assert_eq!(get(program.address, "/healthz").status, 200);
    // As the log says.
    fs::rename(folder.file(), folder.file() + ".damaged").unwrap();
    eventually("it is ready with a new file", || get(program.address, "/readyz").status == 200);
    assert_eq!(ann.ask(publish("3"))["offset"], 1);
    drop(ann);
    let said = program.all_said();
    assert!(
        said.contains("ERROR")
            && said.contains(refused["message"].as_str().unwrap().trim_end_matches("; try again")),
        "{said}"
    );
}

#[test]
fn a_file_that_is_cut_off_in_use_is_told() {
    damaged("cut", "I/O error", |file| file.set_len(5000).unwrap());
}

#[test]
fn a_file_that_is_overwritten_in_use_is_told() {
    damaged("overwritten", ADVICE, |file| {
        let length = file.metadata().unwrap().len();
        let garbage = vec![0xa5; 4096];
        (1..length / 4096).for_each(|page| file.write_all_at(&garbage, page * 4096).unwrap());
    });
}

#[test]
fn a_file_that_is_blanked_in_use_is_told() {
    damaged("blanked", ADVICE, |file| {
        let length = file.metadata().unwrap().len();
        (0..length / 4096).for_each(|page| file.write_all_at(&[0; 4096], page * 4096).unwrap());
    });
}
