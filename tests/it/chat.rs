//! The program's own paths as a script would use them: echo, group, rooms, direct chat.

use crate::support::{
    BINARY, CLOSE, Client, Frame, TEXT, close_payload, connect, frame, handshake, serve_binary, text_frame,
};
use std::thread;

#[test]
fn the_echo_is_unchanged() {
    let program = serve_binary(&[]);
    let mut client = Client::connect(program.address, "/echo");
    let long = "服".repeat(30_000);
    for (opcode, payload) in [
        (TEXT, &b"hello"[..]),
        (TEXT, b""),
        (TEXT, "大家好 🦀".as_bytes()),
        (TEXT, long.as_bytes()),
        (BINARY, b""),
        (BINARY, &[0, 0xff, 0x80, 0]),
        (BINARY, &[7; 126]),
        (BINARY, &vec![9; 65_536]),
        (BINARY, &vec![1; 1024 * 1024]),
    ] {
        client.send_frame(opcode, payload, true);
        let expected = Frame { is_final: true, opcode, payload: payload.to_vec() };
        assert!(client.frame() == expected, "opcode {opcode}, {} bytes", payload.len());
    }
    client.leave();
}

#[test]
fn the_group_hears_everything_and_so_does_the_sender() {
    let program = serve_binary(&[]);
    let mut clients: Vec<Client> = (0..3).map(|_| Client::settled(program.address, "/conn_ws")).collect();
    clients[0].send("hello, all");
    clients.iter_mut().for_each(|client| client.expect("hello, all"));
    clients[2].send_frame(BINARY, &[1, 0, 255], true);
    for client in &mut clients {
        assert_eq!(client.frame(), Frame { is_final: true, opcode: BINARY, payload: vec![1, 0, 255] });
    }
}

#[test]
fn a_room_hears_everything_with_and_without_the_slash() {
    let program = serve_binary(&[]);
    let paths = ["/room/lobby", "/room/lobby/", "/room/%6cobby"];
    let mut members = paths.map(|path| Client::settled(program.address, path));
    let mut elsewhere = Client::settled(program.address, "/room/Lobby");
    for (sender, path) in paths.iter().enumerate() {
        members[sender].send(path);
        members.iter_mut().for_each(|member| member.expect(path));
    }
    elsewhere.send("alone");
    elsewhere.expect("alone");
}

#[test]
fn the_chat_is_heard_by_the_others_only() {
    let program = serve_binary(&[]);
    let [mut ann, mut bob, mut eve] = [0; 3].map(|_| Client::settled(program.address, "/chat/x"));
    ann.send("from ann");
    bob.expect("from ann");
    eve.expect("from ann");
    bob.send("from bob");
    // Her own message did not come to her before this one.
    ann.expect("from bob");
    eve.expect("from bob");
}

#[test]
fn rooms_of_different_kinds_are_apart() {
    let program = serve_binary(&[]);
    let paths = ["/room/x", "/chat/x", "/chat/x", "/conn_ws", "/room/y"];
    let mut clients = paths.map(|path| Client::settled(program.address, path));
    clients[0].send("room x");
    clients[1].send("chat x");
    clients[3].send("group");
    clients[4].send("room y");
    // The first thing each gets is its own room's.
    for (client, expected) in [(0, "room x"), (2, "chat x"), (3, "group"), (4, "room y")] {
        clients[client].expect(expected);
    }
    clients[2].send("answer");
    clients[1].expect("answer");
}

#[test]
fn rooms_can_have_chinese_names() {
    let program = serve_binary(&[]);
    // 大厅 in both ways of writing hexadecimal digits.
    let mut ann = Client::settled(program.address, "/room/%E5%A4%A7%E5%8E%85");
    let mut bob = Client::settled(program.address, "/room/%e5%a4%a7%e5%8e%85/");
    let mut other = Client::settled(program.address, "/room/%E5%A4%A7%E5%8E%86");
    ann.send("你好");
    ann.expect("你好");
    bob.expect("你好");
    other.send("别处");
    other.expect("别处");
}

#[test]
fn direct_messages_reach_all_of_one_user_and_nobody_else() {
    let program = serve_binary(&[]);
    let mut ann = Client::settled(program.address, "/conn_ws/ann");
    let mut bobs = [0; 2].map(|_| Client::settled(program.address, "/conn_ws/bob"));
    let mut eve = Client::settled(program.address, "/conn_ws/eve");
    let mut group = Client::settled(program.address, "/conn_ws");

    // Byte for byte, blanks and escapes and unknown fields included.
    let odd = r#"{ "message":"h\u0069",  "to_user":"bob","from_user":"ann" ,"more":[1.50] }"#;
    ann.send(odd);
    bobs.iter_mut().for_each(|bob| bob.expect(odd));

    // Nobody speaks in another's name.
    for (sent, expected) in [
        (
            r#"{"from_user":"eve","to_user":"bob","message":"1"}"#,
            r#"{"from_user":"ann","to_user":"bob","message":"1"}"#,
        ),
        (r#"{"to_user":"bob","message":"2"}"#, r#"{"to_user":"bob","message":"2","from_user":"ann"}"#),
    ] {
        ann.send(sent);
        bobs.iter_mut().for_each(|bob| bob.expect(expected));
    }

    // The first that the others hear is what is sent now.
    let to = |user: &str| format!(r#"{{"from_user":"bob","to_user":"{user}","message":"last"}}"#);
    bobs[0].send(&to("eve"));
    eve.expect(&to("eve"));
    bobs[0].send(&to("ann"));
    ann.expect(&to("ann"));
    group.send("group");
    group.expect("group");
    bobs[0].send(&to("bob"));
    bobs.iter_mut().for_each(|bob| bob.expect(&to("bob")));
}

#[test]
fn a_direct_message_that_goes_nowhere_is_answered() {
    let program = serve_binary(&[]);
    let mut ann = Client::settled(program.address, "/conn_ws/ann");
    for (sent, code) in [
        (r#"{"from_user":"ann","to_user":"nobody","message":"hi"}"#, "no_such_user"),
        ("hello", "bad_json"),
        (r#"{"to_user":"ann""#, "bad_json"),
        ("[1]", "bad_request"),
        (r#"{"message":"hi"}"#, "bad_request"),
        (r#"{"to_user":"ann"}"#, "bad_request"),
        (r#"{"to_user":7,"message":"hi"}"#, "bad_request"),
        (r#"{"from_user":"eve","from_user":"ann","to_user":"ann","message":"hi"}"#, "bad_request"),
    ] {
        ann.send(sent);
        let reply: serde_json::Value = serde_json::from_str(&ann.text()).unwrap();
        assert_eq!((&reply["type"], &reply["code"]), (&"error".into(), &code.into()), "{sent}: {reply}");
        assert!(reply["message"].as_str().is_some_and(|message| !message.is_empty()), "{reply}");
    }
    ann.send_frame(BINARY, br#"{"to_user":"ann","message":"hi"}"#, true);
    assert!(ann.text().contains("bad_request"));
    let own = r#"{"from_user":"ann","to_user":"ann","message":"still here"}"#;
    ann.send(own);
    ann.expect(own);
}

#[test]
fn a_direct_message_may_be_nested_as_deeply_as_it_likes() {
    let program = serve_binary(&[]);
    let mut ann = Client::settled(program.address, "/conn_ws/ann");
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        for depth in [100, 128, 50_000] {
            let nested = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            let own = format!(r#"{{"from_user":"ann","to_user":"ann","message":{nested}}}"#);
            ann.send(&own);
            ann.expect(&own);
            ann.send(&format!(r#"{{"from_user":{nested},"to_user":"ann","message":{nested}}}"#));
            ann.expect(&own);
            ann.send(&format!(r#"{{"to_user":{nested},"message":1}}"#));
            assert!(ann.text().contains("bad_request"), "{depth} of {open}");
        }
    }
}

#[test]
fn a_user_is_gone_when_its_last_connection_is() {
    let program = serve_binary(&[]);
    let mut ann = Client::settled(program.address, "/conn_ws/ann");
    let [first, mut second] = [0; 2].map(|_| Client::settled(program.address, "/conn_ws/bob"));
    let message = r#"{"from_user":"ann","to_user":"bob","message":"hi"}"#;
    first.leave();
    ann.send(message);
    second.expect(message);
    second.leave();
    ann.send(message);
    assert!(ann.text().contains("no_such_user"));
}

#[test]
fn all_members_see_the_same_order() {
    const SENDERS: usize = 4;
    const EACH: usize = 500;
    let program = serve_binary(&[]);
    for (path, is_own_heard) in [("/room/order", true), ("/chat/order", false)] {
        let mut members: Vec<Client> =
            (0..SENDERS + 2).map(|_| Client::settled(program.address, path)).collect();
        let heard: Vec<Vec<String>> = thread::scope(|scope| {
            let listeners: Vec<_> = members
                .iter_mut()
                .enumerate()
                .map(|(number, member)| {
                    let mut sending = member.stream.try_clone().unwrap();
                    if number < SENDERS {
                        scope.spawn(move || {
                            for n in 0..EACH {
                                let frame = text_frame(&format!("{number}:{n}"));
                                std::io::Write::write_all(&mut sending, &frame).unwrap();
                            }
                        });
                    }
                    let own = if number < SENDERS && !is_own_heard { EACH } else { 0 };
                    scope.spawn(move || (0..SENDERS * EACH - own).map(|_| member.text()).collect())
                })
                .collect();
            listeners.into_iter().map(|listener| listener.join().unwrap()).collect()
        });
        let whole = &heard[SENDERS];
        for sender in 0..SENDERS {
            let of_sender: Vec<&String> =
                whole.iter().filter(|message| message.starts_with(&format!("{sender}:"))).collect();
            assert!((0..EACH).all(|n| *of_sender[n] == format!("{sender}:{n}")), "sender {sender}");
        }
        for (number, messages) in heard.iter().enumerate() {
            let own = format!("{number}:");
            let expected = whole.iter().filter(|message| is_own_heard || !message.starts_with(&own));
            assert!(messages.iter().eq(expected), "{path}: member {number} saw another order");
        }
    }
}

#[test]
fn a_pipelining_client_gets_all_replies_in_order() {
    let program = serve_binary(&[]);
    for path in ["/echo", "/room/pipeline"] {
        // From the first byte on: the messages do not even wait for the handshake's answer.
        let mut bytes = handshake(program.address, path, "").into_bytes();
        (0..1000).for_each(|n| bytes.extend(frame(TEXT, format!("message {n}").as_bytes(), true, true)));
        let mut client = Client::over(connect(program.address), bytes).unwrap();
        (0..1000).for_each(|n| client.expect(&format!("message {n}")));
        client.leave();
    }
}

#[test]
fn what_came_before_a_close_or_a_violation_is_answered_first() {
    let program = serve_binary(&[]);
    let reserved_opcode = frame(5, b"", true, true);
    for (last, code) in [(frame(CLOSE, &close_payload(1000, ""), true, true), 1000), (reserved_opcode, 1002)]
    {
        let mut client = Client::connect(program.address, "/echo");
        client.send_raw(&[text_frame("one"), text_frame("two"), last].concat());
        client.expect("one");
        client.expect("two");
        client.expect_close(code);
    }
}
