//! What a delivery costs in a room of 1000, with and without permessage-deflate: `cargo bench --bench broadcast`.
//! With `SWITCHBOARD_BENCH_NODE=/path/to/node_modules` (with `ws`) also Node, with a `Set` of sockets as the room.
//!
//! The server is a process of its own. One thread is all members: one of them publishes messages of 2 KiB of JSON,
//! all different and sent uncompressed, 8 on their way at a time; one has arrived when all members have it. Every
//! frame's header and contents are checked. A row is one server process: its CPU time (user and system), and how many
//! cores something else kept busy meanwhile; above 0.1, better measure again. Ratios are of medians over the rounds.
#![allow(clippy::print_stdout, reason = "a program for the terminal")]

mod common;

use common::{Server, TICKS, pin, ticks};
use flate2::{Decompress, FlushDecompress};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::fd::OwnedFd;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::id;
use std::time::Instant;
use std::{env, mem};

const MEMBERS: usize = 1000;
const SIZE: usize = 2048;
const WINDOW: usize = 8;
const ROUNDS: usize = 3;
const TARGETS: [(&str, usize, usize, f64); 2] =
    [("compressed / plain", 1, 0, 1.5), ("Switchboard / Node, both compressed", 1, 2, 0.2)];
const NODE: &str = r#"
const { WebSocketServer } = require(process.argv[1] + '/ws');
const perMessageDeflate = { threshold: 1024, serverNoContextTakeover: true, clientNoContextTakeover: true };
const room = new Set();
const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate }, () =>
  console.log('listening on http://127.0.0.1:' + server.address().port));
server.on('connection', (ws) => {
  room.add(ws);
  ws.on('message', (data, binary) => { for (const member of room) member.send(data, { binary }); });
  ws.on('close', () => room.delete(ws));
});
"#;

fn main() {
    // `cargo test --all-targets` calls benchmarks, too, without this.
    if !env::args().any(|argument| argument == "--bench") {
        return;
    }
    let pinned = pin();
    let modules = env::var("SWITCHBOARD_BENCH_NODE").ok();
    let ours = [env!("CARGO_BIN_EXE_switchboard"), "serve", "--bind=127.0.0.1:0", "--ping-interval=600s"];
    let mut setups = vec![("Switchboard", &ours[..], false, 4000), ("Switchboard", &ours[..], true, 4000)];
    let node = modules.as_ref().map(|modules| ["node", "-e", NODE, modules]);
    setups.extend(node.as_ref().map(|node| ("Node, ws", &node[..], true, 60)));
    println!("{MEMBERS} members, messages of {SIZE} bytes, {WINDOW} in flight; pinned: {pinned}");
    println!("server        deflate   CPU µs/delivery   deliveries/s   bytes/delivery   others, cores");
    let mut costs = vec![Vec::new(); setups.len()];
    for _ in 0..ROUNDS {
        for ((name, command, compressed, messages), costs) in setups.iter().zip(&mut costs) {
            let [cost, rate, bytes, others] = measure(command, pinned, *compressed, *messages);
            println!("{name:<13} {compressed:<7} {cost:17.2} {rate:14.0} {bytes:16.0} {others:15.2}");
            costs.push(cost);
        }
    }
    costs.iter_mut().for_each(|costs| costs.sort_by(f64::total_cmp));
    for (what, over, under, target) in TARGETS.into_iter().filter(|target| target.2 < costs.len()) {
        let ratio = costs[over][ROUNDS / 2] / costs[under][ROUNDS / 2];
        println!("{what}: {ratio:.2} (target: at most {target})");
    }
}

/// CPU µs for a delivery, deliveries/s, bytes for a delivery, other load; after a tenth that is not measured.
fn measure(command: &[&str], pinned: bool, compressed: bool, messages: usize) -> [f64; 4] {
    let (server, port) = Server::start(pinned, command);
    let mut room = Room::open(port, compressed, messages + messages / 10);
    room.publish(messages / 10);
    // User and system time of both processes; all that the machine spent on anything but waiting.
    let process = |pid: u32| ticks(&format!("/proc/{pid}/stat"), &[11, 12]);
    let ticks = || [process(server.0.id()), process(id()), ticks("/proc/stat", &[1, 2, 3, 6, 7, 8])];
    let (start, before, bytes) = (Instant::now(), ticks(), room.bytes);
    room.publish(messages);
    let (seconds, after) = (start.elapsed().as_secs_f64(), ticks());
    let [server, load, machine] = [0, 1, 2].map(|at| (after[at] - before[at]) / TICKS);
    let deliveries = (messages * MEMBERS) as f64;
    let (bytes, others) = ((room.bytes - bytes) as f64, (machine - server - load) / seconds);
    [server * 1e6 / deliveries, deliveries / seconds, bytes / deliveries, others]
}

struct Member {
    stream: TcpStream,
    rest: Vec<u8>,
    received: usize,
}

struct Room {
    members: Vec<Member>,
    epoll: OwnedFd,
    compressed: bool,
    messages: Vec<Vec<u8>>,
    /// The payload with which each message came first, found right.
    right: Vec<Vec<u8>>,
    /// How many members have each message.
    counts: Vec<usize>,
    published: usize,
    bytes: usize,
}

impl Room {
    fn open(port: u16, compressed: bool, messages: usize) -> Self {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
        let members: Vec<_> = (0..MEMBERS).map(|_| join(port, compressed)).collect();
        for (member, at) in members.iter().zip(0..) {
            member.stream.set_nonblocking(true).unwrap();
            epoll::add(&epoll, &member.stream, epoll::EventData::new_u64(at), epoll::EventFlags::IN).unwrap();
        }
        let (right, counts) = (vec![Vec::new(); messages], vec![0; messages]);
        let messages = (0..messages).map(json).collect();
        Self { members, epoll, compressed, messages, right, counts, published: 0, bytes: 0 }
    }

    /// Publishes as many messages more, and waits until everybody has all of them.
    fn publish(&mut self, messages: usize) {
        let (mut complete, end) = (self.published, self.published + messages);
        let (mut events, mut buffer) = (Vec::with_capacity(256), vec![0; 1 << 18]);
        while complete < end {
            while self.published < end.min(complete + WINDOW) {
                // A mask of zeros: RFC 6455 §5.3 lets clients choose any.
                let head = [0x81, 0xfe, (SIZE >> 8) as u8, SIZE as u8, 0, 0, 0, 0];
                let frame = [&head[..], &self.messages[self.published]].concat();
                self.members[0].stream.write_all(&frame).unwrap();
                self.published += 1;
            }
            let patience = Timespec { tv_sec: 20, tv_nsec: 0 };
            let count = epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&patience)).unwrap();
            assert!(0 < count, "nothing comes after {complete} messages");
            for event in events.drain(..) {
                self.read(event.data.u64() as usize, &mut buffer);
            }
            complete += self.counts[complete..].iter().take_while(|count| **count == MEMBERS).count();
        }
    }

    fn read(&mut self, at: usize, buffer: &mut [u8]) {
        let member = &mut self.members[at];
        let count = member.stream.read(buffer).unwrap();
        assert!(0 < count, "the server closed a member's connection");
        self.bytes += count;
        member.rest.extend_from_slice(&buffer[..count]);
        let (taken, mut start) = (mem::take(&mut member.rest), 0);
        while let Some([kind, length, high, low]) = taken[start..].first_chunk() {
            // FIN, text, and RSV1 when it is compressed; a length of two bytes.
            assert_eq!([*kind, *length], [if self.compressed { 0xc1 } else { 0x81 }, 126]);
            let length = u16::from_be_bytes([*high, *low]).into();
            let Some(payload) = taken[start + 4..].get(..length) else { break };
            let number = member.received;
            if self.right[number] != payload {
                let message = if self.compressed { inflate(payload) } else { payload.to_vec() };
                assert!(message == self.messages[number], "message {number} came as something else");
                self.right[number] = payload.to_vec();
            }
            self.counts[number] += 1;
            member.received += 1;
            start += 4 + payload.len();
        }
        member.rest.extend_from_slice(&taken[start..]);
    }
}

/// Returns when the server has answered a ping: then the connection is a member.
fn join(port: u16, compressed: bool) -> Member {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_nodelay(true).unwrap();
    let extension = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    let offer = if compressed { format!("Sec-WebSocket-Extensions: {extension}\r\n") } else { String::new() };
    let request = format!(
        "GET /room/r HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{offer}\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let (mut answer, mut byte) = (String::new(), [0]);
    while !answer.ends_with("\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        answer.push(byte[0].into());
    }
    assert!(answer.starts_with("HTTP/1.1 101 ") && answer.contains(extension) == compressed, "{answer}");
    stream.write_all(&[0x89, 0x80, 0, 0, 0, 0]).unwrap();
    let mut pong = [0; 2];
    stream.read_exact(&mut pong).unwrap();
    assert_eq!(pong, [0x8a, 0]);
    Member { stream, rest: Vec::new(), received: 0 }
}

/// RFC 7692 §7.2.2
fn inflate(payload: &[u8]) -> Vec<u8> {
    let (mut message, input) = (Vec::with_capacity(SIZE + 1), [payload, &[0, 0, 0xff, 0xff]].concat());
    Decompress::new(false).decompress_vec(&input, &mut message, FlushDecompress::Sync).unwrap();
    message
}

/// Some chat messages, `SIZE` bytes in all.
fn json(number: usize) -> Vec<u8> {
    let words = "the room is open again after lunch please bring notes and a question for everyone who could not \
        come yesterday we measured latency of seventeen servers under load while rain fell outside maybe nobody";
    let words: Vec<&str> = words.split(' ').collect();
    let mut state = number as u64;
    let mut random = move |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut json = format!(r#"{{"room":"r","number":{number},"messages":["#);
    while json.len() < SIZE - 250 {
        let text: Vec<&str> = (0..5 + random(12)).map(|_| words[random(words.len())]).collect();
        let (id, from, score, text) = (random(100_000_000), random(1000), random(10_000), text.join(" "));
        json += &format!(r#"{{"id":{id},"from":"user{from}","score":0.{score},"text":"{text}"}},"#);
    }
    let rest: Vec<&str> = (0..150).map(|_| words[random(words.len())]).collect();
    format!("{json}\"{}\"]}}", &rest.join(" ")[..SIZE - json.len() - 4]).into_bytes()
}
