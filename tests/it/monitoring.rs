//! What Prometheus and Grafana make of `/metrics`: the text's form, what engines add, and the rules and the dashboard in
//! `examples/deploy/monitoring`.

use crate::support::{Client, Program, connect, eventually, get, metric, serve, serve_binary, switchboard};
use crate::support_prometheus::Exposition;
use crate::support_v1::Speaker;
use crate::tls::{Authority, Files};
use parking_lot::Mutex;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::{env, fs, process};
use switchboard::engine::{Engine, Inbox, Notice, Order};
use switchboard::{Limits, Result};

/// A folder that goes away with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = env::temp_dir().join(format!("switchboard-monitoring-{name}-{}", process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self) -> String {
        self.0.join("rooms.db").to_str().unwrap().into()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// All that the program can show, after a little of everything.
fn text_of_everything(name: &str) -> String {
    let folder = Folder::new(name);
    let program = serve_binary(&["--store", &folder.file()]);
    let mut ann = Speaker::open(&program, "ann");
    ann.ask(json!({"type": "publish", "room": "tea", "data": "hello"}));
    let mut client = Client::settled(program.address, "/room/r");
    client.send("hello");
    client.expect("hello");
    client.leave();
    assert_eq!(get(program.address, "/nowhere").status, 404);
    let answer = get(program.address, "/metrics");
    assert_eq!(answer.header("Content-Type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    answer.text().into()
}

/// What a server with a Redis shows besides, though nobody is there.
fn text_with_redis() -> String {
    let program = serve_binary(&["--redis", "redis://127.0.0.1:1"]);
    get(program.address, "/metrics").text().into()
}

#[test]
fn the_text_keeps_to_the_format_and_to_prometheus_conventions() {
    let text = text_of_everything("format");
    let shown = Exposition::parse(&text);
    assert!(60 < shown.families.len(), "only {} families", shown.families.len());
    // The number of series is bounded, whatever clients do.
    assert!(text.lines().count() < 500);
    let version = concat!("version=\"", env!("CARGO_PKG_VERSION"), "\"");
    assert_eq!(shown.value("switchboard_build_info", version), 1.0);
}

#[test]
fn the_pattern_of_a_route_is_escaped() {
    let server = serve(Limits::default(), |builder| {
        builder
            .route("/a\"b\\c", |_| Ok(()))
            .route("/{x}", |_| Ok(()))
            .get("/page", |_| switchboard::Response::text("has no WebSocket, and so no series"))
    });
    let shown = Exposition::parse(&server.metrics());
    for label in ["route=\"/a\\\"b\\\\c\"", "route=\"/{x}\""] {
        assert_eq!(shown.value("switchboard_websocket_connections", label), 0.0);
    }
    assert!(!server.metrics().contains("page"));
    let server = serve(Limits::default(), |builder| builder);
    assert!(!Exposition::parse(&server.metrics()).families.contains_key("switchboard_websocket_connections"));
}

#[test]
fn the_process_is_told_of_as_by_every_client() {
    let program = serve_binary(&[]);
    let shown = Exposition::parse(get(program.address, "/metrics").text());
    let value = |name: &str| shown.value(&format!("process_{name}"), "");
    let memory = program.memory() as f64;
    assert!((0.5..2.0).contains(&(value("resident_memory_bytes") / memory)), "{memory}");
    assert!(value("resident_memory_bytes") < value("virtual_memory_bytes"));
    assert!((5.0..100.0).contains(&value("open_fds")) && value("open_fds") < value("max_fds"));
    assert!((5.0..20.0).contains(&value("threads")));
    assert!(value("cpu_seconds_total") < 60.0);
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
    assert!((-60.0..3600.0).contains(&(now - value("start_time_seconds"))));
    let _clients: Vec<Client> = (0..20).map(|_| Client::settled(program.address, "/echo")).collect();
    let later = Exposition::parse(get(program.address, "/metrics").text());
    for name in ["process_open_fds", "process_threads"] {
        assert!(shown.value(name, "") + 20.0 <= later.value(name, ""), "{name}");
    }
}

#[test]
fn tls_handshakes_that_fail_are_counted() {
    let files = Files::new(&Authority::new().issue());
    let server = serve(Limits::default(), |builder| builder.health().tls(&files.read().unwrap()));
    let mut plain = connect(server.local_addr());
    plain.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    plain.read_to_end(&mut Vec::new()).unwrap();
    eventually("it is counted", || metric(&server.metrics(), "tls_handshake_failures_total") == 1);
}

/// An engine that keeps nothing, and says of itself what it is told to.
#[derive(Clone, Default)]
struct Mock {
    inbox: Arc<Mutex<Option<Inbox>>>,
}

impl Engine for Mock {
    fn start(&self, _: &str, inbox: Inbox) -> Result<()> {
        *self.inbox.lock() = Some(inbox);
        Ok(())
    }

    fn take(&self, _: Vec<Order>) -> Vec<Notice> {
        Vec::new()
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn metrics(&self) -> String {
        "# HELP mock_calls_total Calls.\n# TYPE mock_calls_total counter\nmock_calls_total 7".into()
    }

    fn stop(&self) {}
}

#[test]
fn an_engine_adds_its_own_metrics_and_whether_it_is_reached() {
    let mock = Mock::default();
    let server = serve(Limits::default(), |builder| builder.engine(mock.clone()));
    let ready = || ["ready", "engine_ready"].map(|name| metric(&server.metrics(), name));
    assert_eq!(ready(), [0, 0]);
    let inbox = mock.inbox.lock().take().unwrap();
    inbox.tell(vec![Notice::Hearing]);
    eventually("it is ready", || ready() == [1, 1]);
    assert_eq!(Exposition::parse(&server.metrics()).value("mock_calls_total", ""), 7.0);
    inbox.tell(vec![Notice::Deaf { why: "gone".into() }]);
    eventually("it is not", || ready() == [0, 0]);
    let handle = server.handle();
    drop(server);
    // Nobody keeps an engine that has ended.
    assert!(!handle.metrics().contains("mock_calls_total"));
    assert_eq!(Arc::strong_count(&mock.inbox), 1);
}

#[test]
fn a_full_disk_is_seen() {
    let folder = Folder::new("full");
    // As a full disk: the file may not grow beyond that. Whoever ignores the signal gets an error from `write`.
    let script = r#"trap '' XFSZ; ulimit -S -f 4096; exec "$0" serve --bind 127.0.0.1:0 --store "$1""#;
    let mut command = Command::new("sh");
    command.args(["-c", script]).arg(switchboard(&[]).get_program()).arg(folder.file());
    let program = Program::start(&mut command);
    let mut ann = Speaker::open(&program, "ann");
    let data = "x".repeat(100_000);
    let mut said = 0;
    // Into many rooms, of which each keeps less than is forgotten.
    while ann.ask(json!({"type": "publish", "room": said.to_string(), "data": data}))["type"] == "published" {
        said += 1;
        assert!(said < 1000, "it never fills");
    }
    let value = |name: &str| metric(get(program.address, "/metrics").text(), name);
    assert!(1 <= value("store_failures_total"));
    eventually("it is not ready", || (value("engine_ready"), value("ready")) == (0, 0));
    assert_eq!(value("store_messages_total"), said);
    let pid = Pid::from_raw(program.pid().cast_signed()).unwrap();
    prlimit(Some(pid), Resource::Fsize, Rlimit { current: None, maximum: None }).unwrap();
    eventually("it is ready again", || (value("engine_ready"), value("ready")) == (1, 1));
}

fn monitoring(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/deploy/monitoring").join(file)
}

/// The metrics that an expression names.
fn named(expression: &str) -> BTreeSet<String> {
    let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':');
    let words = words.filter(|word| word.starts_with("switchboard_") || word.starts_with("process_"));
    words.map(String::from).collect()
}

/// All expressions in a dashboard: of its panels, those in rows too, and of its variables.
fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if name == "expr" || name == "query" || name == "definition" => {
                        found.push(text.clone());
                    }
                    value => expressions(value, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| expressions(value, found)),
        _ => {}
    }
}

#[test]
fn the_dashboard_and_the_rules_name_only_what_there_is() {
    let mut names = Exposition::parse(&text_of_everything("names")).names();
    names.extend(Exposition::parse(&text_with_redis()).names());
    let dashboard: Value =
        serde_json::from_str(&fs::read_to_string(monitoring("dashboard.json")).unwrap()).unwrap();
    let rules = fs::read_to_string(monitoring("rules.yml")).unwrap();
    let in_dashboard: BTreeSet<String> = queries().iter().flat_map(|query| named(query)).collect();
    let in_rules = named(&rules);
    assert!(40 < in_dashboard.len() && 8 < in_rules.len(), "{in_dashboard:?} {in_rules:?}");
    for name in in_dashboard.union(&in_rules) {
        assert!(names.contains(name), "{name} is no metric of the server");
    }
    // Every panel has its place and asks for something.
    let mut places = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let place = &panel["gridPos"];
        assert!(places.insert((place["y"].as_u64().unwrap(), place["x"].as_u64().unwrap())), "{panel}");
        assert!(place["x"].as_u64().unwrap() + place["w"].as_u64().unwrap() <= 24, "{panel}");
        let is_row = panel["type"] == "row";
        assert!(is_row || panel["targets"].as_array().is_some_and(|targets| !targets.is_empty()), "{panel}");
    }
}

fn queries() -> Vec<String> {
    let dashboard = fs::read_to_string(monitoring("dashboard.json")).unwrap();
    let mut queries = Vec::new();
    expressions(&serde_json::from_str(&dashboard).unwrap(), &mut queries);
    queries
}

/// Gives promtool something to read, and what it says; it must be content.
fn promtool(args: &[&str], input: &str) -> String {
    let program = env::var("SWITCHBOARD_TEST_PROMTOOL").unwrap_or_else(|_| "promtool".into());
    let mut command = Command::new(program);
    let piped = command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().expect("tests/run says where promtool is");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].map(|said| String::from_utf8(said).unwrap()).concat();
    assert!(output.status.success(), "{args:?}: {said}");
    said
}

#[test]
#[ignore = "needs promtool: tests/run"]
fn promtool_has_nothing_against_the_text() {
    assert_eq!(promtool(&["check", "metrics"], &text_of_everything("promtool")), "");
    assert_eq!(promtool(&["check", "metrics"], &text_with_redis()), "");
}

#[test]
#[ignore = "needs promtool: tests/run"]
fn promtool_can_read_the_dashboards_queries() {
    let folder = Folder::new("queries");
    let mut rules = "groups: [{name: dashboard, rules: [\n".to_string();
    // Grafana puts in its intervals; what asks for the values of its variables is no query of Prometheus.
    for query in
        queries().iter().filter(|query| !query.starts_with("label_values(") && *query != "prometheus")
    {
        let query = query.replace("$__rate_interval", "1m").replace("$__interval", "1m");
        rules += &format!("{{record: some:query, expr: {}}},\n", json!(query));
    }
    assert!(50 < rules.lines().count());
    fs::write(folder.file(), rules + "]}]\n").unwrap();
    // The same name for all is a mistake in rules; it is not what is looked for.
    promtool(&["check", "rules", "--lint=none", &folder.file()], "");
}

#[test]
#[ignore = "needs promtool: tests/run"]
fn promtool_finds_the_rules_right_and_they_fire_when_they_should() {
    let said = promtool(&["check", "rules", monitoring("rules.yml").to_str().unwrap()], "");
    assert!(said.contains("SUCCESS"), "{said}");
    let said = promtool(&["test", "rules", monitoring("rules.test.yml").to_str().unwrap()], "");
    assert!(said.contains("SUCCESS"), "{said}");
    // No rule is without its test.
    let [rules, tests] =
        ["rules.yml", "rules.test.yml"].map(|file| fs::read_to_string(monitoring(file)).unwrap());
    for alert in rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        assert!(tests.contains(&format!("alertname: {alert}\n")), "{alert} has no test");
    }
}
