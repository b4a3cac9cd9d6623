//! Servers behind a proxy that are restarted one by one, under load: nobody who uses them loses anything by it.

use crate::redis::is_ready;
use crate::support::{PATIENCE, Program, eventually, serve_binary_at};
use crate::support_redis::Redis;
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};
use std::{env, fs, process, thread};
use switchboard::Session;
use switchboard::session::Event;

const SERVERS: usize = 3;
const ROOMS: usize = 4;
/// Subscribers of each room.
const SUBSCRIBERS: usize = 30;
const ROUNDS: usize = 2;
/// No request of a test that passes takes that long.
const LONG: Duration = Duration::from_secs(120);
/// How often something is said in each room.
const PACE: Duration = Duration::from_millis(20);
/// A history that is as long as the test.
const KEEP: [&str; 4] = ["--history", "100000", "--history-bytes", "8M"];

/// Killed when dropped.
struct Proxy {
    child: Child,
    address: SocketAddr,
    config: PathBuf,
}

impl Proxy {
    /// An HAProxy that asks each server ten times in a second whether it is ready.
    fn start(servers: &[SocketAddr]) -> Self {
        let config = env::temp_dir().join(format!("switchboard-haproxy-{}", process::id()));
        let program = env::var("SWITCHBOARD_TEST_HAPROXY").unwrap_or("haproxy".into());
        loop {
            let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let servers = servers.iter().enumerate();
            let servers: String = servers
                .map(|(n, server)| format!("  server s{n} {server} check inter 100ms fall 1 rise 1\n"))
                .collect();
            let text = format!(
                "global\n  maxconn 2000\ndefaults\n  mode http\n  timeout connect 5s\n  timeout client 60s\n  timeout server \
                 60s\n  timeout tunnel 10m\n  timeout check 2s\n  retries 3\n  option redispatch 1\n  retry-on conn-failure \
                 empty-response 503\nlisten all\n  bind {address}\n  balance leastconn\n  option httpchk GET /readyz\n{servers}"
            );
            fs::write(&config, text).unwrap();
            let mut command = Command::new(&program);
            command.args(["-db", "-f"]).arg(&config).stdout(Stdio::null()).stderr(Stdio::piped());
            let mut child = command.spawn().expect("tests/run installs HAProxy");
            let lines = BufReader::new(child.stderr.take().unwrap()).lines();
            thread::spawn(move || lines.for_each(drop));
            let mut is_up = false;
            eventually("HAProxy listens, or has found its port taken", || {
                is_up = std::net::TcpStream::connect(address).is_ok();
                is_up || child.try_wait().unwrap().is_some()
            });
            if is_up {
                return Self { child, address, config };
            }
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.config);
    }
}

/// What the subscribers have seen, all together.
#[derive(Default)]
struct Seen {
    connected: AtomicUsize,
    /// Those who were told when to come back: after how long; and when each of them was back, since when it was gone.
    returns: Mutex<Vec<Return>>,
    /// Tries to come back that came to nothing.
    refused: AtomicUsize,
    /// The number of the last message of each room; once it is known, subscribers that have it end.
    last: Mutex<BTreeMap<usize, u64>>,
    /// Publishers end; so does everybody when the test has failed, for whose threads it waits.
    is_over: AtomicBool,
    has_failed: AtomicBool,
}

/// The end of the test, or of what has become of it.
struct End<'a>(&'a Seen);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, SeqCst);
        self.0.has_failed.store(thread::panicking(), SeqCst);
    }
}

#[derive(Clone, Copy, Debug)]
struct Return {
    planned: Duration,
    away: Duration,
    at: Instant,
}

/// Until it has all that was said, it sees everything once, and in order.
fn subscribe(session: &Session, room: usize, seen: &Seen) {
    let (mut expected, mut is_here, mut gone) = (0, false, None);
    let mut heard = Instant::now();
    while !seen.has_failed.load(SeqCst) {
        let last = seen.last.lock().unwrap().get(&room).copied();
        if last == Some(expected) {
            return;
        }
        let event = session.recv_timeout(Duration::from_millis(100));
        if event.is_some() || last.is_none() {
            heard = Instant::now();
        }
        match event {
            Some(Event::Message(message)) => {
                let number: u64 = message.data.parse().unwrap();
                assert_eq!((number, message.at.offset), (expected, expected + 1), "room {room}");
                expected += 1;
            }
            Some(Event::Connected { .. }) => {
                if let Some((since, planned)) = gone.take() {
                    let at = Instant::now();
                    seen.returns.lock().unwrap().push(Return { planned, away: at - since, at });
                }
                is_here = true;
                seen.connected.fetch_add(1, SeqCst);
            }
            Some(Event::Disconnected { retry_in: Some(planned), .. }) if is_here => {
                is_here = false;
                seen.connected.fetch_sub(1, SeqCst);
                gone = Some((Instant::now(), planned));
            }
            Some(Event::Disconnected { retry_in: Some(_), .. }) => drop(seen.refused.fetch_add(1, SeqCst)),
            Some(Event::Joined { recovered, .. }) => assert!(recovered || expected == 0, "room {room}"),
            Some(Event::Presence { .. }) => {}
            Some(event) => panic!("{event:?}"),
            None => assert!(heard.elapsed() < PATIENCE, "{expected} of {last:?} in room {room}"),
        }
    }
}

/// Publishes the numbers from 0 on, until it is over: how many.
fn publish(session: &Session, room: usize, seen: &Seen) -> u64 {
    let room = session.room(name(room));
    for number in 0.. {
        if seen.is_over.load(SeqCst) {
            return number;
        }
        let at = room.publish(number).unwrap();
        assert_eq!(at.offset, number + 1, "{}", room.name());
        // Not to wait for anything: load has a rate.
        thread::sleep(PACE);
    }
    unreachable!("numbers end")
}

fn name(room: usize) -> String {
    format!("rolling-{room}")
}

/// What came back after one restart: spread, and soon.
fn judge(restart: usize, returns: &[Return], refused: usize) {
    let most = |times: &mut dyn Iterator<Item = u128>| {
        let mut counts = BTreeMap::new();
        times.for_each(|tenth| *counts.entry(tenth).or_insert(0) += 1);
        counts.into_values().max().unwrap_or(0)
    };
    let first = returns.iter().map(|back| back.at).min().unwrap();
    let planned = most(&mut returns.iter().map(|back| back.planned.as_millis() / 100));
    let came = most(&mut returns.iter().map(|back| (back.at - first).as_millis() / 100));
    let count = returns.len();
    // A third of all were there.
    let fewest = ROOMS * SUBSCRIBERS / SERVERS / 2;
    assert!(fewest <= count, "restart {restart}: {returns:?}");
    for back in returns {
        // What the server says is 1 to 5 s.
        assert!(Duration::from_secs(1) <= back.planned && back.planned < Duration::from_secs(7), "{back:?}");
        assert!(back.away < back.planned + PATIENCE, "{back:?}");
    }
    // The proxy finds out within a tenth of a second who is not ready, and tries another server.
    assert!(refused <= count, "{refused} tries of {count} were refused");
    // Evenly spread over 40 tenths, it is a fortieth.
    assert!(planned <= 2 + count / 8, "{planned} of {count} within 100 ms: {returns:?}");
    // A busy machine bunches them.
    assert!(came <= count / 2, "{came} of {count} came within 100 ms");
}

#[test]
#[ignore = "needs Redis and HAProxy: tests/run"]
fn a_rolling_restart_loses_nothing_and_makes_no_herd() {
    let redis = Redis::start(&["--appendonly", "yes"]);
    let url = redis.url();
    let args = [&["--redis", url.as_str()][..], &KEEP].concat();
    let start = |bind: &str| {
        let program = serve_binary_at(bind, &args);
        eventually("it is ready", || is_ready(&program));
        program
    };
    let mut servers: Vec<Program> = (0..SERVERS).map(|_| start("127.0.0.1:0")).collect();
    let proxy = Proxy::start(&servers.iter().map(|server| server.address).collect::<Vec<_>>());
    let at = format!("ws://{}/ws", proxy.address);
    let session = |user: String| Session::builder().user(user).patience(LONG).connect(&at).unwrap();
    let seen = Seen::default();
    let subscribers: Vec<(usize, Session)> =
        (0..ROOMS * SUBSCRIBERS).map(|n| (n % ROOMS, session(format!("subscriber-{n}")))).collect();
    for (room, subscriber) in &subscribers {
        subscriber.join(name(*room)).unwrap();
    }
    let publishers: Vec<Session> = (0..ROOMS).map(|room| session(format!("publisher-{room}"))).collect();
    let all = subscribers.len();
    thread::scope(|threads| {
        let _end = End(&seen);
        for (room, session) in &subscribers {
            let seen = &seen;
            threads.spawn(move || subscribe(session, *room, seen));
        }
        let publishing: Vec<_> = publishers
            .iter()
            .enumerate()
            .map(|(room, session)| {
                let seen = &seen;
                threads.spawn(move || publish(session, room, seen))
            })
            .collect();
        eventually("all are there", || seen.connected.load(SeqCst) == all);
        for restart in 0..ROUNDS * SERVERS {
            let old = servers.remove(0);
            let address = old.address.to_string();
            old.signal(Signal::TERM);
            assert_eq!(old.exit_code(), Some(0), "restart {restart}");
            servers.push(start(&address));
            let is_back = || {
                let returns = seen.returns.lock().unwrap().len();
                seen.connected.load(SeqCst) == all && ROOMS * SUBSCRIBERS / SERVERS / 2 <= returns
            };
            eventually("all are back", is_back);
            let returns = std::mem::take(&mut *seen.returns.lock().unwrap());
            judge(restart, &returns, seen.refused.swap(0, SeqCst));
        }
        seen.is_over.store(true, SeqCst);
        for (room, publishing) in publishing.into_iter().enumerate() {
            let said = publishing.join().unwrap();
            assert!(100 < said, "room {room}: {said}");
            seen.last.lock().unwrap().insert(room, said);
        }
    });
}
