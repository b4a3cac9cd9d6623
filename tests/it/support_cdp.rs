//! Headless Chromium, driven over its DevTools protocol: tabs, what is typed into them, what they show and report.

use crate::support::PATIENCE;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak, mpsc};
use std::{env, fs, process, thread};
use tungstenite::{Message, WebSocket};

/// A Chromium with a profile of its own. Ends when nobody uses it any more.
struct Chromium {
    process: Child,
    profile: PathBuf,
    /// Where it is driven.
    url: String,
}

/// What one test has of a Chromium: tabs that share nothing with those of other tests.
pub(crate) struct Browser {
    #[expect(dead_code, reason = "runs for as long as somebody has it")]
    chromium: Arc<Chromium>,
    context: String,
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

/// What a tab is like; by default a window of 1280 by 800 with a mouse, in English, light.
#[derive(Default)]
pub(crate) struct Look<'a> {
    /// Narrow, tall, touched.
    pub(crate) phone: bool,
    pub(crate) dark: bool,
    /// As `zh-CN`.
    pub(crate) language: Option<&'a str>,
    /// A script that runs before those of the page.
    pub(crate) before: &'a str,
}

impl Chromium {
    /// The one that other tests are using now, or a new one: starting it takes longer than most tests.
    fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Chromium>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap();
        shared.upgrade().unwrap_or_else(|| {
            let started = Arc::new(Self::start(&[]));
            *shared = Arc::downgrade(&started);
            started
        })
    }

    fn start(args: &[&str]) -> Self {
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
            // There is a mouse.
            .arg(
                "--blink-settings=primaryHoverType=2,availableHoverTypes=2,primaryPointerType=4,\
                 availablePointerTypes=4",
            )
            .args(args)
            .arg(format!("--user-data-dir={}", profile.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{chromium}: {error}; tests/run installs what is missing"));
        let url = devtools_url(&mut process);
        Self { process, profile, url }
    }

    fn connect(&self) -> Line {
        let address = self.url.strip_prefix("ws://").and_then(|rest| rest.split('/').next()).unwrap();
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let (socket, _) = tungstenite::client::client(self.url.as_str(), stream).unwrap();
        Line { socket, last_id: 0, events: Vec::new() }
    }
}

impl Browser {
    pub(crate) fn start() -> Self {
        Self::of(Chromium::shared())
    }

    /// One that is started with these arguments.
    pub(crate) fn start_with(args: &[&str]) -> Self {
        Self::of(Arc::new(Chromium::start(args)))
    }

    fn of(chromium: Arc<Chromium>) -> Self {
        let mut browser = Self { line: RefCell::new(chromium.connect()), chromium, context: String::new() };
        let context = browser.call(None, "Target.createBrowserContext", &json!({}));
        browser.context = context["browserContextId"].as_str().unwrap().into();
        browser
    }

    /// Opens a tab and waits until it is loaded.
    pub(crate) fn open(&self, url: &str) -> Tab<'_> {
        self.open_as(url, &Look::default())
    }

    pub(crate) fn open_as(&self, url: &str, look: &Look) -> Tab<'_> {
        let blank = json!({"url": "about:blank", "browserContextId": self.context});
        let target = self.call(None, "Target.createTarget", &blank)["targetId"].clone();
        let attached =
            self.call(None, "Target.attachToTarget", &json!({"targetId": target, "flatten": true}));
        let tab = Tab { browser: self, session: attached["sessionId"].as_str().unwrap().into() };
        for domain in ["Page.enable", "Runtime.enable", "Network.enable", "Log.enable"] {
            tab.call(domain, &json!({}));
        }
        tab.call("Emulation.setFocusEmulationEnabled", &json!({"enabled": true}));
        tab.look(look);
        tab.call("Page.addScriptToEvaluateOnNewDocument", &json!({"source": look.before}));
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
            let mut said = line.read().unwrap_or_else(|error| panic!("{request}: {error}"));
            if said["id"].is_null() {
                line.events.push(said);
            } else if said["id"] == line.last_id {
                assert!(said["error"].is_null(), "{request}: {said}");
                return said["result"].take();
            }
        }
    }
}

impl Line {
    /// What the browser says next.
    fn read(&mut self) -> tungstenite::Result<Value> {
        let message = self.socket.read()?;
        Ok(serde_json::from_str(message.to_text()?).unwrap())
    }
}

impl Drop for Browser {
    /// Ends its tabs, for those who go on using the Chromium.
    fn drop(&mut self) {
        let context = json!({"browserContextId": self.context});
        let request = json!({"id": 0, "method": "Target.disposeBrowserContext", "params": context});
        let _ = self.line.get_mut().socket.send(Message::text(request.to_string()));
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // It also ends its helpers.
        let close = json!({"id": 0, "method": "Browser.close"});
        if self.connect().socket.send(Message::text(close.to_string())).is_err() {
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

    fn look(&self, look: &Look) {
        let (width, height) = if look.phone { (390, 844) } else { (1280, 800) };
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": look.phone});
        self.call("Emulation.setDeviceMetricsOverride", &size);
        if look.phone {
            self.call("Emulation.setTouchEmulationEnabled", &json!({"enabled": true}));
        }
        let scheme =
            json!([{"name": "prefers-color-scheme", "value": if look.dark { "dark" } else { "light" }}]);
        self.call("Emulation.setEmulatedMedia", &json!({"features": scheme}));
        if let Some(language) = look.language {
            let agent = self.eval("navigator.userAgent");
            let agent = json!({"userAgent": agent, "acceptLanguage": language});
            self.call("Emulation.setUserAgentOverride", &agent);
        }
    }

    /// Loads the page again and waits until it is there.
    pub(crate) fn reload(&self) {
        let loaded = self.events("Page.loadEventFired").len();
        self.call("Page.reload", &json!({}));
        let mut line = self.browser.line.borrow_mut();
        while line.events.iter().filter(|event| self.reports(event, "Page.loadEventFired")).count() <= loaded
        {
            let event = line.read().unwrap_or_else(|error| panic!("no page came: {error}"));
            line.events.push(event);
        }
    }

    fn reports(&self, event: &Value, method: &str) -> bool {
        event["sessionId"] == self.session && event["method"] == method
    }

    /// What the tab shows, as PNG.
    pub(crate) fn screenshot(&self) -> Vec<u8> {
        use base64::Engine;
        let answer = self.call("Page.captureScreenshot", &json!({"format": "png"}));
        base64::engine::general_purpose::STANDARD.decode(answer["data"].as_str().unwrap()).unwrap()
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
               const end = performance.now() + {seconds}e3;
               (function look() {{
                 if ({condition}) done(true);
                 else if (end < performance.now()) done(false);
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
        self.press("Enter");
    }

    /// A key, by its name in the DOM, as `Tab`, `Shift+Tab`, `Alt+ArrowDown`.
    pub(crate) fn press(&self, keys: &str) {
        let (modifier, key) = keys.rsplit_once('+').unwrap_or(("", keys));
        let modifiers = match modifier {
            "" => 0,
            "Alt" => 1,
            "Shift" => 8,
            other => panic!("no modifier: {other}"),
        };
        let (code, text) = match key {
            "Enter" => (13, "\r"),
            "Tab" => (9, ""),
            "Escape" => (27, ""),
            "ArrowUp" => (38, ""),
            "ArrowDown" => (40, ""),
            other => panic!("no key: {other}"),
        };
        for kind in ["keyDown", "keyUp"] {
            let mut event = json!({"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "modifiers": modifiers});
            if !text.is_empty() {
                event["text"] = text.into();
            }
            self.call("Input.dispatchKeyEvent", &event);
        }
    }

    /// Types into whatever has the focus.
    pub(crate) fn type_text(&self, text: &str) {
        self.call("Input.insertText", &json!({"text": text}));
    }

    /// What the tab has reported under this name so far.
    pub(crate) fn events(&self, method: &str) -> Vec<Value> {
        // What happened before this is answered has been reported before.
        self.eval("0");
        let line = self.browser.line.borrow();
        line.events
            .iter()
            .filter(|event| self.reports(event, method))
            .map(|event| event["params"].clone())
            .collect()
    }
}
