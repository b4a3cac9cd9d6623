//! Under a service manager: a socket that outlives the process, what the manager is told, and how it is logged.

use crate::config::{File, ended};
use crate::support::{
    CLOSE, Client, PATIENCE, Program, TEXT, connect, eventually, get, handshake, serve_binary, switchboard,
};
use crate::tls::{Authority, Files};
use rustix::process::Signal;
use serde_json::Value;
use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{self, UnixDatagram, UnixListener};
use std::path::PathBuf;
use std::process::{self, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};
use std::{env, fs, thread};
use switchboard::{Drain, Error, Result, Server, WebSocket};

fn echo(mut ws: WebSocket) -> Result<()> {
    while let Some(message) = ws.recv()? {
        ws.send(message)?;
    }
    Ok(())
}

fn listener() -> (TcpListener, SocketAddr) {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

fn serve_on(socket: &TcpListener) -> Server {
    let builder = Server::builder().health().route("/echo", echo);
    builder.listen_on(socket.try_clone().unwrap()).unwrap().start().unwrap()
}

/// The program behind a shell that hands it `socket` as `LISTEN_FDS` wants it, and has `setup` carried out before. What the
/// shell has as `$$` is the program's number then.
fn activated(socket: impl Into<OwnedFd>, setup: &str, args: &[&str]) -> Command {
    let hand_over =
        format!("exec 3<&0 0</dev/null; export LISTEN_PID=$$ LISTEN_FDS=1; {setup}\nexec \"$0\" \"$@\"");
    let mut command = shell(&hand_over, args);
    command.stdin(Stdio::from(socket.into()));
    command
}

/// The program, started by the script's `exec "$0" "$@"`.
fn shell(script: &str, args: &[&str]) -> Command {
    let program = switchboard(args);
    let mut command = Command::new("sh");
    command.args(["-c", script]).arg(program.get_program()).args(program.get_args());
    for (name, value) in program.get_envs() {
        assert_eq!(value, None, "{name:?} would have to be set");
        command.env_remove(name);
    }
    command
}

/// Opens a WebSocket, has a message echoed and closes; or is sent away.
fn visit(address: SocketAddr) {
    let mut client = match Client::over(connect(address), handshake(address, "/echo", "")) {
        Ok(client) => client,
        Err(answer) => panic!("refused: {} {}", answer.status, answer.text()),
    };
    client.send("hello");
    let mut frame = client.frame();
    if frame.opcode == TEXT {
        assert_eq!(frame.payload, b"hello");
        client.send_close(1000);
        frame = client.frame();
    } else {
        client.send_close(1001);
    }
    assert_eq!(frame.opcode, CLOSE, "{frame:?}");
    client.expect_end();
}

#[test]
fn a_socket_that_is_handed_over_is_served_and_outlives_the_server() {
    let (socket, address) = listener();
    let first = serve_on(&socket);
    assert_eq!(first.local_addr(), address);
    visit(address);
    first.shutdown(Drain::within(PATIENCE));
    // Nobody serves, and nobody is refused: the connection waits.
    let waiting = thread::spawn(move || visit(address));
    eventually("somebody waits in the backlog", || waits(address));
    let second = serve_on(&socket);
    waiting.join().unwrap();
    // Without another holder it ends with the server.
    drop(socket);
    drop(second);
    eventually("nobody listens", || TcpStream::connect(address).is_err());
}

/// Whether there is a connection to `address` that nobody has accepted: the receive queue of a listening socket.
fn waits(address: SocketAddr) -> bool {
    let port = format!(":{:04X}", address.port());
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let fields = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let listening =
        fields.filter(|fields| fields.len() > 4 && fields[1].ends_with(&port) && fields[3] == "0A");
    listening.map(|fields| fields[4].to_string()).any(|queues| !queues.ends_with(":00000000"))
}

#[test]
fn restarts_refuse_nobody() {
    let (socket, address) = listener();
    let (visits, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    let last = thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !done.load(Relaxed) {
                    visit(address);
                    visits.fetch_add(1, Relaxed);
                }
            });
        }
        for _ in 0..5 {
            let before = visits.load(Relaxed);
            let server = serve_on(&socket);
            eventually("clients come", || before + 50 < visits.load(Relaxed));
            server.shutdown(Drain::within(PATIENCE));
        }
        done.store(true, Relaxed);
        // For those who have come in the meantime.
        serve_on(&socket)
    });
    assert_eq!(last.shutdown(Drain::within(PATIENCE)).cut, 0);
}

#[test]
fn who_was_accepted_is_served_though_the_server_ends() {
    let (socket, address) = listener();
    loop {
        let server = serve_on(&socket);
        let mut stream = connect(address);
        let request = handshake(address, "/echo", "");
        let (first, rest) = request.split_at(20);
        stream.write_all(first.as_bytes()).unwrap();
        eventually("it is accepted", || server.connections() == 1);
        let began = Instant::now();
        let handle = server.handle();
        let ending = thread::spawn(move || handle.shutdown(Drain::within(PATIENCE)));
        let mut next = connect(address);
        eventually("nobody else is accepted", || {
            let waits = waits(address);
            if !waits {
                next = connect(address);
            }
            waits
        });
        let sent = stream.write_all(rest.as_bytes());
        let is_in_time = began.elapsed() < Duration::from_millis(500);
        let answer = read_head(&mut stream);
        assert!(
            !is_in_time || sent.is_ok() && answer.starts_with(b"HTTP/1.1 101 "),
            "{}",
            answer.escape_ascii()
        );
        drop((stream, next));
        assert_eq!(ending.join().unwrap().cut, 0);
        // On a machine that is too busy the server may not wait for it any longer.
        if is_in_time {
            return;
        }
    }
}

/// What comes first, until the end of a line or of the connection.
fn read_head(stream: &mut TcpStream) -> Vec<u8> {
    let mut head = Vec::new();
    let mut part = [0; 1024];
    while !head.contains(&b'\n') {
        match stream.read(&mut part) {
            Ok(0) | Err(_) => break,
            Ok(read) => head.extend_from_slice(&part[..read]),
        }
    }
    head
}

#[test]
fn who_has_not_asked_yet_does_not_hold_a_restart_up() {
    let (socket, address) = listener();
    let server = serve_on(&socket);
    let idle = connect(address);
    eventually("it is accepted", || server.connections() == 1);
    let report = server.shutdown(Drain::within(Duration::from_secs(600)));
    assert_eq!((report.open, report.cut, report.busy), (1, 0, 0));
    drop(idle);
}

#[test]
fn sockets_that_cannot_be_served_are_named() {
    let (socket, address) = listener();
    let client = TcpStream::connect(address).unwrap();
    let connected = TcpListener::from(OwnedFd::from(client));
    let error = Server::builder().listen_on(connected).err().unwrap();
    assert!(matches!(&error, Error::Config(text) if text.contains("does not listen")), "{error}");
    let mistaken = Server::builder().route("no", echo).listen_on(socket).err().unwrap();
    assert!(mistaken.to_string().contains("`no`"), "{mistaken}");
}

#[test]
fn the_program_takes_the_socket_of_its_manager() {
    let (socket, address) = listener();
    let copy = || socket.try_clone().unwrap();
    let args = ["serve", "--bind", "192.0.2.1:1", "--drain", "30s"];
    let first = Program::start(&mut activated(copy(), "", &args));
    assert_eq!(first.address, address);
    first.wait_said("the socket was handed over");
    let mut client = Client::connect(address, "/echo");
    first.signal(Signal::TERM);
    client.expect_close(1001);
    client.send_close(1001);
    assert_eq!(first.exit_code(), Some(0));
    let waiting = thread::spawn(move || visit(address));
    eventually("somebody waits in the backlog", || waits(address));
    let _second = Program::start(&mut activated(copy(), "", &args));
    waiting.join().unwrap();
}

#[test]
fn of_many_sockets_the_one_with_the_name_is_taken() {
    let (socket, address) = listener();
    let run = |names: &str| activated(socket.try_clone().unwrap(), names, &["serve"]);
    let second = "exec 4<&3 3</dev/null; export LISTEN_FDS=2 LISTEN_FDNAMES=other:switchboard";
    let named = Program::start(&mut run(second));
    assert_eq!(named.address, address);
    let fails = |setup: &str| {
        let (code, stdout, stderr) = ended(run(setup).output().unwrap());
        assert_eq!((code, &*stdout), (Some(1), ""), "{stderr}");
        stderr
    };
    let unnamed = fails("exec 4<&3; export LISTEN_FDS=2");
    assert!(
        unnamed.contains("2 sockets were handed over") && unnamed.contains("FileDescriptorName="),
        "{unnamed}"
    );
    assert!(fails("export LISTEN_FDS=many").contains("set LISTEN_FDS to the number of sockets"));
}

#[test]
fn sockets_of_another_kind_are_refused_with_what_to_write() {
    let fails = |socket: OwnedFd| {
        let (code, _, stderr) = ended(activated(socket, "", &["serve"]).output().unwrap());
        assert_eq!(code, Some(1), "{stderr}");
        stderr
    };
    let path = Socket::path();
    let unix = UnixListener::bind(&path).unwrap();
    fs::remove_file(path).unwrap();
    assert!(fails(unix.into()).contains("ListenStream=PORT"));
    assert!(fails(UdpSocket::bind("127.0.0.1:0").unwrap().into()).contains("does not listen"));
    let (socket, address) = listener();
    let _client = TcpStream::connect(address).unwrap();
    assert!(fails(socket.accept().unwrap().0.into()).contains("Accept=no"));
}

#[test]
fn a_socket_for_another_process_is_not_taken() {
    let (socket, address) = listener();
    let args = ["serve", "--bind", "127.0.0.1:0"];
    for setup in ["export LISTEN_PID=1", "unset LISTEN_PID", "export LISTEN_FDS=0", "unset LISTEN_FDS"] {
        let server = Program::start(&mut activated(socket.try_clone().unwrap(), setup, &args));
        assert_ne!(server.address, address, "{setup}");
    }
}

/// A `NOTIFY_SOCKET`, in the file system. Removed when dropped.
struct Socket(UnixDatagram, PathBuf);

impl Socket {
    fn path() -> PathBuf {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("switchboard-test-{}-{}.sock", process::id(), COUNT.fetch_add(1, Relaxed));
        env::temp_dir().join(name)
    }

    fn new() -> Self {
        let path = Self::path();
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(socket, path)
    }

    fn name(&self) -> &str {
        self.1.to_str().unwrap()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.1);
    }
}

/// The next datagram's lines.
#[track_caller]
fn told(socket: &UnixDatagram) -> Vec<String> {
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer).expect("the manager is told something");
    str::from_utf8(&buffer[..length]).unwrap().lines().map(String::from).collect()
}

/// The next datagram that is no sign of life.
#[track_caller]
fn told_else(socket: &UnixDatagram) -> Vec<String> {
    loop {
        let lines = told(socket);
        if lines[0] != "WATCHDOG=1" {
            return lines;
        }
    }
}

fn monotonic() -> u128 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u128 * 1_000_000 + now.tv_nsec as u128 / 1000
}

#[test]
fn the_manager_is_told_how_the_server_is() {
    let manager = Socket::new();
    let file = File::new("drain = \"20s\"\n");
    let args = ["serve", "--bind", "127.0.0.1:0", "--max-connections", "7", "--config", file.path()];
    let server =
        Program::start(switchboard(&args).env("NOTIFY_SOCKET", manager.name()).env("WATCHDOG_USEC", "40000"));
    let status = format!("STATUS=listening on {}, 0 of 7 connections", server.address);
    assert_eq!(told(&manager.0), ["READY=1", &status]);
    let client = Client::settled(server.address, "/echo");
    let status = format!("STATUS=listening on {}, 1 of 7 connections", server.address);
    eventually("a sign of life has the new status", || told(&manager.0) == ["WATCHDOG=1", &status]);

    let before = monotonic();
    server.signal(Signal::HUP);
    let reloading = told_else(&manager.0);
    assert_eq!(reloading[0], "RELOADING=1");
    let since: u128 = reloading[1].strip_prefix("MONOTONIC_USEC=").unwrap().parse().unwrap();
    assert!((before..=monotonic()).contains(&since), "{before} {since}");
    assert_eq!(told_else(&manager.0), ["READY=1", &status]);

    server.signal(Signal::TERM);
    let stopping = told_else(&manager.0);
    assert_eq!(
        stopping,
        ["STOPPING=1", "EXTEND_TIMEOUT_USEC=25000000", "STATUS=stopping, connections open: 1"]
    );
    // It still is alive, and says so; not that it listens.
    let status = "STATUS=stopping, connections open: 1";
    eventually("a sign of life says that it stops", || told(&manager.0) == ["WATCHDOG=1", status]);
    drop(client);
    assert_eq!(server.exit_code(), Some(0));
}

#[test]
fn a_manager_can_have_an_abstract_socket_and_a_watchdog_for_another_process() {
    let name = format!("switchboard-test-{}-abstract", process::id());
    let manager = UnixDatagram::bind_addr(&net::SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let start = |pid: &str| {
        let script =
            format!("export NOTIFY_SOCKET=@{name} WATCHDOG_USEC=1000 WATCHDOG_PID={pid}; exec \"$0\" \"$@\"");
        Program::start(&mut shell(&script, &["serve", "--bind", "127.0.0.1:0"]))
    };
    let server = start("1");
    assert_eq!(told(&manager)[0], "READY=1");
    for _ in 0..20 {
        server.signal(Signal::HUP);
        assert_eq!(
            told(&manager)[0],
            "RELOADING=1",
            "and no sign of life, though it is due each millisecond"
        );
        assert_eq!(told(&manager)[0], "READY=1");
    }
    server.signal(Signal::TERM);
    assert_eq!((told(&manager)[0].as_str(), server.exit_code()), ("STOPPING=1", Some(0)));

    let _server = start("$$");
    assert_eq!(told(&manager)[0], "READY=1");
    assert_eq!(told(&manager)[0], "WATCHDOG=1");
}

#[test]
fn a_manager_that_cannot_be_told_is_no_reason_to_fail() {
    for name in ["/nowhere/at/all", "relative", &"x".repeat(200)] {
        let server = Program::start(
            switchboard(&["serve", "--bind", "127.0.0.1:0"])
                .env("NOTIFY_SOCKET", name)
                .env("WATCHDOG_USEC", "1000"),
        );
        visit(server.address);
        assert!(server.all_said().contains("told"), "{name}");
    }
}

#[test]
fn a_hub_that_is_held_up_does_not_answer() {
    let (release, hold) = channel::<()>();
    let (entered, inside) = channel();
    let hold = parking_lot::Mutex::new(hold);
    let hold = std::sync::Arc::new(hold);
    let server = Server::builder().route("/", move |mut ws| {
        let (hold, entered) = (hold.clone(), entered.clone());
        // A view runs in the hub's turn, and must not do that.
        let _room = ws.join_with("r", move |message| {
            let _ = entered.send(());
            let _ = hold.lock().recv();
            Some(message)
        })?;
        ws.send("joined")?;
        ws.recv().map(drop)
    });
    let server = server.bind("127.0.0.1:0").unwrap().start().unwrap();
    // Dropped before the server, which waits for the hub.
    let release = release;
    let mut client = Client::settled(server.local_addr(), "/");
    client.expect("joined");
    assert!(server.answers(PATIENCE));
    assert!(server.room("r").send("a message to be looked at"));
    inside.recv_timeout(PATIENCE).unwrap();
    assert!(!server.answers(Duration::from_millis(50)));
    drop(release);
    assert!(server.answers(PATIENCE));
}

/// All lines that the program says on stderr until it has ended in order.
fn lines(server: Program) -> Vec<String> {
    server.wait_said("");
    server.all_said().lines().map(String::from).collect()
}

#[test]
fn the_journal_gets_the_level_of_each_line_and_nothing_that_it_knows() {
    let to_journal = "export RUST_LOG=debug JOURNAL_STREAM=$(stat -L -c %d:%i /dev/fd/2); exec \"$0\" \"$@\"";
    let args = ["serve", "--bind", "127.0.0.1:0"];
    let server = Program::start(&mut shell(to_journal, &args));
    visit(server.address);
    let said = lines(server);
    assert!(said.iter().all(|line| line.starts_with(['<'])), "{said:#?}");
    let has = |beginning: &str| said.iter().any(|line| line.starts_with(beginning));
    assert!(has("<6>room for ") && has("<6>stopping") && has("<6>switchboard::server"), "{said:#?}");
    assert!(has("<7>switchboard::server::connection: 127.0.0.1:"), "{said:#?}");
    assert!(!has("<6>Ctrl-C"), "{said:#?}");
    // Somebody else's stream, as for what is started from a service with its output elsewhere.
    let elsewhere = to_journal.replace("$(", "1$(");
    let said = lines(Program::start(&mut shell(&elsewhere, &args)));
    assert!(!said.iter().any(|line| line.starts_with('<')), "{said:#?}");

    let fails = shell(to_journal, &["serve", "--bind", "192.0.2.1:1"]).output().unwrap();
    let (code, _, stderr) = ended(fails);
    assert!(code == Some(1) && stderr.contains("\n<3>switchboard: cannot listen on 192.0.2.1:1"), "{stderr}");
}

/// Level and message of each line, all of which must be JSON.
fn json(lines: &[String]) -> Vec<(String, String)> {
    let parse = |line: &String| {
        let said: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let keys: HashSet<&str> = said.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, HashSet::from(["time", "level", "target", "message"]), "{line}");
        assert!(said["time"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{line}");
        let text = |key: &str| said[key].as_str().unwrap().to_string();
        (text("level"), text("message"))
    };
    lines.iter().map(parse).collect()
}

#[test]
fn every_line_is_json_if_asked_for() {
    let file = File::new("bind = \"127.0.0.1:0\"\nlog-format = \"json\"\n");
    let manager = Socket::new();
    let mut command = switchboard(&["--config", file.path()]);
    let server = Program::start(command.env("RUST_LOG", "debug").env("NOTIFY_SOCKET", manager.name()));
    visit(server.address);
    server.signal(Signal::HUP);
    while told(&manager.0)[0] != "RELOADING=1" {}
    assert_eq!(told(&manager.0)[0], "READY=1", "it has been read again");
    let said = json(&lines(server));
    for (level, beginning) in [
        ("info", "room for "),
        ("info", "stopping"),
        ("info", &format!("{} was read again", file.path())),
        ("info", "log-format = \"json\" (line 2"),
        ("debug", "127.0.0.1:"),
    ] {
        assert!(
            said.iter().any(|(at, message)| at == level && message.starts_with(beginning)),
            "{beginning}: {said:#?}"
        );
    }
    let (_, _, stderr) = ended(
        switchboard(&["--bind", "192.0.2.1:1"]).env("SWITCHBOARD_LOG_FORMAT", "json").output().unwrap(),
    );
    let said = json(&stderr.lines().map(String::from).collect::<Vec<_>>());
    assert_eq!((said.len(), said[0].0.as_str()), (1, "error"), "{said:#?}");

    let misspelt = switchboard(&["serve", "--speed", "8", "--log-format=json"]).output().unwrap();
    let (code, _, stderr) = ended(misspelt);
    let said = json(&stderr.lines().map(String::from).collect::<Vec<_>>());
    assert_eq!((code, said.len()), (Some(2), 1), "{stderr}");
    assert!(said[0].1.contains("unexpected argument '--speed'"), "{said:?}");

    // The file cannot be used, and what was said elsewhere holds.
    let broken = File::new("bind = 7\nspeed = 8\n");
    let (code, _, stderr) =
        ended(switchboard(&["serve", "--config", broken.path(), "--log-format", "json"]).output().unwrap());
    let said = json(&stderr.lines().map(String::from).collect::<Vec<_>>());
    assert_eq!((code, said.len()), (Some(1), 1), "{stderr}");
    assert!(said[0].1.contains("2:1: `speed` is no key"), "{said:?}");

    // What the file says of the log holds, though it cannot be used otherwise; and so with RUST_LOG.
    let broken = File::new("log-format = \"json\"\nspeed = 8\n");
    let (_, _, stderr) = ended(switchboard(&["serve", "--config", broken.path()]).output().unwrap());
    assert!(json(&stderr.lines().map(String::from).collect::<Vec<_>>())[0].1.contains("`speed` is no key"));
    let mut command = switchboard(&["--bind", "192.0.2.1:1", "--log-format=json"]);
    let (_, _, stderr) = ended(command.env("RUST_LOG", "info,=loud=").output().unwrap());
    let said = json(&stderr.lines().map(String::from).collect::<Vec<_>>());
    assert!(said.iter().any(|(_, message)| message.contains("`=loud=` is no filter")), "{said:?}");
}

/// Exit code, and what was said.
fn health(args: &[&str]) -> (Option<i32>, String) {
    let (code, stdout, stderr) = ended(switchboard(&[&["health"], args].concat()).output().unwrap());
    (code, stdout + &stderr)
}

#[test]
fn health_asks_the_server_of_this_configuration() {
    let server = serve_binary(&["--max-connections", "2"]);
    let url = server.url();
    assert_eq!(health(&[&url]), (Some(0), format!("{url}/healthz: 200, it lives\n")));
    // Whoever asks takes a place itself, and the last one may still be about to leave its own.
    eventually("the place is free", || get(server.address, "/readyz").status == 200);
    assert_eq!(
        health(&["--ready", &format!("{url}/")]),
        (Some(0), format!("{url}/readyz: 200, it takes clients\n"))
    );
    let everywhere = format!("0.0.0.0:{}", server.address.port());
    assert_eq!(health(&["--bind", &everywhere]).0, Some(0));
    let file = File::new(&format!("bind = {:?}\n", server.address.to_string()));
    let (code, _, _) =
        ended(switchboard(&["health"]).env("SWITCHBOARD_CONFIG", file.path()).output().unwrap());
    assert_eq!(code, Some(0));
    // It is full: that is no reason to start it anew, but to send clients elsewhere.
    let clients = [0; 2].map(|_| Client::settled(server.address, "/echo"));
    assert_eq!(health(&[&url]), (Some(0), format!("{url}/healthz: 200, it lives\n")));
    let (code, said) = health(&["--ready", &url]);
    assert!(code == Some(1) && said.contains("all connections are in use"), "{said}");
    drop(clients);
    drop(server);
    let (code, said) = health(&[&url]);
    assert!(code == Some(1) && said.contains("is the server running there?"), "{said}");
    assert_eq!(health(&["localhost"]).0, Some(1));
}

#[test]
fn health_speaks_tls() {
    let authority = Authority::new();
    let files = Files::new(&authority.issue());
    let (certificate, key) = (files.path("cert.pem"), files.path("key.pem"));
    let tls = ["--tls-cert", &certificate, "--tls-key", &key];
    let server = serve_binary(&tls);
    let bind = server.address.to_string();
    let (code, said) = health(&[&["--bind", &bind], &tls[..]].concat());
    assert_eq!((code, said), (Some(0), format!("https://{bind}/healthz: 200, it lives\n")));
    let full = serve_binary(&[&tls[..], &["--max-connections", "1"]].concat());
    let crowd = connect(full.address);
    assert_eq!(get(full.address, "/healthz").status, 400, "nothing is served in the clear");
    let bind = full.address.to_string();
    let (code, said) = health(&[&["--bind", &bind], &tls[..]].concat());
    assert_eq!((code, said), (Some(0), format!("https://{bind}/healthz: 200, it lives\n")));
    assert_eq!(health(&[&["--ready", "--bind", &bind], &tls[..]].concat()).0, Some(1));
    drop(crowd);
    // Whoever is named must prove it.
    let (code, said) = health(&[&format!("https://{bind}")]);
    assert!(code == Some(1) && said.contains("certificate"), "{said}");
}

/// As one does that hears no more clients, not even over TLS.
#[test]
fn health_takes_a_refusal_in_the_clear_for_life() {
    let (socket, address) = listener();
    let busy = thread::spawn(move || {
        for _ in 0..2 {
            let (mut client, _) = socket.accept().unwrap();
            let _ = client.read(&mut [0; 4096]).unwrap();
            client.write_all(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n").unwrap();
        }
    });
    let (code, said) = health(&[&format!("https://{address}")]);
    assert!(code == Some(0) && said.contains("503, it lives"), "{said}");
    busy.join().unwrap();
}

#[test]
fn health_is_not_content_with_somebody_else() {
    let (socket, address) = listener();
    let url = format!("http://{address}");
    let other = Server::builder().route("/healthz", echo);
    let other = other.listen_on(socket).unwrap().start().unwrap();
    let (code, said) = health(&[&url]);
    assert!(code == Some(1) && said.contains("no Switchboard"), "{said}");
    let (code, said) = health(&["--ready", &url]);
    assert!(code == Some(1) && said.contains("404"), "{said}");
    drop(other);
    let (mute, address) = listener();
    let (code, said) = health(&["--timeout", "100ms", &format!("http://{address}")]);
    assert!(code == Some(1) && said.contains("in time"), "{said}");
    drop(mute);
}

/// The long options and the commands of `--help`.
fn words_of_help(args: &[&str]) -> Vec<String> {
    let (_, help, _) = ended(switchboard(&[args, &["--help"]].concat()).output().unwrap());
    // Further in, text goes on.
    let is_option = |line: &&str| line.trim_start().starts_with('-') && !line.starts_with("       ");
    let options = help.lines().filter(is_option);
    let options = options.filter_map(|line| Some(format!("--{}", line.split_once("--")?.1)));
    let options = options.map(|line| line.split([' ', ',', '`', ';', '=']).next().unwrap().to_string());
    let commands = help.lines().skip_while(|line| !line.starts_with("Commands:")).skip(1);
    let commands = commands.take_while(|line| !line.is_empty()).filter(|line| !line.starts_with("   "));
    let commands = commands.filter_map(|line| line.split_whitespace().next());
    options.chain(commands.map(String::from)).collect()
}

#[test]
fn completions_and_manual_pages_say_what_help_says() {
    let folder = Socket::path().with_extension("man");
    let page = |name: &str| fs::read_to_string(folder.join(name)).unwrap().replace("\\-", "-");
    let (code, _, stderr) = ended(switchboard(&["man", folder.to_str().unwrap()]).output().unwrap());
    assert_eq!((code, &*stderr), (Some(0), ""));
    let commands = words_of_help(&[]);
    assert!(commands.contains(&"--log-format".into()) && commands.contains(&"serve".into()), "{commands:?}");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (code, script, _) = ended(switchboard(&["completions", shell]).output().unwrap());
        assert_eq!(code, Some(0));
        for word in words_of_help(&["serve"]).iter().chain(&commands) {
            // Fish names options without their dashes.
            assert!(script.contains(word.trim_start_matches("--")), "{shell}: {word}");
        }
    }
    for (name, args) in [("switchboard.1", &[][..]), ("switchboard-connect.1", &["connect"])] {
        let text = page(name);
        for word in words_of_help(args).iter().filter(|word| *word != "help") {
            assert!(text.contains(word), "{name}: {word}");
        }
    }
    assert!(page("switchboard-serve.1").contains("SWITCHBOARD_LOG_FORMAT"));
    assert!(!switchboard(&["completions", "tcsh"]).output().unwrap().status.success());
    fs::remove_dir_all(folder).unwrap();
}
