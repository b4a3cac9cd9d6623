//! A raw client that knows the protocol byte by byte and nothing else, so that it can also break it; and the program
//! under test as a child process.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use std::{collections::VecDeque, env, fmt, fs, io, thread};
use switchboard::{Builder, Limits, Result, Server, WebSocket};

/// How long anything may take before a test calls it missing. Never reached by a test that passes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A limit that no test waits for.
pub(crate) const LONG: Duration = Duration::from_secs(60);
/// A limit that a test waits for.
pub(crate) const SHORT: Duration = Duration::from_millis(200);

pub(crate) const CONTINUATION: u8 = 0;
pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// Every message comes back.
pub(crate) fn echo(mut ws: WebSocket) -> Result<()> {
    while let Some(message) = ws.recv()? {
        ws.send(message)?;
    }
    Ok(())
}

/// Every message goes to all members of the room.
pub(crate) fn relay(mut ws: WebSocket) -> Result<()> {
    let room = ws.join(ws.param("room"))?;
    while let Some(message) = ws.recv()? {
        room.send(message);
    }
    Ok(())
}

/// A server in this process on a free port.
pub(crate) fn serve(limits: Limits, routes: impl FnOnce(Builder) -> Builder) -> Server {
    routes(Server::builder().limits(limits)).bind("127.0.0.1:0").unwrap().start().unwrap()
}

/// Waits for something that nobody announces.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// The value of a metric in Prometheus text: of all its series together, or of the one that is named with its label, as
/// `refused_total{status="404"}`.
#[track_caller]
pub(crate) fn metric(text: &str, name: &str) -> u64 {
    let samples = text.lines().filter_map(|line| line.strip_prefix(&format!("switchboard_{name}")));
    let values = samples.filter(|rest| rest.starts_with([' ', '{'])).map(|rest| {
        let (_, value) = rest.rsplit_once(' ').unwrap();
        value.parse::<u64>().unwrap()
    });
    let values: Vec<u64> = values.collect();
    assert!(!values.is_empty(), "no metric {name} in\n{text}");
    values.iter().sum()
}

/// The program, serving on a free port. Killed when dropped.
pub(crate) struct Program {
    child: Child,
    pub(crate) address: SocketAddr,
    /// `http`, or `https` with a certificate.
    pub(crate) scheme: String,
    /// What it says on stderr, line by line.
    said: Receiver<String>,
    /// What somebody has waited for, and what came before it.
    passed: Mutex<Vec<String>>,
}

pub(crate) fn serve_binary(args: &[&str]) -> Program {
    serve_binary_at("127.0.0.1:0", args)
}

pub(crate) fn serve_binary_at(bind: &str, args: &[&str]) -> Program {
    Program::start(switchboard(&["serve", "--bind", bind]).args(args))
}

/// The program, with nothing in its environment that it would take for an option.
pub(crate) fn switchboard(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_switchboard"));
    command.args(args);
    for (name, _) in env::vars().filter(|(name, _)| name.starts_with("SWITCHBOARD_")) {
        command.env_remove(name);
    }
    command
}

/// A program of `examples/`, as `cargo test` has built it.
pub(crate) fn example(name: &str) -> Command {
    let tests = env::current_exe().unwrap();
    let path = tests.parent().unwrap().with_file_name("examples").join(name);
    let advice = format!("cargo build --example {name}");
    // What cargo knows of its sources. `cargo test --test it` does not build examples, so they may be older.
    let sources = fs::read_to_string(path.with_extension("d")).expect(&advice);
    let changed = |path: &Path| fs::metadata(path).and_then(|about| about.modified()).expect(&advice);
    for source in sources.replace("\\ ", "\0").split_once(": ").expect(&advice).1.split_whitespace() {
        let source = source.replace('\0', " ");
        assert!(changed(source.as_ref()) <= changed(&path), "{source} has changed: {advice}");
    }
    Command::new(path)
}

impl Program {
    /// Starts a server, and waits for its first line.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (say, said) = channel();
        // All of it is read, whether anybody asks for it or not: the program must not wait for that.
        thread::spawn(move || stderr.lines().map_while(Result::ok).for_each(|line| drop(say.send(line))));
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim_end().strip_prefix("listening on ").and_then(|url| url.split_once("://"));
        let Some((scheme, Ok(address))) = url.map(|(scheme, address)| (scheme, address.parse())) else {
            panic!("the first line is {line:?}, and then {:?}", said.iter().collect::<Vec<_>>())
        };
        Self { child, address, scheme: scheme.into(), said, passed: Mutex::default() }
    }

    /// Where its pages are, without a slash at the end.
    pub(crate) fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Waits until a line on stderr begins like that; the rest of it. What comes before is passed over.
    #[track_caller]
    pub(crate) fn wait_said(&self, beginning: &str) -> String {
        let (deadline, mut other) = (Instant::now() + PATIENCE, Vec::new());
        loop {
            match self.said.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.passed.lock().unwrap().push(line.clone());
                    match line.strip_prefix(beginning) {
                        Some(rest) => return rest.into(),
                        None => other.push(line),
                    }
                }
                Err(error) => panic!("it never said {beginning:?} ({error}), but {other:?}"),
            }
        }
    }

    /// The most memory that it has had in use so far, in bytes.
    pub(crate) fn peak_memory(&self) -> usize {
        1024 * self.status_of("VmHWM:")
    }

    /// The memory that it has in use, in bytes.
    pub(crate) fn memory(&self) -> usize {
        1024 * self.status_of("VmRSS:")
    }

    pub(crate) fn threads(&self) -> usize {
        self.status_of("Threads:")
    }

    /// A number of `/proc/PID/status`.
    fn status_of(&self, field: &str) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let value = status.lines().find_map(|line| line.strip_prefix(field));
        let number = value.and_then(|value| value.trim_end_matches("kB").trim().parse().ok());
        number.unwrap_or_else(|| panic!("no {field} in {status}"))
    }

    /// Ends it, and gives all that it ever said on stderr.
    pub(crate) fn all_said(mut self) -> String {
        self.signal(rustix::process::Signal::TERM);
        self.child.wait().unwrap();
        let mut lines = std::mem::take(&mut *self.passed.lock().unwrap());
        lines.extend(self.said.iter());
        lines.join("\n")
    }

    /// The exit code; `None` when a signal ended it.
    pub(crate) fn exit_code(mut self) -> Option<i32> {
        eventually("the program ends", || self.child.try_wait().unwrap().is_some());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A response's head, and its body as far as it is known.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let field = self.headers.iter().find(|(field, _)| field.eq_ignore_ascii_case(name));
        field.map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> &str {
        str::from_utf8(&self.body).expect("a body in UTF-8")
    }
}

/// The head at the start of `bytes`, with everything behind it as the body.
fn parse_answer(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = str::from_utf8(&bytes[..end]).expect("a head in UTF-8");
    let (first, rest) = head.split_once("\r\n").unwrap_or((head, ""));
    let status = first.strip_prefix("HTTP/1.1 ").and_then(|first| first.get(..3)?.parse().ok());
    let Some(status) = status else { panic!("no status line: {first:?}") };
    let field = |line: &str| {
        let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("no header field: {line:?}"));
        (name.to_string(), value.to_string())
    };
    let headers = rest.lines().map(field).collect();
    Some(Answer { status, headers, body: bytes[end + 4..].to_vec() })
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// A connection from another address of this machine: all of 127.0.0.0/8 are.
pub(crate) fn connect_from(ip: [u8; 4], address: SocketAddr) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((ip, 0)).into()).unwrap();
    socket.connect_timeout(&address.into(), PATIENCE).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// A connection that buffers little of what it does not read.
pub(crate) fn connect_narrow(address: SocketAddr) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&address.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Lets this process have as many descriptors as it may: it is client and server at once.
pub(crate) fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
}

/// Ends a connection by a TCP reset.
pub(crate) fn reset(stream: TcpStream) {
    let socket = socket2::Socket::from(stream);
    socket.set_linger(Some(Duration::ZERO)).unwrap();
}

/// Sends `request` as it is and reads until the server closes.
pub(crate) fn exchange(address: SocketAddr, request: impl AsRef<[u8]>) -> Answer {
    let mut stream = connect(address);
    stream.write_all(request.as_ref()).unwrap();
    read_answer(&mut stream)
}

/// Reads a response that ends with the connection.
pub(crate) fn read_answer(stream: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap_or_else(|error| panic!("{error} after {}", bytes.escape_ascii()));
    parse_answer(&bytes).unwrap_or_else(|| panic!("no head in {}", bytes.escape_ascii()))
}

/// A request without a body: `line` is as `GET /path`.
pub(crate) fn request(address: SocketAddr, line: &str) -> Answer {
    exchange(address, format!("{line} HTTP/1.1\r\nHost: {address}\r\n\r\n"))
}

pub(crate) fn get(address: SocketAddr, path: &str) -> Answer {
    request(address, &format!("GET {path}"))
}

/// A browser's handshake; `extra` are whole header lines.
pub(crate) fn handshake(address: SocketAddr, path: &str, extra: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: wDqumtseNBJdhkihL6PW7w==\r\nSec-WebSocket-Version: 13\r\n{extra}\r\n"
    )
}

/// A frame as it goes over the wire.
pub(crate) fn frame(opcode: u8, payload: &[u8], is_final: bool, masked: bool) -> Vec<u8> {
    let mut bytes = vec![if is_final { 0x80 } else { 0 } | opcode];
    let mask_bit = if masked { 0x80 } else { 0 };
    match payload.len() {
        short @ 0..=125 => bytes.push(mask_bit | short as u8),
        medium @ 126..=0xffff => {
            bytes.push(mask_bit | 126);
            bytes.extend((medium as u16).to_be_bytes());
        }
        long => {
            bytes.push(mask_bit | 127);
            bytes.extend((long as u64).to_be_bytes());
        }
    }
    if masked {
        bytes.extend(MASK);
        bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, key)| byte ^ key));
    } else {
        bytes.extend(payload);
    }
    bytes
}

pub(crate) fn text_frame(text: &str) -> Vec<u8> {
    frame(TEXT, text.as_bytes(), true, true)
}

pub(crate) fn close_payload(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes()[..], reason.as_bytes()].concat()
}

/// What a server sent.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) is_final: bool,
    pub(crate) opcode: u8,
    pub(crate) payload: Vec<u8>,
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (length, start) = (self.payload.len(), &self.payload[..self.payload.len().min(100)]);
        write!(f, "opcode {}, final {}, {length} bytes: {}", self.opcode, self.is_final, start.escape_ascii())
    }
}

/// A WebSocket client. Whatever it waits for and does not get fails the test.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    pub(crate) answer: Answer,
    /// Received bytes, and where the first that was not taken lies.
    buffer: Vec<u8>,
    start: usize,
    /// Frames that came before the one that was waited for.
    kept: VecDeque<Frame>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr, path: &str) -> Self {
        Self::connect_with(address, path, "")
    }

    pub(crate) fn connect_with(address: SocketAddr, path: &str, extra: &str) -> Self {
        Self::over(connect(address), handshake(address, path, extra)).unwrap_or_else(|answer| {
            panic!("{path}: {} {}", answer.status, String::from_utf8_lossy(&answer.body))
        })
    }

    /// Sends `request`, which may go on behind the handshake. Another answer than 101 comes back, without the body that
    /// may still follow.
    pub(crate) fn over(mut stream: TcpStream, request: impl AsRef<[u8]>) -> Result<Self, Answer> {
        stream.write_all(request.as_ref()).unwrap();
        Self::after_request(stream)
    }

    /// Reads the answer to a handshake that was sent.
    pub(crate) fn after_request(mut stream: TcpStream) -> Result<Self, Answer> {
        let mut buffer = Vec::new();
        let answer = loop {
            let mut part = [0; 4096];
            let read = match stream.read(&mut part) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read.unwrap_or_else(|error| panic!("no answer: {error}")),
            };
            assert_ne!(read, 0, "closed without an answer, but for {}", buffer.escape_ascii());
            buffer.extend_from_slice(&part[..read]);
            if let Some(answer) = parse_answer(&buffer) {
                break answer;
            }
        };
        if answer.status != 101 {
            return Err(answer);
        }
        assert_eq!(answer.header("Sec-WebSocket-Accept"), Some("0FFP+2nmNIf/h+4BP36k9uzrYGk="));
        Ok(Self { stream, buffer: answer.body.clone(), answer, start: 0, kept: VecDeque::new() })
    }

    /// A client whose handler is known to be receiving: what it did before (as joining a room) has reached the hub.
    pub(crate) fn settled(address: SocketAddr, path: &str) -> Self {
        let mut client = Self::connect(address, path);
        client.settle();
        client
    }

    /// Pings and waits for the answer.
    #[track_caller]
    pub(crate) fn settle(&mut self) {
        self.send_frame(PING, b"settle", true);
        loop {
            let frame = self.read_frame();
            if frame.opcode == PONG && frame.payload == b"settle" {
                return;
            }
            self.kept.push_back(frame);
        }
    }

    pub(crate) fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// A masked frame.
    pub(crate) fn send_frame(&mut self, opcode: u8, payload: &[u8], is_final: bool) {
        self.send_raw(&frame(opcode, payload, is_final, true));
    }

    pub(crate) fn send(&mut self, text: &str) {
        self.send_frame(TEXT, text.as_bytes(), true);
    }

    pub(crate) fn send_close(&mut self, code: u16) {
        self.send_frame(CLOSE, &close_payload(code, ""), true);
    }

    /// The next frame, of those kept first.
    #[track_caller]
    pub(crate) fn frame(&mut self) -> Frame {
        match self.kept.pop_front() {
            Some(frame) => frame,
            None => self.read_frame(),
        }
    }

    #[track_caller]
    fn read_frame(&mut self) -> Frame {
        match self.try_read_frame() {
            Ok(frame) => frame,
            Err(end) => panic!("no frame came, but {end}"),
        }
    }

    /// The next frame, or how the connection ended before it was whole.
    pub(crate) fn try_read_frame(&mut self) -> Result<Frame, String> {
        loop {
            if let Some((frame, length)) = parse_frame(&self.buffer[self.start..]) {
                self.start += length;
                return Ok(frame);
            }
            self.buffer.drain(..self.start);
            self.start = 0;
            let mut part = [0; 16 * 1024];
            match self.stream.read(&mut part) {
                Ok(0) if self.buffer.is_empty() => return Err("the end".into()),
                Ok(0) => return Err(format!("the end inside {}", self.buffer.escape_ascii())),
                Ok(read) => self.buffer.extend_from_slice(&part[..read]),
                // A signal to the process, as for a child that ended: a read with a timeout is not begun again by itself.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    /// The next message, which must be a text in one frame.
    #[track_caller]
    pub(crate) fn text(&mut self) -> String {
        let frame = self.frame();
        assert!(frame.opcode == TEXT && frame.is_final, "no text, but {frame:?}");
        String::from_utf8(frame.payload).unwrap()
    }

    /// Passes over texts until that one.
    #[track_caller]
    pub(crate) fn wait_text(&mut self, text: &str) {
        while self.text() != text {}
    }

    /// Passes over texts until one that holds this.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, part: &str) {
        while !self.text().contains(part) {}
    }

    #[track_caller]
    pub(crate) fn expect(&mut self, text: &str) {
        assert_eq!(self.text(), text);
    }

    /// Code and reason of the Close frame that comes next.
    #[track_caller]
    pub(crate) fn close(&mut self) -> (u16, String) {
        let frame = self.frame();
        assert!(frame.opcode == CLOSE && frame.is_final, "no Close, but {frame:?}");
        parse_close(&frame.payload)
    }

    #[track_caller]
    pub(crate) fn expect_close(&mut self, code: u16) {
        let (got, reason) = self.close();
        assert_eq!(got, code, "{reason}");
    }

    /// Waits for TCP's end, clean or by a reset; what still comes before it must not be a frame.
    #[track_caller]
    pub(crate) fn expect_end(&mut self) {
        let mut rest = self.buffer.split_off(self.start);
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
            Err(error) => panic!("no end, but {error}"),
        }
        assert_eq!(rest.escape_ascii().to_string(), "", "after the last frame");
    }

    /// The whole closing handshake, begun by the client.
    #[track_caller]
    pub(crate) fn leave(mut self) {
        self.send_close(1000);
        self.expect_close(1000);
        self.expect_end();
    }

    /// Nothing more is sent by the client; it still reads.
    pub(crate) fn end_sending(&self) {
        // It may have ended before.
        let _ = self.stream.shutdown(Shutdown::Write);
    }
}

pub(crate) fn parse_close(payload: &[u8]) -> (u16, String) {
    match payload.split_first_chunk::<2>() {
        None => (1005, String::new()),
        Some((code, reason)) => (u16::from_be_bytes(*code), String::from_utf8(reason.to_vec()).unwrap()),
    }
}

/// The frame at the start of `bytes` and its length. A server's frames are unmasked and have no reserved bits.
fn parse_frame(bytes: &[u8]) -> Option<(Frame, usize)> {
    let (&[first, second], rest) = bytes.split_first_chunk::<2>()?;
    assert_eq!((first & 0x70, second & 0x80), (0, 0), "no frame of a server: {first:#x} {second:#x}");
    let (length, rest) = match second {
        126 => rest.split_first_chunk().map(|(l, rest)| (u64::from(u16::from_be_bytes(*l)), rest))?,
        127 => rest.split_first_chunk().map(|(l, rest)| (u64::from_be_bytes(*l), rest))?,
        short => (u64::from(short), rest),
    };
    let payload = rest.get(..length as usize)?.to_vec();
    let size = bytes.len() - rest.len() + payload.len();
    Some((Frame { is_final: first & 0x80 != 0, opcode: first & 0x0f, payload }, size))
}
