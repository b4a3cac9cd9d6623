//! What `switchboard.v1` costs beside a plain room, and how much can be made durable: `cargo bench --bench publish`.
//!
//! The server is a process of its own. One thread is all 1000 members of one room: one of them publishes messages of 64
//! bytes, some on their way at a time; one has arrived when all members have it, and, at `/ws`, when it is acknowledged. A row
//! is one server process: its CPU time (user and system). Ratios are of medians over the rounds. Then one client publishes to a
//! room without members, with 32 on their way, into a store on the disk of the temporary folder.
#![allow(clippy::print_stdout, reason = "a program for the terminal")]

mod common;

use common::{Server, TICKS, pin, ticks};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;
use std::{env, fs};

const MEMBERS: usize = 1000;
const ROUNDS: usize = 3;
const SERVE: [&str; 4] =
    [env!("CARGO_BIN_EXE_switchboard"), "serve", "--bind=127.0.0.1:0", "--ping-interval=600s"];

fn main() {
    // `cargo test --all-targets` calls benchmarks, too, without this.
    if !env::args().any(|argument| argument == "--bench") {
        return;
    }
    let pinned = pin();
    let folder = env::temp_dir().join(format!("switchboard-bench-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let store = |number: usize| format!("--store={}", folder.join(number.to_string()).display());
    println!("{MEMBERS} members, messages of 64 bytes; pinned: {pinned}");
    println!("in flight   path                  CPU µs/delivery   deliveries/s");
    for (window, messages) in [(1, 300), (32, 4000)] {
        let mut costs = [const { Vec::new() }; 3];
        for round in 0..ROUNDS {
            let store = store(window * 10 + round);
            let ways = [("/room/r", None), ("/ws", None), ("/ws with a store", Some(store.as_str()))];
            for ((path, option), costs) in ways.into_iter().zip(&mut costs) {
                let command: Vec<&str> = SERVE.into_iter().chain(option).collect();
                let [cost, rate] = measure(&command, pinned, path != "/room/r", window, messages);
                println!("{window:9}   {path:<19} {cost:17.2} {rate:14.0}");
                costs.push(cost);
            }
        }
        costs.iter_mut().for_each(|costs| costs.sort_by(f64::total_cmp));
        for (what, at, target) in [("/ws", 1, " (target: at most 1.3)"), ("/ws with a store", 2, "")] {
            let ratio = costs[at][ROUNDS / 2] / costs[0][ROUNDS / 2];
            println!("{what} / plain, {window} in flight: {ratio:.2}{target}");
        }
    }
    for round in 0..ROUNDS {
        println!(
            "durable: {:.0} publishes/s, 32 in flight (target: at least 20000)",
            durable(&store(round), 40_000)
        );
    }
    fs::remove_dir_all(folder).unwrap();
}

/// CPU µs for a delivery, deliveries/s; after a tenth that is not measured.
fn measure(command: &[&str], pinned: bool, protocol: bool, window: usize, messages: usize) -> [f64; 2] {
    let (server, port) = Server::start(pinned, command);
    let mut room = Room::open(port, protocol);
    room.publish(messages / 10 + 1, window);
    let cpu = || ticks(&format!("/proc/{}/stat", server.0.id()), &[11, 12]);
    let (start, before) = (Instant::now(), cpu());
    room.publish(messages, window);
    let (seconds, used) = (start.elapsed().as_secs_f64(), (cpu() - before) / TICKS);
    let deliveries = (messages * MEMBERS) as f64;
    [used * 1e6 / deliveries, deliveries / seconds]
}

/// Publishes/s of one client.
fn durable(store: &str, messages: usize) -> f64 {
    let command: Vec<&str> = SERVE.into_iter().chain([store]).collect();
    let (_server, port) = Server::start(false, &command);
    let mut publisher = Member::connect(port, "/ws");
    let (start, mut sent, mut acknowledged) = (Instant::now(), 0, 0);
    while acknowledged < messages {
        let mut frames = Vec::new();
        while sent < messages.min(acknowledged + 32) {
            frames.extend(frame(&request(sent)));
            sent += 1;
        }
        publisher.stream.write_all(&frames).unwrap();
        publisher.read(&mut [0; 1 << 16], |payload| {
            acknowledged += usize::from(payload.starts_with(br#"{"type":"published""#));
        });
    }
    messages as f64 / start.elapsed().as_secs_f64()
}

fn request(number: usize) -> String {
    format!(r#"{{"type":"publish","room":"r","data":"{}","id":{number}}}"#, "x".repeat(64))
}

/// A text from a client, with a mask of zeros: RFC 6455 §5.3 lets clients choose any.
fn frame(text: &str) -> Vec<u8> {
    let length = match text.len() {
        short @ ..126 => vec![0x80 | short as u8],
        long => vec![0xfe, (long >> 8) as u8, long as u8],
    };
    [&[0x81], &length[..], &[0; 4], text.as_bytes()].concat()
}

struct Member {
    stream: TcpStream,
    rest: Vec<u8>,
    received: usize,
}

impl Member {
    fn connect(port: u16, path: &str) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_nodelay(true).unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let (mut answer, mut byte) = (String::new(), [0]);
        while !answer.ends_with("\r\n\r\n") {
            stream.read_exact(&mut byte).unwrap();
            answer.push(byte[0].into());
        }
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        Self { stream, rest: Vec::new(), received: 0 }
    }

    /// Reads once, and shows each whole payload.
    fn read(&mut self, buffer: &mut [u8], mut each: impl FnMut(&[u8])) {
        let count = self.stream.read(buffer).unwrap();
        assert!(0 < count, "the server closed a member's connection");
        self.rest.extend_from_slice(&buffer[..count]);
        let mut start = 0;
        while let Some([_, length]) = self.rest[start..].first_chunk() {
            let (head, length) = match (*length, self.rest[start..].first_chunk()) {
                (126, Some([_, _, high, low])) => (4, usize::from(u16::from_be_bytes([*high, *low]))),
                (126, None) => break,
                (127, _) => panic!("no message is that long"),
                (short, _) => (2, short.into()),
            };
            let Some(payload) = self.rest[start + head..].get(..length) else { break };
            each(payload);
            start += head + length;
        }
        self.rest.drain(..start);
    }
}

/// All members, of which the first one publishes.
struct Room {
    members: Vec<Member>,
    epoll: rustix::fd::OwnedFd,
    protocol: bool,
    published: usize,
    acknowledged: usize,
}

impl Room {
    fn open(port: u16, protocol: bool) -> Self {
        let path = if protocol { "/ws" } else { "/room/r" };
        let mut members: Vec<Member> = (0..MEMBERS).map(|_| Member::connect(port, path)).collect();
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
        for (member, at) in members.iter_mut().zip(0..) {
            if protocol {
                member.stream.write_all(&frame(r#"{"type":"join","room":"r","id":"join"}"#)).unwrap();
                let mut is_in = false;
                while !is_in {
                    member.read(&mut [0; 1 << 16], |payload| {
                        is_in |= payload.starts_with(br#"{"type":"joined""#);
                    });
                }
            }
            epoll::add(&epoll, &member.stream, epoll::EventData::new_u64(at), epoll::EventFlags::IN).unwrap();
        }
        Self { members, epoll, protocol, published: 0, acknowledged: 0 }
    }

    /// Publishes as many messages more, and waits until everybody has all of them.
    fn publish(&mut self, messages: usize, window: usize) {
        let (start, end) = (self.published, self.published + messages);
        let (mut events, mut buffer) = (Vec::with_capacity(256), vec![0; 1 << 18]);
        let (mut arrived, mut total) = (start, start * MEMBERS);
        let plain = "x".repeat(64);
        while total < end * MEMBERS || (self.protocol && self.acknowledged < end) {
            let mut frames = Vec::new();
            while self.published < end.min(arrived + window) {
                frames.extend(frame(&if self.protocol { request(self.published) } else { plain.clone() }));
                self.published += 1;
            }
            self.members[0].stream.write_all(&frames).unwrap();
            let patience = Timespec { tv_sec: 20, tv_nsec: 0 };
            let count = epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&patience)).unwrap();
            assert!(0 < count, "nothing comes after {arrived} messages");
            for event in events.drain(..) {
                let member = &mut self.members[event.data.u64() as usize];
                let (mut received, mut acknowledged) = (0, 0);
                member.read(&mut buffer, |payload| {
                    let is_message = !self.protocol || payload.starts_with(br#"{"type":"message""#);
                    received += usize::from(is_message);
                    acknowledged += usize::from(payload.starts_with(br#"{"type":"published""#));
                });
                member.received += received;
                total += received;
                self.acknowledged += acknowledged;
            }
            arrived = total / MEMBERS;
        }
        assert!(
            self.members.iter().all(|member| member.received == end),
            "each member has each message once"
        );
    }
}
