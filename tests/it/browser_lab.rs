//! The rest of what the program serves to browsers: the inspector, the echo tab, tokens, TLS, the small page, pictures.

use crate::browser::{
    chat_page, chat_page_as, check_reports, encoded, person, say, wait_messages, wait_state, wait_status,
    wait_text,
};
use crate::support::{serve_binary, serve_binary_at};
use crate::support_cdp::{Browser, Look, Tab};
use crate::tls::development;
use serde_json::{Value, json};
use std::path::Path;
use std::{env, fs};

#[test]
#[ignore = "needs chromium: run tests/run"]
fn the_inspector_shows_frames_and_the_echo_tab_compares_bytes() {
    let (program, browser) = (serve_binary(&[]), Browser::start());
    let tab = chat_page(&browser, &program, "ann", "room/lobby");
    tab.click("#inspector-toggle");
    say(&tab, "look at this");
    wait_status(&tab, "done", 1);
    // The request, its reply with the time that it took, and the message to all.
    tab.wait(
        "document.querySelector('#frames .frame.out[data-kind=publish] .rtt')?.textContent.endsWith(' ms')",
    );
    for kind in ["welcome", "joined", "published", "message"] {
        tab.wait(&format!("document.querySelectorAll('#frames .frame.in[data-kind={kind}]').length === 1"));
    }
    wait_text(&tab, "#fact-queue", "0 requests");
    tab.wait("document.querySelector('#fact-rtt').textContent.endsWith(' ms')");
    // What a frame looks like: FIN and text, masked, a length of its own.
    tab.click("#frames .frame.out[data-kind=publish]");
    let parts = "[...document.querySelectorAll('#anatomy .part')].map((part) => [part.classList[1], part.querySelector('.value').textContent])";
    let parts = tab.eval(parts);
    assert_eq!(parts[0], json!(["fin", "1"]));
    assert_eq!(parts[2], json!(["opcode", "0001"]));
    assert_eq!(parts[3], json!(["mask", "1"]));
    tab.click("#anatomy .part.mask");
    tab.wait("document.querySelector('#anatomy-help').textContent.startsWith('MASK = 1')");
    // A request that the server has not answered counts.
    program.signal(rustix::process::Signal::STOP);
    say(&tab, "unanswered");
    wait_text(&tab, "#fact-queue", "1 request");
    program.signal(rustix::process::Signal::CONT);
    wait_text(&tab, "#fact-queue", "0 requests");

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
    tab.click("#echo-sizes button:last-child");
    tab.wait("document.querySelectorAll('#echo-result .result').length === 3");
    tab.wait("[...document.querySelectorAll('#echo-result .result')].every((r) => r.textContent.includes('identical'))");
    tab.click("#hang-up");
    wait_state(&tab, "closed");
    wait_text(&tab, "#fact-close", "1000");
    tab.click("#retry");
    wait_state(&tab, "open");
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
        tab.wait(&format!("document.querySelector('#messages .own[data-status=done]:last-child .text')?.textContent === '{token}'"));
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
    wait_status(&page, "done", 1);
    page.eval("location.hash = '#room/coffee'");
    wait_text(&page, "#title", "coffee");
    say(&page, "hello");
    page.wait("document.querySelector('#messages .own[data-status=failed]')?.textContent.includes('does not allow you to publish')");
    // The echo brings it too.
    page.click("#echo-tab");
    wait_state(&page, "open");

    // Who is somebody else by name is told so, and not asked again.
    page.fill("#nick", "eve");
    page.press_enter();
    page.wait("document.querySelector('#problem').textContent.includes('you are ann')");
    page.wait("document.querySelector('#nick').value === 'ann'");
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
    let tab = chat_page(&browser, &program, "ann", "room/lobby");
    assert_eq!(tab.eval("[location.protocol, isSecureContext]"), json!(["https:", true]));
    say(&tab, "hello over TLS");
    wait_status(&tab, "done", 1);
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

/// A conversation that looks like one.
const TALK: [(&str, &str); 8] = [
    ("Jonas", "Build 2.4.0-rc2 is on staging. 214 tests, all green."),
    ("Priya", "Smoke test from Lisbon: login ok, search ok. Upload of the 80 MB file is still running."),
    ("Mina", "Thanks! I am watching the dashboards."),
    ("Mina", "p99 is at 38 ms, it was 41 before."),
    ("Priya", "Upload done, checksum matches."),
    ("Jonas", "Then I tag it at 15:00 unless somebody objects."),
    (
        "Mina",
        "No objections. I will write the release notes:\n- faster search\n- uploads resume after a lost connection",
    ),
    ("Jonas", "Tagged."),
];
const TALK_ZH: [(&str, &str); 8] = [
    ("阿杰", "2.4.0-rc2 已经上了预发环境，214 个测试全部通过。"),
    ("思远", "我从成都这边冒烟测试：登录正常，搜索正常，80 MB 的文件还在上传。"),
    ("小敏", "收到，我盯着监控。"),
    ("小敏", "p99 现在 38 毫秒，之前是 41。"),
    ("思远", "上传完了，校验和一致。"),
    ("阿杰", "那没人反对的话，我三点打标签。"),
    ("小敏", "没意见。发布说明我来写：\n- 搜索更快\n- 断线后上传可以续传"),
    ("阿杰", "标签打好了。"),
];

/// Runs `look` with the page in the midst of a conversation, as `talk` has it, seen by its third speaker.
fn in_conversation((room, other): (&str, &str), talk: &[(&str, &str)], look: &Look, then: impl FnOnce(&Tab)) {
    let program = match env::var_os("SWITCHBOARD_SCREENSHOTS") {
        Some(_) => serve_binary_at("127.0.0.1:9527", &[]), // as the README says
        None => serve_binary(&[]),
    };
    let browser = Browser::start();
    let mut others = [talk[0].0, talk[1].0].map(|name| (name, person(&program, name)));
    for (_, person) in &mut others {
        person.ask(json!({"type": "join", "room": room}));
    }
    let tab = chat_page_as(&browser, &program, talk[2].0, &format!("room/{}", encoded(room)), look);
    tab.eval(&format!("location.hash = '#room/{}'", encoded(other)));
    wait_text(&tab, "#title", other);
    tab.eval(&format!("location.hash = '#room/{}'", encoded(room)));
    wait_text(&tab, "#title", room);
    for (count, (name, text)) in talk.iter().enumerate() {
        match others.iter_mut().find(|(other, _)| other == name) {
            Some((_, person)) => drop(person.ask(json!({"type": "publish", "room": room, "data": text}))),
            None => say(&tab, text),
        }
        let shown = "document.querySelectorAll('#messages .message:not([data-status=sending])').length";
        tab.wait(&format!("{shown} === {}", count + 1));
    }
    others[1].1.ask(json!({"type": "publish", "room": other, "data": "?"}));
    others[0].1.ask(json!({"type": "direct", "to": talk[2].0, "data": "!"}));
    tab.wait("document.querySelectorAll('.entry .unread:not(:empty)').length === 2");
    then(&tab);
    check_reports(&tab, &program);
}

/// A picture is looked at by people; this only makes it, and sees that it is none of an empty page. With
/// SWITCHBOARD_SCREENSHOTS set, those of the README are made anew.
fn picture(tab: &Tab, name: &str) {
    let png = tab.screenshot();
    assert!(png.starts_with(b"\x89PNG") && 20_000 < png.len(), "{name}: {} bytes", png.len());
    fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name), &png).unwrap();
    if env::var_os("SWITCHBOARD_SCREENSHOTS").is_some() && name.starts_with("screenshot") {
        fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web").join(name), &png).unwrap();
    }
}

#[test]
#[ignore = "needs chromium: run tests/run"]
fn pictures() {
    let inspected = |name: &'static str| {
        move |tab: &Tab| {
            tab.click("#inspector-toggle");
            let published = "[...document.querySelectorAll('#frames .frame.out[data-kind=publish]')].at(-1)";
            tab.wait(&format!("{published} !== undefined"));
            tab.eval(&format!("{published}.click()"));
            tab.eval(&format!("{published}.scrollIntoView({{ block: 'center' }})"));
            tab.click("#anatomy .part.key");
            tab.eval("document.activeElement.blur()");
            picture(tab, name);
        }
    };
    in_conversation(("release-2.4", "design"), &TALK, &Look::default(), inspected("screenshot.png"));
    let chinese = Look { language: Some("zh-CN"), ..Look::default() };
    in_conversation(("发布", "设计组"), &TALK_ZH, &chinese, inspected("screenshot.zh-CN.png"));
}
