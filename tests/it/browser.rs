//! The web app in headless Chromium: typed into, clicked, and read as a person would.

use crate::support::{Client, Program, serve_binary, serve_binary_at};
use crate::support_cdp::{Browser, Tab};
use crate::tls::development;
use serde_json::{Value, json};

/// Opens the chat page under a nick, and waits until it is connected.
fn chat_page<'a>(browser: &'a Browser, program: &Program, nick: &str, hash: &str) -> Tab<'a> {
    let tab = browser.open(&format!("{}/?nick={nick}#{hash}", program.url()));
    wait_state(&tab, "open");
    tab
}

#[track_caller]
fn wait_state(tab: &Tab, state: &str) {
    tab.wait(&format!("document.querySelector('#state').dataset.state === '{state}'"));
}

#[track_caller]
fn say(tab: &Tab, text: &str) {
    tab.fill("#composer", text);
    tab.press_enter();
}

/// Waits until exactly these messages are shown: who said what.
#[track_caller]
fn wait_messages(tab: &Tab, expected: &[(&str, &str)]) {
    let shown = "[...document.querySelectorAll('#messages .message')]
        .map((m) => [m.querySelector('.from').textContent, m.querySelector('.text').textContent])";
    tab.wait(&format!("JSON.stringify({shown}) === {}", json!(json!(expected).to_string())));
}

#[track_caller]
fn wait_status(tab: &Tab, status: &str, count: usize) {
    tab.wait(&format!(
        "document.querySelectorAll('#messages .own[data-status={status}]').length === {count}"
    ));
}

/// Whatever the page complained about, and whatever it wanted from elsewhere, fails the test.
#[track_caller]
pub(crate) fn check_reports(tab: &Tab, program: &Program) {
    let errors = |method: &str, is_error: fn(&Value) -> bool| {
        let found: Vec<Value> = tab.events(method).into_iter().filter(is_error).collect();
        assert!(found.is_empty(), "{method}: {found:#?}");
    };
    errors("Runtime.exceptionThrown", |_| true);
    errors("Runtime.consoleAPICalled", |call| call["type"] == "error" || call["type"] == "warning");
    errors("Log.entryAdded", |entry| {
        entry["entry"]["level"] == "error" || entry["entry"]["level"] == "warning"
    });

    let requests =
        tab.events("Network.requestWillBeSent").into_iter().map(|event| event["request"]["url"].clone());
    let sockets = tab.events("Network.webSocketCreated").into_iter().map(|event| event["url"].clone());
    let urls: Vec<Value> = requests.chain(sockets).collect();
    assert!(1 < urls.len(), "the page asked for {urls:?} only");
    for url in urls {
        let url = url.as_str().unwrap();
        let own = [
            format!("{}/", program.url()),
            format!("{}/", program.url().replacen("http", "ws", 1)),
            "data:".into(),
        ];
        assert!(own.iter().any(|own| url.starts_with(own)), "a request to another host: {url}");
    }
}

#[test]
#[ignore = "needs chromium: run tests/run"]
fn two_tabs_chat_in_the_lobby() {
    let (program, browser) = (serve_binary(&[]), Browser::start());
    let ann = chat_page(&browser, &program, "ann", "lobby");
    let bob = chat_page(&browser, &program, "bob", "lobby");
    assert_eq!(ann.eval("document.querySelector('#nick').value"), "ann");

    say(&ann, "hello, 你好 👋");
    let mut said = vec![("ann", "hello, 你好 👋")];
    wait_messages(&bob, &said);
    wait_messages(&ann, &said);
    wait_status(&ann, "delivered", 1);

    bob.fill("#composer", "<b>hi</b> & <img src=x onerror=alert(1)>");
    bob.click("#send");
    said.push(("bob", "<b>hi</b> & <img src=x onerror=alert(1)>"));
    wait_messages(&ann, &said);
    wait_messages(&bob, &said);

    for tab in [&ann, &bob] {
        check_reports(tab, &program);
    }
}

#[test]
#[ignore = "needs chromium: run tests/run"]
fn two_tabs_chat_in_a_room() {
    let (program, browser) = (serve_binary(&[]), Browser::start());
    let ann = chat_page(&browser, &program, "ann", "lobby");
    ann.fill("#room-name", "straße 7/b");
    ann.click("#room-join");
    ann.wait("document.querySelector('#title').textContent === 'straße 7/b'");
    wait_state(&ann, "open");
    // The address of the page is the invitation.
    let hash = ann.eval("location.hash");
    let bob = chat_page(&browser, &program, "bob", hash.as_str().unwrap().trim_start_matches('#'));
    let eve = chat_page(&browser, &program, "eve", "lobby");

    say(&ann, "in the room");
    wait_messages(&bob, &[("ann", "in the room")]);
    say(&bob, "so it is");
    wait_messages(&ann, &[("ann", "in the room"), ("bob", "so it is")]);

    say(&eve, "in the lobby");
    wait_messages(&eve, &[("eve", "in the lobby")]);
    wait_messages(&bob, &[("ann", "in the room"), ("bob", "so it is")]);
    for tab in [&ann, &bob, &eve] {
        check_reports(tab, &program);
    }
}

#[test]
#[ignore = "needs chromium: run tests/run"]
fn two_tabs_chat_one_to_one() {
    let (program, browser) = (serve_binary(&[]), Browser::start());
    let ann = chat_page(&browser, &program, "ann", "lobby");
    let bob = chat_page(&browser, &program, "bob", "user/ann");
    let eve = chat_page(&browser, &program, "eve", "user/ann");
    ann.fill("#dm-name", "bob");
    ann.click("#dm-open");
    wait_state(&ann, "open");

    say(&ann, "for you only");
    wait_messages(&bob, &[("ann", "for you only")]);
    say(&bob, "thank you");
    let said = [("ann", "for you only"), ("bob", "thank you")];
    wait_messages(&ann, &said);
    wait_messages(&bob, &said);
    wait_messages(&eve, &[]);

    // Nobody of that name is there: the message says so.
    ann.fill("#dm-name", "nobody");
    ann.click("#dm-open");
    say(&ann, "hello?");
    wait_status(&ann, "failed", 1);
    assert_eq!(ann.eval("document.querySelector('#messages .note').dataset.code"), "no_such_user");
    for tab in [&ann, &bob, &eve] {
        check_reports(tab, &program);
    }
}

#[test]
#[ignore = "needs chromium: run tests/run"]
fn what_is_written_while_the_server_is_down_arrives_when_it_is_back() {
    let (program, browser) = (serve_binary(&[]), Browser::start());
    let address = program.address;
    let ann = chat_page(&browser, &program, "ann", "lobby");
    let bob = chat_page(&browser, &program, "bob", "user/ann");

    drop(program);
    for tab in [&ann, &bob] {
        tab.wait("document.querySelector('#state').dataset.state !== 'open'");
    }
    for text in ["one", "two", "three"] {
        say(&ann, text);
    }
    wait_status(&ann, "waiting", 3);
    say(&bob, "for ann");
    wait_status(&bob, "waiting", 1);

    let _program = serve_binary_at(&address.to_string(), &[]);
    let mut witness = Client::settled(address, "/conn_ws");
    for expected in ["one", "two", "three"] {
        let message: Value = serde_json::from_str(&witness.text()).unwrap();
        assert_eq!((&message["from"], &message["text"]), (&json!("ann"), &json!(expected)));
    }
    wait_status(&ann, "delivered", 3);
    wait_messages(&ann, &[("ann", "one"), ("ann", "two"), ("ann", "three")]);
    // Direct messages come through whoever of the two is back first.
    ann.wait("document.querySelector('#direct-list .conversation[data-name=bob]')");
    ann.click("#direct-list .conversation[data-name=bob]");
    wait_messages(&ann, &[("bob", "for ann")]);
    assert!(
        ann.events("Runtime.exceptionThrown").is_empty() && bob.events("Runtime.exceptionThrown").is_empty()
    );
}

#[test]
#[ignore = "needs chromium: run tests/run"]
fn the_inspector_shows_frames_and_the_echo_tab_compares_bytes() {
    let (program, browser) = (serve_binary(&[]), Browser::start());
    let tab = chat_page(&browser, &program, "ann", "lobby");
    tab.click("#inspector-toggle");
    say(&tab, "look at this");
    tab.wait("document.querySelectorAll('#frames .frame.out').length === 1");
    tab.wait("document.querySelectorAll('#frames .frame.in').length === 1");

    tab.click("#echo-tab");
    wait_state(&tab, "open");
    tab.fill("#echo-input", "héllo, 你好 👋");
    tab.click("#echo-send");
    tab.wait("document.querySelector('#echo-result .result')?.textContent.includes('identical')");
    tab.wait("document.querySelectorAll('#frames .frame').length === 2");
    tab.click("#echo-kind-hex");
    tab.fill("#echo-input", "de ad be ef 00 01");
    tab.click("#echo-send");
    tab.wait("document.querySelectorAll('#echo-result .result').length === 2");
    tab.wait("[...document.querySelectorAll('#echo-result .result')].every((r) => r.textContent.includes('identical'))");

    tab.click("#lang");
    tab.wait("document.documentElement.lang.startsWith('zh')");
    check_reports(&tab, &program);
}

#[test]
#[ignore = "needs chromium: run tests/run"]
fn a_page_is_asked_for_a_token_and_brings_it() {
    let secret = "a secret of more than thirty-two bytes";
    let args = ["--token", "bobs-token=bob", "--token", "odd/token==", "--jwt-secret", secret];
    let (program, browser) = (serve_binary(&args), Browser::start());
    let shown = "!document.querySelector('#token-form').hidden";
    let reason = "document.querySelector('#token-reason').textContent";
    let mut tabs = Vec::new();
    for token in ["bobs-token", "odd/token=="] {
        let tab = browser.open(&format!("{}/?nick=bob", program.url()));
        tab.wait(&format!("{shown} && {reason} === ''"));
        wait_state(&tab, "closed");
        tab.fill("#token", "wrong");
        tab.press_enter();
        tab.wait(&format!("{shown} && {reason} === 'the token is not known'"));
        tab.fill("#token", token);
        tab.press_enter();
        wait_state(&tab, "open");
        tab.wait(&format!("!({shown})"));
        assert_eq!(tab.eval("sessionStorage['switchboard.token']"), token);
        say(&tab, token);
        wait_status(&tab, "delivered", 1);
        tabs.push(tab);
    }

    // A token in the address: it is taken away from there, and says who it is.
    let jwt = |claims: &str| switchboard::auth::Signer::secret(secret).unwrap().sign(claims).unwrap();
    let ann = jwt(r#"{"sub":"ann","exp":4102444800,"rooms":{"read":["*"],"write":["tea"]}}"#);
    let page = browser.open(&format!("{}/#room/tea?token={ann}", program.url()));
    wait_state(&page, "open");
    assert_eq!(
        page.eval("document.querySelector('#nick').value + location.href"),
        format!("ann{}/#room/tea", program.url())
    );
    say(&page, "hello");
    wait_status(&page, "delivered", 1);
    page.eval("location.hash = '#room/coffee'");
    wait_state(&page, "open");
    say(&page, "hello");
    page.wait("document.querySelector('#messages .own[data-status=failed]')?.textContent.includes('you may not write in coffee')");

    // Who is somebody else by name is told so, and not asked again.
    page.fill("#nick", "eve");
    page.press_enter();
    page.wait("document.querySelector('#problem').textContent.includes('you are ann here')");
    let single = browser.open(&format!("{}/single_chat#token=bobs-token", program.url()));
    single.fill("#nick", "bob");
    single.press_enter();
    single.wait("document.querySelector('#chat_list').textContent.includes('[logged in as bob]')");
    single.fill("#to_user", "bob");
    single.fill("#send_str", "to myself");
    single.press_enter();
    single.wait("document.querySelector('#chat_list').textContent.includes('bob:to myself')");

    tabs.extend([page, single]);
    tabs.iter().for_each(|tab| check_reports(tab, &program));
    let log = program.all_said();
    assert!(!log.contains(&ann) && !log.contains("bobs-token"), "{log}");
}

#[test]
#[ignore = "needs chromium: run tests/run"]
fn single_chat() {
    let (program, browser) = (serve_binary(&[]), Browser::start());
    let [ann, bob] = ["ann", "bob"].map(|nick| {
        let tab = browser.open(&format!("{}/single_chat", program.url()));
        tab.fill("#nick", nick);
        tab.eval("login()");
        tab.wait("chat_list.children.length === 1");
        tab
    });
    let wait_lines = |tab: &Tab, expected: &[&str]| {
        let lines = "[...chat_list.children].slice(1).map((line) => line.textContent)";
        tab.wait(&format!("JSON.stringify({lines}) === {}", json!(json!(expected).to_string())));
    };
    let send = |tab: &Tab, to: &str, text: &str| {
        tab.fill("#to_user", to);
        tab.fill("#send_str", text);
        tab.eval("send()");
    };
    send(&ann, "bob", "hello <b>bob</b> 👋");
    wait_lines(&bob, &["ann:hello <b>bob</b> 👋"]);
    send(&bob, "ann", "hello ann");
    for tab in [&ann, &bob] {
        wait_lines(tab, &["ann:hello <b>bob</b> 👋", "bob:hello ann"]);
        check_reports(tab, &program);
    }
    send(&ann, "nobody", "anyone?");
    ann.wait("chat_list.lastElementChild.textContent.startsWith('[error]')");
}

/// Sends a text that is worth compressing to `/echo` and waits for it.
#[track_caller]
fn check_compressed_echo(tab: &Tab) {
    let (extensions, length, same) = (0, 1, 2);
    let got = tab.eval(
        "new Promise((done, fail) => {
           const text = 'héllo, 你好 👋 '.repeat(200);
           const ws = new WebSocket(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/echo`);
           ws.onerror = () => fail(new Error('no connection'));
           ws.onopen = () => ws.send(text);
           ws.onmessage = ({ data }) => {
             done([ws.extensions, new TextEncoder().encode(data).length, data === text]);
             ws.close();
           };
         })",
    );
    assert!(got[extensions].as_str().unwrap().contains("permessage-deflate"), "{got}");
    assert!(2048 <= got[length].as_u64().unwrap() && got[same] == true, "{got}");
}

#[test]
#[ignore = "needs chromium: run tests/run"]
fn a_page_speaks_compressed() {
    let (program, browser) = (serve_binary(&[]), Browser::start());
    let tab = browser.open(&format!("{}/single_chat", program.url()));
    check_compressed_echo(&tab);
}

#[test]
#[ignore = "needs chromium: run tests/run"]
fn over_tls_the_page_chats_and_echoes() {
    let files = development();
    let program = serve_binary(&["--tls-cert", &files.path("cert.pem"), "--tls-key", &files.path("key.pem")]);
    // No authority has signed a certificate for development.
    let browser = Browser::start_with(&["--ignore-certificate-errors"]);
    let tab = chat_page(&browser, &program, "ann", "lobby");
    assert_eq!(tab.eval("[location.protocol, isSecureContext]"), json!(["https:", true]));
    say(&tab, "hello over TLS");
    wait_status(&tab, "delivered", 1);
    wait_messages(&tab, &[("ann", "hello over TLS")]);
    check_compressed_echo(&tab);
    let secure = format!("wss://{}/", program.address);
    let sockets: Vec<Value> =
        tab.events("Network.webSocketCreated").into_iter().map(|event| event["url"].clone()).collect();
    assert!(
        1 < sockets.len() && sockets.iter().all(|url| url.as_str().unwrap().starts_with(&secure)),
        "{sockets:?}"
    );
    check_reports(&tab, &program);
}
