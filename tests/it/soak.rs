//! `switchboard soak`: a short one that goes well, and servers that lose, repeat, or do not end.

use crate::support::{eventually, get, serve, serve_binary, serve_binary_at, switchboard};
use serde_json::Value;
use std::process::Stdio;
use std::thread;
use switchboard::{Limits, Result, WebSocket};

/// Exit code, and the result.
#[track_caller]
fn soak(args: &[&str]) -> (Option<i32>, Value) {
    let mut command = switchboard(&["soak", "--json"]);
    let output = command.args(args).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let result = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
    (output.status.code(), result)
}

fn number(result: &Value, path: &str) -> u64 {
    result.pointer(path).and_then(Value::as_u64).unwrap_or_else(|| panic!("no {path} in {result:#}"))
}

#[test]
fn a_good_server_comes_through() {
    // All are cut within four minutes, so some are within seconds.
    let (code, result) = soak(&["--for", "12s", "-c", "200", "--rate", "100"]);
    assert_eq!((code, &result["ok"]), (Some(0), &true.into()), "{result:#}");
    for count in ["acknowledged", "plain_delivered", "direct_delivered", "resumed", "churned"] {
        assert!(0 < number(&result, &format!("/counts/{count}")), "{count}: {result:#}");
    }
    let acknowledged = number(&result, "/counts/acknowledged");
    assert!(acknowledged <= number(&result, "/counts/published"));
    let checks = result["under_load"].as_array().unwrap().iter();
    assert_eq!(
        checks.map(|check| check["what"].as_str().unwrap()).collect::<Vec<_>>(),
        ["memory", "threads", "descriptors"]
    );
    assert!(200 < number(&result, "/under_load/2/after"), "{result:#}");
    assert_eq!(
        (&result["exit"][0], &result["logs"][0]["errors"][0]),
        (&0.into(), &Value::Null),
        "{result:#}"
    );
}

#[test]
fn what_a_server_loses_or_repeats_is_found() {
    // Each seventh message of a connection is lost, each eleventh comes twice.
    fn careless(mut ws: WebSocket) -> Result<()> {
        let (room, mut count) = (ws.join(ws.param("room"))?, 0);
        while let Some(message) = ws.recv()? {
            count += 1;
            if count % 7 != 0 {
                room.send(message.clone());
            }
            if count % 11 == 0 {
                room.send(message);
            }
        }
        Ok(())
    }
    let server = serve(Limits::default(), |routes| {
        routes.protocol("/ws").route("/room/{room}", careless).route("/echo", relay_nothing)
    });
    let url = format!("ws://{}", server.local_addr());
    let (code, result) = soak(&[&url, "--for", "5s", "-c", "60", "--rate", "100", "--patience", "1s"]);
    assert_eq!((code, &result["ok"]), (Some(1), &false.into()), "{result:#}");
    for count in ["lost", "doubled"] {
        assert!(0 < number(&result, &format!("/counts/{count}")), "{count}: {result:#}");
    }
    for count in ["unrecovered", "unopened", "ended", "refused"] {
        assert_eq!(number(&result, &format!("/counts/{count}")), 0, "{count}: {result:#}");
    }
    assert_eq!(result["under_load"], Value::Array(Vec::new()), "nobody's process: {result:#}");
}

/// What comes of a soak of a server that is restarted in the middle of it, in order.
fn restarted(args: &[&str]) -> Value {
    let server = serve_binary(&[&["--restart", "--drain", "1s"], args].concat());
    let (address, url) = (server.address, format!("ws://{}", server.address));
    let soaking = thread::spawn(move || soak(&[&url, "--for", "20s", "-c", "60", "--rate", "60"]));
    let is_busy = |least: u64| {
        let metrics = get(address, "/metrics").text().to_string();
        let number =
            |name: &str| metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
        50 < number("switchboard_connections{state=\"websocket\"} ").unwrap_or(0)
            && least < number("switchboard_protocol_acknowledged_total ").unwrap_or(0)
    };
    eventually("all are there", || is_busy(30));
    server.signal(rustix::process::Signal::TERM);
    assert_eq!(server.exit_code(), Some(0));
    let _again = serve_binary_at(&address.to_string(), args);
    eventually("all are there again", || is_busy(0));
    let (code, result) = soaking.join().unwrap();
    assert_eq!((code, &result["ok"]), (Some(0), &true.into()), "{result:#}");
    assert!(50 < number(&result, "/counts/cut"), "{result:#}");
    result
}

#[test]
fn a_server_that_restarts_in_order_breaks_nothing() {
    let file = std::env::temp_dir().join(format!("switchboard-soak-{}.redb", std::process::id()));
    let result = restarted(&["--store", file.to_str().unwrap()]);
    std::fs::remove_file(&file).unwrap();
    assert!(30 <= number(&result, "/counts/resumed"), "{result:#}");
    assert_eq!(number(&result, "/counts/new_epochs"), 0, "{result:#}");
}

#[test]
fn a_server_that_keeps_nothing_begins_new_epochs_with_a_restart() {
    let result = restarted(&[]);
    assert!(30 <= number(&result, "/counts/new_epochs"), "{result:#}");
}

fn relay_nothing(mut ws: WebSocket) -> Result<()> {
    while ws.recv()?.is_some() {}
    Ok(())
}

#[test]
fn wrong_usage_is_told() {
    for (args, word) in [
        (&["-c", "10"][..], "--connections"),
        (&["--for", "0"], "--for"),
        (&["--redis-server", "/nowhere/redis-server"], "cannot be started"),
        (&["ws://192.0.2.1:9527"], "--allow-remote"),
        (&["--", "--no-such-option"], "says why"),
    ] {
        let output = switchboard(&["soak"]).args(args).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(word), "{args:?}: {said}");
    }
}

#[test]
#[ignore = "needs a Redis server: tests/run"]
fn servers_with_a_redis_that_is_killed_come_through() {
    let redis = std::env::var("SWITCHBOARD_TEST_REDIS").unwrap_or("redis-server".into());
    let (code, result) = soak(&["--for", "20s", "-c", "100", "--redis-server", &redis, "--servers", "2"]);
    assert_eq!((code, &result["ok"]), (Some(0), &true.into()), "{result:#}");
    assert!(0 < number(&result, "/redis_restarts"), "{result:#}");
    assert_eq!(result["exit"], serde_json::json!([0, 0]));
}
