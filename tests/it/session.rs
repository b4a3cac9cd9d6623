//! The client of `switchboard.v1` against the program, over a network that fails.

use crate::session_proxy::Proxy;
use crate::support::{PATIENCE, Program, eventually, get, metric, serve, serve_binary};
use crate::support_v1::Speaker;
use serde_json::json;
use std::collections::{HashSet, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};
use switchboard::session::{Event, History, JoinOptions, Member, Pending, Room};
use switchboard::{Error, Limits, Server, Session};

/// No request of a test that passes takes that long.
const LONG: Duration = Duration::from_secs(120);

/// Options for a history that is as long as a test.
const KEEPING: [&str; 4] = ["--history", "100000", "--history-bytes", "16M"];

fn session(url: &str, user: &str) -> Session {
    Session::builder().user(user).patience(LONG).connect(url).unwrap()
}

fn url(program: &Program) -> String {
    format!("ws://{}/ws", program.address)
}

/// The next event that `choose` takes; others are passed over.
#[track_caller]
fn next<T>(session: &Session, mut choose: impl FnMut(Event) -> Option<T>) -> T {
    let deadline = Instant::now() + LONG;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let event = session.recv_timeout(left).expect("an event");
        if let Some(chosen) = choose(event) {
            return chosen;
        }
    }
}

/// What was said next in a room, with its offset.
#[track_caller]
fn next_message(session: &Session) -> (u64, String) {
    next(session, |event| match event {
        Event::Message(message) => Some((message.at.offset, message.data.json().to_string())),
        Event::Gap { .. } | Event::Dropped { .. } => panic!("{event:?}"),
        _ => None,
    })
}

/// Four publish, with eight of their messages in flight, and receive each other, while connections are cut anywhere.
fn publish_through_cuts(
    server: std::net::SocketAddr,
    each: usize,
    cuts: usize,
    name: impl Fn(usize) -> Option<String>,
) {
    let proxy = Proxy::start(Some(server));
    proxy.cut_at_random(cuts);
    let url = proxy.url();
    let open = |n: usize| {
        let builder = Session::builder().patience(LONG);
        let builder = match name(n) {
            Some(name) => builder.user(name),
            None => builder,
        };
        let session = builder.connect(&url).unwrap();
        let room = session.join("r").unwrap();
        (session, room)
    };
    let sessions: Vec<(Session, Room)> = (0..4).map(open).collect();
    thread::scope(|threads| {
        for (n, (_, room)) in sessions.iter().enumerate() {
            threads.spawn(move || {
                let mut last = 0;
                for batch in (0..each).collect::<Vec<_>>().chunks(8) {
                    let publish = |at: &usize| room.publish_later(json!([n, at])).unwrap();
                    for pending in batch.iter().map(publish).collect::<Vec<Pending>>() {
                        let offset = pending.wait().unwrap().offset;
                        assert!(last < offset, "{offset} after {last}");
                        last = offset;
                    }
                }
            });
        }
    });
    for (session, _) in &sessions {
        let mut next_of_publisher = [0; 4];
        for expected in 1..=4 * each as u64 {
            let (offset, data) = next_message(session);
            assert_eq!(offset, expected);
            let [publisher, at]: [usize; 2] = serde_json::from_str(&data).unwrap();
            assert_eq!(at, next_of_publisher[publisher], "of {publisher}");
            next_of_publisher[publisher] += 1;
        }
        assert_eq!(next_of_publisher, [each; 4]);
    }
    // The rest of the cuts, if what was said did not suffice.
    eventually("all cuts", || {
        sessions.iter().for_each(|(session, _)| assert!(session.ping().is_ok()));
        proxy.cuts() == cuts
    });
    // Not one message too many.
    let (session, room) = &sessions[0];
    room.publish("the end").unwrap();
    assert_eq!(next_message(session), (4 * each as u64 + 1, "\"the end\"".into()));
}

#[test]
fn everything_is_said_once_and_in_order_through_thirty_cuts() {
    let program = serve_binary(&[]);
    // As many as the history remembers.
    publish_through_cuts(program.address, 24, 30, |n| Some(format!("user-{n}")));
}

#[test]
fn guests_keep_their_names_and_their_keys() {
    let program = serve_binary(&KEEPING);
    publish_through_cuts(program.address, 250, 16, |_| None);
}

#[test]
fn a_restart_is_a_gap_and_what_was_said_meanwhile_follows() {
    let first = serve_binary(&[]);
    let proxy = Proxy::start(Some(first.address));
    let ann = session(&proxy.url(), "ann");
    let room = ann.join("r").unwrap();
    let before = room.publish("before").unwrap();
    assert_eq!(next_message(&ann), (1, "\"before\"".into()));
    proxy.set_target(None);
    drop(first); // kill -9
    next(&ann, |event| matches!(event, Event::Disconnected { retry_in: Some(_), .. }).then_some(()));
    assert!(!ann.is_connected());
    let pending: Vec<Pending> = (0..50).map(|n| room.publish_later(n).unwrap()).collect();
    let second = serve_binary(&[]);
    proxy.set_target(Some(second.address));
    for (n, pending) in pending.into_iter().enumerate() {
        let at = pending.wait().unwrap();
        assert!(at.epoch != before.epoch && at.offset == n as u64 + 1, "{at:?}");
    }
    let (room_of_gap, missed) = next(&ann, |event| match event {
        Event::Gap { room, missed } => Some((room, missed)),
        Event::Message(message) => panic!("{message:?} before the gap"),
        _ => None,
    });
    assert_eq!((room_of_gap.as_str(), missed), ("r", None));
    for n in 0..50 {
        assert_eq!(next_message(&ann), (n + 1, n.to_string()));
    }
}

#[test]
fn with_a_store_not_even_kill_9_is_noticed() {
    let folder = std::env::temp_dir().join(format!("switchboard-session-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("rooms.db");
    let args = [&KEEPING[..], &["--store", file.to_str().unwrap()]].concat();
    let mut program = Some(serve_binary(&args));
    let proxy = Proxy::start(program.as_ref().map(|program| program.address));
    let (ann, bob) = (session(&proxy.url(), "ann"), session(&proxy.url(), "bob"));
    ann.join("r").unwrap();
    let room = bob.join("r").unwrap();
    let connected = |session| next(session, |event| matches!(event, Event::Connected { .. }).then_some(()));
    connected(&bob);
    let is_over = AtomicBool::new(false);
    thread::scope(|threads| {
        let publishing = threads.spawn(|| {
            let mut pending = VecDeque::new();
            let (mut asked, mut published) = (0, 0);
            // As long as there are kills; and not for ever, should the test fail.
            while asked < 50_000 && !is_over.load(Relaxed) {
                pending.push_back(room.publish_later(asked).unwrap());
                asked += 1;
                if pending.len() == 32 {
                    published += 1;
                    assert_eq!(
                        pending.pop_front().map(|pending| pending.wait().unwrap().offset),
                        Some(published)
                    );
                }
            }
            pending.into_iter().for_each(|pending| drop(pending.wait().unwrap()));
            asked
        });
        let mut seen = 0;
        let mut see = |count: u64| {
            for _ in 0..count {
                assert_eq!(next_message(&ann), (seen + 1, seen.to_string()));
                seen += 1;
            }
            seen
        };
        for _ in 0..3 {
            see(50);
            proxy.set_target(None);
            drop(program.take()); // kill -9
            program = Some(serve_binary(&args));
            proxy.set_target(program.as_ref().map(|program| program.address));
            connected(&bob);
        }
        let seen = see(50);
        is_over.store(true, Relaxed);
        see(publishing.join().unwrap() - seen);
    });
    drop(program);
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_session_may_begin_before_its_server() {
    let proxy = Proxy::start(None);
    let ann = session(&proxy.url(), "ann");
    next(&ann, |event| matches!(event, Event::Disconnected { retry_in: Some(_), .. }).then_some(()));
    let pending = ann.room("r").publish_later("early").unwrap();
    let program = serve_binary(&[]);
    proxy.set_target(Some(program.address));
    assert_eq!(pending.wait().unwrap().offset, 1);
    assert_eq!(
        next(&ann, |event| match event {
            Event::Connected { user } => Some(user),
            _ => None,
        }),
        "ann"
    );
}

#[test]
fn who_comes_back_soon_was_never_gone() {
    let program = serve_binary(&[]);
    let proxy = Proxy::start(Some(program.address));
    let bob = session(&url(&program), "bob");
    let room = bob.join("r").unwrap();
    let ann = session(&proxy.url(), "ann");
    let ann_room = ann.join("r").unwrap();
    let presence = |event| match event {
        Event::Presence { user, present, users, .. } => Some((user, present, users)),
        _ => None,
    };
    assert_eq!(next(&bob, presence), ("ann".into(), true, 2));
    proxy.cut();
    next(&ann, |event| matches!(event, Event::Disconnected { .. }).then_some(()));
    room.publish("while she was away").unwrap();
    let recovered = next(&ann, |event| match event {
        Event::Joined { recovered, members, .. } if members.len() == 2 => Some(recovered),
        _ => None,
    });
    assert!(recovered);
    assert_eq!(next_message(&ann).1, "\"while she was away\"");
    ann_room.leave().unwrap();
    // All that bob ever hears of her: that she left, just now.
    assert_eq!(next(&bob, presence), ("ann".into(), false, 1));
}

#[test]
fn a_dead_connection_is_found_and_replaced() {
    let program = serve_binary(&[]);
    let proxy = Proxy::start(Some(program.address));
    let limits = Limits {
        ping_interval: Duration::from_millis(200),
        ping_timeout: Duration::from_millis(200),
        close_deadline: Duration::from_millis(200),
        ..Limits::default()
    };
    let builder = Session::builder().user("ann").patience(LONG).client(|client| client.limits(limits));
    let ann = builder.connect(&proxy.url()).unwrap();
    let room = ann.join("r").unwrap();
    proxy.freeze(true);
    let pending = room.publish_later("into the dark").unwrap();
    let why = next(&ann, |event| match event {
        Event::Disconnected { why, .. } => Some(why),
        _ => None,
    });
    assert_eq!(why, "the peer answered no ping");
    proxy.freeze(false);
    assert_eq!(pending.wait().unwrap().offset, 1);
    assert_eq!(next_message(&ann), (1, "\"into the dark\"".into()));
}

#[test]
fn a_room_of_more_users_than_an_answer_holds_is_no_obstacle() {
    let program = serve_binary(&["--max-message", "2K", "--history-bytes", "2K"]);
    let mut crowd: Vec<Speaker> = (0..60)
        .map(|n| {
            let mut one = Speaker::open(&program, &format!("{n:02}-{}", "x".repeat(100)));
            assert_eq!(one.ask(json!({"type": "join", "room": "r"}))["users"], n + 1);
            one
        })
        .collect();
    for n in 1..=20 {
        assert_eq!(
            crowd[0].ask(json!({"type": "publish", "room": "r", "data": "x".repeat(60)}))["offset"],
            n
        );
    }
    // It takes no more at once than it may send, as many clients do.
    let limits = Limits { message: 2048, ..Limits::default() };
    let zoe = Session::builder().user("zoe").patience(LONG).client(|client| client.limits(limits));
    let zoe = zoe.connect(&url(&program)).unwrap();
    let room = zoe.join_with("r", JoinOptions { history: 100, ..JoinOptions::default() }).unwrap();
    let mut offsets = 0;
    let (members, users) = next(&zoe, |event| match event {
        Event::Joined { members, users, .. } => Some((members, users)),
        Event::Disconnected { why, .. } => panic!("{why}"),
        _ => None,
    });
    let has_zoe = |members: &[Member]| members.iter().any(|member| member.user == "zoe");
    assert!(users == 61 && members.len() < 60 && has_zoe(&members), "{members:?}");
    let members = room.members().unwrap();
    assert!(10 < members.len() && members.len() < 60 && has_zoe(&members), "{members:?}");
    crowd.truncate(30);
    let gone = next(&zoe, |event| match event {
        Event::Disconnected { why, .. } => panic!("{why}"),
        Event::Message(_) => {
            offsets += 1;
            None
        }
        Event::Presence { users, present: false, .. } => (users == 31).then_some(users),
        _ => None,
    });
    assert!(gone == 31 && 0 < offsets);
}

#[test]
fn each_request_does_what_it_says() {
    let program = serve_binary(&[]);
    let (ann, bob) = (session(&url(&program), "ann"), session(&url(&program), "bob 大"));
    let room = ann.join("tea").unwrap();
    bob.join("tea").unwrap();
    assert_eq!(bob.user().as_deref(), Some("bob 大"));
    let members = room.members().unwrap();
    let members: Vec<(&str, u64)> =
        members.iter().map(|member| (member.user.as_str(), member.connections)).collect();
    assert_eq!(members, [("ann", 1), ("bob 大", 1)]);
    assert_eq!(ann.direct("bob 大", json!({"psst": 1})).unwrap(), 1);
    let direct = next(&bob, |event| match event {
        Event::Direct { from, data, .. } => Some((from, data.json().to_string())),
        _ => None,
    });
    assert_eq!(direct, (Some("ann".into()), r#"{"psst":1}"#.into()));
    assert!(ann.ping().unwrap() < PATIENCE);
    for n in 1..=3 {
        room.publish(n).unwrap();
    }
    let page = room.history(History { after: Some(1), ..History::default() }).unwrap();
    let offsets: Vec<u64> = page.messages.iter().map(|message| message.at.offset).collect();
    assert_eq!((offsets, page.more), (vec![2, 3], false));
    room.leave().unwrap();
    room.leave().unwrap();
    // It hears no more of the room, but may still write there.
    room.publish("from outside").unwrap();
    ann.direct("ann", "last").unwrap();
    let mut said = Vec::new();
    next(&ann, |event| matches!(event, Event::Direct { .. }).then_some(()));
    while let Some(event) = bob.recv_timeout(Duration::ZERO) {
        said.extend(matches!(event, Event::Message(_)).then_some(()));
    }
    assert_eq!(said.len(), 4);
    for (error, code) in [
        (room.members().unwrap_err(), "not_member"),
        (ann.direct("nobody", 1).unwrap_err(), "no_such_user"),
        (ann.join("a\nb").err().unwrap(), "bad_request"),
        (room.publish("x".repeat(2 << 20)).unwrap_err(), "too_large"),
    ] {
        assert!(matches!(&error, Error::Rejected { code: told, .. } if told == code), "{error}");
    }
}

#[test]
fn a_server_that_goes_away_says_when_to_come_back() {
    let program = serve_binary(&[]);
    let ann = session(&url(&program), "ann");
    ann.join("r").unwrap();
    program.signal(rustix::process::Signal::TERM);
    let retry_in = next(&ann, |event| match event {
        Event::Disconnected { why, retry_in } => {
            assert!(why.contains("1001"), "{why}");
            retry_in
        }
        _ => None,
    });
    // Between 1 and 5 s, and jitter of its own.
    assert!(Duration::from_millis(1500) <= retry_in, "{retry_in:?}");
}

#[test]
fn a_session_that_is_not_wanted_ends() {
    let program = serve_binary(&["--token", "good=ann"]);
    let wanted = Session::builder().token("good").connect(&url(&program)).unwrap();
    wanted.join("r").unwrap();
    assert_eq!(wanted.user().as_deref(), Some("ann"));
    let wrong = Session::builder().token("bad").connect(&url(&program)).unwrap();
    let nowhere = Session::builder().token("good").connect(&format!("ws://{}/nowhere", program.address));
    // It speaks other protocols.
    let other = serve(Limits::default(), |routes| routes.route("/ws", |mut ws| ws.recv().map(drop)));
    let other = Session::connect(&format!("ws://{}/ws", other.local_addr())).unwrap();
    for (session, what) in [(wrong, "1008"), (nowhere.unwrap(), "404"), (other, "switchboard.v1")] {
        let error = session.join("r").err().unwrap();
        assert!(matches!(error, Error::Ended(_)) && error.to_string().contains(what), "{error}");
        let events: Vec<Event> = session.events().collect();
        let last = events.last().unwrap();
        assert!(
            matches!(last, Event::Disconnected { why, retry_in: None } if why.contains(what)),
            "{last:?}"
        );
        assert!(matches!(session.room("r").publish(1), Err(Error::Ended(_))));
    }
    for url in ["http:/x", "ftp://h/ws", "ws://h/ws#x"] {
        assert!(matches!(Session::connect(url), Err(Error::Config(_))), "{url}");
    }
    assert!(matches!(Session::builder().token("a\nb").connect("ws://h/ws"), Err(Error::Config(_))));
}

#[test]
fn a_token_is_asked_for_at_each_connection_and_again_when_it_was_too_old() {
    // Both mostly wait before they come again.
    thread::scope(|scope| {
        for refuse in ["close", "http"] {
            scope.spawn(move || tokens_in_turn(refuse));
        }
    });
}

fn tokens_in_turn(refuse: &str) {
    let program = serve_binary(&["--token", "good=ann", "--refuse", refuse]);
    let proxy = Proxy::start(Some(program.address));
    let given = Mutex::new(VecDeque::from(["", "old", "two\nlines", "good", "good", "old", "good"]));
    let (tell, told) = channel();
    let session = Session::builder()
        .token("never")
        .token_from(move || {
            let token = given.lock().unwrap().pop_front().expect("no more than needed");
            let _ = tell.send(thread::current().name().map(String::from));
            if token.is_empty() { Err(Error::other("nobody is there")) } else { Ok(token.into()) }
        })
        .patience(LONG)
        .connect(&proxy.url())
        .unwrap();
    let whys = |session: &Session| {
        let mut whys = Vec::new();
        let user = next(session, |event| match event {
            Event::Connected { user } => Some(user),
            Event::Disconnected { why, retry_in } => {
                assert!(retry_in.is_some(), "{why}");
                whys.push(why);
                None
            }
            _ => None,
        });
        assert_eq!(user, "ann");
        whys
    };
    let denied = if refuse == "close" { "1008" } else { "401" };
    let check = |whys: Vec<String>, expected: &[&str]| {
        assert_eq!(whys.len(), expected.len(), "{whys:?}");
        assert!(whys.iter().zip(expected).all(|(why, what)| why.contains(what)), "{whys:?}");
    };
    check(whys(&session), &["nobody is there", denied, "control character"]);
    for expected in [&["1006"][..], &["1006", denied]] {
        proxy.cut();
        check(whys(&session), expected);
    }
    session.room("r").publish("here").unwrap();
    assert_eq!(told.iter().take(7).flatten().collect::<HashSet<_>>(), HashSet::from(["session".into()]));
}

#[test]
fn a_session_that_is_closed_does_not_wait_for_its_token() {
    let program = serve_binary(&["--token", "good=ann"]);
    let ((hold, held), (enter, entered)) = (channel::<()>(), channel());
    let held = Mutex::new(held);
    let builder = Session::builder().token_from(move || {
        let _ = enter.send(());
        // Until the test has come to its end.
        let _ = held.lock().unwrap().recv();
        Ok("good".into())
    });
    let session = builder.connect(&url(&program)).unwrap();
    entered.recv().unwrap();
    assert!(matches!(session.room("r").publish_later(1).map(drop), Ok(())));
    session.close();
    assert!(matches!(session.ping(), Err(Error::Closed)));
    assert_eq!(session.recv(), None);
    drop((session, builder));
    drop(hold);
    // The session's thread lets go of the function as it ends.
    assert!(entered.recv().is_err());
    let metrics = get(program.address, "/metrics");
    assert_eq!(metric(metrics.text(), "websocket_handshakes_total"), 0);
}

#[test]
fn a_server_that_says_no_welcome_is_told() {
    let server = scripted(&[]);
    let limits = Limits { head_deadline: Duration::from_millis(100), ..Limits::default() };
    let builder = Session::builder().client(|client| client.limits(limits));
    let session = builder.connect(&format!("ws://{}/ws", server.local_addr())).unwrap();
    let why = next(&session, |event| match event {
        Event::Disconnected { why, retry_in: Some(_) } => Some(why),
        _ => None,
    });
    assert!(why.contains("no welcome"), "{why}");
}

#[test]
fn a_path_that_speaks_something_else_ends_the_session() {
    let program = serve_binary(&[]);
    let session = Session::connect(&format!("ws://{}/echo", program.address)).unwrap();
    let why = next(&session, |event| match event {
        Event::Disconnected { why, retry_in: None } => Some(why),
        _ => None,
    });
    assert!(why.contains("/ws"), "{why}");
}

/// A server that is told what to say.
fn scripted(texts: &'static [&'static str]) -> Server {
    serve(Limits::default(), |routes| {
        routes.subprotocols(["switchboard.v1"]).route("/ws", move |mut ws| {
            for text in texts {
                ws.send(*text)?;
            }
            while ws.recv()?.is_some() {}
            Ok(())
        })
    })
}

#[test]
fn what_the_server_says_is_told_and_who_is_kicked_out_does_not_come_back() {
    let server = serve(Limits::default(), |routes| routes.protocol("/ws"));
    let ann = session(&format!("ws://{}/ws", server.local_addr()), "ann");
    let room = ann.join("r").unwrap();
    server.publish("r", "1", None).unwrap();
    server.direct("ann", "2").unwrap();
    server.announce("3").unwrap();
    server.kick("ann", "rude").unwrap();
    let mut told = Vec::new();
    for event in ann.events() {
        told.push(match event {
            Event::Message(message) => (message.from, message.data.json().to_string()),
            Event::Direct { from, data, .. } => (from, data.json().to_string()),
            Event::Broadcast { data, .. } => (None, data.json().to_string()),
            Event::Kicked { room, reason } => (room, reason),
            Event::Disconnected { retry_in, .. } => (None, format!("{retry_in:?}")),
            _ => continue,
        });
    }
    assert_eq!(told, ["1", "2", "3", "rude", "None"].map(|text| (None, text.to_string())));
    assert!(matches!(room.publish(1), Err(Error::Ended(why)) if why.contains("rude")));
}

#[test]
fn patience_has_an_end() {
    let server = scripted(&[r#"{"type":"welcome","user":"ann","limits":{"message":1000}}"#]);
    let builder = Session::builder().patience(Duration::from_millis(50));
    let ann = builder.connect(&format!("ws://{}/ws", server.local_addr())).unwrap();
    assert!(matches!(ann.join("r"), Err(Error::Timeout)));
    assert!(matches!(ann.room("r").publish_later(1).unwrap().wait(), Err(Error::Timeout)));
}

#[test]
fn a_program_that_does_not_receive_loses_no_message() {
    let program = serve_binary(&KEEPING);
    let url = url(&program);
    let (ann, bob) = (session(&url, "ann"), session(&url, "bob"));
    ann.join("r").unwrap();
    let room = bob.room("r");
    let pending: Vec<Pending> = (0..5000).map(|n| room.publish_later(n).unwrap()).collect();
    pending.into_iter().for_each(|pending| drop(pending.wait().unwrap()));
    // Its own requests are answered all the while.
    ann.ping().unwrap();
    for n in 0..5000 {
        assert_eq!(next_message(&ann), (n + 1, n.to_string()));
    }
}

#[test]
fn a_rate_slows_a_session_down_and_does_not_end_it() {
    for (option, rate, messages) in
        [("--rate", "40/s", 150), ("--rate", "5/100ms", 100), ("--byte-rate", "8K/s", 150)]
    {
        let program = serve_binary(&[option, rate]);
        let ann = session(&url(&program), "ann");
        let room = ann.join("r").unwrap();
        let pending: Vec<Pending> = (0..messages).map(|n| room.publish_later(n).unwrap()).collect();
        let offsets: HashSet<u64> =
            pending.into_iter().map(|pending| pending.wait().unwrap().offset).collect();
        assert_eq!(offsets, (1..=messages).collect());
    }
}

#[test]
fn dropping_a_session_ends_its_connection_and_everybodys_waiting() {
    let program = serve_binary(&[]);
    let ann = session(&url(&program), "ann");
    let room = ann.join("r").unwrap();
    let connections = || metric(get(program.address, "/metrics").text(), "websocket_connections");
    assert_eq!(connections(), 1);
    drop(ann);
    assert!(matches!(room.publish("too late"), Err(Error::Closed)));
    eventually("the connection has ended", || connections() == 0);
    // One that waits for a server that is not there, and one that has not begun.
    let proxy = Proxy::start(None);
    let bob = session(&proxy.url(), "bob");
    next(&bob, |event| matches!(event, Event::Disconnected { .. }).then_some(()));
    thread::scope(|threads| {
        let asking = threads.spawn(|| bob.join("r").err());
        let receiving = threads.spawn(|| bob.events().count());
        bob.close();
        assert!(matches!(asking.join().unwrap(), Some(Error::Closed)));
        receiving.join().unwrap();
    });
}
