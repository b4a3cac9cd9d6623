//! TLS from outside: whom the two sides trust, a certificate replaced at run time, floods, stalls, and the end. The
//! certificates are made here; `Wire` is a client on bare rustls.

use crate::support::{
    CLOSE, PATIENCE, PING, connect, connect_narrow, echo, eventually, exchange, frame, get, handshake,
    metric, serve, serve_binary,
};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, SystemTime};
use std::{env, fs, process, thread};
use switchboard::{
    Builder, Client, ClientBuilder, Drain, Error, Limits, Message, Result, Server, TlsFiles, WebSocket,
};

const KIB: usize = 1024;
/// A deadline that a test waits for; an honest client must be able to keep it.
const SHORT: Duration = Duration::from_millis(500);
/// Message size and count of a flood.
const PIECE: usize = 256 * KIB;
const PIECES: usize = 256;

fn relay(mut ws: WebSocket) -> Result<()> {
    let room = ws.join("everybody")?;
    while let Some(message) = ws.recv()? {
        room.send(message);
    }
    Ok(())
}

fn routes(builder: Builder) -> Builder {
    builder.health().route("/echo", echo).route("/room", relay)
}

/// Certificate and key in PEM.
pub(crate) type Pair = (String, String);

/// Who signs certificates.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Another name than the certificates', or they would seem to be signed by themselves.
        params.distinguished_name.push(DnType::CommonName, "authority of Switchboard's tests");
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn root(&self) -> String {
        self.0.pem()
    }

    /// A certificate for this machine that is valid until the end of that year.
    pub(crate) fn issue_until(&self, year: i32) -> Pair {
        let mut params = CertificateParams::new(["localhost".into(), "127.0.0.1".into()]).unwrap();
        params.not_after = date_time_ymd(year, 12, 31);
        // Python asks for it.
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }

    pub(crate) fn issue(&self) -> Pair {
        self.issue_until(2999)
    }
}

/// Where a server's certificate and key lie. Removed when dropped.
pub(crate) struct Files(pub(crate) PathBuf);

impl Files {
    pub(crate) fn new(pair: &Pair) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("switchboard-test-tls-{}-{}", process::id(), COUNT.fetch_add(1, Relaxed));
        let files = Self(env::temp_dir().join(name));
        fs::create_dir_all(&files.0).unwrap();
        files.write(pair);
        files
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    fn write(&self, (certificate, key): &Pair) {
        fs::write(self.0.join("cert.pem"), certificate).unwrap();
        fs::write(self.0.join("key.pem"), key).unwrap();
    }

    pub(crate) fn read(&self) -> Result<TlsFiles> {
        TlsFiles::read(self.0.join("cert.pem"), self.0.join("key.pem"))
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A server that speaks TLS, and what it does that with.
struct Secure {
    server: Server,
    authority: Authority,
    files: Files,
    tls: TlsFiles,
}

fn serve_tls(limits: Limits) -> Secure {
    let authority = Authority::new();
    let files = Files::new(&authority.issue());
    let tls = files.read().unwrap();
    let server = serve(limits, |builder| routes(builder).tls(&tls));
    Secure { server, authority, files, tls }
}

impl Secure {
    fn address(&self) -> SocketAddr {
        self.server.local_addr()
    }

    fn url(&self, path: &str) -> String {
        format!("wss://{}{path}", self.address())
    }

    fn client(&self, path: &str) -> Client {
        self.trusting().connect(&self.url(path)).unwrap()
    }

    fn trusting(&self) -> ClientBuilder {
        trusting(&self.authority)
    }

    fn wire(&self, stream: TcpStream) -> Wire {
        wire(stream, &self.authority, &TLS13)
    }

    /// Somebody new is served as ever.
    #[track_caller]
    fn check_alive(&self) {
        check_echo(&mut self.client("/echo"), "alive");
    }
}

fn trusting(authority: &Authority) -> ClientBuilder {
    Client::builder().roots(authority.root())
}

#[track_caller]
fn check_echo(client: &mut Client, message: impl Into<Message>) {
    let message = message.into();
    client.send(message.clone()).unwrap();
    let got = client.recv().unwrap();
    assert!(got.as_ref() == Some(&message), "another message of {:?} bytes", got.map(|got| got.len()));
}

type Wire = StreamOwned<ClientConnection, TcpStream>;

fn wire(stream: TcpStream, authority: &Authority, version: &'static SupportedProtocolVersion) -> Wire {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.root().as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), stream)
}

/// The opening handshake, without extensions.
#[track_caller]
fn upgrade(wire: &mut Wire, address: SocketAddr, path: &str) {
    wire.write_all(handshake(address, path, "").as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        wire.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", head.escape_ascii());
}

/// Bytes that do not compress, and differ from each other in their number.
fn piece(number: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64 ^ number as u64;
    let mut bytes = Vec::with_capacity(PIECE);
    while bytes.len() < PIECE {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes
}

/// Waits for the end of a connection that gets no answer.
#[track_caller]
fn expect_end(mut stream: TcpStream) {
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
        Err(error) => panic!("no end, but {error}"),
    }
}

#[test]
fn text_and_binary_come_back_over_wss() {
    let secure = serve_tls(Limits::default());
    for compression in [true, false] {
        let mut client = secure.trusting().compression(compression).connect(&secure.url("/echo")).unwrap();
        assert_eq!(client.is_compressed(), compression);
        for text in ["hello", "", "Grüße, 你好, 👋🏽", &"again and again, ".repeat(1000)] {
            check_echo(&mut client, text);
        }
        check_echo(&mut client, Message::binary(vec![]));
        check_echo(&mut client, Message::binary(piece(7)));
        check_echo(&mut client, Message::binary(vec![0; 1_000_000]));
        client.close(1000, "bye");
        assert!(client.recv().unwrap().is_none());
        assert_eq!(client.closed(), Some((1000, "")));
    }
    let by_name = format!("wss://localhost:{}/echo", secure.address().port());
    check_echo(&mut secure.trusting().connect(&by_name).unwrap(), "by name");
}

#[test]
fn pages_are_served_over_https_by_both_versions_of_tls() {
    let secure = serve_tls(Limits::default());
    for version in [&TLS12, &TLS13] {
        let mut wire = wire(connect(secure.address()), &secure.authority, version);
        wire.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut answer = String::new();
        // An end that TLS does not announce would be an error.
        wire.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\nok\n"), "{answer}");
    }
}

/// A ticket would reach the client just when it writes its request, on another thread than the one that reads.
#[test]
fn after_the_handshake_the_server_is_silent_until_it_is_asked() {
    let secure = serve_tls(Limits::default());
    let mut wire = wire(connect(secure.address()), &secure.authority, &TLS13);
    upgrade(&mut wire, secure.address(), "/echo");
    assert_eq!(wire.conn.tls13_tickets_received(), 0);
}

#[test]
fn a_large_upload_that_is_refused_is_taken_until_the_client_has_read_why() {
    let secure = serve_tls(Limits { close_deadline: PATIENCE, ..Limits::default() });
    let mut wire = wire(connect(secure.address()), &secure.authority, &TLS13);
    wire.write_all(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8388608\r\n\r\n").unwrap();
    wire.write_all(&vec![b'x'; 8 << 20]).unwrap();
    let mut answer = String::new();
    wire.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[test]
fn a_client_trusts_its_own_roots_only_unless_told_to_trust_anybody() {
    let secure = serve_tls(Limits::default());
    let (url, stranger) = (secure.url("/echo"), Authority::new());
    for builder in [trusting(&stranger), Client::builder()] {
        match builder.connect(&url) {
            Err(Error::Handshake(what)) => assert!(what.contains("127.0.0.1"), "{what}"),
            Err(error) => panic!("{error}"),
            Ok(_) => panic!("connected"),
        }
    }
    let anybody = Client::builder().danger_accept_any_certificate();
    check_echo(&mut anybody.connect(&url).unwrap(), "anybody");

    let nonsense = Client::builder().roots("nonsense").connect(&url);
    assert!(matches!(nonsense, Err(Error::Config(_))));
    secure.check_alive();
}

#[test]
fn plain_http_is_told_to_use_https() {
    let secure = serve_tls(Limits::default());
    let answer = get(secure.address(), "/healthz");
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("https://"), "{}", answer.text());
    let plain = Client::connect(&format!("ws://{}/echo", secure.address()));
    match plain {
        Err(Error::Refused { status: 400, reason, .. }) => assert_eq!(reason, answer.text().trim()),
        other => panic!("{:?}", other.err()),
    }
    secure.check_alive();
}

#[test]
fn a_tls_client_of_a_plain_server_fails_at_once() {
    let server = serve(Limits::default(), routes);
    let url = format!("wss://{}/echo", server.local_addr());
    let result = Client::builder().danger_accept_any_certificate().connect(&url);
    assert!(matches!(result, Err(Error::Handshake(_))));
}

#[test]
fn garbage_ends_its_own_connection_only() {
    let secure = serve_tls(Limits::default());
    let mut healthy = secure.client("/echo");
    // No record of a handshake: answered as plain HTTP is.
    assert_eq!(exchange(secure.address(), [0xff; 100]).status, 400);
    // A record of a handshake without one in it; one longer than records may be.
    let records: [&[u8]; 2] = [b"\x16\x03\x01\x00\x05xxxxx", b"\x16\x03\x01\xff\xffxxxxx"];
    for bytes in records {
        let mut stream = connect(secure.address());
        stream.write_all(bytes).unwrap();
        expect_end(stream);
    }
    // Behind a good handshake.
    let mut broken = secure.wire(connect(secure.address()));
    upgrade(&mut broken, secure.address(), "/echo");
    broken.sock.write_all(b"\x17\x03\x03\x00\x20 not what the key would make of it").unwrap();
    expect_end(broken.sock);
    check_echo(&mut healthy, "healthy");
    secure.check_alive();
}

#[test]
fn who_does_not_finish_the_handshake_is_dropped_at_the_deadline() {
    let secure = serve_tls(Limits { head_deadline: SHORT, ..Limits::default() });
    let mut healthy = None;
    // Such a deadline may be too short for an honest handshake on a busy machine.
    let mut is_served = || {
        healthy = secure.trusting().connect(&secure.url("/echo")).ok();
        healthy.is_some()
    };
    eventually("a client is served", &mut is_served);
    let silent = connect(secure.address());
    let mut begun = connect(secure.address());
    begun.write_all(b"\x16\x03\x01\x02\x00\x01").unwrap();
    expect_end(silent);
    expect_end(begun);
    eventually("another client is served", is_served);
    check_echo(&mut healthy.unwrap(), "served");
}

#[test]
fn a_flood_in_both_directions_arrives_byte_by_byte() {
    let secure = serve_tls(Limits::default());
    let mut client = secure.trusting().compression(false).connect(&secure.url("/echo")).unwrap();
    let sender = client.sender();
    let sending = thread::spawn(move || -> Result<()> {
        (0..PIECES).try_for_each(|number| sender.send(Message::binary(piece(number))))
    });
    for number in 0..PIECES {
        let message = client.recv_timeout(PATIENCE).unwrap();
        let Some(Message::Binary(got)) = message else { panic!("number {number}: {message:?}") };
        assert!(got == piece(number), "number {number} differs");
    }
    sending.join().unwrap().unwrap();
    client.close(1000, "");
    assert!(client.recv().unwrap().is_none());
    assert_eq!(client.closed(), Some((1000, "")));
}

/// A masked frame whose key is zero, so that it holds the payload as it is; and the same as the server sends it.
fn big_frames(payload: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let length = (payload.len() as u64).to_be_bytes();
    let masked = [&[0x82, 0x80 | 127], &length[..], &[0; 4], payload].concat();
    (masked, [&[0x82, 127], &length[..], payload].concat())
}

#[test]
fn keys_are_updated_in_the_middle_of_a_flood() {
    const PIECES_PER_KEY: usize = 3;
    let secure = serve_tls(Limits::default());
    let mut wire = secure.wire(connect(secure.address()));
    upgrade(&mut wire, secure.address(), "/echo");
    let StreamOwned { mut conn, mut sock } = wire;
    sock.set_nonblocking(true).unwrap();
    let is_full = |error: &io::Error| error.kind() == io::ErrorKind::WouldBlock;
    let (mut sent, mut received) = (0, 0);
    let (mut output, mut written, mut input) = (Vec::new(), 0, Vec::new());
    while received < PIECES {
        if written == output.len() && sent < PIECES {
            if sent % PIECES_PER_KEY == PIECES_PER_KEY - 1 {
                conn.refresh_traffic_keys().unwrap();
            }
            (output, written) = (big_frames(&piece(sent)).0, 0);
            sent += 1;
        }
        if written < output.len() && !conn.wants_write() {
            written += conn.writer().write(&output[written..]).unwrap();
        }
        let wanted = if conn.wants_write() { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
        let mut fds = [PollFd::new(&sock, wanted)];
        let patience = Timespec { tv_sec: PATIENCE.as_secs() as i64, tv_nsec: 0 };
        assert_ne!(poll(&mut fds, Some(&patience)).unwrap(), 0, "stuck: sent {sent}, received {received}");
        while conn.wants_write() {
            match conn.write_tls(&mut sock) {
                Err(error) if is_full(&error) => break,
                result => drop(result.unwrap()),
            }
        }
        match conn.read_tls(&mut sock) {
            Err(error) if is_full(&error) => {}
            result => assert_ne!(result.unwrap(), 0, "the end: sent {sent}, received {received}"),
        }
        let state = conn.process_new_packets().unwrap();
        let have = input.len();
        input.resize(have + state.plaintext_bytes_to_read(), 0);
        conn.reader().read_exact(&mut input[have..]).unwrap();
        if PIECE + 10 <= input.len() {
            let expected = big_frames(&piece(received)).1;
            assert!(input.starts_with(&expected), "number {received} differs");
            input.drain(..expected.len());
            received += 1;
        }
    }
    assert!(input.is_empty(), "more than was sent");
}

#[test]
fn keys_are_updated_while_nothing_else_is_said() {
    let secure = serve_tls(Limits::default());
    let mut wire = secure.wire(connect(secure.address()));
    upgrade(&mut wire, secure.address(), "/echo");
    for _ in 0..10 {
        for _ in 0..3 {
            wire.conn.refresh_traffic_keys().unwrap();
            wire.flush().unwrap();
        }
        wire.write_all(&frame(PING, b"now", true, true)).unwrap();
        let mut pong = [0; 5];
        wire.read_exact(&mut pong).unwrap();
        assert_eq!(&pong, b"\x8a\x03now");
    }
}

#[test]
fn a_stalled_member_is_given_up_and_the_others_get_everything() {
    let limits = Limits {
        message: 64 * KIB,
        outbox: 256 * KIB,
        send_buffer: 16 * KIB,
        close_deadline: SHORT,
        ..Limits::default()
    };
    let secure = serve_tls(limits);
    let expect = |client: &mut Client, message: &Message| {
        let got = client.recv_timeout(PATIENCE).unwrap();
        assert!(
            got.as_ref() == Some(message),
            "{:?} instead of {:?}",
            got.map(|got| got.len()),
            message.len()
        );
    };
    let mut members = [secure.client("/room"), secure.client("/room")];
    // A member has joined when it hears itself.
    let first = Message::text("first");
    members[0].send(first.clone()).unwrap();
    expect(&mut members[0], &first);
    let second = Message::text("second");
    members[1].send(second.clone()).unwrap();
    while members[1].recv_timeout(PATIENCE).unwrap().unwrap() != second {}
    expect(&mut members[0], &second);
    let mut stalled = secure.wire(connect_narrow(secure.address()));
    upgrade(&mut stalled, secure.address(), "/room");
    stalled.write_all(&frame(PING, b"joined", true, true)).unwrap();
    let mut pong = [0; 8];
    stalled.read_exact(&mut pong).unwrap();
    assert_eq!(&pong, b"\x8a\x06joined");

    let mut number = 0;
    while metric(&secure.server.metrics(), "slow_consumers_total") == 0 {
        assert!(number < 2000, "32 MiB found room somewhere");
        let message = Message::binary(piece(number)[..16 * KIB].to_vec());
        members[0].send(message.clone()).unwrap();
        members.iter_mut().for_each(|member| expect(member, &message));
        number += 1;
    }
    eventually("the stalled member is gone", || secure.server.connections() == 2);
    let end = stalled.read_to_end(&mut Vec::new());
    let timed_out =
        |error: &io::Error| matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
    assert!(!end.as_ref().is_err_and(timed_out), "{end:?}");
    let last = Message::text("last");
    members[1].send(last.clone()).unwrap();
    members.iter_mut().for_each(|member| expect(member, &last));
    assert_eq!(metric(&secure.server.metrics(), "slow_consumers_total"), 1);
}

#[test]
fn a_new_certificate_is_for_new_connections() {
    let secure = serve_tls(Limits::default());
    let mut open = secure.client("/echo");
    check_echo(&mut open, "before");
    let successor = Authority::new();
    secure.files.write(&successor.issue());
    secure.check_alive();
    secure.tls.reload().unwrap();
    check_echo(&mut open, "after");
    assert!(matches!(secure.trusting().connect(&secure.url("/echo")), Err(Error::Handshake(_))));
    check_echo(&mut trusting(&successor).connect(&secure.url("/echo")).unwrap(), "new");
}

#[test]
fn other_files_take_the_place_of_the_first_ones() {
    let secure = serve_tls(Limits::default());
    let successor = Authority::new();
    let files = Files::new(&successor.issue_until(2998));
    // 31 December 2999 and 2998, as seconds since 1970.
    let expires = || secure.tls.expires().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    assert_eq!(expires(), 32_503_593_600);
    assert!(secure.tls.replace(files.path("cert.pem"), secure.files.path("key.pem")).is_err());
    secure.check_alive();
    assert_eq!(expires(), 32_503_593_600);
    secure.tls.replace(files.path("cert.pem"), files.path("key.pem")).unwrap();
    assert_eq!(expires(), 32_472_057_600);
    check_echo(&mut trusting(&successor).connect(&secure.url("/echo")).unwrap(), "new");
    assert!(matches!(secure.trusting().connect(&secure.url("/echo")), Err(Error::Handshake(_))));
    // They are the ones that are read again, for clones too.
    files.write(&("nonsense".into(), "nonsense".into()));
    assert!(secure.tls.clone().reload().is_err());
    files.write(&successor.issue());
    secure.tls.clone().reload().unwrap();
    assert_eq!(expires(), 32_503_593_600);
}

#[test]
fn files_that_cannot_be_used_are_refused_and_the_old_certificate_stays() {
    let secure = serve_tls(Limits::default());
    let (certificate, key) = secure.authority.issue();
    let (_, foreign_key) = secure.authority.issue();
    let expired = secure.authority.issue_until(2020);
    let half = certificate[..certificate.len() / 2].to_string();
    let cases: [(&str, Pair, &str); 7] = [
        ("no certificate", ("nonsense".into(), key.clone()), "cert.pem: holds no certificate"),
        ("half a certificate", (half, key.clone()), "cert.pem: "),
        ("a key for a certificate", (key.clone(), key.clone()), "cert.pem: holds no certificate"),
        ("no key", (certificate.clone(), "nonsense".into()), "key.pem: cannot be read"),
        ("a certificate for a key", (certificate.clone(), certificate.clone()), "key.pem: cannot be read"),
        ("another's key", (certificate, foreign_key), "key.pem: this key does not belong to"),
        ("an expired certificate", expired, "cert.pem: the certificate has expired"),
    ];
    for (what, pair, said) in cases {
        secure.files.write(&pair);
        for result in [secure.tls.reload(), secure.files.read().map(drop)] {
            match result {
                Err(Error::Config(text)) => assert!(text.contains(said), "{what}: {text}"),
                Err(error) => panic!("{what}: {error}"),
                Ok(()) => panic!("{what} was taken"),
            }
        }
        secure.check_alive();
    }
    fs::remove_file(secure.files.0.join("cert.pem")).unwrap();
    assert!(matches!(secure.tls.reload(), Err(Error::Config(_))));
    secure.check_alive();
}

#[test]
fn the_program_reads_its_certificate_again_on_sighup() {
    let authority = Authority::new();
    let (first, second, third) = (authority.issue(), authority.issue(), authority.issue());
    let files = Files::new(&first);
    let program = serve_binary(&["--tls-cert", &files.path("cert.pem"), "--tls-key", &files.path("key.pem")]);
    assert_eq!(program.scheme, "https");
    let check_served = |(expected, _): &Pair| {
        let mut wire = wire(connect(program.address), &authority, &TLS13);
        upgrade(&mut wire, program.address, "/echo");
        let served = &wire.conn.peer_certificates().unwrap()[0];
        assert!(
            *served == CertificateDer::from_pem_slice(expected.as_bytes()).unwrap(),
            "another certificate"
        );
    };
    let url = format!("wss://{}/echo", program.address);
    let mut old = trusting(&authority).connect(&url).unwrap();
    check_echo(&mut old, "before");
    check_served(&first);

    files.write(&second);
    program.signal(Signal::HUP);
    program.wait_said("the certificate was read again");
    check_echo(&mut old, "after");
    check_served(&second);

    let mismatched = (authority.issue().0, authority.issue().1);
    for (what, pair, said) in [
        ("expired", authority.issue_until(2020), "cert.pem: the certificate has expired"),
        ("another's key", mismatched, "key.pem: this key does not belong to"),
        ("garbage", ("garbage".into(), "garbage".into()), "cert.pem: holds no certificate"),
    ] {
        files.write(&pair);
        program.signal(Signal::HUP);
        let told = program.wait_said("the old certificate stays: ");
        assert!(told.contains(said), "{what}: {told}");
        check_echo(&mut old, what);
        check_served(&second);
    }

    files.write(&third);
    program.signal(Signal::HUP);
    program.wait_said("the certificate was read again");
    check_echo(&mut old, "at last");
    check_served(&third);
    program.signal(Signal::TERM);
    assert!(old.recv_timeout(PATIENCE).unwrap().is_none());
    assert_eq!(old.closed().map(|(code, _)| code), Some(1001));
    assert_eq!(program.exit_code(), Some(0));
}

#[test]
fn the_program_does_not_start_with_a_certificate_that_cannot_be_used() {
    let authority = Authority::new();
    let files = Files::new(&authority.issue_until(2020));
    let (certificate, key) = (files.path("cert.pem"), files.path("key.pem"));
    for (args, said) in [
        (&["--tls-cert", &certificate, "--tls-key", &key][..], "cert.pem: the certificate has expired"),
        (&["--tls-cert", &certificate], "--tls-key"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_switchboard"));
        let output = command.args(["serve", "--bind", "127.0.0.1:0"]).args(args).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && output.stdout.is_empty() && stderr.contains(said), "{stderr}");
    }
}

#[test]
fn a_program_without_a_certificate_goes_on_after_sighup() {
    let program = serve_binary(&[]);
    program.signal(Signal::HUP);
    program.wait_said("nothing to read again");
    assert_eq!(get(program.address, "/healthz").status, 200);
}

/// What `switchboard certificate` makes.
pub(crate) fn development() -> Files {
    let files = Files::new(&(String::new(), String::new()));
    let mut command = Command::new(env!("CARGO_BIN_EXE_switchboard"));
    let output = command.args(["certificate", "--force"]).arg(&files.0).output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let (certificate, key) = (files.path("cert.pem"), files.path("key.pem"));
    assert_eq!(printed, format!("switchboard serve --tls-cert {certificate} --tls-key {key}\n"));
    files
}

#[test]
fn a_certificate_for_development_is_made_and_serves() {
    let files = development();
    let (certificate, key) = (files.path("cert.pem"), files.path("key.pem"));
    // It replaced a file that was readable for everybody.
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);

    let program = serve_binary(&["--tls-cert", &certificate, "--tls-key", &key]);
    let builder = Client::builder().roots(fs::read(&certificate).unwrap());
    for host in ["localhost", "127.0.0.1"] {
        let url = format!("wss://{host}:{}/echo", program.address.port());
        check_echo(&mut builder.connect(&url).unwrap(), host);
    }
}

#[test]
fn a_key_that_is_there_is_not_written_over() {
    let files = Files::new(&("a certificate".into(), "somebody's key".into()));
    let make =
        || Command::new(env!("CARGO_BIN_EXE_switchboard")).arg("certificate").arg(&files.0).output().unwrap();
    for there in ["cert.pem", "key.pem"] {
        let output = make();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(there) && said.contains("--force"), "{said}");
        // The next time only the key is there.
        let _ = fs::remove_file(files.path("cert.pem"));
    }
    assert!(!fs::exists(files.path("cert.pem")).unwrap(), "neither is written");
    assert_eq!(fs::read_to_string(files.path("key.pem")).unwrap(), "somebody's key");
    fs::remove_file(files.path("key.pem")).unwrap();
    assert!(make().status.success());
}

#[test]
fn shutdown_closes_tls_clients_with_1001() {
    let secure = serve_tls(Limits::default());
    let clients: Vec<_> = (0..3)
        .map(|_| {
            let mut client = secure.client("/echo");
            check_echo(&mut client, "here");
            thread::spawn(move || {
                let end = client.recv().map(|message| message.is_none());
                (end.unwrap(), client.closed().map(|(code, _)| code))
            })
        })
        .collect();
    let silent = connect(secure.address());
    eventually("it is accepted", || secure.server.connections() == 4);
    let report = secure.server.shutdown(Drain::within(PATIENCE));
    assert_eq!((report.cut, report.busy), (0, 0), "{report:?}");
    for client in clients {
        assert_eq!(client.join().unwrap(), (true, Some(1001)));
    }
    expect_end(silent);
}

#[test]
fn who_comes_during_the_shutdown_and_asks_nothing_does_not_hold_it_up() {
    let secure = serve_tls(Limits { head_deadline: 2 * PATIENCE, ..Limits::default() });
    let mut last = secure.wire(connect(secure.address()));
    upgrade(&mut last, secure.address(), "/echo");
    let handle = secure.server.handle();
    let shutdown = thread::spawn(move || handle.shutdown(Drain::within(PATIENCE)));
    let mut close = [0; 4];
    last.read_exact(&mut close).unwrap();
    assert_eq!((close[0], &close[2..]), (0x88, &1001u16.to_be_bytes()[..]));
    let silent = connect(secure.address());
    eventually("it is accepted", || secure.server.connections() == 2);
    last.write_all(&frame(CLOSE, &1001u16.to_be_bytes(), true, true)).unwrap();
    let report = shutdown.join().unwrap();
    assert_eq!((report.open, report.cut, report.busy), (1, 0, 0), "{report:?}");
    expect_end(silent);
}

/// TLS takes all of the message at once; it leaves bit by bit.
#[test]
fn who_takes_a_message_slowly_is_not_taken_for_one_who_takes_nothing() {
    let limits = Limits { send_buffer: 4 * KIB, write_deadline: 2 * SHORT, ..Limits::default() };
    let secure = serve_tls(limits);
    let mut wire = secure.wire(connect_narrow(secure.address()));
    upgrade(&mut wire, secure.address(), "/echo");
    let size = 62_000;
    wire.write_all(&frame(2, &vec![7; size], true, true)).unwrap();
    let (mut taken, mut some) = (0, [0; 1000]);
    while taken < size {
        taken += wire.sock.read(&mut some).unwrap();
        thread::sleep(Duration::from_millis(25));
    }
    assert_eq!(metric(&secure.server.metrics(), "slow_consumers_total"), 0);
}
