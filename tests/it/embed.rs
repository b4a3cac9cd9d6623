//! The ways to embed a server other than a blocking handler: callbacks, views, admission, the event loop, the in-process client.

use crate::support::{Client as RawClient, LONG, eventually, exchange, handshake, serve};
use std::collections::HashMap;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;
use switchboard::{
    Callbacks, Client, Error, Event, Limits, Message, Origins, Response, Result, Server, WebSocket, events,
};

fn serve_default(routes: impl FnOnce(switchboard::Builder) -> switchboard::Builder) -> Server {
    serve(Limits::default(), routes)
}

fn open(server: &Server, path: &str) -> Client {
    server.connect(path).unwrap()
}

fn text(client: &mut Client) -> String {
    let message = client.recv().unwrap().expect("a message");
    message.to_text().unwrap().to_string()
}

fn closed(client: &mut Client) -> (u16, String) {
    assert_eq!(client.recv().unwrap(), None);
    let (code, reason) = client.closed().unwrap();
    (code, reason.to_string())
}

/// Tells what it is called for, and does as it is told.
struct Told {
    tell: Sender<String>,
}

impl Callbacks for Told {
    fn connect(&mut self, ws: &mut WebSocket) -> Result<()> {
        self.tell.send(format!("connect {}", ws.param("name"))).unwrap();
        match ws.param("name") {
            "refused" => Err(Error::other("refused")),
            _ => ws.join("all").map(drop),
        }
    }

    fn receive(&mut self, ws: &mut WebSocket, message: Message) -> Result<()> {
        self.tell.send(format!("receive {message}")).unwrap();
        match message.to_text() {
            Ok("fail") => Err(Error::other("told to")),
            Ok("panic") => panic!("told to"),
            Ok("close") => {
                ws.close(4000, "told to");
                Ok(())
            }
            _ => ws.send(message),
        }
    }

    fn disconnect(&mut self, ws: &mut WebSocket) {
        ws.room("all").send_others(format!("{} left", ws.param("name")));
        self.tell.send(format!("disconnect {:?}", ws.closed().map(|(code, _)| code))).unwrap();
    }
}

#[test]
fn callbacks_are_called_and_disconnect_always_is() {
    let (tell, told) = channel();
    let server = serve_default(|builder| builder.callbacks("/{name}", move || Told { tell: tell.clone() }));
    let heard = |expected: &[&str]| {
        for expected in expected {
            assert_eq!(told.recv_timeout(LONG).unwrap(), *expected);
        }
    };
    let mut watcher = open(&server, "/watcher");
    watcher.send("here").unwrap();
    assert_eq!(text(&mut watcher), "here");
    heard(&["connect watcher", "receive here"]);

    let mut client = open(&server, "/ann");
    client.close(1000, "");
    assert_eq!(closed(&mut client).0, 1000);
    heard(&["connect ann", "disconnect Some(1000)"]);
    assert_eq!(text(&mut watcher), "ann left");

    for (said, code, seen) in [("fail", 1011, "None"), ("panic", 1011, "None"), ("close", 4000, "Some(4000)")]
    {
        let mut client = open(&server, "/bob");
        client.send(said).unwrap();
        assert_eq!(closed(&mut client).0, code);
        heard(&["connect bob", &format!("receive {said}"), &format!("disconnect {seen}")]);
        assert_eq!(text(&mut watcher), "bob left");
    }

    let mut client = open(&server, "/refused");
    assert_eq!(closed(&mut client).0, 1011);
    heard(&["connect refused", "disconnect None"]);
    assert_eq!(text(&mut watcher), "refused left");
}

#[test]
fn callbacks_may_implement_nothing() {
    struct Silent;
    impl Callbacks for Silent {}
    let server = serve_default(|builder| builder.callbacks("/", || Silent));
    let mut client = open(&server, "/");
    client.send("anyone?").unwrap();
    client.close(1000, "");
    assert_eq!(closed(&mut client).0, 1000);
}

/// Everybody is in the room; `?only=` filters, `?shout` transforms, `?panic` panics.
fn viewed(mut ws: WebSocket) -> Result<()> {
    let (only, shout) = (ws.request().query("only"), ws.request().query("shout").is_some());
    let panics = ws.request().query("panic").is_some();
    let room = ws.join_with("room", move |message| {
        assert!(!panics, "told to");
        let Ok(text) = message.to_text() else { return Some(message) };
        if shout {
            return Some(Message::text(text.to_uppercase()));
        }
        only.as_ref().is_none_or(|only| text.contains(only)).then_some(message)
    })?;
    ws.send("joined")?;
    while let Some(message) = ws.recv()? {
        room.send_others(message);
    }
    Ok(())
}

#[test]
fn each_member_sees_a_room_through_its_own_view() {
    let server = serve_default(|builder| builder.route("/", viewed));
    let join = |path| {
        let mut client = open(&server, path);
        assert_eq!(text(&mut client), "joined");
        client
    };
    let [mut all, mut tea, mut loud] = ["/", "/?only=tea", "/?shout"].map(join);
    let mut broken = join("/?panic");
    let long = format!("{} coffee", "tea ".repeat(2000));
    for message in ["green tea", "coffee", &long, "tea?"] {
        all.send(message).unwrap();
    }
    all.send(Message::binary(&b"\x00\xff"[..])).unwrap();
    for expected in ["green tea", &long, "tea?"] {
        assert_eq!(text(&mut tea), expected);
    }
    for expected in ["GREEN TEA", "COFFEE", &long.to_uppercase(), "TEA?"] {
        assert_eq!(text(&mut loud), expected);
    }
    assert_eq!(loud.recv().unwrap(), Some(Message::binary(&b"\x00\xff"[..])));
    assert_eq!(tea.recv().unwrap(), Some(Message::binary(&b"\x00\xff"[..])));
    assert_eq!(closed(&mut broken), (1011, "handler failed".into()));
    tea.send("the sender's own does not come back").unwrap();
    assert_eq!(text(&mut all), "the sender's own does not come back");
}

#[test]
fn a_path_may_ask_who_comes() {
    let origins = Origins::List(vec!["https://example.com".into()]);
    let server = serve_default(|builder| {
        builder
            .origins(Origins::Any)
            .route("/", |mut ws| ws.send("in"))
            .route("/panic", |mut ws| ws.send("in"))
            .admit("/panic", |_| panic!("on purpose"))
            .admit("/", move |request| match origins.allow(request) {
                true => Ok(()),
                false => Err(Response::text("Forbidden\n").with_status(403).with_header("x-why", "origin")),
            })
    });
    let ask =
        |path: &str, extra: &str| exchange(server.local_addr(), handshake(server.local_addr(), path, extra));
    let refused = ask("/", "origin: https://example.org\r\n");
    assert_eq!(
        (refused.status, refused.text(), refused.header("x-why")),
        (403, "Forbidden\n", Some("origin"))
    );
    assert_eq!(ask("/panic", "").status, 500);
    for extra in ["", "origin: https://example.com\r\n"] {
        let mut client = RawClient::connect_with(server.local_addr(), "/", extra);
        client.expect("in");
    }
}

#[test]
fn an_event_loop_sees_every_connection_from_beginning_to_end() {
    let (handler, events) = events();
    let server =
        serve_default(|builder| builder.route("/one/{name}", handler.clone()).route("/two/{name}", handler));
    assert!(events.try_recv().is_none() && events.recv_timeout(Duration::ZERO).is_none());

    let mut ann = open(&server, "/one/ann");
    let Some(Event::Connected(peer)) = events.recv_timeout(Duration::MAX) else { panic!("no Connected") };
    assert_eq!(peer.param("name"), "ann");
    ann.send("hello").unwrap();
    let Some(Event::Message(from, message)) = events.recv() else { panic!("no Message") };
    assert_eq!((&from, &message), (&peer, &Message::text("hello")));
    assert!(peer.send("to you"));
    assert_eq!(text(&mut ann), "to you");

    let mut bob = open(&server, "/two/bob");
    let Some(Event::Connected(other)) = events.recv() else { panic!("no Connected") };
    assert_ne!(other, peer);
    peer.join("room").unwrap();
    other.join("room").unwrap().send("both");
    other.room("room").send_others("ann");
    other.identify("bob").unwrap();
    server.user("bob").send("bob");
    assert_eq!((text(&mut ann), text(&mut ann)), ("both".into(), "ann".into()));
    assert_eq!((text(&mut bob), text(&mut bob)), ("both".into(), "bob".into()));

    peer.close(4001, "enough");
    assert_eq!(closed(&mut ann), (4001, "enough".into()));
    let Some(Event::Disconnected(gone, code, _)) = events.recv() else { panic!("no Disconnected") };
    assert_eq!((gone, code), (peer.clone(), 4001));
    assert!(!peer.send("gone"));
    drop(bob);
    let Some(Event::Disconnected(gone, 1000, _)) = events.recv() else { panic!("no Disconnected") };
    assert_eq!(gone, other);
    drop(server);
    assert!(events.recv().is_none(), "the server is gone");
}

#[test]
fn an_event_loop_that_is_behind_makes_clients_wait_and_loses_nothing() {
    let (handler, events) = events();
    let server = serve_default(|builder| builder.route("/", handler));
    let (clients, messages, size) = (4, 40, 100_000); // 16 MB, of which 8 may wait
    let senders: Vec<_> = (0..clients)
        .map(|client| {
            let mut ws = open(&server, "/");
            thread::spawn(move || {
                (0..messages).for_each(|n| ws.send(format!("{client} {n} {}", "x".repeat(size))).unwrap());
            })
        })
        .collect();
    // Each connection's `Connected` has come only when its thread was let in.
    let mut next: HashMap<u64, usize> = HashMap::new();
    let (mut ended, mut got) = (0, 0);
    while ended < clients {
        match events.recv_timeout(LONG).expect("an event") {
            Event::Connected(peer) => assert_eq!(next.insert(peer.id(), 0), None),
            Event::Message(peer, message) => {
                let expected = next.get_mut(&peer.id()).unwrap();
                let n: usize = message.to_text().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
                assert_eq!(n, *expected);
                *expected += 1;
                got += 1;
            }
            Event::Disconnected(peer, code, _) => {
                assert_eq!((next[&peer.id()], code), (messages, 1000));
                ended += 1;
            }
        }
    }
    assert_eq!(got, clients * messages);
    senders.into_iter().for_each(|sender| sender.join().unwrap());
}

#[test]
fn when_the_event_loop_is_over_its_connections_are_told() {
    let (handler, events) = events();
    let server = serve_default(|builder| builder.route("/", handler));
    let mut client = open(&server, "/");
    assert!(matches!(events.recv(), Some(Event::Connected(_))));
    // More than may wait, so that the connection's thread waits for room when the loop ends.
    let sender = client.sender();
    let flood = thread::spawn(move || while sender.send("x".repeat(500_000)).is_ok() {});
    eventually("the flood has come", || matches!(events.try_recv(), Some(Event::Message(..))));
    drop(events);
    assert_eq!(closed(&mut client).0, 1001);
    flood.join().unwrap();
    assert_eq!(closed(&mut open(&server, "/")).0, 1001);
}

#[test]
fn a_room_can_be_closed() {
    let server = serve_default(|builder| {
        builder.route("/{room}", |mut ws| {
            ws.join(ws.param("room"))?;
            ws.send("joined")?;
            ws.recv().map(drop)
        })
    });
    let [mut a, mut b, mut other] = ["/a", "/a", "/b"].map(|path| {
        let mut client = open(&server, path);
        assert_eq!(text(&mut client), "joined");
        client
    });
    let room = server.room("a");
    assert_eq!(room.name(), "a");
    assert!(room.send("last") && room.close(4002, "over"));
    for client in [&mut a, &mut b] {
        assert_eq!(text(client), "last");
        assert_eq!(closed(client), (4002, "over".into()));
    }
    server.room("b").send("still here");
    assert_eq!(text(&mut other), "still here");
}

#[test]
fn a_handler_can_ping_at_its_own_pace() {
    let server = serve_default(|builder| {
        builder.route("/", |mut ws| {
            ws.set_keepalive(Duration::from_millis(20), Duration::from_millis(20));
            match ws.recv() {
                Err(Error::Silent) => Ok(()),
                other => panic!("{other:?}"),
            }
        })
    });
    // The raw client answers no pings.
    let mut client = RawClient::connect(server.local_addr(), "/");
    assert_eq!(client.frame().opcode, crate::support::PING);
    client.expect_close(1011);
}

#[test]
fn two_servers_do_not_know_of_each_other() {
    let start = || {
        serve_default(|builder| {
            builder.route("/", |mut ws| {
                ws.join("room")?;
                ws.identify("ann")?;
                ws.send("joined")?;
                while ws.recv()?.is_some() {}
                Ok(())
            })
        })
    };
    let (one, two) = (start(), start());
    let [mut a, mut b] = [&one, &two].map(|server| {
        let mut client = open(server, "/");
        assert_eq!(text(&mut client), "joined");
        client
    });
    one.room("room").send("room of one");
    one.user("ann").send("user of one");
    one.broadcast("all of one");
    two.broadcast("all of two");
    assert_eq!([text(&mut a), text(&mut a), text(&mut a)], ["room of one", "user of one", "all of one"]);
    assert_eq!(text(&mut b), "all of two");
    assert_eq!((one.connections(), two.connections()), (1, 1));
    let stopping = thread::spawn(move || drop(one));
    assert_eq!(closed(&mut a).0, 1001);
    stopping.join().unwrap();
    two.broadcast("still here");
    assert_eq!(text(&mut b), "still here");
}
