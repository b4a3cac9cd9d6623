//! The state machine as tables: what goes in, and what has come out after it. The time is the table's own.

use super::*;
use crate::session::{Data, Position};
use std::fmt::Write;

/// What happens to the session.
enum In {
    Ask(Ask),
    /// The server says this.
    Hear(String),
    Lost(Loss),
    /// So many milliseconds pass.
    Pass(u64),
    /// The outbox has room for so many texts from now on.
    Outbox(usize),
    Close,
    /// The program receives all events.
    Receive,
}
use In::{Close, Hear, Lost, Outbox, Pass, Receive};

struct Bench {
    core: Core,
    now: Instant,
    outbox: usize,
}

impl Bench {
    fn new() -> Self {
        Self::with(false)
    }

    /// Whether each connection has a token of its own.
    fn with(renews: bool) -> Self {
        // The longest of each range of random waits.
        let core = Core::new("k".into(), || u32::MAX, renews);
        Self { core, now: Instant::now(), outbox: usize::MAX }
    }

    /// Connected and welcomed.
    fn here() -> Self {
        let mut bench = Self::new();
        bench.run(vec![(welcome(), ""), (Receive, "*connected as ann")]);
        bench
    }

    /// In the room `r`, after the message 3.
    fn joined() -> Self {
        let mut bench = Self::here();
        bench.run(vec![
            (join("r"), r#">{"type":"join","id":1,"room":"r"}"#),
            (said(r#""joined","id":1,"room":"r","epoch":"e","offset":3,"recovered":false,"messages":[],"members":[]"#), "=1 Done"),
            (Receive, "*joined r at e/3, recovered: false"),
        ]);
        bench
    }

    /// What comes of one step: texts (`>`), answers (`=`), events (`*`), separated by blanks.
    fn step(&mut self, input: In) -> String {
        let mut out: Vec<String> = Vec::new();
        match input {
            In::Ask(ask) => drop(self.core.ask(ask, self.now + Duration::from_secs(30))),
            Hear(text) => {
                let said = Said::read(&text).unwrap_or_else(|| panic!("not understood: {text}"));
                self.core.hear(said, self.now);
            }
            Lost(loss) => {
                let retry_at = self.core.lost(loss, self.now);
                out.push(match retry_at {
                    Some(at) => format!("retry in {}", (at - self.now).as_millis()),
                    None => "over".into(),
                });
            }
            Pass(millis) => self.now += Duration::from_millis(millis),
            Outbox(room) => self.outbox = room,
            Close => self.core.close(),
            Receive => out.extend(std::iter::from_fn(|| self.core.next_event()).map(|event| shown(&event))),
        }
        let outbox = &mut self.outbox;
        self.core.send(self.now, |text| {
            let fits = 0 < *outbox;
            if fits {
                *outbox -= 1;
                out.push(format!(">{text}"));
            }
            fits
        });
        out.extend(self.core.answers().map(|(id, answer)| match answer {
            Ok(reply) => format!("={id} {reply:?}"),
            Err(error) => format!("={id} {error:?}"),
        }));
        out.join(" ")
    }

    #[track_caller]
    fn run(&mut self, table: Vec<(In, &str)>) {
        for (row, (input, expected)) in table.into_iter().enumerate() {
            assert_eq!(self.step(input), expected, "row {row}");
        }
    }
}

fn shown(event: &Event) -> String {
    let mut text = String::from("*");
    let done = match event {
        Event::Connected { user } => write!(text, "connected as {user}"),
        Event::Disconnected { why, retry_in } => {
            write!(text, "disconnected: {why}, {:?}", retry_in.map(|wait| wait.as_millis()))
        }
        Event::Joined { room, at, recovered, .. } => {
            write!(text, "joined {room} at {}/{}, recovered: {recovered}", at.epoch, at.offset)
        }
        Event::Message(message) => {
            write!(text, "{} {}/{} {}", message.room, message.at.epoch, message.at.offset, message.data)
        }
        Event::Gap { room, missed } => write!(text, "gap {room} {missed:?}"),
        other => write!(text, "{other:?}"),
    };
    done.unwrap();
    text
}

fn welcome() -> In {
    said(r#""welcome","connection":"1","user":"ann","node":"n","version":1,"limits":{"message":1000}"#)
}

fn said(rest: &str) -> In {
    Hear(format!(r#"{{"type":{rest}}}"#))
}

fn message(epoch: &str, offset: u64) -> In {
    said(&format!(r#""message","room":"r",{}"#, &element(epoch, offset)[1..].trim_end_matches('}')))
}

fn element(epoch: &str, offset: u64) -> String {
    format!(r#"{{"epoch":"{epoch}","offset":{offset},"from":"bob","data":{offset},"time":7}}"#)
}

/// With the messages from the first to the last; the room's end is the last.
fn joined(id: u64, epoch: &str, recovered: bool, first: u64, offset: u64) -> In {
    let messages: Vec<String> = (first..=offset).map(|offset| element(epoch, offset)).collect();
    let messages = messages.join(",");
    said(&format!(
        r#""joined","id":{id},"room":"r","epoch":"{epoch}","offset":{offset},"recovered":{recovered},"messages":[{messages}],"members":[]"#
    ))
}

/// A part of the history, from the first message to the last.
fn page(id: u64, epoch: &str, first: u64, last: u64, more: bool) -> In {
    let messages: Vec<String> = (first..=last).map(|offset| element(epoch, offset)).collect();
    let messages = messages.join(",");
    said(&format!(
        r#""history","id":{id},"room":"r","epoch":"{epoch}","messages":[{messages}],"more":{more}"#
    ))
}

fn page_after(id: u64, offset: u64) -> String {
    format!(r#">{{"type":"history","id":{id},"room":"r","after":{offset},"limit":512}}"#)
}

fn refused(id: u64, code: &str) -> In {
    said(&format!(r#""error","id":{id},"code":"{code}","message":"no""#))
}

fn join(room: &str) -> In {
    In::Ask(Ask::Join { room: room.into(), since: None, history: 0 })
}

fn leave(room: &str) -> In {
    In::Ask(Ask::Leave { room: room.into() })
}

fn publish(data: u64) -> In {
    In::Ask(Ask::Publish { room: "r".into(), data: Data::new(&data).unwrap() })
}

fn published(id: u64, offset: u64) -> In {
    said(&format!(r#""published","id":{id},"room":"r","epoch":"e","offset":{offset}"#))
}

fn cut() -> In {
    Lost(Loss::Closed(1006, String::new()))
}

const CUT: &str = "retry in 1000";
const JOIN_2: &str = r#">{"type":"join","id":2,"room":"r","since":{"epoch":"e","offset":3}}"#;

#[test]
fn requests_are_written_as_the_protocol_has_them() {
    let at = Position { epoch: "\"e".into(), offset: 7 };
    let room = String::from("大");
    for (ask, text) in [
        (
            Ask::Join { room: room.clone(), since: Some(at), history: 9 },
            r#""join","id":5,"room":"大","since":{"epoch":"\"e","offset":7},"history":9"#,
        ),
        (Ask::Leave { room: room.clone() }, r#""leave","id":5,"room":"大""#),
        (
            Ask::Publish { room: room.clone(), data: Data::from_json("[1e400]").unwrap() },
            r#""publish","id":5,"room":"大","key":"k-5","data":[1e400]"#,
        ),
        (
            Ask::Direct { to: "b\n".into(), data: Data::new("x").unwrap() },
            r#""direct","id":5,"to":"b\u000a","data":"x""#,
        ),
        (Ask::Members { room: room.clone() }, r#""members","id":5,"room":"大""#),
        (
            Ask::History {
                room: room.clone(),
                query: crate::session::History { before: Some(4), after: Some(0), limit: Some(2) },
            },
            r#""history","id":5,"room":"大","before":4,"after":0,"limit":2"#,
        ),
        (Ask::Ping, r#""ping","id":5"#),
    ] {
        assert_eq!(ask.text(5, "k-5"), format!("{{\"type\":{text}}}"));
    }
}

#[test]
fn what_is_not_understood_is_nothing() {
    for text in ["", "[]", "{}", r#"{"type":7}"#, r#"{"type":"news"}"#, r#"{"type":"message","room":"r"}"#] {
        assert_eq!(Said::read(text), None, "{text}");
    }
    // An error without an id is nobody's.
    assert_eq!(Said::read(r#"{"type":"error","code":"bad_json","message":""}"#), None);
}

#[test]
fn requests_wait_for_the_welcome_and_leave_in_order() {
    Bench::new().run(vec![
        (publish(1), ""),
        (publish(2), ""),
        (
            welcome(),
            r#">{"type":"publish","id":1,"room":"r","key":"k-1","data":1} >{"type":"publish","id":2,"room":"r","key":"k-2","data":2}"#,
        ),
        (published(1, 8), r#"=1 Published(Position { epoch: "e", offset: 8 })"#),
        // The second is not acknowledged: again, with its key, and before what comes later.
        (cut(), CUT),
        (publish(3), ""),
        (
            welcome(),
            r#">{"type":"publish","id":2,"room":"r","key":"k-2","data":2} >{"type":"publish","id":3,"room":"r","key":"k-3","data":3}"#,
        ),
        (published(2, 9), r#"=2 Published(Position { epoch: "e", offset: 9 })"#),
        (published(2, 9), ""),
        (published(3, 10), r#"=3 Published(Position { epoch: "e", offset: 10 })"#),
    ]);
}

#[test]
fn no_more_than_a_window_is_in_flight() {
    let mut bench = Bench::here();
    let sent = (0..40).filter(|n| bench.step(publish(*n)).starts_with('>')).count();
    assert_eq!(sent, 32);
    for answered in 1..=8 {
        let next = format!(r#">{{"type":"publish","id":{},"#, answered + 32);
        assert!(bench.step(published(answered, answered)).starts_with(&next));
    }
    assert!(bench.step(published(9, 9)).starts_with('='));
}

#[test]
fn no_more_is_asked_than_the_server_allows() {
    let welcome =
        |rates: &str| said(&format!(r#""welcome","user":"ann","limits":{{"message":1000,{rates}}}"#));
    let texts = |out: &str| out.matches('>').count();
    let answer = |n: u64| published(n, n);
    // Half of the burst, then one in 25 ms.
    let mut bench = Bench::new();
    bench.step(welcome(r#""rate":{"count":40,"per":1000,"burst":20}"#));
    assert_eq!((0..30).map(|n| texts(&bench.step(publish(n)))).sum::<usize>(), 10);
    // No more are in flight, however long it takes; nor are they sent faster, however soon they are answered.
    assert_eq!(texts(&bench.step(Pass(10))), 0);
    assert_eq!(texts(&bench.step(answer(1))), 0);
    assert_eq!(bench.core.next_deadline(bench.now), Some(bench.now + Duration::from_millis(15)));
    assert_eq!(texts(&bench.step(Pass(14))), 0);
    assert_eq!(texts(&bench.step(Pass(1))), 1);
    assert_eq!(texts(&bench.step(Pass(99))), 0);
    assert_eq!(texts(&bench.step(answer(2))), 1);
    // Half of the bytes, 71 for each of these.
    let mut bench = Bench::new();
    bench.step(welcome(r#""byte_rate":{"count":1000,"per":1000,"burst":2000}"#));
    let sent: usize = (1..=30).map(|n| texts(&bench.step(publish(n)))).sum();
    assert_eq!(sent, 4, "some 260 bytes each, to keep");
    assert_eq!((1..=11).map(|n| texts(&bench.step(answer(n)))).sum::<usize>(), 9, "13 fit into 1000 bytes");
    assert_eq!(texts(&bench.step(Pass(2))), 0);
    assert_eq!(texts(&bench.step(Pass(20))), 1);
    // More than ever fits has its turn, too.
    let mut bench = Bench::new();
    bench.step(welcome(r#""byte_rate":{"count":100,"per":1000,"burst":20}"#));
    assert_eq!(texts(&bench.step(publish(1))), 1);
    assert_eq!(texts(&bench.step(publish(2))), 0);
    bench.step(answer(1));
    assert_eq!(texts(&bench.step(Pass(700))), 0);
    assert_eq!(texts(&bench.step(Pass(60))), 1);
}

#[test]
fn what_the_outbox_does_not_take_waits() {
    Bench::here().run(vec![
        (Outbox(0), ""),
        (publish(1), ""),
        (publish(2), ""),
        (Outbox(1), r#">{"type":"publish","id":1,"room":"r","key":"k-1","data":1}"#),
        (published(1, 1), r#"=1 Published(Position { epoch: "e", offset: 1 })"#),
        (Outbox(1), r#">{"type":"publish","id":2,"room":"r","key":"k-2","data":2}"#),
    ]);
}

#[test]
fn so_much_may_wait_and_no_more() {
    let mut bench = Bench::new();
    let small = Ask::Members { room: "r".into() };
    let large = |size| Ask::Direct { to: "b".into(), data: Data::new(&"x".repeat(size)).unwrap() };
    let mib = 1024 * 1024;
    assert!(bench.core.has_room(&large(20 * mib)), "one alone");
    for _ in 0..1024 {
        assert!(bench.core.has_room(&small));
        bench.core.ask(small.clone(), bench.now);
    }
    assert!(!bench.core.has_room(&small));
    let mut bench = Bench::new();
    bench.core.ask(large(5 * mib), bench.now);
    assert!(bench.core.has_room(&large(2 * mib)) && !bench.core.has_room(&large(4 * mib)));
}

#[test]
fn what_the_server_would_not_take_is_not_sent() {
    let mut bench = Bench::here();
    let data = Data::new(&"x".repeat(1000)).unwrap();
    let ask = In::Ask(Ask::Publish { room: "r".into(), data });
    let told = bench.step(ask);
    assert!(told.starts_with("=1 the message has 10") && told.ends_with("(too_large)"), "{told}");
    assert!(bench.step(publish(1)).starts_with('>'));
}

#[test]
fn what_is_refused_for_now_is_asked_again_later() {
    let done =
        |id: u64, offset: u64| format!(r#"={id} Published(Position {{ epoch: "e", offset: {offset} }})"#);
    let text = |id: u64| format!(r#">{{"type":"publish","id":{id},"room":"r","key":"k-{id}","data":{id}}}"#);
    for code in ["unavailable", "rate_limited"] {
        Bench::here().run(vec![
            (publish(1), &text(1)),
            (publish(2), &text(2)),
            (publish(3), &text(3)),
            (refused(1, code), ""),
            (publish(4), ""),
            (published(2, 1), &done(2, 1)),
            (refused(3, code), ""),
            (Pass(999), ""),
            (Pass(1), &format!("{} {} {}", text(1), text(3), text(4))),
            (published(3, 2), &done(3, 2)),
            (published(4, 3), &done(4, 3)),
            // Again, and again: each time for longer.
            (refused(1, code), ""),
            (Pass(1000), &text(1)),
            (refused(1, code), ""),
            (Pass(1999), ""),
            (Pass(1), &text(1)),
            (published(1, 4), &done(1, 4)),
        ]);
    }
}

#[test]
fn other_refusals_are_answers() {
    let mut bench = Bench::here();
    for (id, code) in ["forbidden", "not_member", "too_large", "invalid_data"].into_iter().enumerate() {
        let id = id as u64 + 1;
        bench.step(publish(id));
        assert_eq!(bench.step(refused(id, code)), format!("={id} no ({code})"));
    }
}

#[test]
fn patience_ends_with_what_is_known() {
    let late = "the server has not answered in time: try again, or allow more time";
    let mut bench = Bench::new();
    bench.run(vec![(publish(1), ""), (Pass(29_999), ""), (Pass(1), &format!("=1 {late}"))]);
    let mut bench = Bench::here();
    bench.step(publish(1));
    bench.run(vec![(refused(1, "unavailable"), ""), (cut(), CUT), (Pass(30_000), "=1 no (unavailable)")]);
    // Whoever waits says so.
    let mut bench = Bench::new();
    let id = bench.core.ask(Ask::Ping, bench.now + Duration::from_secs(99));
    bench.core.give_up(id);
    assert_eq!(bench.step(Pass(0)), format!("=1 {late}"));
}

#[test]
fn there_is_a_deadline_for_each_thing_that_time_brings() {
    let mut bench = Bench::here();
    assert_eq!(bench.core.next_deadline(bench.now), None);
    bench.step(publish(1));
    assert_eq!(bench.core.next_deadline(bench.now), Some(bench.now + Duration::from_secs(30)));
    bench.step(refused(1, "unavailable"));
    let held = bench.core.next_deadline(bench.now).unwrap();
    assert_eq!(held, bench.now + Duration::from_secs(1));
    bench.now = held;
    assert!(bench.step(Pass(0)).starts_with('>'));
    assert!(held < bench.core.next_deadline(bench.now).unwrap());
}

#[test]
fn each_message_comes_once_and_in_order() {
    Bench::joined().run(vec![
        (message("e", 3), ""),
        (message("e", 4), ""),
        (message("e", 4), ""),
        (message("e", 5), ""),
        (Receive, "*r e/4 4 *r e/5 5"),
        // A room that nobody is in.
        (said(r#""message","room":"x","epoch":"e","offset":6,"from":"a","data":1,"time":1"#), ""),
        (Receive, ""),
    ]);
}

#[test]
fn after_a_loss_rooms_are_joined_again_before_anything_else() {
    let mut bench = Bench::joined();
    bench.step(message("e", 4));
    bench.run(vec![
        (cut(), CUT),
        (publish(9), ""),
        (
            welcome(),
            r#">{"type":"join","id":3,"room":"r","since":{"epoch":"e","offset":4}} >{"type":"publish","id":2,"room":"r","key":"k-2","data":9}"#,
        ),
        (joined(3, "e", true, 5, 6), ""),
        (message("e", 7), ""),
        (
            Receive,
            "*r e/4 4 *disconnected: the connection has ended (1006 ), Some(1000) *connected as ann \
             *joined r at e/6, recovered: true *r e/5 5 *r e/6 6 *r e/7 7",
        ),
    ]);
}

/// What the answer to a rejoin after `e/3` tells.
#[test]
fn gaps_are_told_and_only_gaps() {
    for (answer, events) in [
        (joined(2, "e", true, 4, 5), "*joined r at e/5, recovered: true *r e/4 4 *r e/5 5"),
        (joined(2, "e", true, 4, 3), "*joined r at e/3, recovered: true"),
        // Not recovered, but nothing is missing.
        (joined(2, "e", false, 2, 4), "*joined r at e/4, recovered: false *r e/4 4"),
        // Nothing of what is missing is kept.
        (joined(2, "e", false, 8, 7), "*joined r at e/7, recovered: false *gap r Some(4)"),
        (joined(2, "f", false, 1, 2), "*joined r at f/2, recovered: false *gap r None *r f/1 1 *r f/2 2"),
        (joined(2, "f", false, 1, 0), "*joined r at f/0, recovered: false *gap r None"),
        // The room has lost its end.
        (joined(2, "e", false, 1, 2), "*joined r at e/2, recovered: false *gap r None *r e/1 1 *r e/2 2"),
    ] {
        let mut bench = Bench::joined();
        bench.step(cut());
        bench.step(welcome());
        bench.step(Receive);
        bench.run(vec![(answer, ""), (Receive, events)]);
    }
}

#[test]
fn more_than_an_answer_holds_is_fetched_page_by_page() {
    let begin = || {
        let mut bench = Bench::joined();
        bench.step(cut());
        bench.step(welcome());
        bench.step(Receive);
        bench.run(vec![
            (joined(2, "e", false, 8, 9), &page_after(3, 3)),
            // Too early, but in a page that comes.
            (message("e", 10), ""),
            (Receive, "*joined r at e/9, recovered: false"),
        ]);
        bench
    };
    begin().run(vec![
        (page(3, "e", 4, 6, true), &page_after(4, 6)),
        (page(4, "e", 7, 10, false), ""),
        (message("e", 11), ""),
        (Receive, "*r e/4 4 *r e/5 5 *r e/6 6 *r e/7 7 *r e/8 8 *r e/9 9 *r e/10 10 *r e/11 11"),
    ]);
    // The oldest are no longer kept.
    begin().run(vec![
        (page(3, "e", 7, 10, false), ""),
        (Receive, "*gap r Some(3) *r e/7 7 *r e/8 8 *r e/9 9 *r e/10 10"),
    ]);
    // None is, or it began anew: where are we?
    for answer in [page(3, "e", 8, 7, false), page(3, "f", 1, 1, false)] {
        begin().run(vec![
            (answer, &JOIN_2.replace(":2", ":4")),
            (joined(4, "f", false, 1, 1), ""),
            (Receive, "*joined r at f/1, recovered: false *gap r None *r f/1 1"),
        ]);
    }
    // Refused for now: again later.
    begin().run(vec![(refused(3, "unavailable"), ""), (Pass(1000), &page_after(4, 3))]);
    // No longer of interest, or with another connection.
    begin().run(vec![
        (leave("r"), r#">{"type":"leave","id":4,"room":"r"}"#),
        (page(3, "e", 4, 9, true), ""),
        (Receive, ""),
    ]);
    begin().run(vec![(cut(), "retry in 1000"), (welcome(), &JOIN_2.replace(":2", ":4"))]);
}

#[test]
fn a_hole_a_gap_or_a_new_epoch_is_asked_about() {
    for hint in [message("e", 5), message("f", 1), said(r#""gap","room":"r","epoch":"e","offset":9"#)] {
        Bench::joined().run(vec![
            (hint, JOIN_2),
            // What comes before the answer is in it.
            (message("e", 6), ""),
            (joined(2, "e", true, 4, 6), ""),
            (message("e", 7), ""),
            (Receive, "*joined r at e/6, recovered: true *r e/4 4 *r e/5 5 *r e/6 6 *r e/7 7"),
        ]);
    }
}

#[test]
fn a_program_that_does_not_receive_runs_short_and_catches_up() {
    let mut bench = Bench::joined();
    for offset in 4..=2000 {
        assert_eq!(bench.step(message("e", offset)), "");
    }
    let direct = |n| said(&format!(r#""direct","from":"bob","data":{n},"time":7"#));
    let receive = |bench: &mut Bench, count| {
        let events: Vec<String> = (0..count).map(|_| shown(&bench.core.next_event().unwrap())).collect();
        (events[0].clone(), events[count - 1].clone())
    };
    bench.run(vec![(direct(1), ""), (direct(2), "")]);
    assert_eq!(receive(&mut bench, 511), ("*r e/4 4".into(), "*r e/514 514".into()));
    assert_eq!(bench.step(Pass(0)), "");
    receive(&mut bench, 1);
    assert_eq!(bench.step(Pass(0)), page_after(2, 1027));
    bench.step(page(2, "e", 1028, 1539, true));
    assert_eq!(receive(&mut bench, 512).1, "*r e/1027 1027");
    assert_eq!(receive(&mut bench, 1).0, "*Dropped { events: 2 }");
    assert_eq!(receive(&mut bench, 1).0, "*r e/1028 1028");
    // By now some are gone.
    bench.run(vec![(Pass(0), &page_after(3, 1538)), (page(3, "e", 1901, 2000, false), "")]);
    let rest = bench.step(Receive);
    assert!(rest.contains("*r e/1538 1538 *gap r Some(362) *r e/1901 1901"), "{rest}");
    assert!(rest.ends_with("*r e/2000 2000"), "{rest}");
}

#[test]
fn membership_does_not_wait_for_the_program() {
    let mut bench = Bench::joined();
    for offset in 4..=2000 {
        bench.step(message("e", offset));
    }
    bench.run(vec![
        (cut(), CUT),
        (cut(), "retry in 2000"),
        (welcome(), &JOIN_2.replace("3}}", "1027}}")),
        // There is no room for the answer.
        (joined(2, "e", true, 1028, 2000), ""),
        (publish(1), r#">{"type":"publish","id":3,"room":"r","key":"k-3","data":1}"#),
    ]);
    // Of the connections that nobody has heard of the last counts.
    let received = bench.step(Receive);
    let again = JOIN_2.replace(":2", ":4").replace("3}}", "1027}}");
    assert!(received.ends_with(&format!("*r e/1027 1027 *connected as ann {again}")), "{received}");
}

#[test]
fn bytes_count_too_and_presence_is_told_again() {
    let mut bench = Bench::joined();
    let large = format!("\"{}\"", "x".repeat(1024 * 1024));
    for offset in 4..=20 {
        let text = format!(
            r#""message","room":"r","epoch":"e","offset":{offset},"from":"a","data":{large},"time":1"#
        );
        bench.step(said(&text));
    }
    let presence = r#""presence","room":"r","user":"cid","change":"join","users":2,"version":2"#;
    bench.run(vec![(said(presence), "")]);
    let received = bench.step(Receive);
    assert_eq!(received.matches("*r e/").count(), 8);
    assert!(received.ends_with(&page_after(2, 11)), "{}", &received[received.len() - 100..]);
    bench.run(vec![(page(2, "e", 12, 12, false), &JOIN_2.replace(":2", ":3").replace("3}}", "12}}"))]);
    bench.step(joined(3, "e", true, 13, 12));
    bench.step(Receive);
    assert!(bench.step(said(presence)).is_empty());
    assert!(bench.step(Receive).contains("Presence"));
}

#[test]
fn a_first_join_begins_where_the_room_is_or_where_it_is_told() {
    let with = |since: Option<u64>, history| {
        let since = since.map(|offset| Position { epoch: "e".into(), offset });
        In::Ask(Ask::Join { room: "r".into(), since, history })
    };
    for (ask, text, answer, events) in [
        (with(None, 0), "", joined(1, "e", false, 8, 7), "*joined r at e/7, recovered: false"),
        (
            with(None, 2),
            r#","history":2"#,
            joined(1, "e", false, 6, 7),
            "*joined r at e/7, recovered: false *r e/6 6 *r e/7 7",
        ),
        (
            with(Some(5), 0),
            r#","since":{"epoch":"e","offset":5}"#,
            joined(1, "e", true, 6, 7),
            "*joined r at e/7, recovered: true *r e/6 6 *r e/7 7",
        ),
        (
            with(Some(5), 0),
            r#","since":{"epoch":"e","offset":5}"#,
            joined(1, "f", false, 7, 7),
            "*joined r at f/7, recovered: false *gap r None *r f/7 7",
        ),
    ] {
        Bench::here().run(vec![
            (ask, &format!(r#">{{"type":"join","id":1,"room":"r"{text}}}"#)),
            (answer, "=1 Done"),
            (Receive, events),
        ]);
    }
    // In the room already: from where the program is.
    Bench::joined().run(vec![(with(Some(1), 9), &JOIN_2.replace("}}", "},\"history\":9}"))]);
}

#[test]
fn two_joins_at_once_make_no_false_gap() {
    let mut bench = Bench::here();
    bench.step(join("r"));
    bench.run(vec![(join("r"), r#">{"type":"join","id":2,"room":"r"}"#)]);
    bench.run(vec![
        (joined(1, "e", false, 4, 3), "=1 Done"),
        // Said without knowing where we are, and something is between: asked again with it.
        (
            joined(2, "e", false, 9, 8),
            r#">{"type":"join","id":3,"room":"r","since":{"epoch":"e","offset":3}} =2 Done"#,
        ),
        (joined(3, "e", true, 4, 8), ""),
    ]);
    assert!(!bench.step(Receive).contains("gap"));
}

#[test]
fn who_leaves_hears_no_more_and_is_not_joined_again() {
    let mut bench = Bench::joined();
    bench.run(vec![
        (leave("r"), r#">{"type":"leave","id":2,"room":"r"}"#),
        (message("e", 4), ""),
        (said(r#""left","id":2,"room":"r""#), "=2 Done"),
        (leave("r"), r#">{"type":"leave","id":3,"room":"r"}"#),
        (refused(3, "not_member"), "=3 Done"),
        // With the connection the membership ends, and without one there is nothing to do.
        (leave("r"), r#">{"type":"leave","id":4,"room":"r"}"#),
        (cut(), "retry in 1000 =4 Done"),
        (leave("r"), "=5 Done"),
        (welcome(), ""),
    ]);
}

#[test]
fn a_join_that_comes_too_late_is_undone() {
    Bench::here().run(vec![
        (join("r"), r#">{"type":"join","id":1,"room":"r"}"#),
        (Pass(30_000), "=1 the server has not answered in time: try again, or allow more time"),
        (joined(1, "e", false, 4, 3), r#">{"type":"leave","id":2,"room":"r"}"#),
        (said(r#""left","id":2,"room":"r""#), "=2 Done"),
    ]);
}

#[test]
fn a_room_that_does_not_let_us_back_in_is_told() {
    let mut bench = Bench::joined();
    bench.step(cut());
    bench.step(welcome());
    bench.step(Receive);
    bench.run(vec![
        (refused(2, "unavailable"), ""),
        (Pass(1000), r#">{"type":"join","id":3,"room":"r","since":{"epoch":"e","offset":3}}"#),
        (refused(3, "forbidden"), ""),
        (Receive, r#"*Kicked { room: Some("r"), reason: "no" }"#),
        (cut(), CUT),
        (welcome(), ""),
    ]);
}

#[test]
fn a_direct_message_is_never_sent_twice() {
    let direct = || In::Ask(Ask::Direct { to: "bob".into(), data: Data::new(&1).unwrap() });
    let text = |id| format!(r#">{{"type":"direct","id":{id},"to":"bob","data":1}}"#);
    let mut bench = Bench::new();
    bench.run(vec![
        (direct(), ""),
        (welcome(), &text(1)),
        (refused(1, "rate_limited"), ""),
        (Pass(1000), &text(1)),
        (cut(), "retry in 1000 =1 the connection is closed"),
        (direct(), ""),
        (welcome(), &text(2)),
        (said(r#""sent","id":2,"to":"bob","connections":3"#), "=2 Sent(3)"),
    ]);
}

#[test]
fn tries_are_spread_and_the_server_is_obeyed() {
    let retry_after = |seconds| {
        let retry_after = Some(Duration::from_secs(seconds));
        Lost(Loss::Failed(Error::Refused { status: 503, retry_after, reason: String::new() }))
    };
    let mut bench = Bench::new();
    let failed = || Lost(Loss::Failed(Error::Handshake("?".into())));
    bench.run(vec![
        (failed(), CUT),
        (failed(), "retry in 2000"),
        (failed(), "retry in 4000"),
        (retry_after(60), "retry in 68000"),
        (welcome(), ""),
        // Whatever comes between.
        (said(r#""going_away","reconnect_after":5000"#), ""),
        (said(r#""broadcast","data":1,"time":7"#), ""),
        (cut(), "retry in 6000"),
        (cut(), "retry in 2000"),
    ]);
}

#[test]
fn some_ends_are_for_good() {
    let refused = |status| Loss::Failed(Error::Refused { status, retry_after: None, reason: String::new() });
    for (loss, why) in [
        (Loss::Closed(1008, "no token".into()), "the server has ended the session (1008 no token)"),
        (Loss::Closed(1000, String::new()), "the server has ended the session (1000 )"),
        (refused(404), "the server refused the WebSocket with HTTP status 404"),
        (Loss::Failed(Error::Config("wrong".into())), "wrong"),
        (
            Loss::Failed(Error::Violation(1009, "big")),
            "a message from the server was too large (big): raise `Limits::message`",
        ),
    ] {
        let mut bench = Bench::new();
        bench.step(publish(1));
        bench.run(vec![
            (Lost(loss), &format!("over =1 {why}")),
            (Receive, &format!("*disconnected: {why}, None")),
        ]);
        assert_eq!(bench.core.over().unwrap().to_string(), why);
    }
    for loss in [
        Loss::Closed(1013, String::new()),
        Loss::Closed(1001, String::new()),
        refused(503),
        refused(429),
        Loss::Failed(Error::Silent),
        Loss::Failed(Error::Violation(1002, "")),
    ] {
        assert_eq!(Bench::here().step(Lost(loss)), CUT);
    }
}

#[test]
fn who_is_not_let_in_tries_again_with_other_tokens_and_then_believes_it() {
    let denied = || Lost(Loss::Closed(1008, "no token".into()));
    let refused =
        || Lost(Loss::Failed(Error::Refused { status: 401, retry_after: None, reason: String::new() }));
    let over = "the server has ended the session (1008 no token)";
    let mut bench = Bench::with(true);
    bench.run(vec![
        (denied(), CUT),
        (Receive, "*disconnected: the connection has ended (1008 no token), Some(1000)"),
        (refused(), "retry in 2000"),
        (denied(), "retry in 4000"),
        // Let in, and not for long: nothing is known of the token.
        (welcome(), ""),
        (Pass(4999), ""),
        (denied(), CUT),
        (cut(), "retry in 2000"),
        (denied(), "retry in 4000"),
        (denied(), "over"),
    ]);
    assert_eq!(bench.core.over().unwrap().to_string(), over);
    let mut bench = Bench::with(true);
    let first: Vec<(In, &str)> = (0..5)
        .map(|_| denied())
        .zip([CUT, "retry in 2000", "retry in 4000", "retry in 8000", "retry in 16000"])
        .collect();
    bench.run(first);
    bench.run(vec![
        (welcome(), ""),
        (Pass(5000), ""),
        (denied(), CUT),
        (Lost(Loss::NoToken(Error::other("nobody asks"))), "retry in 2000"),
        (Lost(Loss::Closed(1000, String::new())), "over"),
    ]);
    // A token that is always the same is not better the next time.
    for loss in [denied(), refused()] {
        assert_eq!(Bench::new().step(loss), "over");
    }
    let forbidden = Loss::Failed(Error::Refused { status: 403, retry_after: None, reason: String::new() });
    assert_eq!(Bench::with(true).step(Lost(forbidden)), "over");
}

#[test]
fn who_is_kicked_out_stays_out() {
    let mut bench = Bench::joined();
    bench.step(publish(1));
    bench.run(vec![
        (
            said(r#""kicked","reason":"rude""#),
            "=2 the server has ended the session: rude",
        ),
        (
            Receive,
            r#"*Kicked { room: None, reason: "rude" } *disconnected: the server has ended the session: rude, None"#,
        ),
        (Lost(Loss::Closed(1008, "rude".into())), "over"),
        (Receive, ""),
    ]);
    Bench::joined().run(vec![
        (said(r#""kicked","room":"r","reason":"rude""#), ""),
        (said(r#""kicked","room":"other","reason":"rude""#), ""),
        (Receive, r#"*Kicked { room: Some("r"), reason: "rude" }"#),
        (cut(), CUT),
        (welcome(), ""),
    ]);
}

#[test]
fn who_closes_gets_an_answer_to_everything() {
    let mut bench = Bench::here();
    bench.step(publish(1));
    bench.run(vec![
        (Close, "=1 the connection is closed"),
        (published(1, 1), ""),
        (Lost(Loss::Closed(1000, String::new())), "over"),
        (Receive, ""),
    ]);
    assert!(matches!(bench.core.over(), Some(Error::Closed)));
}

#[test]
fn a_room_that_cannot_be_joined_again_is_lost_and_not_asked_for_for_ever() {
    let mut bench = Bench::joined();
    // The same server, and now it takes less than it takes to say where we were.
    bench.run(vec![(cut(), CUT), (Receive, "*disconnected: the connection has ended (1006 ), Some(1000)")]);
    let small =
        said(r#""welcome","connection":"2","user":"ann","node":"n","version":1,"limits":{"message":50}"#);
    assert_eq!(bench.step(small), "");
    let events = bench.step(Receive);
    assert!(events.contains("*connected as ann") && events.contains("Kicked"), "{events}");
}

#[test]
fn offsets_that_nobody_can_have_are_not_understood() {
    let most = u64::MAX;
    for text in [
        format!(r#"{{"type":"joined","id":1,"room":"r","epoch":"e","offset":{most},"recovered":true,"messages":[],"members":[]}}"#),
        format!(r#"{{"type":"message","room":"r","epoch":"e","offset":{most},"from":null,"data":1,"time":0}}"#),
        r#"{"type":"message","room":"r","epoch":"e","offset":0,"from":null,"data":1,"time":0}"#.into(),
        r#"{"type":"history","id":1,"room":"r","epoch":"e","messages":[{"offset":0,"from":null,"data":1,"time":0}],"more":false}"#.into(),
    ] {
        assert_eq!(Said::read(&text), None, "{text}");
    }
}

#[test]
fn rooms_that_nobody_asked_for_do_not_pile_up() {
    let mut bench = Bench::here();
    for n in 0..3000 {
        bench.step(said(&format!(
            r#""joined","id":{n},"room":"r{n}","epoch":"e","offset":0,"recovered":false,"messages":[],"members":[]"#
        )));
    }
    assert!(bench.core.requests.take().len() <= 1024);
}
