//! Flags, environment and file as one, in the real program; and what SIGHUP changes while it runs.

use crate::support::{BINARY, CLOSE, Client, Program, connect, get, handshake, parse_close, switchboard};
use crate::tls::{Authority, Files};
use rustix::process::Signal;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{self, Output};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::{env, fs};

/// A configuration file. Removed when dropped.
pub(crate) struct File(PathBuf);

impl File {
    pub(crate) fn new(text: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("switchboard-test-config-{}-{}.toml", process::id(), COUNT.fetch_add(1, Relaxed));
        let file = Self(env::temp_dir().join(name));
        file.write(text);
        file
    }

    pub(crate) fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }

    pub(crate) fn write(&self, text: &str) {
        fs::write(&self.0, text).unwrap();
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// What a command that ends by itself says: exit code, stdout, stderr.
pub(crate) fn ended(output: Output) -> (Option<i32>, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn check(file: &File) -> (Option<i32>, String) {
    let (code, stdout, stderr) = ended(switchboard(&["config", "check", file.path()]).output().unwrap());
    assert_eq!(stderr, "");
    (code, stdout.replace(file.path(), "FILE"))
}

/// The status that a page of `origin` gets.
fn status_for(address: SocketAddr, origin: &str) -> u16 {
    let request = handshake(address, "/echo", &format!("Origin: {origin}\r\n"));
    Client::over(connect(address), request).map_or_else(|answer| answer.status, |c| c.answer.status)
}

#[test]
fn a_flag_is_above_the_environment_and_that_above_the_file() {
    let file = File::new("bind = \"127.0.0.1:0\"\nmax_message = 1000\n");
    let named = ["--config", file.path()];
    for (args, variables, largest) in [
        (&named[..], &[][..], 1000),
        (&[], &[("SWITCHBOARD_CONFIG", file.path())], 1000),
        (&named, &[("SWITCHBOARD_MAX_MESSAGE", "2000")], 2000),
        (
            &["serve", "--max-message", "3000"],
            &[("SWITCHBOARD_CONFIG", file.path()), ("SWITCHBOARD_MAX_MESSAGE", "2000")],
            3000,
        ),
    ] {
        let server = Program::start(switchboard(args).envs(variables.iter().copied()));
        let mut client = Client::connect(server.address, "/echo");
        client.send_frame(BINARY, &vec![7; largest], true);
        assert_eq!(client.frame().payload.len(), largest, "{args:?} {variables:?}");
        client.send_frame(BINARY, &vec![7; largest + 1], true);
        client.expect_close(1009);
    }
}

#[test]
fn a_switch_is_a_key_and_a_variable_too() {
    let file = File::new("bind = \"127.0.0.1:0\"\nno-compression = true\n");
    let offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    for (value, is_compressed) in [(None, false), (Some("no"), true), (Some("1"), false)] {
        let mut command = switchboard(&["--config", file.path()]);
        command.envs(value.map(|value| ("SWITCHBOARD_NO_COMPRESSION", value)));
        let server = Program::start(&mut command);
        let client = Client::connect_with(server.address, "/echo", offer);
        let agreed = client.answer.header("Sec-WebSocket-Extensions").is_some();
        assert_eq!(agreed, is_compressed, "{value:?}");
    }
}

#[test]
fn a_certificate_and_its_key_may_be_named_in_different_places() {
    let files = Files::new(&Authority::new().issue());
    let (certificate, key) = (files.path("cert.pem"), files.path("key.pem"));
    let file = File::new(&format!("tls-key = '{key}'\n"));
    let serve = ["serve", "--bind", "127.0.0.1:0"];
    let https = |mut command: process::Command| Program::start(&mut command).scheme == "https";
    let mut both = switchboard(&[&serve[..], &["--tls-key", &key]].concat());
    both.env("SWITCHBOARD_TLS_CERT", &certificate);
    assert!(https(both));
    assert!(https(switchboard(
        &[&serve[..], &["--config", file.path(), "--tls-cert", &certificate]].concat()
    )));

    let alone = switchboard(&[&serve[..], &["--config", file.path()]].concat()).output().unwrap();
    let (code, stdout, stderr) = ended(alone);
    let expected = format!("{}:1:1: tls-key: this needs another key too: tls-cert\n", file.path());
    assert_eq!((code, stdout.as_str(), stderr), (Some(1), "", expected));
}

#[test]
fn what_the_environment_says_of_the_server_is_no_mistake_of_other_commands() {
    let files = Files::new(&(String::new(), String::new()));
    let dir = files.path("made");
    let mut command = switchboard(&["certificate", &dir]);
    let (code, _, stderr) = ended(command.env("SWITCHBOARD_MAX_MESSAGE", "nonsense").output().unwrap());
    assert_eq!(code, Some(0), "{stderr}");
    let mut command = switchboard(&["serve"]);
    let (code, _, stderr) = ended(command.env("SWITCHBOARD_MAX_MESSAGE", "nonsense").output().unwrap());
    assert!(code == Some(2) && stderr.contains("'nonsense' for '--max-message <SIZE>'"), "{stderr}");
}

#[test]
fn a_variable_that_is_no_option_is_warned_of() {
    let stray = ("SWITCHBOARD_MAX_MESAGE", "hush");
    let warning = "the variable SWITCHBOARD_MAX_MESAGE is no option; did you mean SWITCHBOARD_MAX_MESSAGE?";
    let server = Program::start(switchboard(&["serve", "--bind", "127.0.0.1:0"]).envs([stray]));
    assert_eq!(server.wait_said("warning: "), warning);
    assert!(!server.all_said().contains("hush"));
    // What is missing may be what has the wrong name.
    let mut command = switchboard(&["--tls-cert", "cert.pem"]);
    let (code, _, stderr) = ended(command.env("SWITCHBOARD_TLS_KEYS", "key.pem").output().unwrap());
    assert!(code == Some(2) && stderr.starts_with("warning: "), "{stderr}");
    assert!(stderr.contains("did you mean SWITCHBOARD_TLS_KEY?"), "{stderr}");
    let (_, stdout, stderr) = ended(switchboard(&["doctor"]).envs([stray]).output().unwrap());
    let (what, next) = warning.split_once("; ").unwrap();
    assert!(
        stdout.contains(what) && stdout.contains(next) && !stderr.contains("variable"),
        "{stdout}{stderr}"
    );
    let (_, _, stderr) = ended(switchboard(&["certificate", "--help"]).envs([stray]).output().unwrap());
    assert_eq!(stderr, "");
}

#[test]
fn every_mistake_is_reported_with_its_line() {
    let file = File::new(
        "max-mesage = \"64K\"\nping_interval = \"20x\"\nno-compression = \"yes\"\nbind = \nallow-origin = [\n  \
         \"https://a.example/\",\n]\nping-interval = \"3s\"\n[server]\nmax-connections = 0\n",
    );
    let expected = "\
FILE:1:1: `max-mesage` is no key; did you mean `max-message`?
FILE:2:17: ping-interval = \"20x\": `x` is no unit of time; write seconds, or ms, s, m, h, as 20s or 500ms
FILE:3:18: `no-compression` is a string here; write true or false
FILE:4:8: this is no TOML: string values must be quoted, expected literal string
FILE:6:3: allow-origin = \"https://a.example/\": the origin `https://a.example/` goes on behind the host, with `/`: write https://a.example
FILE:8:1: `ping-interval` stands in line 2 already; take one of them away
FILE:9:2: `server` is no key; the keys stand at the top, in no table
";
    assert_eq!(check(&file), (Some(1), expected.into()));
    // The server does not start with it, and says the same.
    let (code, stdout, stderr) = ended(switchboard(&["--config", file.path()]).output().unwrap());
    let stderr = stderr.replace(file.path(), "FILE");
    assert_eq!((code, stdout.as_str(), stderr.as_str()), (Some(1), "", expected));

    file.write("max-message = 0\nping-interval = 0\n");
    let expected = "\
FILE:1:1: max-message: the limit `message` must be at least 1 byte
FILE:2:1: ping-interval: the limit `ping_interval` must be 1 ms to 100 years
";
    assert_eq!(check(&file), (Some(1), expected.into()));
    file.write("token = [\"two words\"]\njwt-audience = \"a\"\njwt-issuer = \"b\"\nmax-connections = 7\n");
    let expected = "\
FILE:1:1: token: a token is letters, digits and signs of ASCII, without blanks: openssl rand -hex 32 makes one
FILE:2:1: jwt-audience: this is about JWTs: add --jwt-secret or --jwt-key
FILE:3:1: jwt-issuer: this is about JWTs: add --jwt-secret or --jwt-key
";
    assert_eq!(check(&file), (Some(1), expected.into()));
    file.write("jwt_secret = \"short\"\n");
    let expected = "\
FILE:1:1: jwt-secret: a secret for HS256 needs 32 bytes or more, this one has 5: openssl rand -hex 32 makes one
";
    assert_eq!(check(&file), (Some(1), expected.into()));
    file.write("max-connections = 7\n");
    assert_eq!(check(&file), (Some(0), "FILE: fine\n".into()));
    let (code, _, stderr) = ended(switchboard(&["--config", "/nowhere/switchboard.toml"]).output().unwrap());
    assert_eq!(code, Some(1));
    assert!(stderr.starts_with("/nowhere/switchboard.toml: cannot be read: "), "{stderr}");
}

#[test]
fn the_printed_file_is_accepted_as_it_is_and_uncommented() {
    let (code, printed, _) = ended(switchboard(&["config"]).output().unwrap());
    assert_eq!(code, Some(0));
    assert!(
        printed.contains("\n#bind = \"127.0.0.1:9527\"\n") && printed.contains("\n# tls-key = FILE\n"),
        "{printed}"
    );
    let is_key = |rest: &&str| rest.starts_with(|c: char| c.is_ascii_lowercase());
    let uncommented: Vec<&str> =
        printed.lines().map(|line| line.strip_prefix('#').filter(is_key).unwrap_or(line)).collect();
    let file = File::new(&printed);
    assert_eq!(check(&file), (Some(0), "FILE: fine\n".into()));
    file.write(&uncommented.join("\n"));
    assert_eq!(check(&file), (Some(0), "FILE: fine\n".into()));
}

#[test]
fn the_configuration_that_holds_is_logged_with_its_sources() {
    // So that it ends by itself.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let bind = taken.local_addr().unwrap().to_string();
    let file = File::new(&format!("bind = \"{bind}\"\nallow-origin = [\"https://a.example\"]\n"));
    let mut command = switchboard(&["--config", file.path(), "--drain", "3s"]);
    command.env("RUST_LOG", "info").env("SWITCHBOARD_PING_TIMEOUT", "9s");
    let (code, _, stderr) = ended(command.output().unwrap());
    assert_eq!(code, Some(1), "{stderr}");
    for line in [
        format!("configuration file: {}", file.path()),
        format!("bind = \"{bind}\" (line 1 of the file)"),
        "allow-origin = [\"https://a.example\"] (line 2 of the file)".into(),
        "ping-timeout = \"9s\" (environment)".into(),
        "drain = \"3s\" (flag)".into(),
        "max-message = \"1M\" (default)".into(),
        "no-compression = false (default)".into(),
    ] {
        assert_eq!(
            stderr.lines().filter(|logged| logged.ends_with(&format!("] {line}"))).count(),
            1,
            "{line} in {stderr}"
        );
    }
}

#[test]
fn a_key_that_everybody_can_read_is_warned_of() {
    let files = Files::new(&Authority::new().issue());
    let (certificate, key) = (files.path("cert.pem"), files.path("key.pem"));
    let args = ["serve", "--bind", "127.0.0.1:0", "--tls-cert", &certificate, "--tls-key", &key];
    let mode = |mode| fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
    mode(0o644);
    let warned = Program::start(&mut switchboard(&args)).wait_said("warning: ");
    assert_eq!(
        warned,
        format!("{key} holds a secret, and every user can read it (mode 644); chmod 600 {key}")
    );
    mode(0o640);
    let server = Program::start(&mut switchboard(&args));
    server.wait_said("Ctrl-C stops");
    assert!(!server.all_said().contains("warning"));
}

#[test]
fn sighup_changes_origins_and_names_what_needs_a_restart() {
    let file = File::new("bind = \"127.0.0.1:0\"\nallow-origin = [\"https://a.example\"]\n");
    let server = Program::start(&mut switchboard(&["--config", file.path(), "--ping-timeout", "9s"]));
    let (a, b) = ("https://a.example", "https://b.example");
    let address = server.address;
    let mut open = Client::connect_with(address, "/echo", &format!("Origin: {a}\r\n"));
    assert_eq!((status_for(address, a), status_for(address, b)), (101, 403));

    // Another value of what a flag has set is no change.
    file.write("bind = \"127.0.0.1:0\"\nallow-origin = [\"https://b.example\"]\nmax-message = \"2K\"\nping-timeout = 1\n");
    server.signal(Signal::HUP);
    assert_eq!(server.wait_said(&format!("{} was read again", file.path())), "");
    assert_eq!(
        server.wait_said("changed: "),
        "allow-origin = [\"https://b.example\"], was [\"https://a.example\"]"
    );
    assert_eq!(server.wait_said("needs a restart: "), "max-message = \"2K\", was \"1M\"");
    assert_eq!((status_for(address, a), status_for(address, b)), (403, 101));
    open.send("still here");
    open.expect("still here");

    // A broken file changes nothing.
    file.write("bind = \"127.0.0.1:0\"\nallow-origin = [\"https://a.example\"]\nmax-mesage = \"2K\"\n");
    server.signal(Signal::HUP);
    assert!(
        server.wait_said(&format!("{}:3:1: `max-mesage` is no key; ", file.path())).contains("`max-message`")
    );
    server.wait_said("everything stays as it was: mend the configuration");
    fs::remove_file(&file.0).unwrap();
    server.signal(Signal::HUP);
    server.wait_said(&format!("{}: cannot be read: ", file.path()));
    server.wait_said("everything stays as it was: mend the configuration");
    assert_eq!((status_for(address, a), status_for(address, b)), (403, 101));

    // What still needs a restart is named again; what holds is not.
    file.write("bind = \"127.0.0.1:0\"\nallow-origin = \"https://b.example\"\nmax-message = \"2K\"\n");
    server.signal(Signal::HUP);
    server.wait_said(&format!("{} was read again", file.path()));
    assert_eq!(server.wait_said("needs a restart: "), "max-message = \"2K\", was \"1M\"");
    file.write("bind = \"127.0.0.1:0\"\n");
    server.signal(Signal::HUP);
    assert_eq!(server.wait_said("changed: "), "allow-origin = not set, was [\"https://b.example\"]");
    assert_eq!((status_for(address, a), status_for(address, b)), (403, 403));
    server.signal(Signal::HUP);
    assert_eq!(server.wait_said(&format!("{} was read again", file.path())), ": nothing has changed");
    assert_eq!(get(address, "/healthz").status, 200);
}

/// The code that a client with this token is refused with; `None`: it may in.
fn refused(address: SocketAddr, token: &str) -> Option<u16> {
    let mut client = Client::connect(address, &format!("/echo?token={token}"));
    client.send("hello");
    let frame = client.frame();
    (frame.opcode == CLOSE).then(|| parse_close(&frame.payload).0)
}

#[test]
fn sighup_changes_tokens_and_quotas() {
    let file = File::new("bind = \"127.0.0.1:0\"\ntoken = [\"swordfish=ann\"]\n");
    let server = Program::start(&mut switchboard(&["--config", file.path()]));
    let address = server.address;
    assert_eq!((refused(address, "swordfish"), refused(address, "marlin")), (None, Some(1008)));

    file.write("bind = \"127.0.0.1:0\"\ntoken = \"marlin\"\nrate = \"1/1h\"\n");
    server.signal(Signal::HUP);
    assert_eq!(server.wait_said("changed: rate = "), "\"1/1h\", was not set");
    assert_eq!(server.wait_said("changed: token = "), "(secret), was (secret)");
    server.wait_said("tokens and keys were read again");
    assert_eq!((refused(address, "swordfish"), refused(address, "marlin")), (Some(1008), None));
    let mut client = Client::connect(address, "/echo?token=marlin");
    client.send("one");
    client.expect("one");
    client.send("two");
    client.expect_close(1008);

    // Without any token everybody would be let in.
    file.write("bind = \"127.0.0.1:0\"\nrate = \"1/1h\"\n");
    server.signal(Signal::HUP);
    assert_eq!(server.wait_said("needs a restart: token = "), "not set, was (secret)");
    assert_eq!(refused(address, "swordfish"), Some(1008));
}

#[test]
fn secrets_are_shown_nowhere() {
    let (token, secret) = ("swordfish-and-chips", "a secret of more than thirty-two bytes");
    let file = File::new(&format!("bind = \"127.0.0.1:0\"\ntoken = [\"{token}=ann\"]\n"));
    fs::set_permissions(file.path(), fs::Permissions::from_mode(0o604)).unwrap();
    let mut command = switchboard(&["--config", file.path()]);
    let server = Program::start(command.env("RUST_LOG", "info").env("SWITCHBOARD_JWT_SECRET", secret));
    assert_eq!(
        server.wait_said("warning: "),
        format!("{0} holds a secret, and every user can read it (mode 604); chmod 600 {0}", file.path())
    );
    assert_eq!(refused(server.address, token), None);
    for text in [format!("token = [\"{token}2\"]\n"), format!("token = [[\"{token}2\"]]\n")] {
        file.write(&format!("bind = \"127.0.0.1:0\"\n{text}"));
        server.signal(Signal::HUP);
        server.wait_said("");
    }
    server.wait_said("everything stays as it was");
    let said = server.all_said();
    for line in ["token = (secret) (line 2 of the file)", "jwt-secret = (secret) (environment)"] {
        assert!(said.contains(line), "{line} in {said}");
    }
    let help = switchboard(&["serve", "--help"]).env("SWITCHBOARD_TOKEN", token).output().unwrap();
    let printed = switchboard(&["config"]).env("SWITCHBOARD_TOKEN", token).output().unwrap();
    for text in [said, ended(help).1, ended(printed).1] {
        assert!(!text.contains(token) && !text.contains(secret), "{text}");
    }
}

#[test]
fn sighup_takes_another_certificate() {
    let (authority, successor) = (Authority::new(), Authority::new());
    let (old, new) = (Files::new(&authority.issue()), Files::new(&successor.issue()));
    let text = |files: &Files| {
        format!(
            "bind = '127.0.0.1:0'\ntls-cert = '{}'\ntls-key = '{}'\n",
            files.path("cert.pem"),
            files.path("key.pem")
        )
    };
    let file = File::new(&text(&old));
    let server = Program::start(&mut switchboard(&["--config", file.path()]));
    let url = format!("wss://{}/echo", server.address);
    let is_trusted = |authority: &Authority| {
        ::switchboard::Client::builder().roots(authority.root()).connect(&url).is_ok()
    };
    assert_eq!((is_trusted(&authority), is_trusted(&successor)), (true, false));

    file.write(&text(&new));
    server.signal(Signal::HUP);
    let changed = [server.wait_said("changed: "), server.wait_said("changed: ")];
    assert_eq!(
        changed[0],
        format!("tls-cert = \"{}\", was \"{}\"", new.path("cert.pem"), old.path("cert.pem"))
    );
    assert!(changed[1].starts_with("tls-key = "), "{changed:?}");
    server.wait_said("the certificate was read again");
    assert_eq!((is_trusted(&authority), is_trusted(&successor)), (false, true));

    // The files named now are the ones that are read again.
    fs::write(new.path("key.pem"), "no key").unwrap();
    server.signal(Signal::HUP);
    assert!(server.wait_said("the old certificate stays: ").contains(&new.path("key.pem")));
    file.write(&text(&old));
    server.signal(Signal::HUP);
    server.wait_said("the certificate was read again");
    assert_eq!((is_trusted(&authority), is_trusted(&successor)), (true, false));

    // Without one it would speak plain HTTP.
    file.write("bind = '127.0.0.1:0'\n");
    server.signal(Signal::HUP);
    assert!(server.wait_said("needs a restart: ").starts_with("tls-cert = not set, was "));
    assert!(server.wait_said("needs a restart: ").starts_with("tls-key = not set, was "));
    assert!(is_trusted(&authority));
}
