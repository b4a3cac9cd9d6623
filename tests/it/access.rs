//! Who gets into the program and who does not, on every way a token can come; what those who are in may do, and how much;
//! and that no secret is told to anybody.

use crate::support::*;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use rustix::process::Signal;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use switchboard::Limits;
use switchboard::auth::Signer;

const SECRET: &str = "a secret of more than thirty-two bytes";
const ECHO: &str = "/echo";

fn key(name: &str) -> String {
    format!("{}/tests/keys/{name}.pem", env!("CARGO_MANIFEST_DIR"))
}

/// A folder of this test's own, removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("switchboard-{test}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, content: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().into()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn seconds_from_now(seconds: i64) -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64 + seconds
}

/// A token of ann's, good for an hour, with these further claims.
fn jwt_with(signer: &Signer, more: &str) -> String {
    let exp = seconds_from_now(3600);
    signer.sign(&format!(r#"{{"sub":"ann","exp":{exp}{more}}}"#)).unwrap()
}

fn secret_jwt(more: &str) -> String {
    jwt_with(&Signer::secret(SECRET).unwrap(), more)
}

#[derive(Clone, Copy, Debug)]
enum Way {
    Header,
    Query,
    Subprotocol,
}

const WAYS: [Way; 3] = [Way::Header, Way::Query, Way::Subprotocol];

/// The handshake that brings a token on this way.
fn bringing(address: SocketAddr, path: &str, way: Way, token: &str) -> String {
    match way {
        Way::Header => handshake(address, path, &format!("Authorization: Bearer {token}\r\n")),
        Way::Query => handshake(address, &format!("{path}?x=1&token={token}"), ""),
        Way::Subprotocol => {
            handshake(address, path, &format!("Sec-WebSocket-Protocol: a, bearer.{token}\r\n"))
        }
    }
}

fn open(address: SocketAddr, path: &str, way: Way, token: &str) -> Result<Client, Answer> {
    Client::over(connect(address), bringing(address, path, way, token))
}

/// A client whose token came by a header.
fn enter(program: &Program, path: &str, token: &str) -> Client {
    open(program.address, path, Way::Header, token).unwrap_or_else(|answer| panic!("{path}: {answer:?}"))
}

/// That this client is let in and closed at once.
#[track_caller]
fn expect_turned_away(mut client: Client, reason: &str) {
    let (code, got) = client.close();
    assert!(code == 1008 && got.contains(reason), "{code} {got}, not {reason}");
    client.send_close(1008);
    client.expect_end();
}

fn expect_echo(client: &mut Client) {
    client.send("hello");
    client.expect("hello");
}

/// Tokens that are no good, and what each is told.
fn bad_tokens() -> Vec<(&'static str, String, &'static str)> {
    let signer = |name| Signer::read(key(name)).unwrap();
    let claims = |exp: i64, nbf: i64| {
        format!(r#"{{"sub":"ann","exp":{},"nbf":{}}}"#, seconds_from_now(exp), seconds_from_now(nbf))
    };
    let good = signer("ec_private").sign(&claims(3600, 0)).unwrap();
    let (message, signature) = good.rsplit_once('.').unwrap();
    let (_, payload) = message.split_once('.').unwrap();
    // `{"alg":"none","typ":"JWT"}`
    let unsigned = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{payload}.");
    let with_public_key = fs::read(key("ec")).unwrap();
    let forged = {
        // What `Signer` refuses to do: the public key as a secret. `{"alg":"HS256"}`
        let message = format!("eyJhbGciOiJIUzI1NiJ9.{payload}");
        format!("{message}.{}", hmac_base64(&with_public_key, message.as_bytes()))
    };
    let spoiled = signature.replace(|c: char| c.is_ascii_digit(), "x");
    vec![
        ("empty", String::new(), "a token is needed"),
        ("wrong", "somebody-elses".into(), "the token is not known"),
        ("expired", signer("ec_private").sign(&claims(-61, -3600)).unwrap(), "the token has expired"),
        (
            "not yet valid",
            signer("ec_private").sign(&claims(3600, 120)).unwrap(),
            "the token is not valid yet",
        ),
        ("alg none", unsigned, "the token's algorithm is none of HS256, RS256 and ES256"),
        ("another algorithm's key", signer("rsa_private").sign(&claims(3600, 0)).unwrap(), "there is no key"),
        ("the public key as a secret", forged, "there is no key"),
        ("spoiled", format!("{message}.{spoiled}"), "the signature does not fit"),
        ("no user", signer("ec_private").sign(r#"{"exp":4102444800}"#).unwrap(), "the token names no user"),
    ]
}

fn hmac_base64(key: &[u8], message: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    URL_SAFE_NO_PAD.encode(hmac::sign(&key, message))
}

#[test]
fn every_way_of_bringing_every_bad_token_is_told_what_is_wrong() {
    let (public, mut args) = (key("ec"), vec!["--token", "good-one=bob", "--jwt-key"]);
    args.push(&public);
    let closing = serve_binary(&args);
    args.extend(["--refuse", "http"]);
    let answering = serve_binary(&args);
    let bad = bad_tokens();
    for (way, (what, token, reason)) in WAYS.iter().flat_map(|way| bad.iter().map(move |bad| (*way, bad))) {
        let client =
            open(closing.address, ECHO, way, token).unwrap_or_else(|a| panic!("{way:?} {what}: {a:?}"));
        expect_turned_away(client, &format!("authentication failed: {reason}"));
        let request = bringing(answering.address, ECHO, way, token);
        let answer = exchange(answering.address, request);
        assert_eq!(
            (answer.status, answer.header("www-authenticate")),
            (401, Some("Bearer")),
            "{way:?} {what}"
        );
        assert!(answer.text().contains(reason), "{way:?} {what}: {}", answer.text());
        assert!(token.is_empty() || !answer.text().contains(token.as_str()));
    }
    let jwt = jwt_with(&Signer::read(key("ec_private")).unwrap(), "");
    for way in WAYS {
        for program in [&closing, &answering] {
            for token in ["good-one", &jwt] {
                let mut client = open(program.address, ECHO, way, token).unwrap();
                expect_echo(&mut client);
                client.leave();
            }
        }
    }
    // Larger than a request's head may be.
    let long = "x".repeat(9000);
    for program in [&closing, &answering] {
        for (way, status) in [(Way::Header, 431), (Way::Query, 414), (Way::Subprotocol, 431)] {
            let answer = exchange(program.address, bringing(program.address, ECHO, way, &long));
            assert_eq!(answer.status, status, "{way:?}");
        }
    }
}

#[test]
fn every_websocket_asks_for_a_token_and_no_page_does() {
    let program = serve_binary(&["--token", "good-one=ann"]);
    for path in ["/echo", "/conn_ws", "/conn_ws/ann", "/chat/tea", "/room/tea", "/room/tea/"] {
        expect_turned_away(
            Client::connect(program.address, path),
            "authentication failed: a token is needed",
        );
        enter(&program, path, "good-one").leave();
    }
    for path in ["/", "/single_chat", "/healthz", "/readyz", "/metrics"] {
        assert_eq!(get(program.address, path).status, 200, "{path}");
    }
    assert_eq!(metric(get(program.address, "/metrics").text(), "denied_total"), 6);
    // The header goes before the others.
    let both = handshake(program.address, "/echo?token=good-one", "Authorization: Bearer wrong\r\n");
    expect_turned_away(Client::over(connect(program.address), both).unwrap(), "the token is not known");
    // Whoever has not to say who they are may say it all the same.
    let open_to_all = serve_binary(&[]);
    expect_echo(&mut enter(&open_to_all, ECHO, "whatever"));
}

/// A browser fails a connection that agrees to none of its offers, and a page does not know whether tokens are asked for.
#[test]
fn a_token_in_an_offer_is_answered_whether_it_is_needed_or_not() {
    let (closed, open) = (serve_binary(&["--token", "good-one"]), serve_binary(&[]));
    for (path, offer, answer) in [
        ("/echo", "bearer.good-one", Some("bearer.good-one")),
        ("/echo", "chat, bearer.good-one", Some("bearer.good-one")),
        ("/ws", "bearer.good-one", Some("bearer.good-one")),
        ("/ws", "bearer.good-one, switchboard.v1", Some("switchboard.v1")),
        ("/echo", "chat", None),
        ("/echo", "bearer", None),
    ] {
        for program in [&closed, &open] {
            let offer = format!("Sec-WebSocket-Protocol: {offer}\r\n");
            let path = format!("{path}?token=good-one");
            let client = Client::connect_with(program.address, &path, &offer);
            assert_eq!(client.answer.header("Sec-WebSocket-Protocol"), answer, "{path} {offer}");
        }
    }
    // To the handler it is none.
    let server = serve(Limits::default(), |builder| {
        builder.route("/", |mut ws| ws.send(format!("{:?}", ws.subprotocol())))
    });
    let offer = "Sec-WebSocket-Protocol: bearer.whatever\r\n";
    Client::connect_with(server.local_addr(), "/", offer).expect("None");
}

#[test]
fn who_is_known_is_nobody_else() {
    let program = serve_binary(&["--token", "good-one=ann", "--token", "shared", "--jwt-secret", SECRET]);
    let (ann, jwt) = (enter(&program, "/conn_ws/ann", "good-one"), secret_jwt(""));
    let mut also_ann = enter(&program, "/conn_ws/ann", &jwt);
    expect_turned_away(enter(&program, "/conn_ws/bob", "good-one"), "forbidden: you are ann here");
    expect_turned_away(enter(&program, "/conn_ws/bob", &jwt), "forbidden: you are ann here");
    expect_turned_away(enter(&program, "/conn_ws/Ann", &jwt), "forbidden: you are ann here");
    expect_turned_away(enter(&program, "/conn_ws/bob", "shared"), "forbidden: direct chat needs a token");
    also_ann.send(r#"{"from_user":"eve","to_user":"ann","message":1}"#);
    for mut client in [ann, also_ann] {
        client.expect(r#"{"from_user":"ann","to_user":"ann","message":1}"#);
    }
    // Names are escaped in paths.
    let eve = Signer::secret(SECRET).unwrap().sign(r#"{"sub":"é v/e","exp":4102444800}"#).unwrap();
    enter(&program, "/conn_ws/%C3%A9%20v%2Fe", &eve).leave();
    // Names that cannot be are nobody's.
    let nobody = Signer::secret(SECRET).unwrap().sign(r#"{"sub":"a\u0000","exp":4102444800}"#).unwrap();
    expect_turned_away(enter(&program, ECHO, &nobody), "this name cannot be used");
}

#[test]
fn rooms_are_joined_and_written_in_by_right() {
    let program = serve_binary(&["--jwt-secret", SECRET]);
    let reader = secret_jwt(r#","rooms":{"read":["tea","team-*","lobby"]}"#);
    let writer = secret_jwt(r#","rooms":["tea","team-*","lobby"]"#);
    for path in ["/room/tea", "/chat/team-red", "/conn_ws"] {
        let mut read = enter(&program, path, &reader);
        read.settle();
        let mut write = enter(&program, path, &writer);
        write.settle();
        read.send("may I?");
        let answer = read.text();
        assert!(
            answer.starts_with(r#"{"type":"error","code":"forbidden","message":"you may not write in"#),
            "{answer}"
        );
        write.send("hello");
        read.expect("hello");
        if path != "/chat/team-red" {
            write.expect("hello");
        }
        read.leave();
        write.leave();
    }
    for path in ["/room/coffee", "/chat/te", "/room/team", "/conn_ws"] {
        let only_tea = secret_jwt(r#","rooms":["tea","team-*"]"#);
        expect_turned_away(enter(&program, path, &only_tea), "forbidden: you may not join");
    }
    let writes_only = secret_jwt(r#","rooms":{"write":["tea"]}"#);
    expect_turned_away(enter(&program, "/room/tea", &writes_only), "forbidden: you may not join tea");
    let mut anywhere = enter(&program, "/room/coffee", &secret_jwt(""));
    expect_echo(&mut anywhere);
    let ill = secret_jwt(r#","rooms":"tea""#);
    expect_turned_away(enter(&program, "/room/tea", &ill), "the token's rooms are malformed");
}

#[test]
fn who_is_known_but_may_not_is_told_by_http_where_refusals_are_http() {
    let program = serve_binary(&["--jwt-secret", SECRET, "--refuse", "http"]);
    let jwt = secret_jwt(r#","rooms":{"read":["tea"],"write":["coffee"]}"#);
    let ask = |path: &str| {
        let request = handshake(program.address, path, &format!("Authorization: Bearer {jwt}\r\n"));
        Client::over(connect(program.address), request).map_or_else(|answer| answer, |client| client.answer)
    };
    for (path, status, reason) in [
        ("/room/tea", 101, ""),
        ("/chat/tea", 101, ""),
        ("/conn_ws/ann", 101, ""),
        ("/echo", 101, ""),
        ("/room/coffee", 403, "forbidden: you may not join coffee\n"),
        ("/room/coffee/", 403, "forbidden: you may not join coffee\n"),
        ("/chat/%E5%A4%A7", 403, "forbidden: you may not join 大\n"),
        ("/conn_ws", 403, "forbidden: you may not join lobby\n"),
        ("/conn_ws/bob", 403, "forbidden: you are ann here, and nobody else\n"),
    ] {
        let answer = ask(path);
        assert_eq!((answer.status, answer.text()), (status, reason), "{path}");
    }
    let shown = get(program.address, "/metrics");
    assert_eq!(metric(shown.text(), "denied_total{reason=\"forbidden\"}"), 5);
}

#[test]
fn audience_and_issuer_must_be_ours_if_we_say_so() {
    let args = ["--jwt-secret", SECRET, "--jwt-audience", "chat,files", "--jwt-issuer", "https://id.example"];
    let program = serve_binary(&args);
    let ours = secret_jwt(r#","aud":["x","files"],"iss":"https://id.example""#);
    expect_echo(&mut enter(&program, ECHO, &ours));
    for (more, reason) in [
        (r#","aud":"mail","iss":"https://id.example""#, "another audience"),
        (r#","iss":"https://id.example""#, "another audience"),
        (r#","aud":"chat","iss":"https://evil.example""#, "another issuer"),
        (r#","aud":"chat""#, "another issuer"),
    ] {
        expect_turned_away(enter(&program, ECHO, &secret_jwt(more)), reason);
    }
}

#[test]
fn tokens_and_keys_are_read_again_on_sighup() {
    let folder = Folder::new("reload");
    let tokens = folder.write("tokens", "# who may in\nold-one ann\n");
    let jwt_key = folder.write("key", SECRET);
    let program = serve_binary(&["--token-file", &tokens, "--jwt-key", &jwt_key]);
    let is_in = |token: &str| {
        let mut client = enter(&program, ECHO, token);
        client.send("am I in?");
        client.frame().opcode == TEXT
    };
    let (old, rsa) = (secret_jwt(""), jwt_with(&Signer::read(key("rsa_private")).unwrap(), ""));
    let all = || [is_in("old-one"), is_in("new-one"), is_in(&old), is_in(&rsa)];
    assert_eq!(all(), [true, false, true, false]);
    let mut stays = enter(&program, ECHO, "old-one");

    folder.write("tokens", "new-one bob\n");
    folder.write("key", &fs::read_to_string(key("rsa")).unwrap());
    program.signal(Signal::HUP);
    program.wait_said("tokens and keys were read again");
    assert_eq!(all(), [false, true, false, true]);
    expect_echo(&mut stays);

    for (name, content, what) in [
        ("tokens", "newer-one bob\nnewer-one ann\n", ":2: the same token as"),
        ("tokens", "", " holds no token"),
        ("key", "short", ": a secret for HS256 needs 32 bytes"),
    ] {
        let before = fs::read_to_string(folder.0.join(name)).unwrap();
        let path = folder.write(name, content);
        program.signal(Signal::HUP);
        let said = program.wait_said("the old tokens and keys stay: ");
        assert!(said.starts_with(&format!("{path}{what}")), "{said}");
        assert_eq!(all(), [false, true, false, true]);
        folder.write(name, &before);
    }
    fs::remove_file(&tokens).unwrap();
    program.signal(Signal::HUP);
    program.wait_said("the old tokens and keys stay: ");
    assert_eq!(all(), [false, true, false, true]);
}

#[test]
fn old_and_new_keys_are_good_side_by_side() {
    let folder = Folder::new("rotation");
    let secrets = ["old", "new", "next"]
        .map(|name| (name, folder.write(name, &format!("the {name} secret, of many more bytes"))));
    let keys = secrets.clone().map(|(name, path)| format!("{name}={path}"));
    let program = serve_binary(&["--jwt-key", &keys[0], "--jwt-key", &keys[1]]);
    let token = |of: usize, id: Option<&str>| {
        let signer = Signer::read(&secrets[of].1).unwrap();
        jwt_with(&id.map_or_else(|| Signer::read(&secrets[of].1), |id| Ok(signer.with_id(id))).unwrap(), "")
    };
    for (of, id) in [(0, Some("old")), (1, Some("new")), (0, None), (1, None)] {
        expect_echo(&mut enter(&program, ECHO, &token(of, id)));
    }
    for (of, id, reason) in [
        (0, Some("new"), "the signature does not fit"),
        (2, None, "the signature does not fit"),
        (2, Some("next"), "there is no key"),
    ] {
        expect_turned_away(enter(&program, ECHO, &token(of, id)), reason);
    }
}

/// The token that the program makes.
fn made_token(args: &[&str]) -> String {
    let Output { status, stdout, stderr } = switchboard(&["token"]).args(args).output().unwrap();
    let (stdout, stderr) = (String::from_utf8(stdout).unwrap(), String::from_utf8_lossy(&stderr));
    assert!(status.success() && stderr.is_empty(), "{args:?}: {stderr}");
    let token = stdout.strip_suffix('\n').unwrap();
    assert!(!token.contains(char::is_whitespace), "{token:?}");
    token.into()
}

#[test]
fn the_program_makes_the_tokens_that_it_takes() {
    let folder = Folder::new("made");
    let secret = folder.write("secret", SECRET);
    let [rsa, rsa_private, ec, ec_private] =
        ["rsa", "rsa_private_pkcs1", "ec_certificate", "ec_private"].map(key);
    let args = ["--jwt-secret", SECRET, "--jwt-key", &rsa, "--jwt-key", &ec, "--jwt-audience", "chat"];
    let program = serve_binary(&args);
    let usual = ["--sub", "ann", "--aud", "chat,files", "--iss", "me"];
    for signing in [
        ["--jwt-secret", SECRET],
        ["--jwt-key", &secret],
        ["--jwt-key", &rsa_private],
        ["--jwt-key", &format!("name={ec_private}")],
    ] {
        let token = made_token(&[&usual[..], &signing].concat());
        enter(&program, "/conn_ws/ann", &token).leave();
        let limited =
            made_token(&[&usual[..], &signing, &["--rooms", "tea,team-*", "--exp", "30m"]].concat());
        enter(&program, "/room/team-red", &limited).leave();
        expect_turned_away(enter(&program, "/room/coffee", &limited), "forbidden");
    }
    let from_environment = switchboard(&["token", "--sub", "ann", "--aud", "chat"])
        .env("SWITCHBOARD_JWT_SECRET", SECRET)
        .output();
    let token = String::from_utf8(from_environment.unwrap().stdout).unwrap();
    enter(&program, ECHO, token.trim_end()).leave();
    for (args, what) in [
        (&["--sub", "ann"][..], "--jwt-key FILE"),
        (&["--sub", "ann", "--jwt-key", &rsa], "a block PUBLIC KEY cannot sign"),
        (&["--sub", "ann", "--jwt-key", &key("ec_private_sec1")], "openssl pkcs8"),
        (&["--sub", "ann", "--jwt-secret", "hush"], "32 bytes"),
        (&["--jwt-secret", SECRET], "--sub"),
    ] {
        expect_refused_start(&[&["token"], args].concat(), what);
    }
}

#[track_caller]
fn expect_refused_start(args: &[&str], what: &str) -> String {
    let Output { status, stdout, stderr } = switchboard(args).output().unwrap();
    let said = String::from_utf8_lossy(&stderr).into_owned();
    assert!(!status.success() && stdout.is_empty(), "{args:?}: {said}");
    assert!(said.contains(what), "{args:?}: {said}");
    said
}

#[test]
fn a_start_that_cannot_be_says_what_to_do_and_no_secret() {
    let folder = Folder::new("mistakes");
    let twice = folder.write("twice", "hush-hush\nhush-hush\n");
    let private = key("rsa_private");
    for (args, what) in [
        (&["--token", "hush hush"][..], "--token: a token is letters"),
        (&["--token", "hush", "--token", "hush=ann"], "--token: a token that was given: the same token"),
        (&["--token", ""], "--token: a token is letters"),
        (&["--token-file", "/nowhere/tokens"], "/nowhere/tokens: No such file"),
        (&["--token-file", &twice], "twice:2: the same token as"),
        (
            &["--jwt-secret", "hush"],
            "--jwt-secret: a secret for HS256 needs 32 bytes or more, this one has 4",
        ),
        (
            &["--jwt-secret", "-----BEGIN PUBLIC KEY-----hush"],
            "--jwt-secret: this is a key that others may know",
        ),
        (&["--jwt-key", &private], "openssl pkey -in FILE -pubout"),
        (&["--jwt-key", "id=/nowhere/key"], "/nowhere/key: No such file"),
        (&["--jwt-issuer", "me"], "add --jwt-secret or --jwt-key"),
        (&["--refuse", "politely"], "[possible values: close, http]"),
        (&["--rate", "fast"], "write COUNT/TIME, as 100/60s"),
        (&["--byte-rate", "1X/s"], "`X` is no unit of size"),
        (&["--per-address", "0"], "write a whole number, 1 or more"),
        (&["--trust-proxy", "proxy"], "write 10.0.0.7, 10.0.0.0/8 or 2001:db8::/32"),
        (&["--proxy-protocol"], "--trust-proxy <NETWORK>"),
        (&["--allow-origin", "https://example.com/"], "write https://example.com"),
        (&["--allow-origin", "example.com"], "has no scheme: write https://example.com"),
        (&["--allow-origin", "https://example.com/chat"], "write https://example.com"),
    ] {
        let said = expect_refused_start(&[&["serve", "--bind", "127.0.0.1:0"], args].concat(), what);
        assert!(!said.contains("hush"), "{said}");
    }
}

#[test]
fn pages_come_from_where_they_may() {
    let program =
        serve_binary(&["--allow-origin", "https://*.example.com,https://other.example", "--require-origin"]);
    let status = |origin: &str| {
        let extra = if origin.is_empty() { String::new() } else { format!("Origin: {origin}\r\n") };
        let client = Client::over(connect(program.address), handshake(program.address, ECHO, &extra));
        client.map_or_else(|answer| answer.status, |client| client.answer.status)
    };
    for (origin, expected) in [
        ("https://a.example.com", 101),
        ("https://a.b.example.com", 101),
        ("https://other.example", 101),
        ("https://example.com", 403),
        ("https://evilexample.com", 403),
        ("http://a.example.com", 403),
        ("https://a.other.example", 403),
        ("", 403),
        (&program.url(), 101),
    ] {
        assert_eq!(status(origin), expected, "{origin}");
    }
}

/// A connection from another of the loopback's addresses.
fn connect_from(source: &str, address: SocketAddr) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let source: SocketAddr = format!("{source}:0").parse().unwrap();
    socket.bind(&source.into()).unwrap();
    socket.connect(&address.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// A client from that address, or the answer; `extra` are whole header lines.
fn come(program: &Program, source: &str, extra: &str) -> Result<Client, Answer> {
    Client::over(connect_from(source, program.address), handshake(program.address, ECHO, extra))
}

/// That one more is not let in.
#[track_caller]
fn expect_too_many(result: Result<Client, Answer>, http: bool, reason: &str) {
    match result {
        Ok(client) if !http => expect_turned_away(client, reason),
        Err(answer) if http => {
            assert_eq!((answer.status, answer.header("retry-after")), (429, Some("5")), "{answer:?}");
        }
        Ok(_) => panic!("let in"),
        Err(answer) => panic!("{answer:?}"),
    }
}

/// The place of one that ended is free again once the server has seen it.
fn eventually_in(enter: impl Fn() -> Result<Client, Answer>) {
    eventually("a place is free again", || {
        enter().is_ok_and(|mut client| {
            client.send("hello");
            client.frame().opcode == TEXT
        })
    });
}

#[test]
fn one_address_has_so_many_connections() {
    for http in [false, true] {
        let args = ["--per-address", "2", "--refuse", if http { "http" } else { "close" }];
        let program = serve_binary(&args);
        let mut inside = [come(&program, "127.0.0.2", "").unwrap(), come(&program, "127.0.0.2", "").unwrap()];
        inside.iter_mut().for_each(expect_echo);
        expect_too_many(come(&program, "127.0.0.2", ""), http, "too many connections from your address");
        expect_echo(&mut come(&program, "127.0.0.3", "").unwrap());
        let [first, _second] = inside;
        first.leave();
        eventually_in(|| come(&program, "127.0.0.2", ""));
    }
}

#[test]
fn one_user_has_so_many_connections() {
    for http in [false, true] {
        let refuse = if http { "http" } else { "close" };
        let args =
            ["--per-user", "2", "--token", "a=ann", "--token", "b=bob", "--token", "c", "--refuse", refuse];
        let program = serve_binary(&args);
        let enter = |token| open(program.address, ECHO, Way::Header, token);
        let mut inside = [enter("a").unwrap(), enter("a").unwrap(), enter("b").unwrap()];
        inside.iter_mut().for_each(expect_echo);
        expect_too_many(enter("a"), http, "too many connections of this user");
        // Who has no name is nobody in particular.
        let mut others = [enter("b").unwrap(), enter("c").unwrap(), enter("c").unwrap(), enter("c").unwrap()];
        others.iter_mut().for_each(expect_echo);
        let [first, ..] = inside;
        first.leave();
        eventually_in(|| enter("a"));
    }
}

#[test]
fn who_speaks_or_comes_too_often_is_stopped() {
    let program = serve_binary(&["--rate", "3/60m", "--connect-rate", "3/60m"]);
    let mut client = come(&program, "127.0.0.2", "").unwrap();
    for _ in 0..3 {
        expect_echo(&mut client);
    }
    client.send("one too many");
    let (code, reason) = client.close();
    assert_eq!((code, reason.as_str()), (1008, "rate limit: too many messages"));

    let program = serve_binary(&["--byte-rate", "1K/60m"]);
    let mut client = Client::connect(program.address, ECHO);
    client.send(&"x".repeat(900));
    client.frame();
    client.send(&"x".repeat(900));
    let (code, reason) = client.close();
    assert_eq!((code, reason.as_str()), (1008, "rate limit: too many bytes"));

    let program = serve_binary(&["--connect-rate", "2/60m"]);
    for _ in 0..2 {
        expect_echo(&mut come(&program, "127.0.0.2", "").unwrap());
    }
    let refused = come(&program, "127.0.0.2", "").err().unwrap();
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert_eq!(refused.status, 429);
    assert!((1700..=1801).contains(&wait), "{wait}");
    expect_echo(&mut come(&program, "127.0.0.3", "").unwrap());

    // The answer comes behind the request: there are clients that would not see it otherwise.
    let asks_first = (0..5).any(|_| {
        let stream = connect_from("127.0.0.2", program.address);
        stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let early = stream.peek(&mut [0]);
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let refused = Client::over(stream, handshake(program.address, ECHO, "")).err().unwrap();
        assert_eq!(refused.status, 429);
        early.is_err()
    });
    assert!(asks_first);
}

#[test]
fn a_trusted_proxy_tells_who_comes() {
    let program = serve_binary(&["--per-address", "1", "--trust-proxy", "127.0.0.2,127.0.0.128/25"]);
    let forwarded = |chain: &str| format!("X-Forwarded-For: {chain}\r\n");
    let is_in = |source: &str, chain: &str| {
        // Twice as many as may be, and there is no WebSocket that could say so.
        let mut client =
            come(&program, source, &forwarded(chain)).map_err(|a| assert_eq!(a.status, 429)).ok()?;
        client.send("hello");
        (client.frame().opcode == TEXT).then_some(client)
    };
    let through_proxy = is_in("127.0.0.2", "1.2.3.4").unwrap();
    let other = is_in("127.0.0.2", "6.6.6.6, 1.2.3.5").unwrap();
    assert!(is_in("127.0.0.200", "1.2.3.4").is_none(), "by another proxy");
    assert!(is_in("127.0.0.2", "6.6.6.6, 1.2.3.4, 127.0.0.200").is_none(), "through both");
    drop((through_proxy, other));
    // Who is no proxy is who it is.
    let direct = is_in("127.0.0.3", "1.2.3.4").unwrap();
    assert!(is_in("127.0.0.3", "1.2.3.99").is_none());
    drop(direct);
}

/// A PROXY header, version 2, for a client at this address.
fn proxy_header(client: [u8; 4]) -> Vec<u8> {
    let start = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c";
    [&start[..], &client, &[127, 0, 0, 1], &[0x30, 0x39, 0, 80]].concat()
}

#[test]
fn a_trusted_proxy_says_it_first() {
    let program = serve_binary(&["--per-address", "1", "--trust-proxy", "127.0.0.2", "--proxy-protocol"]);
    let come = |source: &str, header: &[u8], extra: &str| {
        let request = [header, handshake(program.address, ECHO, extra).as_bytes()].concat();
        Client::over(connect_from(source, program.address), request)
    };
    let is_in = |result: Result<Client, Answer>| {
        let mut client = result.unwrap();
        client.send("hello");
        (client.frame().opcode == TEXT).then_some(client)
    };
    let first = is_in(come("127.0.0.2", &proxy_header([1, 2, 3, 4]), "")).unwrap();
    let second = is_in(come("127.0.0.2", &proxy_header([1, 2, 3, 5]), "")).unwrap();
    assert!(is_in(come("127.0.0.2", &proxy_header([1, 2, 3, 4]), "X-Forwarded-For: 9.9.9.9\r\n")).is_none());
    let without = come("127.0.0.2", b"", "").err().unwrap();
    assert!(without.status == 400 && without.text().contains("PROXY header"), "{without:?}");
    // From anybody else it is no HTTP, and counts nothing.
    assert_eq!(come("127.0.0.3", &proxy_header([1, 2, 3, 6]), "").err().unwrap().status, 400);
    let direct = is_in(come("127.0.0.3", b"", "X-Forwarded-For: 1.2.3.4\r\n")).unwrap();
    drop((first, second, direct));
}

#[test]
fn the_client_brings_a_token_and_does_not_tell_it() {
    let program = serve_binary(&["--token", "hush-token=ann"]);
    let url = format!("ws://{}/echo", program.address);
    let (query, bad) = (format!("{url}?token=hush-token"), "ws://a b/?token=hush-token".to_string());
    for (args, status, said) in [
        (&[&query[..]][..], 0, "connected to ws://"),
        (&["-H", "Authorization: Bearer hush-token", &url], 0, "connected to ws://"),
        (&["--subprotocol", "bearer.hush-token", &url], 0, "subprotocol bearer,"),
        (&["-1", &url], 4, "authentication failed: a token is needed"),
        (&[&bad], 2, "write ws://HOST"),
    ] {
        let output = switchboard(&["connect"]).args(args).stdin(Stdio::null()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.code() == Some(status) && text.contains(said),
            "{args:?}: {} {text}",
            output.status
        );
        assert!(!text.contains("hush"), "{text}");
    }
}

#[test]
fn secrets_are_told_to_nobody() {
    let folder = Folder::new("secrets");
    let file_secret = "a-hush-secret-in-a-file-of-many-bytes";
    let tokens = folder.write("tokens", "hush-in-file carl\n");
    let jwt_key = folder.write("key", file_secret);
    let mut command =
        switchboard(&["serve", "--bind", "127.0.0.1:0", "--token-file", &tokens, "--jwt-key", &jwt_key]);
    command.env("SWITCHBOARD_TOKEN", "hush-token=ann").env("SWITCHBOARD_JWT_SECRET", "hush ".repeat(8));
    let program = Program::start(command.env("RUST_LOG", "trace"));
    let jwt = jwt_with(&Signer::secret("hush ".repeat(8)).unwrap(), "");
    let (message, signature) = jwt.rsplit_once('.').unwrap();
    let expired = Signer::secret(file_secret).unwrap().sign(r#"{"sub":"ann","exp":1}"#).unwrap();
    let mut answers = String::new();
    for path in ["/echo", "/conn_ws/ann", "/room/tea", "/nowhere", "/room/%zz", "/"] {
        for token in ["hush-token", "hush-in-file", "hush-wrong", "hush/hush", "hush%zz", &jwt, &expired] {
            for way in WAYS {
                match open(program.address, path, way, token) {
                    // The subprotocol that was agreed on is in the 101, as it must be.
                    Ok(mut client) => {
                        client.send("hello");
                        client.end_sending();
                        while let Ok(frame) = client.try_read_frame() {
                            answers += &String::from_utf8_lossy(&frame.payload);
                        }
                    }
                    Err(answer) => {
                        answers += &format!("{answer:?} {}", String::from_utf8_lossy(&answer.body));
                    }
                }
            }
            answers += &format!("{:?}", get(program.address, &format!("{path}?token={token}")));
        }
    }
    program.signal(Signal::HUP);
    program.wait_said("tokens and keys were read again");
    let about = |what: &str| {
        let path = format!("/proc/{}/{what}", program.pid());
        String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned()
    };
    let threads = fs::read_dir(format!("/proc/{}/task", program.pid())).unwrap();
    let names = threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("comm")).ok());
    let seen =
        [about("cmdline"), about("comm"), names.collect(), get(program.address, "/metrics").text().into()];
    let said = program.all_said();
    assert!(
        said.contains("not let in at /echo: authentication failed: the token is not known"),
        "no log: {said}"
    );
    for text in seen.iter().chain([&said, &answers]) {
        for secret in ["hush", signature, message, &expired] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}
