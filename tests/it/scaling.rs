//! What the guide says of several servers: its configuration of a proxy, its access rules for Redis.

use crate::redis::{is_ready, server};
use crate::support::{Program, eventually, exchange, get, serve_binary};
use crate::support_redis::Redis;
use crate::support_v1::Speaker;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::{env, fs};

fn guide() -> String {
    fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/guide/scaling.md")).unwrap()
}

/// HAProxy as the guide configures it. Killed when dropped.
struct Proxy {
    child: Child,
    address: SocketAddr,
    file: PathBuf,
}

impl Proxy {
    fn start(servers: &[Program; 3]) -> Self {
        let guide = guide();
        let config = guide.split("```haproxy\n").nth(1).and_then(|rest| rest.split("```").next());
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut config = config.expect("a configuration in the guide").to_string();
        let mut put = |place: &str, address: SocketAddr| {
            assert_eq!(config.matches(place).count(), 1, "{place}");
            config = config.replace(place, &address.to_string());
        };
        put("10.0.0.1:80", address);
        for (server, place) in servers.iter().zip(["10.0.0.11:9527", "10.0.0.12:9527", "10.0.0.13:9527"]) {
            put(place, server.address);
        }
        let file = env::temp_dir().join(format!("switchboard-haproxy-{}.cfg", std::process::id()));
        fs::write(&file, config).unwrap();
        let program = env::var("SWITCHBOARD_TEST_HAPROXY").unwrap_or("haproxy".into());
        let checked = Command::new(&program)
            .args(["-c", "-f"])
            .arg(&file)
            .output()
            .expect("tests/run installs HAProxy");
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
        let child = Command::new(&program).args(["-db", "-q", "-f"]).arg(&file).spawn().unwrap();
        Self { child, address, file }
    }
}

impl Proxy {
    /// By a request after which the proxy, too, closes.
    fn status(&self, path: &str) -> u16 {
        exchange(self.address, format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).status
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.file);
    }
}

fn node(welcome: &Value) -> String {
    welcome["node"].as_str().unwrap().into()
}

#[test]
#[ignore = "needs Redis and HAProxy: tests/run"]
fn three_servers_behind_the_proxy_of_the_guide_are_one() {
    let redis = Redis::start(&[]);
    let servers = [(); 3].map(|()| server(&redis.url(), &[]));
    let proxy = Proxy::start(&servers);
    // As soon as the proxy knows all of them, newcomers are spread.
    let mut speakers: Vec<(Speaker, Value)> = Vec::new();
    eventually("three servers have clients", || {
        speakers.extend(Speaker::at(proxy.address, "ann"));
        speakers.iter().map(|(_, welcome)| node(welcome)).collect::<BTreeSet<_>>().len() == 3
    });
    let mut nodes = BTreeSet::new();
    speakers.retain(|(_, welcome)| nodes.insert(node(welcome)));
    let mut epoch = Value::Null;
    for (speaker, _) in &mut speakers {
        epoch = speaker.ask(json!({"type": "join", "room": "tea"}))["epoch"].clone();
    }
    let published = speakers[0].0.ask(json!({"type": "publish", "room": "tea", "data": 1}));
    assert_eq!((&published["offset"], &published["epoch"]), (&json!(1), &epoch));
    for (speaker, _) in &mut speakers {
        assert_eq!(speaker.next_of("message")["data"], 1);
    }
    // One server is killed: whoever was there comes back elsewhere.
    let own = |program: &Program| node(&Speaker::connect(program, "").next());
    let (killed, _) = speakers.remove(0);
    let victim = servers.iter().find(|program| {
        nodes.contains(&own(program)) && !speakers.iter().any(|(_, welcome)| node(welcome) == own(program))
    });
    victim.unwrap().signal(Signal::KILL);
    drop(killed);
    speakers[0].0.ask(json!({"type": "publish", "room": "tea", "data": 2}));
    let mut back = None;
    eventually("there is another server", || {
        back = Speaker::at(proxy.address, "ann");
        back.is_some()
    });
    let since = json!({"type": "join", "room": "tea", "since": {"epoch": epoch, "offset": 1}});
    let joined = back.unwrap().0.ask(since);
    assert_eq!((&joined["recovered"], &joined["messages"][0]["data"]), (&json!(true), &json!(2)));
    // Without Redis the proxy lets nobody in, and those who are in stay.
    redis.freeze();
    eventually("no server is ready", || proxy.status("/healthz") == 503);
    for (speaker, _) in &mut speakers {
        assert_eq!(speaker.ask(json!({"type": "ping"}))["type"], "pong");
    }
    redis.thaw();
    eventually("servers are ready again", || proxy.status("/readyz") == 200);
    assert_eq!(speakers[0].0.ask(json!({"type": "publish", "room": "tea", "data": 3}))["offset"], 3);
}

#[test]
#[ignore = "needs a Redis server: tests/run"]
fn the_access_rules_of_the_guide_are_enough() {
    let redis = Redis::start(&[]);
    let guide = guide();
    let rules = guide.split("**An ACL** needs `").nth(1).and_then(|rest| rest.split('`').next()).unwrap();
    assert_eq!(redis.ask(&format!("ACL SETUSER sb on >secret-word {rules}")), "+OK");
    assert_eq!(redis.ask("ACL SETUSER narrow on >secret-word ~sb:* &sb:* +@read"), "+OK");
    let url = |user: &str| format!("redis://{user}:secret-word@{}", redis.address());
    let [a, b] = [(); 2].map(|()| server(&url("sb"), &["--api-key", "key"]));
    let (mut ann, mut bob) = (Speaker::open(&a, "ann"), Speaker::open(&b, "bob"));
    ann.ask(json!({"type": "join", "room": "tea"}));
    assert_eq!(bob.ask(json!({"type": "publish", "room": "tea", "data": 1, "key": "k"}))["offset"], 1);
    assert_eq!(ann.next_of("message")["data"], 1);
    eventually("users are known", || {
        bob.ask(json!({"type": "direct", "to": "ann", "data": 1}))["connections"] == 1
    });
    let request = b"GET /api/rooms HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer key\r\n\r\n";
    let rooms = exchange(b.address, request);
    assert!(rooms.status == 200 && rooms.text().contains(r#""room":"tea""#), "{}", rooms.text());
    let narrow = serve_binary(&["--redis", &url("narrow")]);
    eventually("it says why", || get(narrow.address, "/readyz").text().contains("change its ACL"));
    assert!(!is_ready(&narrow) && !narrow.all_said().contains("secret-word"));
}
