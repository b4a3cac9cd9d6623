//! What handlers, responders and the program around them can do, method by method.

use crate::support::{
    BINARY, CLOSE, Client, PING, PONG, connect, eventually, exchange, get, handshake, metric, read_answer,
    request, serve, text_frame,
};
use std::fmt::Debug;
use std::io::{Read, Write};
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;
use switchboard::{Drain, Error, Incoming, Limits, Message, Origins, Response, Result, Server, WebSocket};

/// A server with this handler at `/`, and what the handler gives back.
fn serve_one<T: Debug + Send + 'static>(
    handler: impl Fn(WebSocket) -> Result<T> + Send + Sync + 'static,
) -> (Server, Receiver<T>) {
    let (report, reports) = channel();
    let server = serve(Limits::default(), |builder| {
        builder.route("/", move |ws| {
            let _ = report.send(handler(ws)?);
            Ok(())
        })
    });
    (server, reports)
}

fn open(server: &Server) -> Client {
    Client::connect(server.local_addr(), "/")
}

fn text(message: Option<Message>) -> Option<String> {
    message.map(|message| message.to_text().unwrap().to_string())
}

#[test]
fn recv_timeout_gives_what_comes_or_gives_up() {
    let (server, report) = serve_one(|mut ws| {
        let nothing = ws.recv_timeout(Duration::from_millis(20))?;
        let was_closed = ws.is_closed();
        ws.send("ready")?;
        let something = text(ws.recv_timeout(Duration::from_secs(60))?);
        ws.send("bye")?;
        let end = ws.recv_timeout(Duration::from_secs(60))?;
        Ok((nothing, was_closed, something, end, ws.is_closed()))
    });
    let mut client = open(&server);
    client.expect("ready");
    client.send("hello");
    client.expect("bye");
    client.send_close(1000);
    assert_eq!(report.recv().unwrap(), (None, false, Some("hello".into()), None, true));
}

#[test]
fn try_recv_and_pending_never_block() {
    let (server, report) = serve_one(|mut ws| {
        let before = (ws.pending(), ws.try_recv()?);
        ws.send("ready")?;
        while ws.pending() < 3 {
            thread::yield_now();
        }
        let counted = [ws.pending(), ws.pending()];
        let first = text(ws.try_recv()?);
        let left = ws.pending();
        let rest = [text(ws.try_recv()?), text(ws.try_recv()?), text(ws.try_recv()?)];
        Ok((before, counted, first, left, rest))
    });
    let mut client = open(&server);
    client.expect("ready");
    client.send_raw(&["a", "b", "c"].map(text_frame).concat());
    let some = |text: &str| Some(text.to_string());
    assert_eq!(report.recv().unwrap(), ((0, None), [3, 3], some("a"), 2, [some("b"), some("c"), None]));
    client.expect_close(1000);
}

#[test]
fn a_message_larger_than_what_may_be_pending_is_pending_when_it_is_complete() {
    let limits = Limits { message: 4 << 20, outbox: 4 << 20, ..Limits::default() };
    let server = serve(limits, |builder| {
        builder.route("/", |mut ws| {
            while ws.pending() == 0 {
                thread::yield_now();
            }
            let size = ws.try_recv()?.map_or(0, |message| message.len());
            ws.send(size.to_string())
        })
    });
    let mut client = Client::connect(server.local_addr(), "/");
    client.send(&"x".repeat(3 << 20));
    client.expect(&(3 << 20).to_string());
}

#[test]
fn iteration_ends_with_the_connection() {
    let (server, report) = serve_one(|mut ws| {
        let messages: Vec<String> = ws.iter().map(|message| message.to_string()).take(1).collect();
        let mut rest = Vec::new();
        for message in &mut ws {
            rest.push(message.to_string());
        }
        Ok((messages, rest, ws.is_closed()))
    });
    let mut client = open(&server);
    ["one", "two", "three"].iter().for_each(|text| client.send(text));
    client.leave();
    assert_eq!(report.recv().unwrap(), (vec!["one".into()], vec!["two".into(), "three".into()], true));
}

#[test]
fn the_end_is_told_as_the_peer_told_it() {
    let (server, report) = serve_one(|mut ws| {
        let before = ws.closed().map(|(code, reason)| (code, reason.to_string()));
        let end = match ws.recv() {
            Ok(end) => end.map_or("none".into(), |message| message.to_string()),
            Err(error) => error.to_string(),
        };
        let after = ws.closed().map(|(code, reason)| (code, reason.to_string()));
        Ok((before, end, after))
    });
    type Ending = fn(&mut Client);
    let endings: [(&str, Ending, u16, &str); 6] = [
        ("none", |client| client.send_frame(CLOSE, b"\x03\xe8", true), 1000, ""),
        ("none", |client| client.send_frame(CLOSE, b"\x0f\xa1done", true), 4001, "done"),
        ("none", |client| client.send_frame(CLOSE, b"", true), 1005, ""),
        ("none", |client| client.end_sending(), 1006, ""),
        ("none", |client| client.send_raw(&text_frame("cut")[..5]), 1006, ""),
        ("(1007)", |client| client.send_frame(1, &[0xff], true), 1007, "UTF-8"),
    ];
    for (said, ending, code, reason) in endings {
        let mut client = open(&server);
        ending(&mut client);
        client.end_sending();
        let (before, end, after) = report.recv().unwrap();
        let (got, why) = after.unwrap();
        assert_eq!((before, got), (None, code), "{why}");
        assert!(end.contains(said) && why.contains(reason), "{end}, {why}");
    }
}

#[test]
fn close_says_code_and_reason_behind_everything_else() {
    let long = "é".repeat(100);
    let cut = "é".repeat(61);
    for (code, reason, told, heard) in [
        (1000, "done", 1000, "done"),
        (4001, "大厅", 4001, "大厅"),
        (1013, "", 1013, ""),
        (1005, "must not be sent", 1011, "must not be sent"),
        (999, "is no code", 1011, "is no code"),
        (1000, &*long, 1000, &*cut),
    ] {
        let reason = reason.to_string();
        let (server, report) = serve_one(move |mut ws| {
            ws.send("last")?;
            ws.close(code, &reason);
            ws.close(4999, "only the first counts");
            let refused = matches!(ws.send("too late"), Err(Error::Closed));
            // What the client sent before its answer.
            let message = text(ws.recv()?);
            Ok((refused, message, ws.recv()?, ws.closed().map(|(code, _)| code)))
        });
        let mut client = open(&server);
        client.expect("last");
        assert_eq!(client.close(), (told, heard.into()));
        client.send("before the answer");
        client.send_close(told);
        client.expect_end();
        assert_eq!(report.recv().unwrap(), (true, Some("before the answer".into()), None, Some(told)));
    }
}

#[test]
fn control_frames_are_not_messages() {
    let (server, report) = serve_one(|mut ws| {
        ws.send(Message::Ping(b"are you there"[..].into()))?;
        let refused =
            [Message::Pong(b""[..].into()), Message::Close(None), Message::Ping(vec![0; 126].into())]
                .map(|message| ws.send(message).is_err());
        Ok((refused, text(ws.recv()?)))
    });
    let mut client = open(&server);
    let ping = client.frame();
    assert_eq!((ping.opcode, &ping.payload[..]), (PING, &b"are you there"[..]));
    client.send_frame(PONG, &ping.payload, true);
    client.send_frame(PONG, b"unasked for", true);
    client.send("a message");
    assert_eq!(report.recv().unwrap(), ([true; 3], Some("a message".into())));
}

#[test]
fn a_handler_sees_the_request_that_opened_the_connection() {
    let (give, given) = channel();
    let server = serve(Limits::default(), |builder| {
        builder.route("/in/{room}/as/{user}", move |ws| {
            let request = ws.request();
            let _ = give.send([
                ws.param("room").to_string(),
                ws.param("user").to_string(),
                ws.param("none").to_string(),
                request.query("token").unwrap_or_default(),
                format!("{:?}", request.query("none")),
                request.header("X-Test").unwrap_or_default().to_string(),
                request.path().to_string(),
                request.peer().to_string(),
                request.method().to_string(),
                format!("{:?}", ws.subprotocol()),
            ]);
            Ok(())
        })
    });
    let path = "/in/%E5%A4%A7/as/a%20b?x=1&token=s%2Bt+u";
    let client = Client::connect_with(server.local_addr(), path, "x-test: yes\r\n");
    let peer = client.stream.local_addr().unwrap().to_string();
    let expected = ["大", "a b", "", "s+t u", "None", "yes", "/in/%E5%A4%A7/as/a%20b", &*peer, "GET", "None"];
    assert_eq!(given.recv().unwrap(), expected);
}

#[test]
fn one_path_can_answer_plain_requests_and_websockets() {
    let server = serve(Limits::default(), |builder| {
        builder
            .get("/both", |request| {
                Response::html(format!("<p>{}", request.query("name").unwrap_or_default()))
                    .with_header("x-extra", "1")
            })
            .route("/both", |mut ws| {
                ws.send("a socket")?;
                ws.recv().map(drop)
            })
            .post("/both", |request| Response::new("x/y", request.body().to_vec()).with_status(201))
    });
    let address = server.local_addr();
    let page = get(address, "/both?name=ann");
    assert_eq!((page.status, page.text(), page.header("x-extra")), (200, "<p>ann", Some("1")));
    let mut client = Client::connect(address, "/both");
    client.expect("a socket");
    client.leave();
    let posted = exchange(address, "POST /both HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody");
    assert_eq!((posted.status, posted.text(), posted.header("Content-Type")), (201, "body", Some("x/y")));
    let refused = request(address, "PUT /both");
    assert_eq!(refused.status, 405);
    let allowed = refused.header("Allow").unwrap();
    assert!(["GET", "HEAD", "POST"].iter().all(|method| allowed.contains(method)), "{allowed}");
}

#[test]
fn a_body_is_read_whole_and_within_its_limit() {
    let server = serve(Limits { body: 100_000, ..Limits::default() }, |builder| {
        builder.post("/", |request| Response::text(request.body().to_vec()))
    });
    let address = server.local_addr();
    let body = "0123456789".repeat(10_000);
    let head = |length: usize, extra: &str| {
        format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n{extra}\r\n")
    };
    let answer = exchange(address, head(body.len(), "") + &body);
    assert!(answer.status == 200 && answer.text() == body);
    // What lies behind the body belongs to nobody.
    assert_eq!(exchange(address, head(4, "") + "bodyand more").text(), "body");
    assert_eq!(exchange(address, head(0, "")).text(), "");
    assert_eq!(exchange(address, head(100_001, "")).status, 413);

    let mut stream = connect(address);
    stream.write_all(head(4, "Expect: 100-continue\r\n").as_bytes()).unwrap();
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    for byte in *b"slow" {
        stream.write_all(&[byte]).unwrap();
    }
    assert_eq!(read_answer(&mut stream).text(), "slow");
}

#[test]
fn a_responder_that_panics_answers_500() {
    let server = serve(Limits::default(), |builder| {
        builder.health().get("/panic", |_| resume_unwind(Box::new("on purpose")))
    });
    assert_eq!(get(server.local_addr(), "/panic").status, 500);
    assert_eq!(get(server.local_addr(), "/healthz").status, 200);
    assert_eq!(metric(&server.metrics(), "handler_panics_total"), 1);
}

#[test]
fn subprotocols_are_agreed_on_in_the_client_s_order() {
    let server = serve(Limits::default(), |builder| {
        builder.subprotocols(["chat.v2", "chat.v1"]).route("/", |mut ws| {
            let agreed = ws.subprotocol().unwrap_or("none").to_string();
            ws.send(agreed)?;
            ws.recv().map(drop)
        })
    });
    for (offer, agreed) in [
        ("", None),
        ("Sec-WebSocket-Protocol: chat.v1\r\n", Some("chat.v1")),
        ("Sec-WebSocket-Protocol: chat.v1, chat.v2\r\n", Some("chat.v1")),
        ("Sec-WebSocket-Protocol: other\r\nSec-WebSocket-Protocol: chat.v2,chat.v1\r\n", Some("chat.v2")),
        ("Sec-WebSocket-Protocol: CHAT.V1, other\r\n", None),
    ] {
        let mut client = Client::connect_with(server.local_addr(), "/", offer);
        assert_eq!(client.answer.header("Sec-WebSocket-Protocol"), agreed, "{offer}");
        client.expect(agreed.unwrap_or("none"));
        client.leave();
    }
    let wrong = handshake(server.local_addr(), "/", "Sec-WebSocket-Protocol: a b\r\n");
    assert_eq!(exchange(server.local_addr(), wrong).status, 400);
}

/// `/as/{user}` makes the connection the user's and then obeys: each message is `method argument…`.
#[test]
fn origins_change_for_handshakes_to_come() {
    let server = serve(Limits::default(), |builder| {
        builder.subprotocols(["chat"]).route("/", |mut ws| {
            while let Some(message) = ws.recv()? {
                ws.send(message)?;
            }
            Ok(())
        })
    });
    let url = format!("ws://{}/", server.local_addr());
    let connect = || {
        switchboard::Client::builder().header("Origin", "https://a.example").subprotocol("chat").connect(&url)
    };
    let is_refused = || matches!(connect(), Err(Error::Refused { status: 403, .. }));
    assert!(is_refused());
    let listed = |origin: &str| Origins::List(vec![origin.into()]);
    server.set_origins(listed("https://a.example")).unwrap();
    let mut open = connect().unwrap();
    // The rest of the policy stays.
    assert_eq!(open.subprotocol(), Some("chat"));
    server.handle().set_origins(listed("https://b.example")).unwrap();
    assert!(is_refused());
    open.send("still here").unwrap();
    assert_eq!(text(open.recv().unwrap()).as_deref(), Some("still here"));
    assert!(server.set_origins(listed("https://a.example/")).is_err());
    assert!(is_refused());
    server.set_origins(Origins::Any).unwrap();
    assert!(connect().is_ok());
    server.set_origins(Origins::SameHost).unwrap();
    assert!(is_refused());
}

fn serve_obedient() -> Server {
    serve(Limits::default(), |builder| {
        builder.route("/as/{user}", |mut ws| {
            ws.identify(ws.param("user"))?;
            let mut said = String::new();
            while let Some(message) = ws.recv()? {
                let words: Vec<&str> = message.to_text().unwrap_or_default().split(' ').collect();
                match words[..] {
                    ["join", room] => {
                        ws.join(room)?.send(format!("{} joined", ws.param("user")));
                    }
                    ["leave", room] => ws.leave(room)?,
                    ["room", room, text] => drop(ws.room(room).send(text)),
                    ["others", room, text] => drop(ws.room(room).send_others(text)),
                    ["user", user, text] => drop(ws.user(user).send_or(text, format!("no {user}"))),
                    ["close", user] => drop(ws.user(user).close(4000, "sent away")),
                    ["rename", user] => ws.identify(user)?,
                    ["say", text] => said.push_str(text),
                    ["said"] => ws.send(std::mem::take(&mut said))?,
                    _ => ws.close(1008, "what?"),
                }
            }
            Ok(())
        })
    })
}

fn open_as(server: &Server, user: &str) -> Client {
    Client::settled(server.local_addr(), &format!("/as/{user}"))
}

#[test]
fn a_room_is_heard_from_joining_to_leaving() {
    let server = serve_obedient();
    let [mut ann, mut bob] = ["ann", "bob"].map(|user| open_as(&server, user));
    ann.send("join r");
    ann.expect("ann joined");
    bob.send("room r before");
    ann.expect("before");
    bob.send("join r");
    ann.expect("bob joined");
    bob.expect("bob joined");
    // Joining twice counts once.
    bob.send("join r");
    bob.send("room r once");
    for client in [&mut ann, &mut bob] {
        client.expect("bob joined");
        client.expect("once");
    }
    bob.send("others r to-others");
    ann.expect("to-others");
    bob.send("leave r");
    bob.send("room r after");
    ann.expect("after");
    assert!(server.room("r").send("from outside"));
    ann.expect("from outside");
    assert!(server.room("r").send_others("from outside too"));
    ann.expect("from outside too");
    // Whatever was said meanwhile did not come here.
    bob.send("say nothing");
    bob.send("said");
    bob.expect("nothing");
    assert_eq!(metric(&server.metrics(), "rooms"), 1);
    ann.send("leave r");
    eventually("the room is gone", || metric(&server.metrics(), "rooms") == 0);
    assert!(server.room("r").send("to nobody"), "nobody needs to be there");
}

#[test]
fn all_connections_of_a_user_are_reached_and_closed() {
    let server = serve_obedient();
    let mut ann = open_as(&server, "ann");
    let mut bobs = [0; 2].map(|_| open_as(&server, "bob"));
    ann.send("user bob hi");
    bobs.iter_mut().for_each(|bob| bob.expect("hi"));
    assert!(server.user("bob").send("from outside"));
    assert!(server.user("nobody").send("from outside"));
    assert!(server.user("bob").send(Message::binary(vec![1, 2])));
    for bob in &mut bobs {
        bob.expect("from outside");
        assert_eq!(bob.frame().opcode, BINARY);
    }
    ann.send("user eve hi");
    ann.expect("no eve");
    ann.send("rename eve");
    ann.send("user eve hi");
    ann.expect("hi");
    ann.send("user ann hi");
    ann.expect("no ann");
    ann.send("close bob");
    for mut bob in bobs {
        assert_eq!(bob.close(), (4000, "sent away".into()));
        bob.send_close(4000);
        bob.expect_end();
    }
    ann.send("user bob hi");
    ann.expect("no bob");
    assert!(server.user("eve").close(1008, "you too"));
    assert_eq!(ann.close(), (1008, "you too".into()));
}

#[test]
fn a_broadcast_reaches_everybody() {
    let server = serve_obedient();
    let mut clients = ["ann", "bob", "bob"].map(|user| open_as(&server, user));
    clients[0].send("join r");
    clients[0].expect("ann joined");
    assert!(server.broadcast("closing soon"));
    clients.iter_mut().for_each(|client| client.expect("closing soon"));
    assert!(!server.broadcast(Message::Ping(Vec::new().into())), "a ping is nobody's to send to all");
}

#[test]
fn names_that_cannot_be_are_refused() {
    let (server, report) = serve_one(|ws| {
        let longest = "x".repeat(256);
        let good = ["a", "大厅", "with blank", &longest]
            .map(|name| ws.join(name).is_ok() && ws.identify(name).is_ok());
        let too_long = "x".repeat(257);
        let bad = ["", "\n", &too_long].map(|name| {
            matches!(ws.join(name), Err(Error::Name(_))) && matches!(ws.identify(name), Err(Error::Name(_)))
        });
        Ok((good, bad))
    });
    let _client = open(&server);
    assert_eq!(report.recv().unwrap(), ([true; 4], [true; 3]));
}

#[test]
fn a_message_larger_than_the_peer_may_send_can_be_sent_to_it() {
    let (server, _) = serve_one(|mut ws| {
        ws.send(Message::binary(vec![7; 3 << 20]))?;
        ws.send("after it")?;
        ws.recv()
    });
    let mut client = open(&server);
    let frame = client.frame();
    assert!(frame.opcode == BINARY && frame.payload == vec![7; 3 << 20]);
    client.expect("after it");
    client.leave();
}

#[test]
fn limits_may_be_as_large_as_can_be_and_waits_without_end() {
    let century = Duration::from_secs(100 * 365 * 86_400);
    let limits = Limits {
        message: usize::MAX,
        fragments: usize::MAX,
        head: usize::MAX,
        headers: usize::MAX,
        body: usize::MAX,
        outbox: usize::MAX,
        hub_queue: usize::MAX,
        turn: usize::MAX,
        thread_idle: century,
        head_deadline: century,
        ping_interval: century,
        ping_timeout: century,
        write_deadline: century,
        close_deadline: century,
        ..Limits::default()
    };
    let server = serve(limits.clone(), |builder| {
        builder.post("/", |request| Response::text(request.body().to_vec())).route("/", |mut ws| {
            let room = ws.join("everybody")?;
            ws.set_keepalive(Duration::MAX, Duration::MAX);
            while let Some(message) = ws.recv_timeout(Duration::MAX)? {
                ws.send(message.clone())?;
                room.send(message);
            }
            Ok(())
        })
    });
    let post = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello";
    assert_eq!(exchange(server.local_addr(), post).text(), "hello");
    let url = format!("ws://{}/", server.local_addr());
    let mut client = switchboard::Client::builder().limits(limits).connect(&url).unwrap();
    assert!(client.is_compressed());
    for message in [Message::text("hello"), Message::binary(vec![7; 100_000])] {
        client.send(message.clone()).unwrap();
        for _ in ["from the handler", "from the room"] {
            assert_eq!(client.recv_timeout(Duration::MAX).unwrap().as_ref(), Some(&message));
        }
    }
    let closing = thread::spawn(move || {
        let end = client.recv_timeout(Duration::MAX).unwrap();
        (end, client.closed().map(|(code, _)| code))
    });
    // Its answer can be read a moment before the plain connection has ended.
    eventually("the plain connection has ended", || server.connections() == 1);
    let report = server.shutdown(Drain::within(Duration::MAX));
    assert_eq!((report.open, report.cut, report.busy), (1, 0, 0));
    assert_eq!(closing.join().unwrap(), (None, Some(1001)));
}

#[test]
fn a_client_s_mistakes_are_told_before_it_connects() {
    // Nobody listens there, and nobody needs to.
    let url = "ws://127.0.0.1:1/";
    let two_lines = "chat\r\nX-Injected: yes";
    for (builder, what) in [
        (switchboard::Client::builder().header("X-Test", two_lines), "X-Test"),
        (switchboard::Client::builder().header("no name", "x"), "no name"),
        (switchboard::Client::builder().subprotocol(two_lines), "X-Injected"),
        (switchboard::Client::builder().subprotocol("chat, v2"), "`chat, v2`"),
        (switchboard::Client::builder().subprotocol(""), "``"),
        (switchboard::Client::builder().subprotocol("chat").subprotocol("chat"), "`chat`"),
        (
            switchboard::Client::builder()
                .limits(Limits { ping_interval: Duration::MAX, ..Limits::default() }),
            "`ping_interval` must be 1 ms to 100 years",
        ),
    ] {
        match builder.connect(url) {
            Err(Error::Config(said)) => assert!(said.contains(what), "{said}"),
            Err(error) => panic!("{error}"),
            Ok(_) => panic!("connected"),
        }
    }
    // As it is read from a file, with the end of its line.
    let secret = switchboard::Client::builder().header("Authorization", "Bearer swordfish\n");
    let said = secret.connect(url).err().unwrap().to_string();
    assert!(said.contains("Authorization") && !said.contains("swordfish"), "{said}");
}

#[test]
fn a_client_that_is_told_to_come_back_never_comes_back_tomorrow() {
    let server = serve(Limits::default(), |builder| {
        builder.get("/", |_| {
            Response::text("").with_status(503).with_header("Retry-After", &u64::MAX.to_string())
        })
    });
    let mut line = switchboard::Client::builder().reconnecting(&format!("ws://{}/", server.local_addr()));
    match line.recv().unwrap() {
        Some(Incoming::Lost { why, retry_in }) => {
            let day = Duration::from_secs(86_400);
            assert!(why.contains("503") && day < retry_in && retry_in < 2 * day, "{why}: {retry_in:?}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn when_to_come_back_is_remembered_whatever_is_said_after_it() {
    let first = AtomicBool::new(true);
    let server = serve(Limits::default(), |builder| {
        builder.subprotocols(["switchboard.v1"]).route("/", move |mut ws| {
            if first.swap(false, Ordering::Relaxed) {
                ws.send(r#"{"type":"going_away","reconnect_after":1000}"#)?;
            }
            ws.send("last words")?;
            ws.close(1001, "");
            Ok(())
        })
    });
    let client = switchboard::Client::builder().subprotocol("switchboard.v1");
    let mut line = client.reconnecting(&format!("ws://{}/", server.local_addr()));
    let mut lost = || loop {
        if let Incoming::Lost { retry_in, .. } = line.recv().unwrap().expect("not the end") {
            break retry_in.as_secs_f64();
        }
    };
    let (hinted, unhinted) = (lost(), lost());
    assert!((1.5..=2.0).contains(&hinted), "{hinted}");
    assert!((0.5..=1.0).contains(&unhinted), "of one connection only: {unhinted}");
}
