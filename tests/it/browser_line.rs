//! The web app when something is wrong: no server, no storage, no connection, no leave to come in.

use crate::browser::{
    chat_page, chat_page_as, check_reports, check_reports_but, go, publish, say, wait_messages, wait_people,
    wait_state, wait_status, wait_text, wait_value,
};
use crate::support::{Program, exchange, serve_binary, serve_binary_at};
use crate::support_cdp::{Browser, Look};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::{env, fs, net::TcpListener, process::Command};

/// What a browser says by itself when nobody is there.
const REFUSED: &str = "ERR_CONNECTION_REFUSED";

#[test]
#[ignore = "needs chromium: run tests/run"]
fn what_is_written_while_the_server_is_down_arrives_once_when_it_is_back() {
    let (program, browser) = (serve_binary(&[]), Browser::start());
    let address = program.address;
    let ann = chat_page(&browser, &program, "ann", "room/lobby");
    let bob = chat_page(&browser, &program, "bob", "user/ann");
    say(&ann, "before");
    wait_status(&ann, "done", 1);
    wait_people(&ann, &["ann", "bob"]);

    drop(program); // kill -9
    for tab in [&ann, &bob] {
        tab.wait("document.querySelector('#state').dataset.state !== 'open' && !document.querySelector('#banner').hidden");
    }
    for text in ["one", "two", "three"] {
        say(&ann, text);
    }
    wait_status(&ann, "waiting", 3);
    say(&bob, "for ann");
    wait_status(&bob, "waiting", 1);
    assert_eq!(bob.eval("dispatchEvent(new Event('beforeunload', { cancelable: true }))"), false);

    let program = serve_binary_at(&address.to_string(), &[]);
    wait_status(&ann, "done", 4);
    wait_messages(&ann, &[("ann", "before"), ("ann", "one"), ("ann", "two"), ("ann", "three")]);
    // The history was lost with the server, and the page says where.
    let lines = "[...document.querySelector('#messages').children].map((line) => line.dataset.mark ?? line.querySelector('.text').textContent)";
    wait_value(&ann, lines, &json!(["before", "restarted", "one", "two", "three"]));
    wait_people(&ann, &["ann", "bob"]);
    assert_eq!(ann.eval("document.querySelector('#banner').hidden"), true);
    // Direct messages come through whoever of the two is back first.
    wait_status(&bob, "done", 1);
    ann.wait("document.querySelector('#direct-list .conversation[data-name=bob]')");
    go(&ann, "direct", "bob");
    wait_messages(&ann, &[("bob", "for ann")]);
    go(&bob, "room", "lobby");
    wait_messages(&bob, &[("ann", "before"), ("ann", "one"), ("ann", "two"), ("ann", "three")]);
    // Exactly once, says the server too.
    let late = chat_page(&browser, &program, "eve", "room/lobby");
    wait_messages(&late, &[("ann", "one"), ("ann", "two"), ("ann", "three")]);
    wait_people(&late, &["eve", "ann", "bob"]);
    for tab in [&ann, &bob, &late] {
        check_reports_but(tab, &program, REFUSED);
    }
}

#[test]
#[ignore = "needs chromium: run tests/run"]
fn what_was_not_sent_survives_a_reload() {
    let (program, browser) = (serve_binary(&[]), Browser::start());
    let tab = chat_page(&browser, &program, "ann", "room/lobby");
    // The server says nothing any more, and does not refuse either.
    program.signal(Signal::STOP);
    say(&tab, "kept");
    wait_status(&tab, "sending", 1);
    // The tab is thrown away, as phones do, and comes back when the server does.
    tab.eval("dispatchEvent(new PageTransitionEvent('pagehide'))");
    program.signal(Signal::CONT);
    wait_status(&tab, "done", 1);
    let again = "JSON.stringify({ unsent: [['room', 'lobby', [
        { to: 'lobby', text: 'kept', own: true, at: Date.now(), id: 'the same key', status: 'sending' },
        { to: 'lobby', text: 'and this', own: true, at: Date.now(), id: 'another key', status: 'waiting' }]]] })";
    tab.eval(&format!(
        "addEventListener('pagehide', () => sessionStorage.setItem('switchboard.kept.ann', {again}))"
    ));
    tab.reload();
    wait_messages(&tab, &[("ann", "kept"), ("ann", "kept"), ("ann", "and this")]);
    wait_status(&tab, "done", 3);
    // With the same keys once more: nothing new.
    tab.eval(&format!(
        "addEventListener('pagehide', () => sessionStorage.setItem('switchboard.kept.ann', {again}))"
    ));
    tab.reload();
    wait_status(&tab, "done", 3);
    wait_messages(&tab, &[("ann", "kept"), ("ann", "kept"), ("ann", "and this")]);
    check_reports(&tab, &program);
}

#[test]
#[ignore = "needs chromium: run tests/run"]
fn a_dead_connection_is_found() {
    let (program, browser) = (serve_binary(&[]), Browser::start());
    // For this page time goes twenty times as fast.
    let before = "{ const [now, timeout, start] = [Date.now, setTimeout, Date.now()];
        Date.now = () => start + 20 * (now() - start);
        window.setTimeout = (then, ms, ...more) => timeout(then, ms / 20, ...more); }";
    let tab = chat_page_as(&browser, &program, "ann", "room/lobby", &Look { before, ..Look::default() });
    program.signal(Signal::STOP);
    tab.wait("document.querySelector('#state').dataset.state !== 'open'");
    program.signal(Signal::CONT);
    wait_state(&tab, "open");
    say(&tab, "back");
    wait_status(&tab, "done", 1);
    check_reports(&tab, &program);
}

#[test]
#[ignore = "needs chromium: run tests/run"]
fn a_restart_is_announced_and_a_hang_up_is_final() {
    let (program, browser) = (serve_binary(&[]), Browser::start());
    let address = program.address;
    let tab = chat_page(&browser, &program, "ann", "room/lobby");
    tab.click("#inspector-toggle");
    tab.click("#hang-up");
    wait_state(&tab, "closed");
    wait_text(&tab, "#fact-close", "1000");
    say(&tab, "not yet");
    wait_status(&tab, "waiting", 1);
    tab.click("#retry");
    wait_state(&tab, "open");
    wait_status(&tab, "done", 1);

    program.all_said(); // SIGTERM
    tab.wait("document.querySelector('#state').dataset.state === 'waiting'");
    let banner =
        |words: &str| format!("document.querySelector('#banner-text').textContent.startsWith('{words}')");
    tab.wait(&banner("The server was stopped. Trying again in "));
    tab.wait("[...document.querySelectorAll('#frames .frame')].some((frame) => frame.dataset.opcode === '8' && frame.textContent.includes('1001'))");
    // Nobody is there: it is as after any other loss.
    tab.click("#retry");
    tab.wait(&banner("No connection to the server. Next try in "));
    let program = serve_binary_at(&address.to_string(), &["--restart"]);
    tab.click("#retry");
    wait_state(&tab, "open");
    program.all_said();
    tab.wait(&banner("The server is restarting."));
    let program = serve_binary_at(&address.to_string(), &[]);
    tab.click("#retry");
    wait_state(&tab, "open");
    check_reports_but(&tab, &program, REFUSED);
}

#[test]
#[ignore = "needs chromium: run tests/run"]
fn an_empty_room_says_how_to_begin_whatever_becomes_of_the_connection() {
    let (program, browser) = (serve_binary(&["--token", "anns-token=ann"]), Browser::start());
    let look = Look { phone: true, language: Some("zh-CN"), ..Look::default() };
    let shown = |id: &str| format!("!document.querySelector('#{id}').hidden");
    // A token is asked for.
    let tab = browser.open_as(&format!("{}/#room/tea", program.url()), &look);
    tab.wait(&format!("{} && {}", shown("token-form"), shown("empty")));
    tab.fill("#token", "unknown");
    tab.press_enter();
    wait_text(&tab, "#token-form label", "连接本服务器需要令牌。没有这个令牌");
    tab.wait(&shown("empty"));
    // What was said there nobody knows yet.
    wait_text(&tab, "#empty-title", "tea");
    tab.fill("#token", "anns-token");
    tab.press_enter();
    wait_state(&tab, "open");
    wait_text(&tab, "#empty-title", "tea 里还没有人说话");
    tab.wait(&format!("document.querySelector('#token-form').hidden && {}", shown("empty")));

    let address = program.address;
    drop(program); // kill -9
    tab.wait("/^没有连接到服务器，\\d+ 秒后重试。你写的内容/.test(document.querySelector('#banner-text').textContent)");
    assert_eq!(tab.eval(&shown("empty")), true);
    // While it tries again neither: somebody takes the call and says nothing, then is gone.
    let silent = TcpListener::bind(address).unwrap();
    tab.click("#retry");
    wait_state(&tab, "connecting");
    assert_eq!(tab.eval(&shown("empty")), true);
    drop(silent);
    wait_state(&tab, "waiting");
    assert_eq!(tab.eval(&shown("empty")), true);
}

#[test]
#[ignore = "needs chromium: run tests/run"]
fn the_command_of_an_empty_room_works_in_a_shell() {
    let (program, browser) = (serve_binary(&[]), Browser::start());
    let tab = chat_page(&browser, &program, "ann", "room/o'clock");
    let command = "document.querySelector('#empty-command').textContent";
    tab.wait(&format!("{command}.includes('switchboard connect ws://')"));
    let command = tab.eval(command);
    let folder = std::path::Path::new(env!("CARGO_BIN_EXE_switchboard")).parent().unwrap();
    let path = format!("{}:{}", folder.display(), env::var("PATH").unwrap());
    let done = Command::new("sh").args(["-c", command.as_str().unwrap()]).env("PATH", path).output().unwrap();
    assert!(done.status.success(), "{done:?}");
    wait_text(&tab, "#messages .text", "hello");
    check_reports(&tab, &program);
}

#[test]
#[ignore = "needs chromium: run tests/run"]
fn without_storage_nothing_is_remembered_and_all_else_works() {
    let (program, browser) = (serve_binary(&[]), Browser::start());
    let before = "for (const area of ['localStorage', 'sessionStorage']) {
        Object.defineProperty(window, area, { get() { throw new DOMException('no', 'SecurityError'); } }); }
        delete window.BroadcastChannel;";
    let tab = chat_page_as(&browser, &program, "ann", "room/tea", &Look { before, ..Look::default() });
    say(&tab, "hello");
    wait_status(&tab, "done", 1);
    tab.click("#theme");
    tab.click("#lang");
    wait_text(&tab, "#state", "已连接");
    tab.fill("#nick", "eve");
    tab.press_enter();
    wait_state(&tab, "open");
    tab.wait("document.querySelector('#people-list .name')?.textContent === 'eve'");
    publish(&program, "bot", "tea", [json!("hello eve")]);
    tab.wait("document.querySelector('#messages .message:last-child .text').textContent === 'hello eve'");
    check_reports(&tab, &program);
}

/// What a program asks of the server.
fn post(program: &Program, path: &str, body: &Value) {
    let body = body.to_string();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer key\r\nContent-Type: application/json"
    );
    let answer = exchange(program.address, format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[test]
#[ignore = "needs chromium: run tests/run"]
fn the_server_speaks_too_and_may_show_the_door() {
    let (program, browser) = (serve_binary(&["--api-key", "key"]), Browser::start());
    let tab = chat_page(&browser, &program, "ann", "room/lobby");
    wait_people(&tab, &["ann"]);
    post(&program, "/api/publish", &json!({"room": "lobby", "data": {"text": "<i>from</i> a program"}}));
    wait_messages(&tab, &[("server", "<i>from</i> a program")]);
    post(&program, "/api/broadcast", &json!({"data": "closing <b>soon</b>"}));
    wait_text(&tab, "#notice-text", "The server says: closing <b>soon</b>");
    tab.click("#notice-close");
    post(&program, "/api/direct", &json!({"to": "ann", "data": "psst"}));
    wait_text(&tab, "#notice-text", "The server says: psst");
    post(&program, "/api/disconnect", &json!({"user": "ann", "reason": "behave"}));
    wait_state(&tab, "closed");
    wait_text(&tab, "#banner-text", "The server has disconnected you: behave");
    tab.click("#lang");
    wait_text(&tab, "#banner-text", "服务器已断开你的连接：behave");
    say(&tab, "sorry");
    wait_status(&tab, "waiting", 1);
    tab.click("#retry");
    wait_state(&tab, "open");
    wait_status(&tab, "done", 1);
    check_reports(&tab, &program);
}

#[test]
#[ignore = "needs chromium: run tests/run"]
fn with_a_store_nothing_is_missing_after_a_crash() {
    let store = env::temp_dir().join(format!("switchboard-browser-{}.db", std::process::id()));
    let args = ["--store", store.to_str().unwrap()];
    let (program, browser) = (serve_binary(&args), Browser::start());
    let address = program.address;
    let tab = chat_page(&browser, &program, "ann", "room/lobby");
    say(&tab, "before");
    wait_status(&tab, "done", 1);
    drop(program);
    tab.wait("document.querySelector('#state').dataset.state !== 'open'");
    say(&tab, "meanwhile");
    let program = serve_binary_at(&address.to_string(), &args);
    wait_status(&tab, "done", 2);
    publish(&program, "bot", "lobby", [json!("after")]);
    let lines = "[...document.querySelector('#messages').children].map((line) => line.dataset.mark ?? line.querySelector('.text').textContent)";
    wait_value(&tab, lines, &json!(["before", "meanwhile", "after"]));
    check_reports_but(&tab, &program, REFUSED);
    drop(program);
    fs::remove_file(store).unwrap();
}

#[test]
#[ignore = "needs chromium: run tests/run"]
fn another_name_keeps_rooms_and_what_is_under_way() {
    let (program, browser) = (serve_binary(&[]), Browser::start());
    let tab = chat_page(&browser, &program, "ann", "room/tea");
    say(&tab, "as ann");
    tab.fill("#nick", "bad\u{1}name");
    tab.press_enter();
    tab.wait("document.querySelector('#problem').textContent.includes('128 bytes')");
    tab.fill("#nick", "anne");
    tab.press_enter();
    wait_state(&tab, "open");
    tab.wait("document.querySelector('#people-list .name')?.textContent === 'anne'");
    say(&tab, "as anne");
    wait_messages(&tab, &[("ann", "as ann"), ("anne", "as anne")]);
    wait_status(&tab, "done", 2);
    let rooms =
        "[...document.querySelectorAll('#room-list .conversation')].map((entry) => entry.dataset.name)";
    wait_value(&tab, rooms, &json!(["lobby", "tea"]));
    check_reports(&tab, &program);
}
