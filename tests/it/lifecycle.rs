//! Beginning, budget and end of a server, and what may happen to a connection beyond its handler.

use crate::support::{
    Client, LONG, PATIENCE, Program, SHORT, connect, connect_narrow, echo, eventually, exchange, get,
    handshake, metric, relay, request, reset, serve, serve_binary, text_frame,
};
use parking_lot::Mutex;
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::panic::resume_unwind;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use std::{env, fs, thread};
use switchboard::{
    Builder, Drain, Error, Event, Handle, Limits, Report, Response, Server, WebSocket, events,
};

const KIB: usize = 1024;

fn echo_and_rooms(builder: Builder) -> Builder {
    builder.health().route("/echo", echo).route("/room/{room}", relay)
}

/// A handler that waits for the returned sender (or its end) before it returns, whatever its client does.
fn deaf(builder: Builder, path: &str) -> (Builder, std::sync::mpsc::Sender<()>) {
    let (release, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let builder = builder.route(path, move |mut ws| {
        ws.send("started")?;
        let _ = wait.lock().recv();
        Ok(())
    });
    (builder, release)
}

/// A server whose handler gives its connections away, and where they come to.
fn serve_giving_away(limits: Limits) -> (Server, Receiver<WebSocket>) {
    let (give, take) = channel();
    let server = serve(limits, |builder| {
        echo_and_rooms(builder).route("/give", move |ws| {
            let _ = give.send(ws);
            Ok(())
        })
    });
    (server, take)
}

/// Answers the Close that comes next and waits for the end.
#[track_caller]
fn answer_close(mut client: Client, code: u16) {
    client.expect_close(code);
    client.send_close(code);
    client.expect_end();
}

fn try_open(address: SocketAddr, path: &str) -> Result<Client, u16> {
    Client::over(connect(address), handshake(address, path, "")).map_err(|answer| answer.status)
}

#[test]
fn one_connection_too_many_is_refused_and_a_freed_place_is_usable() {
    let server = serve(Limits { connections: Some(3), ..Limits::default() }, echo_and_rooms);
    let address = server.local_addr();
    assert_eq!(server.max_connections(), 3);
    for _ in 0..3 {
        let mut clients: Vec<Client> = (0..3).map(|_| Client::settled(address, "/echo")).collect();
        let refusal = get(address, "/echo");
        assert_eq!(refusal.status, 503);
        assert!(refusal.header("Retry-After").unwrap().parse::<u32>().is_ok());
        assert!(refusal.text().contains("in use"), "{}", refusal.text());
        assert_eq!(try_open(address, "/echo").err(), Some(503));
        clients.pop().unwrap().leave();
        eventually("the place is free", || server.connections() == 2);
        // A plain request takes the last place for its time: no more could come then.
        eventually("a request is let in", || get(address, "/readyz").text().starts_with("not ready"));
        eventually("a client is let in", || {
            try_open(address, "/echo").is_ok_and(|mut client| {
                client.send("in");
                client.expect("in");
                true
            })
        });
        clients.into_iter().for_each(Client::leave);
        eventually("all are gone", || server.connections() == 0);
    }
    assert!(6 <= metric(&server.metrics(), "over_budget_total"));
}

#[test]
fn a_full_server_lives_and_can_be_measured_but_is_not_ready() {
    let server = serve(Limits { connections: Some(1), ..Limits::default() }, echo_and_rooms);
    let address = server.local_addr();
    let client = Client::settled(address, "/echo");
    for _ in 0..10 {
        assert_eq!(get(address, "/healthz").status, 200);
        let ready = get(address, "/readyz");
        assert!(ready.status == 503 && ready.text().contains("in use"), "{}", ready.text());
        let metrics = get(address, "/metrics");
        assert_eq!((metrics.status, metric(metrics.text(), "ready")), (200, 0));
    }
    assert_eq!(metric(&server.metrics(), "over_budget_total"), 0);
    for path in ["/echo", "/nowhere"] {
        assert_eq!(get(address, path).status, 503);
    }
    assert_eq!(request(address, "POST /healthz").status, 503);
    assert_eq!(metric(&server.metrics(), "over_budget_total"), 3);
    // Those who say nothing do not keep the next ones from being answered somehow.
    let _silent: Vec<_> = (0..20).map(|_| connect(address)).collect();
    eventually("probes are answered again", || get(address, "/healthz").status == 200);
    client.leave();
    eventually("the place is free", || try_open(address, "/echo").is_ok());
}

#[test]
fn a_connection_that_was_given_away_keeps_its_place() {
    let (server, given) = serve_giving_away(Limits { connections: Some(2), ..Limits::default() });
    let clients: Vec<Client> = (0..2).map(|_| Client::connect(server.local_addr(), "/give")).collect();
    let kept: Vec<WebSocket> = given.iter().take(2).collect();
    assert_eq!(try_open(server.local_addr(), "/echo").err(), Some(503));
    drop(clients);
    drop(kept);
    eventually("the places are free", || try_open(server.local_addr(), "/echo").is_ok());
}

#[test]
fn two_servers_in_one_process_do_not_know_each_other() {
    let [one, two] = [0; 2].map(|_| serve(Limits::default(), echo_and_rooms));
    let mut clients = [&one, &two].map(|server| Client::settled(server.local_addr(), "/room/same"));
    assert!(one.room("same").send("of one") && one.broadcast("to all of one"));
    assert!(two.room("same").send("of two"));
    clients[0].expect("of one");
    clients[0].expect("to all of one");
    clients[1].expect("of two");
    assert_eq!((one.connections(), two.connections()), (1, 1));
    let [first, second] = clients;
    let ended = thread::spawn(move || answer_close(first, 1001));
    one.shutdown(Drain::within(PATIENCE));
    ended.join().unwrap();
    assert!(two.room("same").send("still here"));
    let mut second = second;
    second.expect("still here");
}

#[test]
fn an_address_that_cannot_be_had_says_what_to_do() {
    let server = serve(Limits::default(), |builder| builder);
    let taken = server.local_addr().to_string();
    for (address, hints) in [
        (taken.as_str(), [taken.as_str(), "port 0"]),
        ("192.0.2.1:0", ["192.0.2.1", "127.0.0.1"]),
        ("nonsense", ["`nonsense`", "HOST:PORT"]),
        ("127.0.0.1:99999", ["99999", "HOST:PORT"]),
    ] {
        let error = Server::builder().bind(address).err().unwrap().to_string();
        assert!(hints.iter().all(|hint| error.contains(hint)), "{error}");
    }
    let output =
        Command::new(env!("CARGO_BIN_EXE_switchboard")).args(["serve", "--bind", &taken]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains(&taken) && said.contains("in use") && output.stdout.is_empty(), "{said}");
}

#[test]
fn routes_and_limits_that_cannot_be_are_named() {
    let route = Server::builder().route("chat", echo).bind("127.0.0.1:0").err().unwrap().to_string();
    assert!(route.contains("`chat`"), "{route}");
    let limits = Limits { connections: Some(0), ..Limits::default() };
    let limit = Server::builder().limits(limits).bind("127.0.0.1:0").err().unwrap().to_string();
    assert!(limit.contains("`connections`"), "{limit}");
}

#[test]
fn a_shutdown_sends_what_waits_and_then_1001() {
    let server = serve(Limits::default(), echo_and_rooms);
    let address = server.local_addr();
    let clients: Vec<Client> = (0..10).map(|_| Client::settled(address, "/room/r")).collect();
    for n in 0..100 {
        assert!(server.room("r").send(format!("message {n}")));
    }
    let handle = server.handle();
    let ending = thread::spawn(move || handle.shutdown(Drain::within(PATIENCE)));
    let readers: Vec<_> = clients
        .into_iter()
        .map(|mut client| {
            thread::spawn(move || {
                (0..100).for_each(|n| client.expect(&format!("message {n}")));
                let (code, reason) = client.close();
                assert_eq!((code, &*reason), (1001, "the server is going away"));
                client.send_close(code);
                client.expect_end();
            })
        })
        .collect();
    readers.into_iter().for_each(|reader| reader.join().unwrap());
    let report = ending.join().unwrap();
    assert_eq!((report.open, report.cut, report.busy), (10, 0, 0));
    assert!(TcpStream::connect(address).is_err(), "nobody listens any more");
    assert!(!server.room("r").send("too late") && !server.broadcast("too late"));
    assert_eq!(server.shutdown(Drain::within(LONG)), report, "the second one reports the same");
    assert_eq!((server.connections(), metric(&server.metrics(), "websocket_connections")), (0, 0));
}

#[test]
fn a_client_that_takes_nothing_does_not_hold_a_shutdown_up_until_its_deadline() {
    let limits = Limits { write_deadline: Duration::from_millis(300), ..Limits::default() };
    let server = serve(limits, echo_and_rooms);
    let address = server.local_addr();
    let mut stalled = Client::over(connect_narrow(address), handshake(address, "/room/r", "")).unwrap();
    stalled.settle();
    for _ in 0..4 {
        assert!(server.room("r").send("x".repeat(200 * KIB)));
    }
    let report = server.shutdown(Drain::within(Duration::from_secs(600)));
    assert_eq!((report.open, report.stalled, report.busy), (1, 1, 0));
    assert!(report.took < PATIENCE, "{report}");
    drop(stalled);
}

#[test]
fn a_client_that_is_refused_and_stays_does_not_hold_a_shutdown_up() {
    let patient = Duration::from_secs(600);
    let limits = Limits { close_deadline: patient, ..Limits::default() };
    let server = serve(limits, echo_and_rooms);
    let address = server.local_addr();
    let mut client = Client::settled(address, "/echo");
    let handle = server.handle();
    let ending = thread::spawn(move || handle.shutdown(Drain::within(patient)));
    client.expect_close(1001);
    let mut refused = connect(address);
    refused.write_all(handshake(address, "/echo", "").as_bytes()).unwrap();
    let mut answer = [0; 12];
    refused.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 503");
    client.send_close(1001);
    client.expect_end();
    let report = ending.join().unwrap();
    assert!(report.took < PATIENCE, "{report}");
    drop(refused);
}

#[test]
fn a_shutdown_says_what_it_was_told_to_say() {
    let server = serve(Limits::default(), echo_and_rooms);
    let clients: Vec<Client> = (0..5).map(|_| Client::settled(server.local_addr(), "/echo")).collect();
    let handle = server.handle();
    let drain = Drain::within(PATIENCE).with_code(1012).with_reason("back in a minute").with_batch(1);
    let ending = thread::spawn(move || handle.shutdown(drain));
    for mut client in clients {
        assert_eq!(client.close(), (1012, "back in a minute".into()));
        client.send_close(1012);
        client.expect_end();
    }
    assert_eq!(ending.join().unwrap().cut, 0);
}

#[test]
fn a_shutdown_with_a_code_that_no_frame_may_have_says_1011() {
    let server = serve(Limits::default(), echo_and_rooms);
    let mut client = Client::settled(server.local_addr(), "/echo");
    let handle = server.handle();
    let ending = thread::spawn(move || handle.shutdown(Drain::within(PATIENCE).with_code(1006)));
    client.expect_close(1011);
    client.send_close(1011);
    assert_eq!(ending.join().unwrap().cut, 0);
}

#[test]
fn a_shutdown_in_the_middle_of_everything_ends_in_time() {
    let limits = Limits {
        message: 64 * KIB,
        outbox: 256 * KIB,
        send_buffer: 16 * KIB,
        head_deadline: LONG,
        write_deadline: LONG,
        close_deadline: LONG,
        ..Limits::default()
    };
    let mut release = None;
    let server = serve(limits, |builder| {
        let builder = builder.route("/panic", |mut ws| {
            let _ = ws.recv()?;
            resume_unwind(Box::new("on purpose"))
        });
        let (builder, sender) = deaf(echo_and_rooms(builder), "/deaf");
        release = Some(sender);
        builder
    });
    let address = server.local_addr();
    let half_open: Vec<TcpStream> = (0..20)
        .map(|_| {
            let mut stream = connect(address);
            stream.write_all(b"GET /echo HTTP/1.1\r\nHost: x\r\nUpg").unwrap();
            stream
        })
        .collect();
    let mut busy = Client::connect(address, "/deaf");
    busy.expect("started");
    let mut stalled = Client::over(connect_narrow(address), handshake(address, "/room/r", "")).unwrap();
    stalled.settle();
    let mut panicking: Vec<Client> = (0..5).map(|_| Client::settled(address, "/panic")).collect();
    // All are there before the first one floods the room: one that is not reading yet would be cut as slow.
    let chatting: Vec<Client> = (0..5).map(|_| Client::settled(address, "/room/r")).collect();
    let chatting: Vec<_> = chatting
        .into_iter()
        .map(|mut client| {
            thread::spawn(move || {
                let frame = text_frame(&"x".repeat(1000));
                // Until the server has had enough.
                while client.stream.write_all(&frame).is_ok() && client.try_read_frame().is_ok() {}
            })
        })
        .collect();
    eventually("the stalled one is stalled", || 0 < metric(&server.metrics(), "stalls_total"));
    panicking.iter_mut().for_each(|client| client.send("now"));

    let within = Duration::from_secs(1);
    let began = Instant::now();
    let report = server.shutdown(Drain::within(within));
    // A second for cut threads to unwind, and much for a busy machine; without a deadline it would be a minute.
    assert!(began.elapsed() < within + PATIENCE, "{:?}", began.elapsed());
    assert!(1 <= report.busy, "the deaf one at least: {report:?}");
    assert!(
        2 <= report.cut && report.cut <= report.open,
        "the deaf and the stalled one at least: {report:?}"
    );
    chatting.into_iter().for_each(|thread| thread.join().unwrap());
    assert!(TcpStream::connect(address).is_err());
    drop((half_open, release));
    eventually("the deaf one has ended", || server.connections() == 0);
}

#[test]
fn a_shutdown_does_not_wait_for_requests_that_are_not_complete() {
    let server = serve(Limits { head_deadline: LONG, ..Limits::default() }, echo_and_rooms);
    let mut half_open = connect(server.local_addr());
    half_open.write_all(b"GET /ec").unwrap();
    eventually("it is there", || server.connections() == 1);
    let report = server.shutdown(Drain::within(PATIENCE));
    assert_eq!((report.open, report.cut, report.busy), (1, 0, 0));
}

#[test]
fn a_connection_that_was_given_away_is_told_and_cut_as_any_other() {
    let (server, given) = serve_giving_away(Limits::default());
    let answers = Client::connect(server.local_addr(), "/give");
    let echoing = given.recv().unwrap();
    let thread = thread::spawn(move || echo(echoing));
    let handle = server.handle();
    let ending = thread::spawn(move || handle.shutdown(Drain::within(PATIENCE)));
    answer_close(answers, 1001);
    assert_eq!(ending.join().unwrap(), ended(&server));
    assert_eq!(ended(&server).cut, 0);
    thread.join().unwrap().unwrap();

    let limits = Limits { close_deadline: LONG, ..Limits::default() };
    let (server, given) = serve_giving_away(limits);
    let mut ignores = Client::connect(server.local_addr(), "/give");
    let echoing = given.recv().unwrap();
    let thread = thread::spawn(move || echo(echoing));
    assert_eq!(server.shutdown(Drain::within(SHORT)).cut, 1);
    ignores.expect_close(1001);
    ignores.expect_end();
    thread.join().unwrap().unwrap();
}

/// The report of a server that has ended.
fn ended(server: &Server) -> Report {
    server.shutdown(Drain::within(Duration::ZERO))
}

#[test]
fn dropping_a_server_shuts_it_down() {
    let server = serve(Limits::default(), echo_and_rooms);
    let (address, handle) = (server.local_addr(), server.handle());
    let client = Client::settled(address, "/echo");
    let ending = thread::spawn(move || drop(server));
    answer_close(client, 1001);
    ending.join().unwrap();
    assert!(TcpStream::connect(address).is_err());
    assert!(!handle.broadcast("too late"));
}

#[test]
fn a_server_that_was_bound_but_never_started_lets_go_of_its_address() {
    let bound = Server::builder().bind("127.0.0.1:0").unwrap();
    let address = bound.local_addr();
    drop(bound);
    assert!(TcpStream::connect(address).is_err());
    Server::builder().bind(&address.to_string()).unwrap();
}

#[test]
fn while_draining_nobody_new_gets_in_and_probes_are_told() {
    let server = serve(Limits { close_deadline: LONG, ..Limits::default() }, echo_and_rooms);
    let address = server.local_addr();
    assert_eq!(get(address, "/readyz").status, 200);
    let mut last = Client::settled(address, "/echo");
    let handle = server.handle();
    let ending = thread::spawn(move || handle.shutdown(Drain::within(PATIENCE)));
    last.expect_close(1001);
    // As long as it does not answer, the server drains.
    for _ in 0..3 {
        assert_eq!(get(address, "/readyz").status, 503);
        assert_eq!(get(address, "/healthz").status, 200);
        let refusal = Client::over(connect(address), handshake(address, "/echo", "")).err().unwrap();
        assert_eq!(refusal.status, 503);
        assert!(refusal.header("Retry-After").unwrap().parse::<u32>().is_ok());
    }
    assert!(!ending.is_finished());
    last.send_close(1001);
    last.expect_end();
    drop(last);
    assert_eq!(ending.join().unwrap().cut, 0);
}

#[test]
fn sigterm_and_sigint_end_the_program_in_order() {
    for signal in [Signal::TERM, Signal::INT] {
        let program = serve_binary(&[]);
        let address = program.address;
        let mut clients: Vec<Client> =
            ["/echo", "/room/r", "/conn_ws/ann"].map(|path| Client::settled(address, path)).into();
        clients[1].send("last words");
        clients[1].expect("last words");
        program.signal(signal);
        clients.into_iter().for_each(|client| answer_close(client, 1001));
        assert_eq!(program.exit_code(), Some(0), "{signal:?}");
        assert!(TcpStream::connect(address).is_err());
    }
}

#[test]
fn the_program_ends_although_a_client_ignores_it() {
    let program = serve_binary(&["--drain", "200ms"]);
    let mut client = Client::settled(program.address, "/echo");
    program.signal(Signal::TERM);
    client.expect_close(1001);
    client.expect_end();
    assert_eq!(program.exit_code(), Some(0));
}

#[test]
fn a_second_signal_ends_the_program_at_once() {
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let program = serve_binary(&["--drain", "60s"]);
        let mut client = Client::settled(program.address, "/echo");
        program.signal(Signal::TERM);
        client.expect_close(1001);
        program.signal(Signal::HUP);
        program.signal(signal);
        assert_eq!(program.exit_code(), Some(code));
        client.expect_end();
    }
}

#[test]
fn a_sender_sends_while_the_handler_receives_and_outlives_the_connection() {
    let (give, take) = channel();
    let server = serve(Limits::default(), |builder| {
        builder.route("/", move |ws| {
            let _ = give.send(ws.sender());
            echo(ws)
        })
    });
    let mut client = Client::settled(server.local_addr(), "/");
    let sender = take.recv().unwrap();
    let other = sender.clone();
    thread::spawn(move || (0..100).for_each(|n| other.send(format!("other {n}")).unwrap())).join().unwrap();
    sender.try_send("from outside").unwrap();
    (0..100).for_each(|n| client.expect(&format!("other {n}")));
    client.expect("from outside");
    client.send("echo");
    client.expect("echo");
    client.leave();
    eventually("the connection is gone", || server.connections() == 0);
    assert!(matches!(sender.send("too late"), Err(Error::Closed)));
    assert!(matches!(sender.try_send("too late"), Err(Error::Closed)));
}

#[test]
fn a_sender_that_must_not_wait_is_told_when_the_outbox_is_full() {
    let (give, take) = channel();
    let limits = Limits {
        message: 8 * KIB,
        outbox: 16 * KIB,
        send_buffer: 16 * KIB,
        write_deadline: LONG,
        ..Limits::default()
    };
    let server = serve(limits, |builder| {
        builder.route("/", move |ws| {
            let _ = give.send(ws.sender());
            echo(ws)
        })
    });
    let request = handshake(server.local_addr(), "/", "");
    let mut client = Client::over(connect_narrow(server.local_addr()), request).unwrap();
    client.settle();
    let sender = take.recv().unwrap();
    let text = |n: usize| format!("{n} {}", "x".repeat(4 * KIB));
    let sent = (0..).find(|n| matches!(sender.try_send(text(*n)), Err(Error::Full))).unwrap();
    assert!(sent < 10_000);
    // Whoever may wait does so until the client reads.
    let waiting = thread::spawn(move || sender.send("at last"));
    (0..sent).for_each(|n| client.expect(&text(n)));
    client.expect("at last");
    waiting.join().unwrap().unwrap();
    client.leave();
}

#[test]
fn a_handler_may_give_its_connection_to_another_thread() {
    let (server, given) = serve_giving_away(Limits::default());
    let mut client = Client::connect(server.local_addr(), "/give");
    let mut ws = given.recv().unwrap();
    for text in ["one", "two"] {
        client.send(text);
        let message = ws.recv().unwrap().unwrap();
        assert_eq!(message.to_text().unwrap(), text);
        ws.send(message).unwrap();
        client.expect(text);
    }
    // Its thread serves others meanwhile.
    let mut other = Client::connect(server.local_addr(), "/echo");
    other.send("hi");
    other.expect("hi");
    let ending = thread::spawn(move || drop(ws));
    answer_close(client, 1000);
    ending.join().unwrap();
}

/// A server that its own handlers may end: at `/stop` once they have received something, by plain HTTP at once. What each
/// of them was told by `shutdown`, whose deadline no test waits for.
fn serve_stoppable() -> (Server, Receiver<Report>) {
    let (tell, reports) = channel();
    let handle: Arc<OnceLock<Handle>> = Arc::default();
    let stop = {
        let handle = handle.clone();
        move || {
            let report = handle.get().unwrap().shutdown(Drain::within(Duration::from_secs(3600)));
            let _ = tell.send(report);
        }
    };
    let server = serve(Limits::default(), |builder| {
        let plain = stop.clone();
        let builder = echo_and_rooms(builder).post("/stop", move |_| {
            plain();
            Response::text("stopped")
        });
        builder.route("/stop", move |mut ws| {
            let _ = ws.recv()?;
            stop();
            // As if nothing had happened.
            while let Some(message) = ws.recv()? {
                ws.send(message)?;
            }
            Ok(())
        })
    });
    let _ = handle.set(server.handle());
    (server, reports)
}

#[test]
fn a_handler_that_ends_its_own_server_does_not_wait_for_itself() {
    let (server, reports) = serve_stoppable();
    let mut client = Client::settled(server.local_addr(), "/stop");
    let other = Client::settled(server.local_addr(), "/echo");
    client.send("stop");
    let answering = thread::spawn(move || answer_close(other, 1001));
    // It is told like all others, and answers when it likes.
    client.expect_close(1001);
    let report = reports.recv_timeout(PATIENCE).unwrap();
    assert_eq!((report.open, report.flushed, report.cut, report.busy), (2, 1, 0, 0), "{report:?}");
    answering.join().unwrap();
    assert!(TcpStream::connect(server.local_addr()).is_err());
    assert_eq!(server.shutdown(Drain::within(Duration::ZERO)), report, "another call reports the same");
    client.send_close(1001);
    client.expect_end();
}

#[test]
fn a_plain_request_that_ends_its_own_server_is_answered() {
    let (server, reports) = serve_stoppable();
    let answer = exchange(server.local_addr(), b"POST /stop HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((answer.status, answer.text()), (200, "stopped"));
    assert_eq!(reports.recv_timeout(PATIENCE).unwrap().busy, 0);
    assert!(TcpStream::connect(server.local_addr()).is_err());
}

#[test]
fn handlers_that_end_their_own_server_do_not_wait_for_each_other() {
    let (server, reports) = serve_stoppable();
    let handle = server.handle();
    let mut clients: Vec<Client> = (0..3).map(|_| Client::settled(server.local_addr(), "/stop")).collect();
    let last = Client::settled(server.local_addr(), "/echo");
    let ending = thread::spawn(move || handle.shutdown(Drain::within(Duration::from_secs(3600))));
    clients.iter_mut().for_each(|client| client.expect_close(1001));
    // What they ask for now they are still heard with.
    clients.iter_mut().for_each(|client| client.send("stop"));
    answer_close(last, 1001);
    let report = ending.join().unwrap();
    assert_eq!((report.open, report.flushed, report.cut, report.busy), (4, 1, 0, 0), "{report:?}");
    let told: Vec<Report> = (0..3).map(|_| reports.recv_timeout(PATIENCE).unwrap()).collect();
    assert_eq!(told, [report; 3]);
    clients.into_iter().for_each(|mut client| {
        client.send_close(1001);
        client.expect_end();
    });
}

#[test]
fn a_handler_that_ends_another_server_is_waited_for_as_ever() {
    let (tell, told) = channel();
    let other = serve(Limits::default(), echo_and_rooms);
    let handle = other.handle();
    let server = serve(Limits::default(), |builder| {
        builder.route("/", move |mut ws| {
            let _ = ws.recv()?;
            handle.shutdown(Drain::within(PATIENCE));
            let _ = tell.send(());
            ws.recv().map(drop)
        })
    });
    let mut client = Client::connect(server.local_addr(), "/");
    client.send("stop the other");
    told.recv_timeout(PATIENCE).unwrap();
    let report = server.shutdown(Drain::within(SHORT));
    assert_eq!((report.open, report.flushed, report.cut), (1, 0, 1), "its client has answered nothing");
}

/// Runs the test of this name again, alone in a process of its own, where nobody else opens files or starts threads.
/// `true`: this is that process.
fn is_alone(test: &str) -> bool {
    if env::var_os("SWITCHBOARD_TEST_ALONE").is_some() {
        return true;
    }
    let output = Command::new(env::current_exe().unwrap())
        .args([test, "--exact", "--include-ignored", "--nocapture"])
        .env("SWITCHBOARD_TEST_ALONE", "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    false
}

fn entries(folder: &str) -> usize {
    fs::read_dir(folder).unwrap().count()
}

#[test]
fn ten_thousand_short_connections_leave_nothing_behind() {
    if !is_alone("lifecycle::ten_thousand_short_connections_leave_nothing_behind") {
        return;
    }
    let limits = Limits { thread_idle: Duration::from_millis(50), ..Limits::default() };
    let server = serve(limits, echo_and_rooms);
    let address = server.local_addr();
    let at_rest = || (entries("/proc/self/fd"), entries("/proc/self/task"));
    let before = at_rest();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for n in 0..1250 {
                    let path = ["/echo", "/room/r", "/room/s", "/healthz", "/nothing"][n % 5];
                    match (n % 4, Client::over(connect(address), handshake(address, path, ""))) {
                        (0, Ok(client)) => client.leave(),
                        (1, Ok(client)) => reset(client.stream),
                        _ => {}
                    }
                }
            });
        }
    });
    eventually("all are accepted", || metric(&server.metrics(), "accepted_total") == 10_000);
    eventually("all connections have ended", || server.connections() == 0);
    eventually("the rooms are empty", || metric(&server.metrics(), "rooms") == 0);
    eventually("threads and descriptors are as before", || at_rest() == before);
    drop(server);
}

#[test]
fn what_a_program_keeps_of_ended_connections_keeps_no_socket() {
    if !is_alone("lifecycle::what_a_program_keeps_of_ended_connections_keeps_no_socket") {
        return;
    }
    let (handler, events) = events();
    let limits = Limits { thread_idle: Duration::from_millis(50), ..Limits::default() };
    let server = serve(limits, |builder| builder.route("/", handler));
    let before = entries("/proc/self/fd");
    let (mut peers, mut senders) = (Vec::new(), Vec::new());
    for _ in 0..50 {
        Client::connect(server.local_addr(), "/").leave();
        // Nobody has taken these while the connection was open.
        let Some(Event::Connected(peer)) = events.recv() else { panic!("no Connected") };
        assert!(matches!(events.recv(), Some(Event::Disconnected(gone, 1000, _)) if gone == peer));
        senders.push(peer.sender());
        peers.push(peer);
    }
    eventually("no socket is left", || entries("/proc/self/fd") == before);
    assert!(senders.iter().all(|sender| matches!(sender.try_send("gone"), Err(Error::Closed))));
    assert!(peers.iter().all(|peer| !peer.send("gone")));
}

#[test]
#[ignore = "takes 10 000 connections and as many threads; run it with --ignored"]
fn ten_thousand_connections_at_once_hear_a_room_message() {
    const CLIENTS: usize = 10_000;
    let nofile = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: nofile.maximum, maximum: nofile.maximum };
    setrlimit(Resource::Nofile, raised).unwrap();
    // Clients are silent for as long as the others take.
    let program: Program = serve_binary(&["--max-connections", "10100", "--ping-interval", "10m"]);
    let mut clients: Vec<Client> =
        (0..CLIENTS).map(|_| Client::settled(program.address, "/room/all")).collect();
    let metrics = get(program.address, "/metrics");
    assert_eq!(metric(metrics.text(), "websocket_connections"), CLIENTS as u64);
    clients[CLIENTS / 2].send("to everybody");
    clients.iter_mut().for_each(|client| client.expect("to everybody"));
    assert!(CLIENTS <= program.threads(), "a thread for each");
    program.signal(Signal::TERM);
    thread::scope(|scope| {
        let (half, rest) = clients.split_at_mut(CLIENTS / 2);
        for clients in [half, rest] {
            scope.spawn(|| {
                for client in clients {
                    client.expect_close(1001);
                    client.send_close(1001);
                }
            });
        }
    });
    clients.iter_mut().for_each(Client::expect_end);
    drop(clients);
    assert_eq!(program.exit_code(), Some(0));
}
