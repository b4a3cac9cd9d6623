//! What a client may send, hold or forge that is meant to do harm, and what it gets.
//!
//! After each row somebody who connected before is still served within [`PROMPT`]. Where the target is the program its memory
//! is back, too: its resident set (`VmRSS`) is within [`GROWTH`] of what it was before the first row. Where it is a server in
//! this process (slow clients, for which deadlines are shortened; quotas) the memory would be everybody's.
//!
//! | input | what it gets | where |
//! |---|---|---|
//! | no request line, no Host, two Hosts, a blank before a colon; CL and TE; HTTP/2's preface; TLS | 400, 501, 505 | `http` |
//! | a URL of 9 KB, a header of 9 KB, 70 headers, a body over the limit | 414, 431, 413 | `http` |
//! | a head that drips in, or never comes | 408 | `http` |
//! | names with control characters, no UTF-8, too long | 400 | `http` |
//! | foreign pages | 403 | `http` |
//! | lengths that are no numbers or differ, bare CR, NUL, folded lines, forms of targets and of Host | 400 | [`heads_that_one_server_reads_so_and_another_otherwise`] |
//! | bare LF, an absolute target of another host, a body that nobody asked for, more requests behind one | one answer | the same |
//! | a URL of 100 KB, 1000 headers, a header of 1 MB, 1 MB of blank lines | 414, 431, 400 | [`heads_that_are_too_large`] |
//! | paths with `..`, `//`, `\`, encoded or not; overlong UTF-8 | 404, 400 | [`paths_that_lead_elsewhere`] |
//! | every method; every version | 405, 400, 505 | [`methods_and_versions_of_every_kind`] |
//! | Origins foreign, twice, `null`, empty, huge, not ASCII | 403, 431 | [`origins_of_every_kind`] |
//! | a body with the handshake, HTTP/1.0, folded and repeated fields of it | 400, 426 | [`handshakes_that_smuggle`] |
//! | a body never sent, dripping, without end, in chunks, after `100 Continue` | 408, 413 | [`bodies_that_never_come`] |
//! | a reserved bit or opcode, no mask, lengths of 2^62 and 2^63, misplaced fragments | 1002, 1007, 1009 | `attacks` |
//! | each reserved bit and opcode, each unmasked, lengths of 2^32 and 2^63 - 1, overlong UTF-8, other protocols | 1002, 1007, 1009 | [`frames_that_no_client_sends`] |
//! | lengths coded longer than they need be | taken | the same |
//! | frames torn byte by byte | taken | `attacks` |
//! | frames cut anywhere, by a FIN or a reset | the end | [`frames_that_end_anywhere`] |
//! | 1 MiB that inflates to 1 GiB | 1009 | `attacks` |
//! | a flood of pings; of messages whose echoes are not read; of data after Close | backpressure, 5 s | `attacks` |
//! | tiny messages, pongs, empty fragments, 1-byte fragments, Close after Close | nothing, or 1009 | [`floods_of_tiny_frames`] |
//! | the same, more than a rate allows | 1008 | `hostile_quotas` |
//! | 1000 connections that are idle, 1000 that ask nothing, 1000 that do not read | nothing | [`thousands_of_connections_of_one_address`] |
//! | 1000 connections, more than one address may have | 1008, 429 | `hostile_quotas` |
//! | half-open handshakes | 408 | `attacks` |
//! | a crowd of heads that drip in | 408 | [`a_crowd_that_drips`] |
//! | half-closed connections | the answer | [`half_closed_connections`] |
//! | 10 000 connections that come and go, in all ways | nothing | `lifecycle` |
//! | 10 000 that connect and leave at once | nothing | [`ten_thousand_that_connect_and_leave`] |
//! | more new connections than a rate allows; the refused that stay; messages that a check refuses, without end | 429, cut, lost | `hostile_quotas` |
//! | tokens missing, empty, wrong, repeated, oversized, not ASCII, by each way they may come | 401, 403, 400, 1008 | `hostile_quotas` |
//! | who is denied and does not go, or goes on sending | cut | `hostile_quotas` |
//! | `X-Forwarded-For` and PROXY headers of whoever is no proxy, or in pieces, or wrong | not believed, 400 | `hostile_quotas` |
//! | plain HTTP or garbage for TLS, handshakes that stop | 400, an alert, the end | `tls` |

use crate::support::{
    BINARY, CLOSE, CONTINUATION, Client, PING, PONG, Program, TEXT, close_payload, connect, connect_from,
    connect_narrow, echo, eventually, frame, handshake, metric, raise_descriptor_limit, reset, serve,
    switchboard, text_frame,
};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;
use switchboard::{Limits, Response};

const KIB: usize = 1024;
/// For whoever was there before to be answered: usually at once.
const PROMPT: Duration = Duration::from_secs(10);
/// How much more memory the program may have resident than before: what the allocator keeps.
const GROWTH: usize = 8 * KIB * KIB;

/// Somebody who connected before.
pub(crate) struct Witness {
    client: Client,
    rows: usize,
}

impl Witness {
    pub(crate) fn new(address: SocketAddr, path: &str) -> Self {
        let client = Client::settled(address, path);
        client.stream.set_read_timeout(Some(PROMPT)).unwrap();
        Self { client, rows: 0 }
    }

    /// It is served as ever.
    #[track_caller]
    pub(crate) fn check(&mut self, row: &str) {
        self.rows += 1;
        let text = format!("after {} rows", self.rows);
        self.client.send(&text);
        loop {
            match self.client.try_read_frame() {
                // It may have been silent for long enough to be asked whether it lives.
                Ok(frame) if frame.opcode == PING => {}
                Ok(frame) => return assert_eq!(frame.payload, text.as_bytes(), "after {row}"),
                Err(end) => panic!("after {row}: {end}"),
            }
        }
    }
}

/// The program, somebody who is connected to it, and its memory at rest.
struct Target {
    program: Program,
    witness: Witness,
    memory: usize,
}

impl Target {
    fn new() -> Self {
        // glibc gives each thread a cache and shares several heaps among them: what they keep would be a matter of chance.
        let mut command = switchboard(&["serve", "--bind", "127.0.0.1:0"]);
        let tunables = "glibc.malloc.tcache_count=0:glibc.malloc.arena_max=1";
        let program = Program::start(command.env("GLIBC_TUNABLES", tunables));
        let mut witness = Witness::new(program.address, "/echo");
        witness.check("nothing");
        let memory = program.memory();
        Self { program, witness, memory }
    }

    fn address(&self) -> SocketAddr {
        self.program.address
    }

    #[track_caller]
    fn check(&mut self, row: &str) {
        self.witness.check(row);
        let most = self.memory + GROWTH;
        eventually(&format!("{row}: less than {most} bytes resident"), || self.program.memory() <= most);
    }
}

/// Sends what the server may not want to read, and reads all it answers: the status, and how many answers it were.
fn ask(address: SocketAddr, bytes: &[u8]) -> (u16, usize) {
    let mut stream = connect(address);
    // The server may have answered and hung up before all of it has gone.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    let answers = answer.lines().filter(|line| line.starts_with("HTTP/1.1 ")).count();
    (status.unwrap_or(0), answers)
}

fn check_heads(rows: &[(&str, Vec<u8>, u16)]) {
    let mut target = Target::new();
    for (row, bytes, status) in rows {
        assert_eq!(ask(target.address(), bytes), (*status, 1), "{row}");
        target.check(row);
    }
}

/// A good request with other header lines.
fn with(lines: &str) -> Vec<u8> {
    format!("GET /healthz HTTP/1.1\r\nHost: a\r\n{lines}\r\n").into_bytes()
}

/// A request with that line and nothing else that is wrong.
fn line(line: &str) -> Vec<u8> {
    format!("{line}\r\nHost: a\r\n\r\n").into_bytes()
}

#[test]
fn heads_that_one_server_reads_so_and_another_otherwise() {
    let chunked = "GET /healthz HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    check_heads(&[
        ("TE before CL", with("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n"), 400),
        ("two lengths", with("Content-Length: 1\r\nContent-Length: 2\r\n"), 400),
        ("a length with +", with("Content-Length: +1\r\n"), 400),
        ("a length below zero", with("Content-Length: -1\r\n"), 400),
        ("a length in hexadecimal", with("Content-Length: 0x1\r\n"), 400),
        ("a length twice, the same", with("Content-Length: 0, 0\r\n"), 200),
        ("TE of another kind", with("Transfer-Encoding: xchunked\r\n"), 400),
        ("TE of two kinds", with("Transfer-Encoding: gzip, chunked\r\n"), 501),
        ("TE twice", with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), 400),
        (
            "TE in HTTP/1.0",
            b"GET /healthz HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".into(),
            400,
        ),
        ("TE behind a blank", with("Transfer-Encoding : chunked\r\n"), 400),
        ("TE behind a tab", with("Transfer-Encoding\t: chunked\r\n"), 400),
        ("good chunks", format!("{chunked}5\r\nhello\r\n0\r\n\r\n").into(), 200),
        ("a request behind chunks", format!("{chunked}0\r\n\r\n{chunked}0\r\n\r\n").into(), 200),
        ("a chunk of 2^64 - 1", format!("{chunked}ffffffffffffffff\r\n").into(), 413),
        ("a chunk of 2^64", format!("{chunked}10000000000000000\r\n").into(), 400),
        ("a chunk below zero", format!("{chunked}-1\r\n").into(), 400),
        ("a chunk of 0x5", format!("{chunked}0x5\r\n").into(), 400),
        ("a chunk without a size", format!("{chunked}\r\n").into(), 400),
        ("a chunk that is longer", format!("{chunked}5\r\nhello!\r\n0\r\n\r\n").into(), 400),
        ("a bare LF in a chunk's extension", format!("{chunked}2;\nxx\r\n4c\r\n0\r\n\r\n").into(), 400),
        ("a bare LF behind a chunk's size", format!("{chunked}5\nhello\r\n0\r\n\r\n").into(), 400),
        ("an extension of 9 KB", format!("{chunked}0;{}", "x".repeat(9000)).into(), 400),
        ("trailers of 9 KB", format!("{chunked}0\r\nx: {}", "x".repeat(9000)).into(), 431),
        ("a folded line", with("X: a\r\n b\r\n"), 400),
        ("a folded line first", line("GET /healthz HTTP/1.1\r\n X: a"), 400),
        ("a bare CR in a value", with("X: a\rContent-Length: 9\r\n"), 400),
        ("a bare CR for a line's end", with("X: a\r\r\n"), 400),
        ("bare LFs for lines' ends", b"GET /healthz HTTP/1.1\nHost: a\n\n".into(), 200),
        ("NUL in a name", with("X\0: a\r\n"), 400),
        ("NUL in a value", with("X: \0\r\n"), 400),
        ("NUL in the target", line("GET /\0 HTTP/1.1"), 400),
        ("no name", with(": a\r\n"), 400),
        ("no colon", with("X\r\n"), 400),
        ("Host twice, in other letters", with("hOST: a\r\n"), 400),
        ("two Hosts in one", b"GET /healthz HTTP/1.1\r\nHost: a b\r\n\r\n".into(), 400),
        ("a Host with a user", b"GET /healthz HTTP/1.1\r\nHost: u@a\r\n\r\n".into(), 400),
        ("another host's URL", line("GET http://b.example/healthz HTTP/1.1"), 200),
        ("a URL with a user", line("GET http://u:p@a/healthz HTTP/1.1"), 400),
        ("a URL of another kind", line("GET ftp://a/healthz HTTP/1.1"), 400),
        ("a host to connect to", line("CONNECT a:443 HTTP/1.1"), 400),
        ("the server as a whole", line("OPTIONS * HTTP/1.1"), 400),
        ("a fragment", line("GET /healthz#a HTTP/1.1"), 400),
        ("two blanks", line("GET  /healthz HTTP/1.1"), 400),
        ("a tab for a blank", line("GET\t/healthz HTTP/1.1"), 400),
        ("the same field often", with(&"Cookie: a\r\n".repeat(50)), 200),
        (
            "values that are no ASCII",
            [&b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: \xff\xc0\xaf\r\n\r\n"[..]].concat(),
            200,
        ),
        ("a body to a GET", [with("Content-Length: 5\r\n"), b"hello".into()].concat(), 200),
        ("an expectation of the unknown", with("Expect: 200-maybe\r\n"), 200),
        ("three requests in one", with("").repeat(3), 200),
        ("a request behind a refused one", [line("BREW / HTTP/1.1"), with("")].concat(), 405),
        ("a request behind a bad one", [with("X\r\n"), with("")].concat(), 400),
    ]);
}

#[test]
fn heads_that_are_too_large() {
    let long = |length| "x".repeat(length);
    check_heads(&[
        ("a URL of 100 KB", line(&format!("GET /{} HTTP/1.1", long(100_000))), 414),
        ("a URL of 1 MB", line(&format!("GET /{} HTTP/1.1", long(1_000_000))), 414),
        ("a method of 9 KB", line(&format!("{} / HTTP/1.1", long(9000))), 414),
        ("1000 headers", with(&"X: y\r\n".repeat(1000)), 431),
        ("a header of 1 MB", with(&format!("X: {}\r\n", long(1_000_000))), 431),
        ("a header's name of 1 MB", with(&format!("{}: y\r\n", long(1_000_000))), 431),
        ("1 MB of blank lines", b"\r\n".repeat(500_000), 400),
        ("a length of 4000 digits", with(&format!("Content-Length: {}\r\n", "9".repeat(4000))), 413),
    ]);
}

#[test]
fn paths_that_lead_elsewhere() {
    let rows: Vec<(&str, Vec<u8>, u16)> = [
        ("/../../etc/passwd", 404),
        ("/%2e%2e%2f%2e%2e%2fetc%2fpasswd", 404),
        ("/%252e%252e%252fetc", 404),
        ("/..%5c..%5cwindows", 404),
        ("/..\\..\\windows", 404),
        ("//etc/passwd", 404),
        ("/./healthz", 404),
        ("/healthz/..", 404),
        ("/healthz/", 404),
        ("/healthz;a=b", 404),
        ("/healthz%00", 404),
        ("/%68ealthz", 200),
        ("/%2568ealthz", 404),
        ("/%2Fhealthz", 404),
        ("/%%368ealthz", 404),
        ("/%72oom/a", 426),
        ("/room/..", 426),
        ("/room/%2e%2e%2f%2e%2e", 426),
        ("/room/%c0%ae%c0%ae", 400),
        ("/room/%e0%80%af", 400),
        ("/room/%f0%80%80%af", 400),
        ("/room/%ed%a0%80", 400),
        ("/room/%f4%90%80%80", 400),
        ("/room/%c3", 400),
        ("/room/%u0041", 400),
        ("/room/%", 400),
        ("/room/%4", 400),
        ("/room/<script>", 400),
        ("/room/\u{202e}", 426),
        ("/room/\u{85}", 400),
    ]
    .into_iter()
    .map(|(path, status)| (path, line(&format!("GET {path} HTTP/1.1")), status))
    .collect();
    let no_utf8 = [&b"\xc3"[..], b"\xff", b"\xc0\xae", b"\xed\xa0\x80", b"\xe9t\xe9"].map(|bytes| {
        let request = [b"GET /room/", bytes, b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
        ("no UTF-8", request, 400)
    });
    check_heads(&[rows, no_utf8.to_vec()].concat());
}

#[test]
fn methods_and_versions_of_every_kind() {
    let long = "X".repeat(4000);
    let methods = [
        ("GET", 200),
        ("HEAD", 200),
        ("POST", 405),
        ("PUT", 405),
        ("PATCH", 405),
        ("DELETE", 405),
        ("OPTIONS", 405),
        ("TRACE", 405),
        ("CONNECT", 405),
        ("get", 405),
        ("BREW", 405),
        ("!#$%&'*+-.^_`|~", 405),
        (&long, 405),
        ("G(T", 400),
        ("GÉT", 400),
        ("", 400),
    ];
    let versions = [
        ("", 400),
        (" ", 400),
        (" HTTP", 400),
        (" HTTP/", 400),
        (" http/1.1", 400),
        (" HTTP/0.9", 505),
        (" HTTP/1.0", 200),
        (" HTTP/1.1", 200),
        (" HTTP/1.10", 400),
        (" HTTP/1.2", 200),
        (" HTTP/1.9", 200),
        (" HTTP/1.20", 400),
        (" HTTP/1.x", 505),
        (" HTTP/2.0", 505),
        (" HTTP/3.0", 505),
        (" HTTP/11", 505),
        (" HTTPS/1.1", 400),
        (" RTSP/1.0", 400),
    ];
    let methods =
        methods.map(|(method, status)| (method, line(&format!("{method} /healthz HTTP/1.1")), status));
    let versions =
        versions.map(|(version, status)| (version, line(&format!("GET /healthz{version}")), status));
    check_heads(&[&methods[..], &versions[..]].concat());
    // A TRACE would show a script what it may not see.
    let target = Target::new();
    let mut stream = connect(target.address());
    stream.write_all(b"TRACE /healthz HTTP/1.1\r\nHost: a\r\nCookie: hidden\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 405 ") && !answer.contains("hidden"), "{answer}");
}

#[test]
fn origins_of_every_kind() {
    let mut target = Target::new();
    let own = format!("http://{}", target.address());
    let ask = |lines: &[u8]| {
        let request = handshake(target.address(), "/echo", "");
        let request = [request.trim_end().as_bytes(), b"\r\n", lines, b"\r\n"].concat();
        Client::over(connect(target.address()), request).map_or_else(|answer| answer.status, |_| 101)
    };
    let rows: Vec<(&str, Vec<u8>, u16)> = vec![
        ("none", b"".into(), 101),
        ("its own", format!("Origin: {own}\r\n").into(), 101),
        ("a foreign one", b"Origin: https://evil.example\r\n".into(), 403),
        ("`null`", b"Origin: null\r\n".into(), 403),
        ("an empty one", b"Origin:\r\n".into(), 403),
        (
            "its own and a foreign one",
            format!("Origin: {own}\r\nOrigin: https://evil.example\r\n").into(),
            403,
        ),
        ("its own twice", format!("Origin: {own}\r\nOrigin: {own}\r\n").into(), 403),
        ("both in one", format!("Origin: {own} https://evil.example\r\n").into(), 403),
        ("its own as a user", format!("Origin: {own}@evil.example\r\n").into(), 403),
        ("its own as a beginning", format!("Origin: {own}.evil.example\r\n").into(), 403),
        ("its own with a path", format!("Origin: {own}/\r\n").into(), 403),
        ("its own, of another port", b"Origin: http://127.0.0.1:1\r\n".into(), 403),
        ("its own, by another name", b"Origin: http://2130706433\r\n".into(), 403),
        ("7 KB of it", format!("Origin: https://{}\r\n", "x".repeat(7000)).into(), 403),
        ("9 KB of it", format!("Origin: https://{}\r\n", "x".repeat(9000)).into(), 431),
        ("not ASCII", "Origin: https://évil.example\r\n".into(), 403),
        ("not UTF-8", b"Origin: https://\xff\xfe.example\r\n".into(), 403),
        ("by a script's scheme", b"Origin: javascript://127.0.0.1\r\n".into(), 403),
    ];
    for (row, lines, status) in &rows {
        assert_eq!(ask(lines), *status, "{row}");
    }
    target.check("all Origins");
}

#[test]
fn handshakes_that_smuggle() {
    let mut target = Target::new();
    let good = handshake(target.address(), "/echo", "");
    let change = |old: &str, new: &str| good.replace(old, new);
    let add = |line: &str| change("\r\n\r\n", &format!("\r\n{line}\r\n\r\n"));
    let rows = [
        // What follows would be a body to a proxy, and frames to us.
        ("a body", add("Content-Length: 5") + "hello", 400),
        ("a body in chunks", add("Transfer-Encoding: chunked") + "0\r\n\r\n", 400),
        ("a length of zero", add("Content-Length: 0"), 101),
        ("HTTP/1.0", change("HTTP/1.1", "HTTP/1.0"), 400),
        ("a folded Upgrade", change("Upgrade: websocket", "Upgrade:\r\n websocket"), 400),
        ("two keys", add("Sec-WebSocket-Key: wDqumtseNBJdhkihL6PW7w=="), 400),
        ("a key of 4 KB", change("Key: ", &format!("Key: {}", "A".repeat(4000))), 400),
        ("two versions", add("Sec-WebSocket-Version: 8"), 426),
        ("HTTP/2 as well", change("Upgrade: websocket", "Upgrade: h2c, websocket"), 101),
        ("a HEAD", change("GET", "HEAD"), 426),
        ("a lower-case get", change("GET", "get"), 405),
        ("1000 extensions", add(&format!("Sec-WebSocket-Extensions: {}", "x; y=1, ".repeat(900))), 101),
        (
            "windows that cannot be",
            add("Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=99"),
            101,
        ),
        ("an endless quotation", add("Sec-WebSocket-Extensions: permessage-deflate; a=\"b"), 101),
        ("1000 subprotocols", add(&format!("Sec-WebSocket-Protocol: {}", "x,".repeat(3000))), 101),
        ("a subprotocol that is none", add("Sec-WebSocket-Protocol: a b"), 400),
    ];
    for (row, request, status) in &rows {
        let got =
            Client::over(connect(target.address()), request).map_or_else(|answer| answer.status, |_| 101);
        assert_eq!(got, *status, "{row}");
        target.check(row);
    }
    // A request behind the handshake is no frame.
    let mut client = Client::over(connect(target.address()), good.repeat(2)).unwrap();
    client.expect_close(1002);
    client.end_sending();
    client.expect_end();
    target.check("two handshakes");
}

#[test]
fn bodies_that_never_come() {
    let limits = Limits { head_deadline: Duration::from_millis(300), ..Limits::default() };
    let server =
        serve(limits, |builder| builder.post("/", |_| Response::text("got it")).route("/echo", echo));
    let address = server.local_addr();
    let mut witness = Witness::new(address, "/echo");
    let post = |lines: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
    for (row, request, status) in [
        ("a body that is not sent", post("Content-Length: 5\r\n"), 408),
        ("half a body", post("Content-Length: 5\r\n") + "he", 408),
        ("the largest body, not sent", post(&format!("Content-Length: {}\r\n", 2 * KIB * KIB)), 408),
        ("a body that is asked for and not sent", post("Content-Length: 5\r\nExpect: 100-continue\r\n"), 100),
        ("a chunk that is not sent", post("Transfer-Encoding: chunked\r\n") + "5\r\n", 408),
        ("a size that does not end", post("Transfer-Encoding: chunked\r\n") + "5;x", 408),
        ("chunks without the last", post("Transfer-Encoding: chunked\r\n") + "5\r\nhello\r\n", 408),
        ("trailers that do not end", post("Transfer-Encoding: chunked\r\n") + "0\r\nx: y\r\n", 408),
        (
            "chunks that are asked for and not sent",
            post("Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n"),
            100,
        ),
        ("a body that is there", post("Content-Length: 5\r\n") + "hello", 200),
        ("chunks that are there", post("Transfer-Encoding: chunked\r\n") + "5\r\nhello\r\n0\r\n\r\n", 200),
        ("more than a body", post("Content-Length: 5\r\n") + "hello" + &post("Content-Length: 0\r\n"), 200),
    ] {
        let (got, answers) = ask(address, request.as_bytes());
        assert_eq!((got, answers), (status, if status == 100 { 2 } else { 1 }), "{row}");
        witness.check(row);
    }
    // A body without end: it is refused when it is too large, and some of it is read so that the refusal arrives.
    let mut stream = connect(address);
    stream.write_all(post("Transfer-Encoding: chunked\r\n").as_bytes()).unwrap();
    let chunk = [b"10000\r\n", &[b'x'; 0x10000][..], b"\r\n"].concat();
    assert!((0..100_000).any(|_| stream.write_all(&chunk).is_err()), "6 GB were read");
    witness.check("chunks without end");
}

/// What comes of frames.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Closed(u16),
    Echoed,
    Ponged,
}

#[test]
fn frames_that_no_client_sends() {
    let mut target = Target::new();
    let header = |first: u8, length: &[u8]| [&[first], length, &[0; 4]].concat();
    let mut rows: Vec<(String, Vec<u8>, Fate)> = Vec::new();
    let mut row = |what: &str, bytes: Vec<u8>, fate: Fate| rows.push((what.into(), bytes, fate));
    for bits in 1..8u8 {
        row(&format!("reserved bits {bits:03b}"), header(0x81 | bits << 4, &[0x80]), Fate::Closed(1002));
        row(
            &format!("reserved bits {bits:03b} of a ping"),
            header(0x89 | bits << 4, &[0x80]),
            Fate::Closed(1002),
        );
    }
    for opcode in (3..8).chain(11..16) {
        row(&format!("opcode {opcode}"), header(0x80 | opcode, &[0x80]), Fate::Closed(1002));
        row(&format!("opcode {opcode}, not final"), header(opcode, &[0x80]), Fate::Closed(1002));
    }
    for opcode in [CONTINUATION, TEXT, BINARY, PING, PONG] {
        row(&format!("opcode {opcode} unmasked"), frame(opcode, b"x", true, false), Fate::Closed(1002));
    }
    let eight = |length: u64| [&[0xff][..], &length.to_be_bytes()].concat();
    for (length, fate) in [
        ((1 << 63) - 1, Fate::Closed(1009)),
        (1 << 62, Fate::Closed(1009)),
        (1 << 32, Fate::Closed(1009)),
        (u64::from(u32::MAX), Fate::Closed(1009)),
        ((1 << 20) + 1, Fate::Closed(1009)),
        (1 << 63, Fate::Closed(1002)),
        (u64::MAX, Fate::Closed(1002)),
    ] {
        row(&format!("a text of {length}"), header(0x81, &eight(length)), fate);
        row(&format!("a fragment of {length}"), header(0x02, &eight(length)), fate);
        row(&format!("a ping of {length}"), header(0x89, &eight(length)), Fate::Closed(1002));
    }
    // RFC 6455 §5.2 wants the shortest form of whoever sends; to read them all does no harm.
    let payload = |header: Vec<u8>| [&header[..], b"short"].concat();
    row("5 bytes, coded in 16 bits", payload(header(0x81, &[0xfe, 0, 5])), Fate::Echoed);
    row("5 bytes, coded in 64 bits", payload(header(0x81, &eight(5))), Fate::Echoed);
    row("a ping of 5 bytes, coded in 16 bits", payload(header(0x89, &[0xfe, 0, 5])), Fate::Ponged);
    row("a ping of 126 bytes", header(0x89, &[0xfe, 0, 126]), Fate::Closed(1002));
    row("a Close that is not final", frame(CLOSE, &close_payload(1000, ""), false, true), Fate::Closed(1002));
    for (what, text) in [
        ("an overlong slash", &b"\xc0\xaf"[..]),
        ("an overlong slash of three", b"\xe0\x80\xaf"),
        ("half a surrogate pair", b"\xed\xa0\x80"),
        ("more than Unicode has", b"\xf4\x90\x80\x80"),
        ("half a character", b"\xe5\xa4"),
    ] {
        row(what, frame(TEXT, text, true, true), Fate::Closed(1007));
    }
    row("a request", with(""), Fate::Closed(1002));
    row("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".into(), Fate::Closed(1002));
    row("zeros", vec![0; 1000], Fate::Closed(1002));
    row("ones", vec![0xff; 1000], Fate::Closed(1002));
    for (row, bytes, fate) in rows {
        let mut client = Client::connect(target.address(), "/echo");
        client.send_raw(&bytes);
        let answer = client.frame();
        let got = match answer.opcode {
            CLOSE => Fate::Closed(u16::from_be_bytes(*answer.payload.first_chunk().unwrap())),
            PONG => Fate::Ponged,
            _ => Fate::Echoed,
        };
        assert_eq!(got, fate, "{row}");
        if matches!(fate, Fate::Closed(_)) {
            client.end_sending();
            client.expect_end();
        } else {
            assert_eq!(answer.payload, b"short", "{row}");
        }
        target.check(&row);
    }
}

#[test]
fn frames_that_end_anywhere() {
    let mut target = Target::new();
    let frames = [
        ("a text", text_frame("short")),
        ("a text of 200 bytes", text_frame(&"x".repeat(200))),
        ("a binary of 70 KB, its beginning", frame(BINARY, &[7; 70_000], true, true)[..30].to_vec()),
        ("a fragment and a ping", [frame(TEXT, b"x", false, true), frame(PING, b"y", true, true)].concat()),
        ("a Close", frame(CLOSE, &close_payload(1000, "bye"), true, true)),
    ];
    for (row, bytes) in &frames {
        for cut in 1..bytes.len() {
            let mut closed = Client::connect(target.address(), "/echo");
            closed.send_raw(&bytes[..cut]);
            closed.end_sending();
            // A whole ping is answered; then TCP ends.
            while let Ok(frame) = closed.try_read_frame() {
                assert_eq!(frame.opcode, PONG, "{row}, cut at {cut}");
            }
            let mut vanished = Client::connect(target.address(), "/echo");
            vanished.send_raw(&bytes[..cut]);
            reset(vanished.stream);
        }
        target.check(row);
    }
}

#[test]
fn floods_of_tiny_frames() {
    let mut target = Target::new();
    let address = target.address();
    // Lists of what has come are as long as a read can make them; they are not kept.
    let tiny: Vec<(&str, Vec<u8>)> = vec![
        ("empty messages", frame(TEXT, b"", true, true).repeat(50_000)),
        ("pongs", frame(PONG, b"", true, true).repeat(50_000)),
    ];
    for (row, flood) in &tiny {
        let mut idle: Vec<Client> = (0..40).map(|_| Client::connect(address, "/echo")).collect();
        for client in &mut idle {
            let mut sending = client.stream.try_clone().unwrap();
            std::thread::scope(|scope| {
                scope.spawn(move || sending.write_all(flood).unwrap());
                if *row == "empty messages" {
                    (0..50_000).for_each(|_| client.expect(""));
                }
            });
            client.send("still here");
            client.expect("still here");
        }
        // They stay, and have nothing more to say.
        target.check(row);
    }
    let fragments = |payload: &[u8]| {
        let more = frame(CONTINUATION, payload, false, true).repeat(131_072);
        [frame(BINARY, payload, false, true), more].concat()
    };
    for (row, flood) in [("empty fragments", fragments(b"")), ("fragments of a byte", fragments(b"x"))] {
        let mut client = Client::connect(address, "/echo");
        client.send_raw(&flood);
        client.expect_close(1009);
        client.end_sending();
        client.expect_end();
        target.check(row);
    }
    let mut client = Client::connect(address, "/echo");
    // The server may have ended the connection before all of it has gone.
    let _ = client.stream.write_all(&frame(CLOSE, &close_payload(4000, "first"), true, true).repeat(10_000));
    client.expect_close(4000);
    client.expect_end();
    target.check("Close after Close");
}

#[test]
fn thousands_of_connections_of_one_address() {
    const CROWD: usize = 1000;
    raise_descriptor_limit();
    let mut target = Target::new();
    let (address, threads) = (target.address(), target.program.threads());
    let others_get_in = |target: &mut Target, row: &str| {
        target.witness.check(row);
        let other = connect_from([127, 0, 0, 2], address);
        let mut other = Client::over(other, handshake(address, "/echo", "")).unwrap();
        other.send("from elsewhere");
        other.expect("from elsewhere");
    };
    for round in ["first", "second"] {
        let idle: Vec<Client> = (0..CROWD).map(|_| Client::settled(address, "/room/r")).collect();
        others_get_in(&mut target, "1000 that are idle");
        let silent: Vec<TcpStream> = (0..CROWD).map(|_| connect(address)).collect();
        others_get_in(&mut target, "1000 that ask nothing");
        let deaf = |_| {
            let mut stream = connect_narrow(address);
            stream.write_all(b"GET /app.js HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
            stream
        };
        let deaf: Vec<TcpStream> = (0..CROWD).map(deaf).collect();
        others_get_in(&mut target, "1000 that do not read the answer");
        drop((idle, silent, deaf));
        eventually("their threads have ended", || target.program.threads() <= threads);
        // What the allocator keeps of so many is some 20 MB; it keeps no more when they come again.
        if round == "first" {
            target.memory = target.program.memory();
        }
        target.check("3000 connections");
    }
}

#[test]
fn a_crowd_that_drips() {
    let limits = Limits { head_deadline: Duration::from_secs(1), head: 64 * KIB, ..Limits::default() };
    let server = serve(limits, |builder| builder.route("/echo", echo));
    let mut witness = Witness::new(server.local_addr(), "/echo");
    let mut crowd: Vec<TcpStream> = (0..200).map(|_| connect(server.local_addr())).collect();
    for stream in &mut crowd {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nX: ").unwrap();
    }
    while metric(&server.metrics(), "refused_total") < 200 {
        for stream in &mut crowd {
            // Those that were answered and cut take no more.
            let _ = stream.write_all(b"x");
        }
        witness.check("a byte of each");
    }
    for stream in &mut crowd {
        let mut start = [0; 13];
        stream.read_exact(&mut start).unwrap();
        assert_eq!(&start, b"HTTP/1.1 408 ");
    }
    drop(crowd);
    witness.check("the crowd");
}

#[test]
fn half_closed_connections() {
    let mut target = Target::new();
    let address = target.address();
    let answer = |bytes: &[u8]| {
        let mut stream = connect(address);
        stream.write_all(bytes).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        answer
    };
    let handshake = handshake(address, "/echo", "");
    for (row, bytes, beginning) in [
        ("nothing", &b""[..], &b""[..]),
        ("half a head", b"GET /healthz HTTP/1.1\r\nHo", b""),
        ("a request", &with(""), b"HTTP/1.1 200 "),
        ("half a body", &with("Content-Length: 5\r\n"), b""),
        ("a handshake", handshake.as_bytes(), b"HTTP/1.1 101 "),
    ] {
        let got = answer(bytes);
        assert!(got.starts_with(beginning), "{row}: {}", got.escape_ascii());
        assert_eq!(got.is_empty(), beginning.is_empty(), "{row}: {}", got.escape_ascii());
        target.check(row);
    }
    // Who says no more can still be answered.
    let mut client = Client::connect(address, "/echo");
    client.send("last");
    client.end_sending();
    client.expect("last");
    client.expect_end();
    target.check("a message");
}

#[test]
fn ten_thousand_that_connect_and_leave() {
    let mut target = Target::new();
    let address = target.address();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for n in 0..2500 {
                    let stream = connect(address);
                    if n % 2 == 0 { reset(stream) } else { drop(stream) }
                }
            });
        }
    });
    target.check("10 000 that left at once");
}
