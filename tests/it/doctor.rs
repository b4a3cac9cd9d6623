//! `switchboard doctor`: its report, as a table and as JSON, and its exit codes.

use crate::config::{File, ended};
use crate::support::switchboard;
use crate::support_redis::Redis;
use crate::tls::{Authority, Files};
use serde_json::Value;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

/// Exit code and report.
fn examine(args: &[&str]) -> (Option<i32>, Value) {
    let (code, stdout, stderr) =
        ended(switchboard(&[&["doctor", "--json"], args].concat()).output().unwrap());
    assert_eq!(stderr, "");
    (code, serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}")))
}

/// State, finding and next step of the checks of that name.
fn of<'a>(report: &'a Value, name: &str) -> Vec<[&'a str; 3]> {
    let checks = report["checks"].as_array().unwrap().iter().filter(|check| check["name"] == name);
    checks
        .map(|check| ["state", "found", "next"].map(|field| check[field].as_str().unwrap_or_default()))
        .collect()
}

#[test]
fn a_server_that_can_start_passes() {
    let (code, report) = examine(&["--bind", "127.0.0.1:0", "--max-connections", "1"]);
    assert_eq!(code, Some(0), "{report:#}");
    assert_eq!(of(&report, "address"), [["ok", "127.0.0.1:0 is free", ""]]);
    assert_eq!(of(&report, "configuration")[0][0], "ok");
    assert_eq!(of(&report, "certificate").len(), 0);
    // The smallest number is the one that binds.
    let checks = report["checks"].as_array().unwrap();
    let limits =
        || checks.iter().filter_map(|check| Some((check["connections"].as_u64()?, check["name"].as_str()?)));
    assert!(4 < limits().count(), "{report:#}");
    let (connections, _) = limits().min().unwrap();
    assert_eq!(report["connections"], connections);
    assert!(limits().any(|limit| limit == (connections, report["binds"].as_str().unwrap())), "{report:#}");
    for name in ["vm.max_map_count", "RLIMIT_NOFILE", "kernel.pid_max", "MemTotal", "net.core.somaxconn"] {
        assert_eq!(of(&report, name).len(), 1, "{name} in {report:#}");
    }
    assert_eq!(
        of(&report, "vm.max_map_count"),
        [["ok", fs::read_to_string("/proc/sys/vm/max_map_count").unwrap().trim(), ""]]
    );
}

#[test]
fn a_number_that_does_not_fit_fails_with_the_command_that_mends_it() {
    let (code, report) = examine(&["--bind", "127.0.0.1:0", "--max-connections", "100000000"]);
    assert_eq!((code, report["state"].as_str()), (Some(1), Some("fail")));
    let [[state, _, next]] = of(&report, "vm.max_map_count")[..] else { panic!("{report:#}") };
    assert!(state == "fail" && next.ends_with("sysctl -w vm.max_map_count=400004096"), "{next}");
    let [[state, _, next]] = of(&report, "RLIMIT_NOFILE")[..] else { panic!("{report:#}") };
    assert!(state == "fail" && next.contains("100000128"), "{next}");
}

#[test]
fn descriptors_are_counted_as_the_server_raises_them() {
    let doctor = format!(
        "ulimit -Sn 100; exec '{}' doctor --json --bind 127.0.0.1:0",
        env!("CARGO_BIN_EXE_switchboard")
    );
    let (_, stdout, stderr) = ended(Command::new("sh").args(["-c", &doctor]).output().unwrap());
    let report: Value = serde_json::from_str(&stdout).expect(&stderr);
    let [[_, found, _]] = of(&report, "RLIMIT_NOFILE")[..] else { panic!("{report:#}") };
    let hard = found.strip_prefix("100, the server raises it to ").unwrap_or_else(|| panic!("{found}"));
    let limits = report["checks"].as_array().unwrap();
    let granted =
        limits.iter().find(|check| check["name"] == "RLIMIT_NOFILE").unwrap()["connections"].as_u64();
    if let Ok(hard) = hard.parse::<u64>() {
        assert_eq!(granted, Some(hard - 128));
    }
}

#[test]
fn an_address_that_is_taken_fails() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let bind = taken.local_addr().unwrap().to_string();
    let (code, report) = examine(&["--bind", &bind]);
    assert_eq!(code, Some(1));
    let [[state, found, next]] = of(&report, "address")[..] else { panic!("{report:#}") };
    assert_eq!((state, found), ("fail", format!("cannot listen on {bind}: the address is in use").as_str()));
    assert!(next.starts_with("stop the other program"), "{next}");

    let (code, table, _) = ended(switchboard(&["doctor", "--bind", &bind]).output().unwrap());
    assert_eq!(code, Some(1));
    let line =
        table.lines().find(|line| line.starts_with("FAIL  address ")).unwrap_or_else(|| panic!("{table}"));
    assert!(line.contains("the address is in use  stop the other program"), "{line}");
    assert!(table.contains("\nRoom for "), "{table}");
}

#[test]
fn certificates_are_examined() {
    let authority = Authority::new();
    let files = Files::new(&authority.issue());
    let (certificate, key) = (files.path("cert.pem"), files.path("key.pem"));
    let mode = |mode| fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
    let args = ["--bind", "127.0.0.1:0", "--tls-cert", &certificate, "--tls-key", &key];
    mode(0o600);
    let (code, report) = examine(&args);
    assert_eq!(code, Some(0), "{report:#}");
    let [[state, found, next]] = of(&report, "certificate")[..] else { panic!("{report:#}") };
    assert!(state == "ok" && found.contains("the key fits, ends in ") && next.is_empty(), "{report:#}");
    assert_eq!(of(&report, "permissions")[0][0], "ok");

    mode(0o644);
    let (code, report) = examine(&args);
    assert_eq!((code, report["state"].as_str()), (Some(0), Some("warn")), "{report:#}");
    let found = format!("{key}: every user can read it (mode 644)");
    assert_eq!(of(&report, "permissions"), [["warn", &found, &format!("chmod 600 {key}")]]);

    let (code, report) = examine(&[
        "--bind",
        "127.0.0.1:0",
        "--tls-cert",
        "/nowhere/cert.pem",
        "--tls-key",
        "/nowhere/key.pem",
    ]);
    assert_eq!((code, of(&report, "permissions").len()), (Some(1), 0), "{report:#}");
    assert!(of(&report, "certificate")[0][1].starts_with("/nowhere/cert.pem: cannot be read"), "{report:#}");
    for (pair, said) in [
        (authority.issue_until(2020), "the certificate has expired"),
        ((authority.issue().0, authority.issue().1), "this key does not belong to the certificate"),
        (("nonsense".into(), authority.issue().1), "holds no certificate"),
    ] {
        let files = Files::new(&pair);
        let (certificate, key) = (files.path("cert.pem"), files.path("key.pem"));
        let (code, report) =
            examine(&["--bind", "127.0.0.1:0", "--tls-cert", &certificate, "--tls-key", &key]);
        assert_eq!(code, Some(1));
        let [[state, found, next]] = of(&report, "certificate")[..] else { panic!("{report:#}") };
        assert!(state == "fail" && found.contains(said) && !next.is_empty(), "{found}");
    }
}

#[test]
fn files_of_tokens_are_examined() {
    let file = File::new("swordfish ann\n");
    let args = ["--bind", "127.0.0.1:0", "--token-file", file.path()];
    fs::set_permissions(file.path(), fs::Permissions::from_mode(0o600)).unwrap();
    let (code, report) = examine(&args);
    assert_eq!((code, of(&report, "tokens")[0][0]), (Some(0), "ok"), "{report:#}");
    assert_eq!(of(&report, "permissions")[0][0], "ok");
    fs::set_permissions(file.path(), fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(of(&examine(&args).1, "permissions")[0][0], "warn");

    let (code, report) = examine(&["--bind", "127.0.0.1:0", "--token-file", "/nowhere/tokens"]);
    assert_eq!((code, of(&report, "tokens")[0][0]), (Some(1), "fail"), "{report:#}");
    assert!(of(&report, "tokens")[0][1].contains("/nowhere/tokens"), "{report:#}");
    assert_eq!(of(&examine(&["--bind", "127.0.0.1:0"]).1, "tokens")[0][1], "nobody is asked for one");
}

#[test]
fn a_broken_configuration_fails_and_the_machine_is_examined_all_the_same() {
    let file = File::new("bnid = \"127.0.0.1:0\"\nping-interval = \"x\"\n");
    let (code, report) = examine(&["--config", file.path()]);
    assert_eq!(code, Some(1));
    let mistakes = of(&report, "configuration");
    assert_eq!(mistakes.len(), 2, "{report:#}");
    assert_eq!(
        mistakes[0],
        ["fail", &format!("{}:1:1: `bnid` is no key; did you mean `bind`?", file.path()), ""]
    );
    assert!(mistakes[1][1].contains(":2:17: ping-interval"), "{mistakes:?}");
    assert_eq!(of(&report, "vm.max_map_count").len(), 1);
    assert_eq!(of(&report, "address")[0][1], "not looked at, nor the certificate");

    let file = File::new("bind = \"127.0.0.1:0\"\n");
    let (code, report) = examine(&["--config", file.path(), "--max-connections", "1"]);
    assert_eq!(code, Some(0), "{report:#}");
    assert_eq!(of(&report, "configuration"), [["ok", &format!("{}: fine", file.path()), ""]]);
    assert_eq!(of(&report, "address")[0][1], "127.0.0.1:0 is free");
}

#[test]
fn a_redis_that_is_none_and_a_store_without_a_folder_fail() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let other = crate::support::serve_binary(&[]);
    let folder = std::env::temp_dir();
    let file = folder.join("switchboard-doctor-store");
    let (file, lost) = (file.to_str().unwrap(), "/no/such/folder/store");
    for (redis, found) in [(closed, "nobody listens"), (other.address, "is no Redis")] {
        let url = format!("redis://:hush-password@{redis}");
        let (code, report) = examine(&["--bind", "127.0.0.1:0", "--redis", &url]);
        let [[state, what, next]] = of(&report, "redis")[..] else { panic!("{report:#}") };
        assert!(state == "fail" && what.contains(found) && !next.is_empty(), "{what}");
        assert_eq!(code, Some(1));
        assert!(!report.to_string().contains("hush-password"), "{report:#}");
    }
    for (store, expected) in [(file, "ok"), (lost, "fail")] {
        let (code, report) = examine(&["--bind", "127.0.0.1:0", "--store", store]);
        assert_eq!(
            (of(&report, "store")[0][0], code),
            (expected, Some(i32::from(expected == "fail"))),
            "{report:#}"
        );
    }
    assert!(!fs::exists(file).unwrap(), "it changes nothing");
}

#[test]
#[ignore = "needs a Redis server: tests/run"]
fn a_redis_that_answers_passes_and_one_that_wants_a_password_says_so() {
    let redis = Redis::start(&["--requirepass", "secret"]);
    for (login, state, found) in
        [(":secret@", "ok", "answers"), ("", "fail", "wants a password"), (":wrong@", "fail", "refuses")]
    {
        let url = format!("redis://{login}{}", redis.address());
        let (code, report) = examine(&["--bind", "127.0.0.1:0", "--redis", &url]);
        let [[is, what, _]] = of(&report, "redis")[..] else { panic!("{report:#}") };
        assert!(is == state && what.contains(found), "{login}: {report:#}");
        assert_eq!(code, Some(i32::from(state == "fail")));
    }
    // One that would throw histories away to make room.
    let redis = Redis::start(&["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"]);
    let (code, report) = examine(&["--bind", "127.0.0.1:0", "--redis", &redis.url()]);
    let [[is, what, next]] = of(&report, "redis")[..] else { panic!("{report:#}") };
    assert!(is == "warn" && what.contains("throws keys away") && next.contains("noeviction"), "{report:#}");
    assert_eq!(code, Some(0));
}

#[test]
fn keys_of_the_api_are_examined() {
    let (code, report) = examine(&["--bind", "127.0.0.1:0", "--api-key", "hush"]);
    assert_eq!((code, of(&report, "api")[0][0]), (Some(0), "ok"), "{report:#}");
    assert!(!report.to_string().contains("hush"));
    let (code, report) = examine(&["--bind", "127.0.0.1:0", "--api-key-file", "/nowhere/keys"]);
    assert_eq!((code, of(&report, "api")[0][0]), (Some(1), "fail"), "{report:#}");
    assert!(of(&report, "api")[0][1].contains("/nowhere/keys"), "{report:#}");
    assert_eq!(of(&examine(&["--bind", "127.0.0.1:0"]).1, "api")[0][1], "there is no key, and so no /api");
}
