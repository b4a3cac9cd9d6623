//! Headless Chromium, driven over its DevTools protocol: tabs, what is typed into them, what they show and report.

use crate::support::PATIENCE;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::{env, fs, process, thread};
use tungstenite::{Message, WebSocket};

/// A Chromium of the test's own, with a profile of its own. Ends when dropped.
pub(crate) struct Browser {
    process: Child,
    profile: PathBuf,
    line: RefCell<Line>,
}

/// The connection to the browser. Sessions, one a tab, share it.
struct Line {
    socket: WebSocket<TcpStream>,
    last_id: u64,
    /// What the tabs have reported, in order.
    events: Vec<Value>,
}

/// One tab.
pub(crate) struct Tab<'a> {
    browser: &'a Browser,
    session: String,
}

impl Browser {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    pub(crate) fn start_with(args: &[&str]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let profile = env::temp_dir().join(format!("switchboard-test-browser-{}-{count}", process::id()));
        let chromium = env::var("SWITCHBOARD_TEST_CHROMIUM").unwrap_or_else(|_| "chromium".into());
        let mut process = Command::new(&chromium)
            .args(["--headless=new", "--no-sandbox", "--remote-debugging-port=0", "--disable-gpu"])
            .args(["--no-first-run", "--disable-extensions", "--disable-background-networking", "--lang=en"])
            // Tabs behind others are to go on as if they were in front.
            .args(["--disable-background-timer-throttling", "--disable-renderer-backgrounding"])
            .args(["--disable-backgrounding-occluded-windows", "--disable-dev-shm-usage"])
            .args(args)
            .arg(format!("--user-data-dir={}", profile.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{chromium}: {error}; tests/run installs what is missing"));
        let url = devtools_url(&mut process);
        let address = url.strip_prefix("ws://").and_then(|rest| rest.split('/').next()).unwrap();
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let (socket, _) = tungstenite::client::client(url.as_str(), stream).unwrap();
        Self { process, profile, line: RefCell::new(Line { socket, last_id: 0, events: Vec::new() }) }
    }

    /// Opens a tab and waits until it is loaded.
    pub(crate) fn open(&self, url: &str) -> Tab<'_> {
        let target =
            self.call(None, "Target.createTarget", &json!({"url": "about:blank"}))["targetId"].clone();
        let attached =
            self.call(None, "Target.attachToTarget", &json!({"targetId": target, "flatten": true}));
        let tab = Tab { browser: self, session: attached["sessionId"].as_str().unwrap().into() };
        for domain in ["Page.enable", "Runtime.enable", "Network.enable", "Log.enable"] {
            tab.call(domain, &json!({}));
        }
        tab.call("Emulation.setFocusEmulationEnabled", &json!({"enabled": true}));
        tab.call("Page.navigate", &json!({"url": url}));
        tab.wait("location.href !== 'about:blank' && document.readyState === 'complete'");
        tab
    }

    fn call(&self, session: Option<&str>, method: &str, params: &Value) -> Value {
        let mut line = self.line.borrow_mut();
        line.last_id += 1;
        let mut request = json!({"id": line.last_id, "method": method, "params": params});
        if let Some(session) = session {
            request["sessionId"] = session.into();
        }
        line.socket.send(Message::text(request.to_string())).unwrap();
        loop {
            let message = line.socket.read().unwrap_or_else(|error| panic!("{request}: {error}"));
            let Ok(text) = message.to_text() else { continue };
            let mut said: Value = serde_json::from_str(text).unwrap();
            if said["id"].is_null() {
                line.events.push(said);
            } else if said["id"] == line.last_id {
                assert!(said["error"].is_null(), "{request}: {said}");
                return said["result"].take();
            }
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It also ends its helpers and its tabs.
        let close = json!({"id": 0, "method": "Browser.close"});
        if self.line.get_mut().socket.send(Message::text(close.to_string())).is_err() {
            let _ = self.process.kill();
        }
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.profile);
    }
}

/// The address that the browser tells on stderr, which goes on being read.
fn devtools_url(process: &mut Child) -> String {
    let stderr = BufReader::new(process.stderr.take().unwrap());
    let (found, url) = mpsc::channel();
    thread::spawn(move || {
        let mut said = String::new();
        for line in stderr.lines().map_while(Result::ok) {
            if let Some(url) = line.strip_prefix("DevTools listening on ") {
                let _ = found.send(Ok(url.to_string()));
            }
            said += &format!("{line}\n");
        }
        let _ = found.send(Err(said));
    });
    match url.recv_timeout(PATIENCE) {
        Ok(Ok(url)) => url,
        Ok(Err(said)) => panic!("Chromium ended:\n{said}"),
        Err(_) => panic!("Chromium did not start within {PATIENCE:?}"),
    }
}

impl Tab<'_> {
    pub(crate) fn call(&self, method: &str, params: &Value) -> Value {
        self.browser.call(Some(&self.session), method, params)
    }

    /// The value of an expression, or of the promise it is.
    #[track_caller]
    pub(crate) fn eval(&self, expression: &str) -> Value {
        let params = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let mut answer = self.call("Runtime.evaluate", &params);
        let thrown = &answer["exceptionDetails"];
        assert!(thrown.is_null(), "{expression}: {}", thrown["exception"]["description"]);
        answer["result"]["value"].take()
    }

    /// Waits until a condition holds.
    #[track_caller]
    pub(crate) fn wait(&self, condition: &str) {
        let seconds = PATIENCE.as_secs() - 5;
        let came = self.eval(&format!(
            "new Promise((done) => {{
               const end = Date.now() + {seconds}e3;
               (function look() {{
                 if ({condition}) done(true);
                 else if (end < Date.now()) done(false);
                 else setTimeout(look, 20);
               }})();
             }})"
        ));
        if came != true {
            let page = self.eval("document.body.innerText");
            panic!("not within {seconds} s: {condition}\nThe page:\n{}", page.as_str().unwrap_or_default());
        }
    }

    #[track_caller]
    pub(crate) fn click(&self, selector: &str) {
        self.eval(&format!("document.querySelector({}).click()", json!(selector)));
    }

    /// Replaces what is in a field by what is typed.
    #[track_caller]
    pub(crate) fn fill(&self, selector: &str, text: &str) {
        self.eval(&format!(
            "{{ const el = document.querySelector({}); el.focus(); el.select(); }}",
            json!(selector)
        ));
        self.call("Input.insertText", &json!({"text": text}));
    }

    pub(crate) fn press_enter(&self) {
        for kind in ["keyDown", "keyUp"] {
            let key = json!({"type": kind, "key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"});
            self.call("Input.dispatchKeyEvent", &key);
        }
    }

    /// What the tab has reported under this name so far.
    pub(crate) fn events(&self, method: &str) -> Vec<Value> {
        // What happened before this is answered has been reported before.
        self.eval("0");
        let line = self.browser.line.borrow();
        let mine = |event: &&Value| event["sessionId"] == self.session && event["method"] == method;
        line.events.iter().filter(mine).map(|event| event["params"].clone()).collect()
    }
}
