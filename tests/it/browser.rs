//! The web app in headless Chromium: typed into, clicked, and read as a person would. What people do with each other.

use crate::support::{Program, serve_binary};
use crate::support_cdp::{Browser, Look, Tab};
use crate::support_v1::Speaker;
use serde_json::{Value, json};

/// Opens the page as `nick`, and waits until it is connected. `hash` is as `room/lobby` or `user/bob`.
pub(crate) fn chat_page<'a>(browser: &'a Browser, program: &Program, nick: &str, hash: &str) -> Tab<'a> {
    chat_page_as(browser, program, nick, hash, &Look::default())
}

pub(crate) fn chat_page_as<'a>(
    browser: &'a Browser,
    program: &Program,
    nick: &str,
    hash: &str,
    look: &Look,
) -> Tab<'a> {
    let tab = browser.open_as(&format!("{}/?nick={nick}#{hash}", program.url()), look);
    wait_state(&tab, "open");
    tab
}

#[track_caller]
pub(crate) fn wait_state(tab: &Tab, state: &str) {
    tab.wait(&format!("document.querySelector('#state').dataset.state === '{state}'"));
}

#[track_caller]
pub(crate) fn say(tab: &Tab, text: &str) {
    tab.fill("#composer", text);
    tab.press_enter();
}

/// Waits until an expression has this value.
#[track_caller]
pub(crate) fn wait_value(tab: &Tab, expression: &str, expected: &Value) {
    tab.wait(&format!("JSON.stringify({expression}) === {}", json!(expected.to_string())));
}

#[track_caller]
pub(crate) fn wait_text(tab: &Tab, selector: &str, text: &str) {
    wait_value(tab, &format!("document.querySelector('{selector}')?.textContent"), &json!(text));
}

/// Waits until exactly these messages are shown: who said what.
#[track_caller]
pub(crate) fn wait_messages(tab: &Tab, expected: &[(&str, &str)]) {
    let shown = "[...document.querySelectorAll('#messages .message')]
        .map((m) => [m.querySelector('.from').textContent, m.querySelector('.text').textContent])";
    wait_value(tab, shown, &json!(expected));
}

#[track_caller]
pub(crate) fn wait_status(tab: &Tab, status: &str, count: usize) {
    tab.wait(&format!(
        "document.querySelectorAll('#messages .own[data-status={status}]').length === {count}"
    ));
}

/// Waits until these people are in the panel, ourselves first.
#[track_caller]
pub(crate) fn wait_people(tab: &Tab, expected: &[&str]) {
    let shown = "[...document.querySelectorAll('#people-list .name')].map((name) => name.textContent)";
    wait_value(tab, shown, &json!(expected));
}

/// What the sidebar lists of that kind (`room`, `direct`), each with its unread count.
#[track_caller]
fn wait_listed(tab: &Tab, kind: &str, expected: &[(&str, &str)]) {
    let shown = format!(
        "[...document.querySelectorAll('#{kind}-list .conversation')]
         .map((entry) => [entry.dataset.name, entry.querySelector('.unread').textContent])"
    );
    wait_value(tab, &shown, &json!(expected));
}

#[track_caller]
pub(crate) fn go(tab: &Tab, kind: &str, name: &str) {
    let entry = format!("[...document.querySelectorAll('#{kind}-list .conversation')]");
    tab.eval(&format!("{entry}.find((entry) => entry.dataset.name === {}).click()", json!(name)));
}

/// Percent-encoded, whatever it is.
pub(crate) fn encoded(name: &str) -> String {
    name.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

/// Somebody whose client is no browser.
pub(crate) fn person(program: &Program, name: &str) -> Speaker {
    Speaker::connect(program, &format!("?user={}", encoded(name)))
}

/// Somebody comes, says all this in a room, and goes.
pub(crate) fn publish(program: &Program, user: &str, room: &str, said: impl IntoIterator<Item = Value>) {
    let mut person = person(program, user);
    for data in said {
        person.client.send(json!({"type": "publish", "room": room, "data": data}).to_string()).unwrap();
    }
    // Requests are carried out in order.
    person.ask(json!({"type": "ping"}));
}

/// Whatever the page complained about, and whatever it wanted from elsewhere, fails the test.
#[track_caller]
pub(crate) fn check_reports(tab: &Tab, program: &Program) {
    check_reports_but(tab, program, "");
}

/// The same, but for messages of the browser's own in which `expected` occurs.
#[track_caller]
pub(crate) fn check_reports_but(tab: &Tab, program: &Program, expected: &str) {
    let errors = |method: &str, is_error: fn(&Value) -> bool| {
        let mut found: Vec<Value> = tab.events(method).into_iter().filter(is_error).collect();
        found.retain(|report| expected.is_empty() || !report["entry"]["text"].to_string().contains(expected));
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
        let own = [format!("{}/", program.url()), format!("{}/", program.url().replacen("http", "ws", 1))];
        assert!(own.iter().any(|own| url.starts_with(own)), "a request to another host: {url}");
    }
}

#[test]
#[ignore = "needs chromium: run tests/run"]
fn two_pages_chat_in_a_room() {
    let (program, browser) = (serve_binary(&[]), Browser::start());
    let ann = chat_page(&browser, &program, "ann", "");
    wait_text(&ann, "#title", "lobby");
    assert_eq!(ann.eval("document.querySelector('#nick').value"), "ann");
    ann.fill("#room-name", "straße 7/b");
    ann.click("#room-join");
    wait_text(&ann, "#title", "straße 7/b");
    // The address of the page is the invitation.
    let hash = ann.eval("location.hash");
    let bob = chat_page(&browser, &program, "bob", hash.as_str().unwrap().trim_start_matches('#'));
    let eve = chat_page(&browser, &program, "eve", "room/lobby");
    wait_people(&ann, &["ann", "bob"]);
    wait_people(&bob, &["bob", "ann"]);
    wait_people(&eve, &["eve", "ann", "bob"]);

    say(&ann, "hello, 你好 👋");
    let mut said = vec![("ann", "hello, 你好 👋")];
    wait_messages(&bob, &said);
    wait_messages(&ann, &said);
    wait_status(&ann, "done", 1);
    bob.fill("#composer", "<b>hi</b> & <img src=x onerror=alert(1)>");
    bob.click("#send");
    said.push(("bob", "<b>hi</b> & <img src=x onerror=alert(1)>"));
    wait_messages(&ann, &said);
    wait_messages(&bob, &said);

    // Elsewhere it is counted, and in the title.
    say(&eve, "in the lobby");
    wait_messages(&eve, &[("eve", "in the lobby")]);
    wait_listed(&ann, "room", &[("lobby", "1"), ("straße 7/b", "")]);
    wait_value(&ann, "document.title", &json!("(1) straße 7/b · Switchboard"));
    go(&ann, "room", "lobby");
    wait_messages(&ann, &[("eve", "in the lobby")]);
    wait_text(&ann, "#messages .unread-from .text", "in the lobby");
    wait_listed(&ann, "room", &[("lobby", ""), ("straße 7/b", "")]);
    wait_value(&ann, "document.title", &json!("lobby · Switchboard"));

    // Who leaves is gone at once.
    bob.eval("[...document.querySelectorAll('#room-list .leave')][1].click()");
    wait_listed(&bob, "room", &[("lobby", "")]);
    go(&ann, "room", "straße 7/b");
    wait_people(&ann, &["ann"]);
    wait_messages(&ann, &said);
    for tab in [&ann, &bob, &eve] {
        check_reports(tab, &program);
    }
}

#[test]
#[ignore = "needs chromium: run tests/run"]
fn people_write_to_each_other() {
    let (program, browser) = (serve_binary(&[]), Browser::start());
    let ann = chat_page(&browser, &program, "ann", "room/lobby");
    let again = chat_page(&browser, &program, "ann", "room/lobby");
    let bob = chat_page(&browser, &program, "bob", "room/lobby");
    // From the list of people into the conversation with one of them.
    wait_people(&ann, &["ann", "bob"]);
    ann.click("#people-list [data-user=bob]");
    wait_text(&ann, "#title", "bob");
    wait_text(&ann, "#presence", "in a room with you");
    say(&ann, "for <b>you</b> only");
    wait_status(&ann, "done", 1);
    wait_listed(&bob, "direct", &[("ann", "1")]);
    wait_value(&bob, "document.title", &json!("(1) lobby · Switchboard"));
    go(&bob, "direct", "ann");
    wait_messages(&bob, &[("ann", "for <b>you</b> only")]);
    say(&bob, "thank you");
    let said = [("ann", "for <b>you</b> only"), ("bob", "thank you")];
    wait_messages(&bob, &said);
    wait_messages(&ann, &said);
    // Another window of the same person has both sides of it, and a reload takes nothing away.
    wait_listed(&again, "direct", &[("bob", "1")]);
    go(&again, "direct", "bob");
    wait_messages(&again, &said);
    ann.reload();
    wait_messages(&ann, &said);

    // To oneself, and to nobody.
    for (to, status) in [("ann", "done"), ("nobody", "failed")] {
        ann.fill("#dm-name", to);
        ann.click("#dm-open");
        say(&ann, "hello?");
        wait_status(&ann, status, 1);
        wait_messages(&ann, &[("ann", "hello?")]);
    }
    assert_eq!(ann.eval("document.querySelector('#messages .note').dataset.code"), "no_such_user");
    // Beside the name of nobody nothing says "connected".
    assert_eq!(ann.eval("document.querySelector('#subtitle').innerText.trim()"), "not in your rooms");
    let mut nobody = Speaker::open(&program, "nobody");
    ann.click("#messages .note button");
    wait_status(&ann, "done", 1);
    assert_eq!(nobody.next_of("direct")["data"]["text"], "hello?");
    // What cannot be said at all is known before it is sent, and goes away by a click.
    ann.eval("document.querySelector('#composer').value = 'x'.repeat(1_048_576)");
    ann.click("#send");
    wait_text(&ann, "#messages .note span", "Longer than the server accepts.");
    ann.click("#messages .note button:last-child");
    wait_messages(&ann, &[("ann", "hello?")]);
    for tab in [&ann, &again, &bob] {
        check_reports(tab, &program);
    }
}

#[test]
#[ignore = "needs chromium: run tests/run"]
fn an_invitation_invites_as_nobody() {
    let (program, browser) = (serve_binary(&[]), Browser::start());
    let ann = chat_page(&browser, &program, "ann", "room/tea");
    let who = "document.querySelector('#nick').value";
    let address = format!("{}/#room/tea", program.url());
    for reload in [false, true] {
        if reload {
            ann.reload();
            wait_state(&ann, "open");
        }
        assert_eq!(ann.eval("location.href"), address);
        assert_eq!(ann.eval(who), "ann");
    }
    // Who is sent the address is somebody else, and another window is too; each stays who they are.
    let guest = browser.open(&address);
    wait_state(&guest, "open");
    let name = guest.eval(who);
    assert_ne!(name, "ann");
    guest.reload();
    wait_state(&guest, "open");
    assert_eq!(guest.eval(who), name);
    // A name that was chosen here stays, and is this window's alone.
    ann.fill("#nick", "anne");
    ann.press_enter();
    ann.wait("document.querySelector('#people-list .name')?.textContent === 'anne'");
    ann.reload();
    wait_value(&ann, who, &json!("anne"));
    guest.reload();
    wait_value(&guest, who, &name);
    // One that is given anew wins over it, also in a window that has inherited what this one keeps.
    ann.eval("window.open = (url) => { window.second = url; }");
    ann.click("#second");
    let second = ann.eval("window.second");
    ann.eval(&format!("history.replaceState(null, '', {second})"));
    ann.reload();
    wait_state(&ann, "open");
    assert_eq!(ann.eval("location.href"), address);
    assert_ne!(ann.eval(who), "anne");
    check_reports(&ann, &program);
}

#[test]
#[ignore = "needs chromium: run tests/run"]
fn history_comes_on_scrolling_and_the_page_stays_small() {
    let (program, browser) = (serve_binary(&[]), Browser::start());
    publish(&program, "bot", "lobby", (1..=90).map(|n| json!(format!("message {n}"))));
    let tab = chat_page(&browser, &program, "ann", "room/lobby");
    let last = "document.querySelector('#messages .message:last-child .text')?.textContent";
    let first = "document.querySelector('#messages .message .text')?.textContent";
    wait_value(&tab, last, &json!("message 90"));
    wait_value(&tab, first, &json!("message 41"));
    // At the end of it, and nothing jumps while older ones come.
    let gap = "(({ scrollHeight, scrollTop, clientHeight }) => scrollHeight - scrollTop - clientHeight)(document.querySelector('#scroll'))";
    tab.wait(&format!("{gap} < 2"));
    tab.eval("document.querySelector('#scroll').scrollTop = 30");
    wait_value(&tab, first, &json!("message 1"));
    let place = "Math.round([...document.querySelectorAll('.message .text')].find((text) => text.textContent === 'message 41')
        .getBoundingClientRect().top / 100)";
    wait_value(&tab, place, &json!(1));
    assert_eq!(tab.eval("document.querySelector('#log-top').hidden"), true);

    // Somebody who reads further up stays there, is told, and comes back with one click.
    publish(&program, "bot", "lobby", [json!("something new")]);
    wait_text(&tab, "#jump", "1 new ↓");
    wait_value(&tab, place, &json!(1));
    tab.click("#jump");
    wait_value(&tab, last, &json!("something new"));
    tab.wait(&format!("{gap} < 2 && document.querySelector('#jump').hidden"));

    tab.call("Network.disable", &json!({})); // it would tell of every frame
    publish(&program, "bot", "lobby", (1..=10_000).map(|n| json!(format!("flood {n}"))));
    wait_value(&tab, last, &json!("flood 10000"));
    let elements = tab.eval("document.querySelectorAll('#messages *').length").as_u64().unwrap();
    assert!(elements < 3000, "{elements} elements");
    tab.wait(&format!("{gap} < 2"));
    // All of what is still known can be scrolled to, and back.
    tab.wait("(document.querySelector('#scroll').scrollTop = 0, document.querySelector('#messages .message .text').textContent < 'flood 94')");
    let elements = tab.eval("document.querySelectorAll('#messages *').length").as_u64().unwrap();
    assert!(elements < 3000, "{elements} elements");
    tab.click("#jump");
    wait_value(&tab, last, &json!("flood 10000"));
    check_reports(&tab, &program);
}

#[test]
#[ignore = "needs chromium: run tests/run"]
fn rooms_and_what_was_read_in_them_are_remembered() {
    let (program, browser) = (serve_binary(&[]), Browser::start());
    let tab = chat_page(&browser, &program, "ann", "room/tea");
    publish(&program, "bot", "tea", [json!("one")]);
    wait_messages(&tab, &[("bot", "one")]);
    go(&tab, "room", "lobby");
    publish(&program, "bot", "tea", [json!("two"), json!("three")]);
    wait_listed(&tab, "room", &[("lobby", ""), ("tea", "2")]);
    tab.reload();
    wait_text(&tab, "#title", "lobby");
    wait_listed(&tab, "room", &[("lobby", ""), ("tea", "2")]);
    go(&tab, "room", "tea");
    wait_messages(&tab, &[("bot", "one"), ("bot", "two"), ("bot", "three")]);
    wait_text(&tab, "#messages .unread-from .text", "two");
    tab.eval("document.querySelector('#room-list .leave').click()");
    wait_listed(&tab, "room", &[("tea", "")]);
    tab.reload();
    wait_listed(&tab, "room", &[("tea", "")]);
    // Left and joined again: what was said before is there.
    go(&tab, "room", "tea");
    tab.fill("#room-name", "coffee");
    tab.press_enter();
    tab.eval("document.querySelector('#room-list .leave').click()");
    wait_listed(&tab, "room", &[("coffee", "")]);
    tab.fill("#room-name", "tea");
    tab.press_enter();
    wait_messages(&tab, &[("bot", "one"), ("bot", "two"), ("bot", "three")]);
    check_reports(&tab, &program);
}

#[test]
#[ignore = "needs chromium: run tests/run"]
fn everything_is_reached_from_the_keyboard() {
    let (program, browser) = (serve_binary(&[]), Browser::start());
    let bob = chat_page(&browser, &program, "bob", "room/lobby");
    let tab = chat_page(&browser, &program, "ann", "room/lobby");
    let focused = "document.activeElement.id || document.activeElement.dataset.name || document.activeElement.dataset.user || document.activeElement.tagName";
    assert_eq!(tab.eval(focused), "composer");
    tab.type_text("no mouse");
    tab.press("Enter");
    wait_messages(&bob, &[("ann", "no mouse")]);

    // By Tab alone from the beginning of the page to its end, and each thing has a name.
    tab.eval("document.querySelector('#skip').focus()");
    let mut seen = Vec::new();
    loop {
        let at = tab.eval(focused).as_str().unwrap().to_string();
        if at == "BODY" {
            break;
        }
        let name = "((el) => (el.getAttribute('aria-label') || el.labels?.[0]?.textContent || el.textContent || '').trim())";
        assert_ne!(tab.eval(&format!("{name}(document.activeElement)")), "", "{at} has no name");
        assert!(!seen.contains(&at), "{at} comes again after {seen:?}");
        seen.push(at);
        tab.press("Tab");
    }
    for control in [
        "skip",
        "lang",
        "theme",
        "nick",
        "lobby",
        "room-name",
        "dm-name",
        "echo-tab",
        "people-toggle",
        "composer",
    ] {
        assert!(seen.iter().any(|at| at == control), "{control} is not in {seen:?}");
    }

    // Into a room, and out of it by the keys that switch.
    tab.eval("document.querySelector('#room-name').focus()");
    tab.type_text("tea");
    tab.press("Enter");
    wait_text(&tab, "#title", "tea");
    assert_eq!(tab.eval(focused), "composer");
    tab.press("Alt+ArrowUp");
    wait_text(&tab, "#title", "lobby");
    tab.press("Alt+ArrowDown");
    wait_text(&tab, "#title", "tea");
    // A panel takes the focus, and Escape gives it back.
    tab.eval("document.querySelector('#inspector-toggle').focus()");
    tab.press("Enter");
    wait_value(&tab, focused, &json!("inspector-close"));
    tab.press("Escape");
    wait_value(&tab, focused, &json!("inspector-toggle"));
    assert_eq!(tab.eval("document.querySelector('#inspector').hidden"), true);
    // A screen reader reads new messages, and hears of the connection.
    tab.wait("document.querySelector('#messages').getAttribute('aria-live') === 'polite'");
    wait_text(&tab, "#announce", "connected");
    check_reports(&tab, &program);
}

#[test]
#[ignore = "needs chromium: run tests/run"]
fn both_languages_say_everything() {
    let (program, browser) = (serve_binary(&[]), Browser::start());
    let chinese = Look { language: Some("zh-CN"), ..Look::default() };
    let tab = chat_page_as(&browser, &program, "小敏", "room/发布", &chinese);
    assert_eq!(tab.eval("[navigator.language, document.documentElement.lang]"), json!(["zh-CN", "zh-Hans"]));
    wait_text(&tab, "#state", "已连接");
    assert_eq!(tab.eval("document.querySelector('#composer').placeholder"), "发消息到 发布");
    assert_eq!(tab.eval("document.querySelector('#send').getAttribute('aria-label')"), "发送");
    tab.click("#lang");
    wait_text(&tab, "#state", "connected");
    assert_eq!(tab.eval("document.documentElement.lang"), "en");
    tab.reload();
    wait_text(&tab, "#state", "connected");
    // No word is missing in either, and none has other gaps to fill.
    let tables =
        "Promise.all([import('/words.js'), import('/words.zh.js')]).then(([{ english }, { chinese }]) =>
        [english, chinese].map((table) => Object.entries(table).map(([key, words]) => {
            const gaps = words.split(' | ').pop().match(/\\{\\w+\\}/g) ?? [];
            return `${key} ${[...new Set(gaps)].sort().join()}`;
        }).sort()))";
    let tables = tab.eval(tables);
    assert_eq!(tables[0], tables[1]);
    // And each word that the page asks for is there.
    let asked = tab.eval(
        "[...document.querySelectorAll('[data-i18n], [data-i18n-label], [data-i18n-hint]')]
        .flatMap((el) => [el.dataset.i18n, el.dataset.i18nLabel, el.dataset.i18nHint]).filter(Boolean)",
    );
    let known: Vec<&str> = tables[0]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| key.as_str().unwrap().split(' ').next().unwrap())
        .collect();
    for key in asked.as_array().unwrap() {
        assert!(known.contains(&key.as_str().unwrap()), "{key}");
    }
    check_reports(&tab, &program);
}

#[test]
#[ignore = "needs chromium: run tests/run"]
fn on_a_phone_nothing_is_out_of_reach() {
    let (program, browser) = (serve_binary(&[]), Browser::start());
    let phone = Look { phone: true, ..Look::default() };
    let tab = chat_page_as(&browser, &program, "ann", "room/lobby", &phone);
    let long = "x".repeat(3000);
    publish(&program, "bot", "lobby", [json!(long), json!("short")]);
    wait_messages(&tab, &[("bot", &long), ("bot", "short")]);
    let fits = "[document.documentElement, document.body, document.querySelector('#scroll'), document.querySelector('main')]
        .every((el) => el.scrollWidth <= el.clientWidth + 1)";
    tab.wait(fits);
    // Conversations are in a drawer, and what is behind it is out of reach meanwhile.
    tab.click("#menu");
    tab.wait("document.querySelector('main').inert && document.querySelector('#sidebar').getBoundingClientRect().left === 0");
    tab.fill("#room-name", "tea");
    tab.press_enter();
    wait_text(&tab, "#title", "tea");
    tab.wait("!document.querySelector('main').inert && !document.body.classList.contains('drawer')");
    publish(&program, "bot", "lobby", [json!("more")]);
    wait_text(&tab, "#menu-unread", "1");
    for panel in ["people", "inspector"] {
        tab.click(&format!("#{panel}-toggle"));
        tab.wait(&format!("!document.querySelector('#{panel}').hidden && {fits}"));
        let reach = "document.querySelector('#composer').getBoundingClientRect().bottom <= innerHeight";
        assert_eq!(tab.eval(reach), true, "{panel}");
    }
    tab.press("Escape");
    tab.wait("document.querySelector('#inspector').hidden");
    check_reports(&tab, &program);
}

#[test]
#[ignore = "needs chromium: run tests/run"]
fn names_and_texts_of_all_kinds_are_shown_as_they_are() {
    let (program, browser) = (serve_binary(&[]), Browser::start());
    let room = "<i>#room</i> שלום 👨‍👩‍👧";
    let tab = chat_page(&browser, &program, "ann", "room/lobby");
    tab.fill("#room-name", room);
    tab.press_enter();
    wait_text(&tab, "#title", room);
    wait_state(&tab, "open");
    let long = "W".repeat(128);
    let mut said = Vec::new();
    for name in ["<b>eve</b>", "👩‍🚀", "مريم", &long] {
        let text = format!("\u{202e}{name} says </div><script>alert(1)</script>");
        publish(&program, name, room, [json!(text)]);
        said.push((name, text));
    }
    // Other programs publish too: what is not meant to be read is shown compactly.
    publish(
        &program,
        "bot",
        room,
        [json!({"text": "as an object"}), json!({"a": [1, null, "<u>"]}), json!(42)],
    );
    said.extend([
        ("bot", "as an object".into()),
        ("bot", r#"{"a":[1,null,"<u>"]}"#.into()),
        ("bot", "42".into()),
    ]);
    let said: Vec<(&str, &str)> = said.iter().map(|(name, text)| (*name, text.as_str())).collect();
    wait_messages(&tab, &said);
    let code =
        "[...document.querySelectorAll('#messages .text')].map((text) => text.classList.contains('code'))";
    assert_eq!(tab.eval(code), json!([false, false, false, false, false, true, true]));
    assert_eq!(
        tab.eval("document.querySelectorAll('main script, main i, #messages b, #messages u').length"),
        0
    );
    assert_eq!(
        tab.eval(
            "document.querySelector('#scroll').scrollWidth <= document.querySelector('#scroll').clientWidth"
        ),
        true
    );
    // The first letter of a name can be many characters long.
    let faces = "[...document.querySelectorAll('#messages .message:not(.again) .avatar')].map((face) => face.textContent)";
    assert_eq!(tab.eval(faces), json!(["<", "👩‍🚀", "م", "W", "B"]));
    // A megabyte without a blank freezes nothing.
    publish(&program, "bot", "lobby", [json!("y".repeat(1_000_000))]);
    wait_listed(&tab, "room", &[("lobby", "1"), (room, "")]);
    go(&tab, "room", "lobby");
    wait_text(&tab, "#messages .more", "Show all 1\u{202f}000\u{202f}000 characters");
    check_reports(&tab, &program);

    // The page could not make HTML of a text if it wanted to.
    let attempt = "(() => { try { document.createElement('p').innerHTML = '<b>'; return 'made'; }
        catch (error) { return error.name; } })()";
    assert_eq!(tab.eval(attempt), "TypeError");
}
