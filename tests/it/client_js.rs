//! The client of browsers, in Node: against the real program over a cable that is cut, and against a server that plays a part.

use crate::programs::{finish, start};
use crate::support::{Program, exchange, get, reset, serve_binary};
use rustix::process::Signal;
use std::collections::VecDeque;
use std::env::temp_dir;
use std::fs::remove_file;
use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdout};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;

/// Takes connections on a port of its own and passes everything on, until it is cut.
struct Cable {
    address: SocketAddr,
    state: Arc<State>,
}

struct State {
    /// Where to; nowhere for now.
    target: Mutex<Option<SocketAddr>>,
    /// Of the connections that are still to come, in turn.
    lengths: Mutex<VecDeque<Length>>,
    plugs: Mutex<Vec<Arc<Plug>>>,
    cuts: AtomicUsize,
}

/// How many bytes pass until the connection is cut: from the client, and to it.
#[derive(Clone, Copy)]
struct Length {
    up: usize,
    down: usize,
}

const ENDLESS: Length = Length { up: usize::MAX, down: usize::MAX };

/// One connection.
struct Plug {
    client: TcpStream,
    server: TcpStream,
    /// Nothing passes any more, and nobody is told.
    dead: AtomicBool,
    is_cut: AtomicBool,
}

impl Cable {
    fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            target: Mutex::new(Some(target)),
            lengths: Mutex::default(),
            plugs: Mutex::default(),
            cuts: AtomicUsize::new(0),
        });
        let shared = state.clone();
        thread::spawn(move || listener.incoming().for_each(|client| shared.plug(client.unwrap())));
        Self { address, state }
    }

    /// Where the protocol is spoken.
    fn url(&self) -> String {
        ws(self.address)
    }

    fn lead_to(&self, target: Option<SocketAddr>) {
        *self.state.target.lock().unwrap() = target;
    }

    fn cut(&self) {
        self.state.plugs.lock().unwrap().drain(..).for_each(|plug| {
            plug.cut();
        });
    }

    /// Those that are there; new ones are well.
    fn freeze(&self) {
        self.state.plugs.lock().unwrap().iter().for_each(|plug| plug.dead.store(true, SeqCst));
    }
}

impl State {
    fn plug(self: &Arc<Self>, client: TcpStream) {
        let Some(target) = *self.target.lock().unwrap() else { return reset(client) };
        client.set_nodelay(true).unwrap();
        let length = self.lengths.lock().unwrap().pop_front().unwrap_or(ENDLESS);
        let Ok(server) = TcpStream::connect(target) else { return reset(client) };
        server.set_nodelay(true).unwrap();
        let plug =
            Arc::new(Plug { client, server, dead: AtomicBool::default(), is_cut: AtomicBool::default() });
        self.plugs.lock().unwrap().push(plug.clone());
        for (is_up, length) in [(true, length.up), (false, length.down)] {
            let (state, plug) = (self.clone(), plug.clone());
            thread::spawn(move || {
                let (from, to) =
                    if is_up { (&plug.client, &plug.server) } else { (&plug.server, &plug.client) };
                if plug.pass(from, to, length) && plug.cut() {
                    state.cuts.fetch_add(1, SeqCst);
                }
            });
        }
    }
}

impl Plug {
    /// Until one of them ends, or all of `length` has passed: `true`.
    fn pass(&self, mut from: &TcpStream, mut to: &TcpStream, length: usize) -> bool {
        let (mut left, mut part) = (length, [0; 4096]);
        while 0 < left {
            let most = part.len().min(left);
            match from.read(&mut part[..most]) {
                Ok(read) if 0 < read => {
                    if !self.dead.load(SeqCst) && to.write_all(&part[..read]).is_err() {
                        break;
                    }
                    left -= read;
                }
                _ => break,
            }
        }
        // Of a dead one nobody hears the end.
        if 0 < left && !self.dead.load(SeqCst) {
            self.cut();
        }
        left == 0
    }

    /// Whether it was not yet.
    fn cut(&self) -> bool {
        let is_first = !self.is_cut.swap(true, SeqCst);
        for side in [&self.client, &self.server] {
            let _ = side.shutdown(Shutdown::Both);
        }
        is_first
    }
}

fn ws(address: SocketAddr) -> String {
    format!("ws://{address}/ws")
}

/// A script, and what it prints. It ends by itself within a minute.
struct Script {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Script {
    fn start(args: &[&str]) -> Self {
        let mut child = start("client.mjs", args);
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Waits until it says that.
    #[track_caller]
    fn says(mut self, expected: &str) -> Self {
        match self.lines.next() {
            Some(line) => assert_eq!(line.unwrap(), expected),
            None => panic!("ended: {}", finish(self.child)),
        }
        self
    }

    /// Waits for its end; the last line that it printed.
    #[track_caller]
    fn ends(self) -> String {
        let rest: Vec<String> = self.lines.map(Result::unwrap).collect();
        finish(self.child);
        rest.last().cloned().unwrap_or_default()
    }
}

fn run(scenario: &str, program: &Program) -> String {
    Script::start(&[scenario, &ws(program.address)]).ends()
}

/// The number behind a word.
fn number(line: &str, word: &str) -> usize {
    let number = line.split(' ').skip_while(|other| *other != word).nth(1);
    number.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no {word} in {line:?}"))
}

#[test]
fn the_client_is_served_to_all_and_asked_for_again_when_it_has_changed() {
    let program = serve_binary(&[]);
    let client = get(program.address, "/client.js");
    assert_eq!(client.status, 200);
    assert_eq!(client.header("content-type"), Some("text/javascript; charset=utf-8"));
    assert_eq!(client.header("access-control-allow-origin"), Some("*"));
    assert_eq!(client.header("cache-control"), Some("no-cache"));
    assert_eq!(client.text(), include_str!("../../src/web/client.js"));
    let again = |tags: &str| {
        let address = program.address;
        let request = format!("GET /client.js HTTP/1.1\r\nHost: {address}\r\nIf-None-Match: {tags}\r\n\r\n");
        exchange(address, request)
    };
    let tag = client.header("etag").unwrap();
    for tags in [tag, &format!("W/{tag}"), &format!("\"other\", {tag}"), "*"] {
        let known = again(tags);
        assert_eq!((known.status, known.header("etag"), known.text()), (304, Some(tag), ""), "{tags}");
    }
    for tags in ["\"other\"", "", &tag[1..]] {
        assert_eq!(again(tags).status, 200, "{tags}");
    }
    // Other pages are for this site alone, and have tags of their own.
    let page = get(program.address, "/");
    assert_eq!(page.header("access-control-allow-origin"), None);
    assert_ne!(page.header("etag"), Some(tag));
}

#[test]
#[ignore = "needs Node and its ws: run tests/run"]
fn rooms_messages_and_presence() {
    for options in [&[][..], &["--members-publish"]] {
        run("talk", &serve_binary(options));
    }
}

#[test]
#[ignore = "needs Node and its ws: run tests/run"]
fn what_a_program_says() {
    let program = serve_binary(&["--api-key", "secret"]);
    let post = |path: &str, body: &str| {
        let head =
            format!("POST {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer secret", program.address);
        let about = format!("Content-Type: application/json\r\nContent-Length: {}", body.len());
        assert_eq!(
            exchange(program.address, format!("{head}\r\n{about}\r\n\r\n{body}")).status,
            200,
            "{path}"
        );
    };
    let script = Script::start(&["told", &ws(program.address)]).says("joined");
    post("/api/broadcast", r#"{"data":{"any":"JSON"}}"#);
    post("/api/publish", r#"{"room":"tea","data":"news"}"#);
    post("/api/disconnect", r#"{"user":"ann","reason":"enough"}"#);
    script.ends();
}

/// `in_flight`: how many messages of a room are on their way at once.
#[track_caller]
fn check_cuts(in_flight: &str) {
    let program = serve_binary(&[]);
    let cable = Cable::to(program.address);
    // Both sides are cut somewhere: in the handshake, in a frame, between a message and its acknowledgement.
    let lengths = (0..20).map(|n| match n % 2 {
        0 => Length { up: usize::MAX, down: 1200 + 200 * n },
        _ => Length { up: 100 + 90 * n, down: usize::MAX },
    });
    cable.state.lengths.lock().unwrap().extend(lengths);
    let script = Script::start(&["cuts", &cable.url(), &ws(program.address), in_flight]);
    let line = script.ends();
    assert_eq!(cable.state.cuts.load(SeqCst), 20);
    assert!(20 <= number(&line, "closes") && 20 <= number(&line, "asides"), "{line}");
}

#[test]
#[ignore = "needs Node and its ws: run tests/run"]
fn every_message_is_there_once_and_in_order_through_20_cuts() {
    check_cuts("1");
}

#[test]
#[ignore = "needs Node and its ws: run tests/run"]
fn so_it_is_with_several_messages_on_their_way() {
    check_cuts("16");
}

#[test]
#[ignore = "needs Node and its ws: run tests/run"]
fn what_is_published_offline_is_there_once_the_server_is_back() {
    let program = serve_binary(&[]);
    let cable = Cable::to(program.address);
    let script = Script::start(&["killed", &cable.url(), &ws(program.address)]).says("joined");
    drop(program); // by SIGKILL
    cable.lead_to(None);
    let script = script.says("offline");
    let program = serve_binary(&[]);
    cable.lead_to(Some(program.address));
    script.ends();
}

#[test]
#[ignore = "needs Node and its ws: run tests/run"]
fn every_message_is_there_once_and_in_order_through_5_kills() {
    let file = temp_dir().join(format!("switchboard-client-js-{}.db", std::process::id()));
    let serve = || serve_binary(&["--store", file.to_str().unwrap(), "--history", "1000"]);
    let mut program = serve();
    let cable = Cable::to(program.address);
    let mut script = Script::start(&["kills", &cable.url(), &ws(program.address)]);
    for _ in 0..5 {
        script = script.says("kill");
        program.signal(Signal::KILL);
        drop(program);
        program = serve();
        cable.lead_to(Some(program.address));
    }
    script.ends();
    remove_file(file).unwrap();
}

#[test]
#[ignore = "needs Node and its ws: run tests/run"]
fn what_cannot_be_recovered_is_told() {
    let program = serve_binary(&[]);
    let cable = Cable::to(program.address);
    let script = Script::start(&["gap", &cable.url(), &ws(program.address)]).says("joined");
    cable.lead_to(None);
    cable.cut();
    let script = script.says("said");
    cable.lead_to(Some(program.address));
    script.ends();
}

#[test]
#[ignore = "needs Node and its ws: run tests/run"]
fn a_dead_connection_is_found() {
    let program = serve_binary(&[]);
    let cable = Cable::to(program.address);
    let script = Script::start(&["dead", &cable.url(), &ws(program.address)]).says("joined");
    cable.freeze();
    let script = script.says("closed");
    // Node's own WebSocket waits for the end of the dead connection too.
    cable.cut();
    script.ends();
}

#[test]
#[ignore = "needs Node and its ws: run tests/run"]
fn it_comes_back_when_the_server_says() {
    let program = serve_binary(&[]);
    let script = Script::start(&["going", &ws(program.address)]).says("joined");
    program.signal(Signal::TERM);
    script.ends();
}

#[test]
#[ignore = "needs Node and its ws: run tests/run"]
fn tokens_go_where_a_browser_can_put_them() {
    run("tokens", &serve_binary(&["--token", "good=ann", "--token", "a/b===bob"]));
}

#[test]
#[ignore = "needs Node and its ws: run tests/run"]
fn it_goes_as_fast_as_the_server_wants() {
    let line = run("rate", &serve_binary(&["--rate", "20/s"]));
    assert!((1..=15).contains(&number(&line, "refusals")), "{line}");
}

#[track_caller]
fn check_rooms(options: &[&str]) {
    let program = serve_binary(options);
    let cable = Cable::to(program.address);
    let script = Script::start(&["rooms", &cable.url(), &ws(program.address)]).says("joined");
    cable.cut();
    script.ends();
}

#[test]
#[ignore = "needs Node and its ws: run tests/run"]
fn it_is_in_all_its_rooms_again() {
    check_rooms(&["--rooms", "50"]);
}

#[test]
#[ignore = "needs Node and its ws: run tests/run"]
fn it_is_in_all_its_rooms_again_however_slow() {
    check_rooms(&["--rate", "20/s"]);
}

/// What a server that plays a part does to it: each is a scene of the script.
macro_rules! scenes {
    ($($name:ident)*) => {
        $(
            #[test]
            #[ignore = "needs Node and its ws: run tests/run"]
            fn $name() {
                finish(start("client_scripted.mjs", &[stringify!($name)]));
            }
        )*

        #[test]
        fn every_scene_is_played() {
            let script = include_str!("../programs/client_scripted.mjs");
            let (_, scenes) = script.split_once("const scenes = {").unwrap();
            let scenes = scenes.lines().filter_map(|line| line.strip_prefix("  async ")?.strip_suffix("() {"));
            assert_eq!(scenes.collect::<Vec<_>>(), [$(stringify!($name)),*]);
        }
    };
}

scenes! {
    refused_for_now_is_asked_again
    refused_for_good_is_told
    no_message_is_emitted_twice_or_out_of_order
    a_gap_is_told_when_it_cannot_be_filled
    the_last_offset_is_told_after_a_reconnect
    a_publish_without_an_answer_is_sent_again_after_the_join
    several_are_on_their_way_only_if_asked_for
    a_direct_message_is_never_sent_twice
    who_is_kicked_stays_away
    more_than_it_keeps_is_refused
    a_message_that_ends_the_connection_is_not_sent_again
    the_wait_doubles_at_random_and_begins_anew
    the_network_is_back
    a_sleep_is_noticed
    a_server_without_a_welcome_is_none
    a_failed_handshake_is_noticed_at_once
    a_lost_connection_leaves_what_is_being_left
    members_are_counted
    members_that_no_answer_holds_are_counted
    a_listener_that_throws_hinders_nobody
    what_cannot_be_connected_to_is_told_at_once
}
