//! Tables for the hub: commands in, what each line got out.

use super::*;
use proptest::prelude::*;

/// A line is its connection's number; a delivery is noted as text, `|` where a piece ends, `×` for a Close.
#[derive(Default)]
struct Lines(HashMap<u64, String>);

impl Deliver<u64> for Lines {
    fn deliver(&mut self, to: &u64, frames: &Bytes) {
        let line = self.0.entry(*to).or_default();
        line.push_str(str::from_utf8(frames).unwrap());
        line.push('|');
    }

    fn close(&mut self, to: &u64, frame: &Bytes) {
        self.0.entry(*to).or_default().push_str(&format!("×{}", str::from_utf8(frame).unwrap()));
    }

    fn order(&mut self, order: Order) {
        panic!("there is no engine to ask for {order:?}");
    }

    fn encode(&mut self, text: &str) -> Frames {
        Bytes::copy_from_slice(text.as_bytes()).into()
    }
}

fn now() -> Now {
    Now { instant: Instant::now(), unix_ms: 0 }
}

fn name(name: &str) -> Name {
    name.into()
}

fn id(id: u64) -> ConnectionId {
    ConnectionId(id)
}

/// Upper case stands for what is compressed.
fn frames(text: &str) -> Frames {
    let plain = Bytes::copy_from_slice(text.to_lowercase().as_bytes());
    let compressed = (text != text.to_lowercase()).then(|| Bytes::copy_from_slice(text.as_bytes()));
    Frames { plain, compressed }
}

fn join(number: u64, room: &str) -> Command<u64> {
    Command::Join { id: id(number), room: name(room), view: None }
}

/// Sees what `view` makes of a text of frames.
fn join_with(number: u64, room: &str, view: fn(&str) -> Result<String, &str>) -> Command<u64> {
    let view = move |frames: &Bytes| {
        let seen = view(str::from_utf8(frames).unwrap());
        seen.map(Bytes::from).map_err(|close| Bytes::copy_from_slice(close.as_bytes()))
    };
    Command::Join { id: id(number), room: name(room), view: Some(Box::new(View(Box::new(view)))) }
}

fn leave(number: u64, room: &str) -> Command<u64> {
    Command::Leave { id: id(number), room: name(room) }
}

fn say(room: &str, text: &str) -> Command<u64> {
    Command::SendRoom { room: name(room), frames: frames(text), except: None }
}

fn say_others(from: u64, room: &str, text: &str) -> Command<u64> {
    Command::SendRoom { room: name(room), frames: frames(text), except: Some(id(from)) }
}

fn tell(user: &str, text: &str, otherwise: Option<(u64, &'static str)>) -> Command<u64> {
    Command::SendUser {
        user: name(user),
        frames: frames(text),
        otherwise: otherwise.map(|(number, text)| (id(number), Bytes::from(text))),
    }
}

/// Connections 1 to 4, `turns` of commands, and what lines 1 to 4 got.
fn check(turns: Vec<Vec<Command<u64>>>, expected: [&str; 4]) -> Hub<u64> {
    let mut hub = Hub::new("n", Rules { reply: 1 << 20, rooms: 2, bytes: 4096, ..Rules::default() }, None);
    let mut lines = Lines::default();
    for number in 1..=4 {
        hub.apply(
            now(),
            Command::Connect {
                id: id(number),
                line: number,
                compressed: false,
                owner: None,
                protocol: false,
            },
            &mut lines,
        );
    }
    for turn in turns {
        turn.into_iter().for_each(|command| hub.apply(now(), command, &mut lines));
        hub.end_turn(&mut lines);
    }
    let got = [1, 2, 3, 4].map(|number| lines.0.remove(&number).unwrap_or_default());
    assert_eq!(got.each_ref().map(String::as_str), expected);
    hub
}

#[test]
fn a_turn_sends_one_piece_to_each_member() {
    let turns = vec![
        vec![join(1, "a"), join(2, "a"), join(3, "b")],
        vec![say("a", "one "), say("a", "two "), say("b", "bee "), say("a", "three")],
        vec![say("a", "four")],
    ];
    check(turns, ["one two three|four|", "one two three|four|", "bee |", ""]);
}

#[test]
fn others_get_everything_and_senders_all_but_their_own() {
    let members = vec![join(1, "a"), join(2, "a"), join(3, "a")];
    let turn = vec![say_others(1, "a", "1"), say_others(2, "a", "2"), say_others(1, "a", "3"), say("a", "4")];
    check(vec![members, turn], ["2|4|", "1|34|", "1234|", ""]);
    let alone = vec![join(1, "a"), say_others(1, "a", "hello?")];
    check(vec![alone], ["", "", "", ""]);
    let from_outside = vec![join(1, "a"), say_others(2, "a", "hi")];
    check(vec![from_outside], ["hi|", "", "", ""]);
}

#[test]
fn membership_counts_from_its_place_in_the_order() {
    let turn = vec![
        join(1, "a"),
        say("a", "before "),
        join(2, "a"),
        say("a", "between "),
        leave(1, "a"),
        say("a", "after"),
        leave(1, "a"),
        say("nowhere", "lost"),
    ];
    check(vec![turn], ["before between |", "between after|", "", ""]);
    let twice = vec![
        join(1, "a"),
        join(2, "a"),
        say("a", "one "),
        say_others(2, "a", "two "),
        leave(2, "a"),
        say("a", "three "),
        join(2, "a"),
        say_others(2, "a", "four "),
        say("a", "five"),
    ];
    check(vec![twice], ["one two three four five|", "one |five|", "", ""]);
}

#[test]
fn joining_twice_counts_once() {
    check(vec![vec![join(1, "a"), join(1, "a"), say("a", "x")]], ["x|", "", "", ""]);
}

#[test]
fn a_member_with_a_view_gets_what_the_view_makes_of_each_piece() {
    let shout = |text: &str| Ok(text.to_uppercase());
    let deaf = |_: &str| Ok(String::new());
    let members = vec![join(1, "a"), join_with(2, "a", shout), join_with(3, "a", deaf)];
    let turn = vec![say("a", "1 A "), say_others(2, "a", "2 "), say("a", "3")];
    check(vec![members, turn], ["1 a 2 3|", "1 A |3|", "", ""]);
}

#[test]
fn joining_again_changes_the_view_for_what_comes_then() {
    let deaf = |_: &str| Ok(String::new());
    let turn = vec![
        join_with(1, "a", deaf),
        say("a", "unheard"),
        join(1, "a"),
        say("a", "heard"),
        join_with(1, "a", deaf),
        say("a", "unheard"),
    ];
    check(vec![turn], ["heard|", "", "", ""]);
}

#[test]
fn a_view_that_fails_ends_its_member_and_is_not_asked_again() {
    let turns =
        vec![vec![join_with(1, "a", |_| Err("failed")), join(2, "a"), say("a", "x")], vec![say("a", "y")]];
    check(turns, ["×failed", "x|y|", "", ""]);
}

#[test]
fn a_closed_room_s_members_get_what_was_sent_before() {
    let close = Command::CloseRoom { room: name("a"), frame: Bytes::from("bye") };
    check(vec![vec![join(1, "a"), join(2, "b"), say("a", "x"), close]], ["x|×bye", "", "", ""]);
}

#[test]
fn a_user_is_reached_on_every_connection_and_nobody_else_is() {
    let identify = |number, user| Command::Identify { id: id(number), user: name(user) };
    let turn = vec![
        identify(1, "ann"),
        identify(2, "bob"),
        identify(3, "bob"),
        tell("bob", "hi", Some((1, "nobody there"))),
        tell("eve", "hi", Some((1, "nobody there"))),
        tell("eve", "hi", None),
        identify(3, "ann"),
        tell("ann", "both", None),
        Command::Disconnect { id: id(2) },
        tell("bob", "gone?", Some((4, "gone"))),
    ];
    let hub = check(vec![turn], ["nobody there|both|", "hi|", "hi|both|", "gone|"]);
    assert_eq!(hub.counts(), Counts { connections: 3, users: 1, ..Counts::default() });
}

#[test]
fn what_a_connection_sends_to_room_and_user_arrives_in_that_order() {
    let turn = vec![
        join(2, "a"),
        Command::Identify { id: id(2), user: name("bob") },
        say("a", "first"),
        tell("bob", "second", None),
        say("a", "third"),
    ];
    check(vec![turn], ["", "first|second|third|", "", ""]);
}

#[test]
fn broadcast_reaches_every_connection() {
    let turn = vec![join(1, "a"), say("a", "x"), Command::Broadcast { frames: frames("all") }];
    check(vec![turn], ["x|all|", "all|", "all|", "all|"]);
}

#[test]
fn a_disconnect_leaves_every_room_and_empty_rooms_are_forgotten() {
    let turns = vec![
        vec![join(1, "a"), join(1, "b"), join(2, "b"), say("b", "x"), Command::Disconnect { id: id(1) }],
        vec![say("a", "y"), say("b", "z"), Command::Disconnect { id: id(1) }, join(1, "c")],
    ];
    let hub = check(turns, ["x|", "x|z|", "", ""]);
    assert_eq!(hub.counts(), Counts { connections: 3, rooms: 1, ..Counts::default() });
}

#[test]
fn closing_comes_after_what_was_sent_and_once() {
    let close = |at_most| Command::CloseSome { at_most, frame: Bytes::from("bye") };
    let mut hub = check(
        vec![vec![join(1, "a"), say("a", "last"), close(9), close(9)]],
        ["last|×bye", "×bye", "×bye", "×bye"],
    );
    let mut lines = Lines::default();
    hub.apply(
        now(),
        Command::Connect { id: id(5), line: 5, compressed: false, owner: None, protocol: false },
        &mut lines,
    );
    hub.apply(
        now(),
        Command::Connect { id: id(6), line: 6, compressed: false, owner: None, protocol: false },
        &mut lines,
    );
    hub.apply(now(), close(1), &mut lines);
    assert_eq!(lines.0.len(), 1);
    hub.apply(now(), close(1), &mut lines);
    assert_eq!(lines.0.len(), 2);
}

#[test]
fn a_room_of_large_frames_is_delivered_before_it_grows() {
    let big = "x".repeat(200 * 1024);
    let turn = vec![join(1, "a"), say("a", &big), say("a", &big), say("a", "y")];
    check(vec![turn], [&format!("{big}|{big}y|"), "", "", ""]);
}

#[test]
fn random_commands_keep_every_member_s_order() {
    // A room's members that never leave see every message, in the same order, whatever the turns are.
    let mut hub = Hub::new("n", Rules { reply: 1 << 20, rooms: 2, bytes: 4096, ..Rules::default() }, None);
    let mut lines = Lines::default();
    let mut seed = 7u64;
    let mut random = |below: u64| {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (seed >> 33) % below
    };
    for number in 0..20 {
        hub.apply(
            now(),
            Command::Connect {
                id: id(number),
                line: number,
                compressed: false,
                owner: None,
                protocol: false,
            },
            &mut lines,
        );
        hub.apply(now(), join(number, "a"), &mut lines);
    }
    let mut sent = [const { Vec::new() }; 20];
    for n in 0..5000 {
        let from = random(20);
        match random(8) {
            0 if 10 <= from => hub.apply(now(), leave(from, "a"), &mut lines),
            1 if 10 <= from => hub.apply(now(), join(from, "a"), &mut lines),
            2 => hub.end_turn(&mut lines),
            _ => {
                hub.apply(now(), say_others(from, "a", &format!("{n} ")), &mut lines);
                (0..10).filter(|to| *to != from).for_each(|to| sent[to as usize].push(n.to_string()));
            }
        }
    }
    hub.end_turn(&mut lines);
    for (number, sent) in sent.iter().take(10).enumerate() {
        let got = lines.0[&(number as u64)].replace('|', "");
        assert_eq!(got.split_whitespace().collect::<Vec<_>>(), *sent, "line {number}");
    }
}

#[test]
fn lines_that_take_compressed_frames_get_the_same_messages_in_the_same_order() {
    let mut hub = Hub::new("n", Rules { reply: 1 << 20, rooms: 2, bytes: 4096, ..Rules::default() }, None);
    let mut lines = Lines::default();
    for number in 1..=4 {
        hub.apply(
            now(),
            Command::Connect {
                id: id(number),
                line: number,
                compressed: number % 2 == 0,
                owner: None,
                protocol: false,
            },
            &mut lines,
        );
        hub.apply(now(), join(number, "a"), &mut lines);
    }
    let turn = [
        say_others(1, "a", "one"),
        say_others(2, "a", "two"),
        say("a", "THREE"),
        say_others(2, "a", "FOUR"),
        say_others(1, "a", "FIVE"),
        say("a", "six"),
    ];
    turn.into_iter().for_each(|command| hub.apply(now(), command, &mut lines));
    hub.end_turn(&mut lines);
    hub.apply(now(), Command::Broadcast { frames: frames("ALL") }, &mut lines);
    hub.apply(now(), say("a", "PLAIN again".to_lowercase().as_str()), &mut lines);
    hub.end_turn(&mut lines);
    let got = [1, 2, 3, 4].map(|number| lines.0[&number].as_str());
    assert_eq!(
        got,
        [
            "twothreefour|six|all|plain again|",
            "one|THREE|FIVEsix|ALL|plain again|",
            "onetwothreefourfivesix|all|plain again|",
            "onetwoTHREEFOURFIVEsix|ALL|plain again|",
        ]
    );
}

/// What members of one room do, in turns: joins, leaves, and what is said by whom, to all or to the others, compressed or not.
#[derive(Clone, Debug)]
enum Step {
    Join(u64),
    Leave(u64),
    Say { from: u64, to_others: bool, compressed: bool },
    EndTurn,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..4_u64).prop_map(Step::Join),
        (0..4_u64).prop_map(Step::Leave),
        (0..4_u64, any::<bool>(), any::<bool>()).prop_map(|(from, to_others, compressed)| Step::Say {
            from,
            to_others,
            compressed
        }),
        Just(Step::EndTurn),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// However it is gathered, each gets what it would get if all was delivered at once. Odd lines take compressed frames.
    #[test]
    fn gathering_changes_nothing_but_the_pieces(steps in proptest::collection::vec(step(), 0..40)) {
        let mut hub = Hub::new("n", Rules::default(), None);
        let (mut lines, mut members, mut expected) = (Lines::default(), Vec::new(), [const { String::new() }; 4]);
        for number in 0..4 {
            let compressed = number % 2 == 1;
            let connect = Command::Connect { id: id(number), line: number, compressed, owner: None, protocol: false };
            hub.apply(now(), connect, &mut lines);
        }
        for (at, step) in steps.into_iter().enumerate() {
            let command = match step {
                Step::Join(number) => {
                    if !members.contains(&number) {
                        members.push(number);
                    }
                    join(number, "a")
                }
                Step::Leave(number) => {
                    members.retain(|member| *member != number);
                    leave(number, "a")
                }
                Step::Say { from, to_others, compressed } => {
                    let text = if compressed { format!("A{at}") } else { format!("a{at}") };
                    for member in members.iter().filter(|member| !to_others || **member != from) {
                        let takes = member % 2 == 1;
                        expected[*member as usize] += &if takes { text.clone() } else { text.to_lowercase() };
                    }
                    if to_others { say_others(from, "a", &text) } else { say("a", &text) }
                }
                Step::EndTurn => {
                    hub.end_turn(&mut lines);
                    continue;
                }
            };
            hub.apply(now(), command, &mut lines);
        }
        hub.end_turn(&mut lines);
        let got = [0, 1, 2, 3].map(|number| lines.0.remove(&number).unwrap_or_default().replace('|', ""));
        prop_assert_eq!(got, expected);
    }
}
