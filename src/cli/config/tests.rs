//! Files, merging and the template, with a small grammar of their own; and rules that every key of the server keeps.

use super::file::{Content, parse, quoted};
use super::merge::own;
use super::{Failure, Faulty, File, Grammar, Setting, Source, template};
use crate::cli::{Cli, serve, units};
use clap::{ArgMatches, Args, Command, CommandFactory, Parser, Subcommand};
use proptest::prelude::*;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::{env, fs, process};

#[derive(Parser)]
struct Small {
    #[command(subcommand)]
    command: Option<Commands>,
    #[command(flatten)]
    file: File,
    #[command(flatten)]
    keys: Keys,
}

#[derive(Subcommand)]
enum Commands {
    Serve {
        #[command(flatten)]
        file: File,
        #[command(flatten)]
        keys: Keys,
    },
    Other {
        #[arg(long)]
        flag: bool,
    },
}

#[derive(Args)]
struct Keys {
    /// Largest message, as 64K or 1M
    #[arg(long, value_name = "SIZE", default_value = "1M", value_parser = units::size)]
    max_size: usize,
    /// How many; no fewer than one, and this help is so long that it does not fit into one line of a comment at all
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Who
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    name: Vec<String>,
    /// Which way
    #[arg(long, value_name = "WAY", value_parser = ["left", "right"], default_value = "left")]
    way: String,
    /// How loud
    #[arg(long, value_name = "X", default_value = "1.5")]
    volume: f64,
    /// Let nobody see this
    #[arg(long, value_name = "TOKEN", hide_env_values = true, default_value = "hunter2", value_parser = token)]
    token: String,
    /// Say nothing
    #[arg(long)]
    quiet: bool,
    /// One half
    #[arg(long, value_name = "FILE", requires = "key", conflicts_with = "quiet")]
    cert: Option<PathBuf>,
    /// The other half
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
}

fn token(text: &str) -> Result<String, String> {
    if text.len() < 4 { Err("write 4 characters at least".into()) } else { Ok(text.into()) }
}

fn judge(matches: &ArgMatches) -> Result<(), String> {
    match (matches.get_one::<u64>("count"), matches.get_one::<usize>("max_size")) {
        (Some(&count), Some(&size)) if size < count as usize => Err("the size is below the count".into()),
        _ => Ok(()),
    }
}

fn keys() -> Command {
    Keys::augment_args(Command::new("keys"))
}

fn small() -> Grammar {
    Grammar { command: Small::command(), keys: keys(), judge }
}

/// A file that is removed when dropped.
struct Written(PathBuf);

impl Written {
    fn new(text: impl AsRef<[u8]>) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("switchboard-config-{}-{}.toml", process::id(), COUNT.fetch_add(1, Relaxed));
        let path = env::temp_dir().join(name);
        fs::write(&path, text).unwrap();
        Self(path)
    }

    /// What merging says, without the file's name.
    fn shown(&self, faulty: &Faulty) -> String {
        faulty.to_string().replace(&format!("{}:", self.0.display()), "")
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn line(args: &[&str]) -> Vec<OsString> {
    ["switchboard"].iter().chain(args).map(OsString::from).collect()
}

fn flags(content: &Content) -> Vec<String> {
    content.entries.iter().flat_map(|entry| entry.flags.clone()).collect()
}

#[test]
fn a_file_says_what_flags_say() {
    for (text, expected) in [
        ("", &[][..]),
        ("max-size = \"64K\"", &["--max-size=64K"]),
        ("max_size = 1_000 # with an underscore, twice", &["--max-size=1000"]),
        ("volume = 0.5\ncount = 7", &["--volume=0.5", "--count=7"]),
        ("quiet = true", &["--quiet"]),
        ("quiet = false", &[]),
        ("name = \"ann\"", &["--name=ann"]),
        ("name = [\"ann\",\n  \"bob\", # with a comment\n]", &["--name=ann", "--name=bob"]),
        ("name = []", &[]),
        ("cert = '-x = \"y\"'", &["--cert=-x = \"y\""]),
    ] {
        let content = parse(&keys(), text);
        assert_eq!(content.problems, [], "{text}");
        assert_eq!(flags(&content), expected, "{text}");
    }
}

#[test]
fn every_mistake_has_its_place_and_what_would_do() {
    for (text, expected) in [
        ("max-sice = 1", &["1:1: `max-sice` is no key; did you mean `max-size`?"][..]),
        ("\nzzz = 1", &["2:1: `zzz` is no key; `switchboard config` lists all keys"]),
        ("help = true", &["1:1: `help` is no key; `switchboard config` lists all keys"]),
        ("[counts]\ncount = 1", &["1:2: `counts` is no key; the keys stand at the top, in no table"]),
        (
            "count = 1\ncert = \"é\" x = 2",
            &["2:12: this is no TOML: unexpected key or value, expected newline, `#`"],
        ),
        (
            "max-size = \"1X\"",
            &["1:12: max-size = \"1X\": `X` is no unit of size; write bytes, or K, M, G, as 64K"],
        ),
        ("count = 0", &["1:9: count = 0: 0 is not in 1..18446744073709551615"]),
        ("count = \"x\"", &["1:9: count = \"x\": write a whole number that is not too large"]),
        ("volume = \"x\"", &["1:10: volume = \"x\": write a number"]),
        ("way = \"up\"", &["1:7: way = \"up\": write one of left, right"]),
        ("way = [\"left\"]", &["1:7: `way` takes one value, and not an array"]),
        ("quiet = \"true\"", &["1:9: `quiet` is a string here; write true or false"]),
        ("quiet = 1", &["1:9: `quiet` is a number here; write true or false"]),
        ("count = 0x10", &["1:9: `count` is a number that is not decimal here; write a string or a number"]),
        ("count = 2026-11-21", &["1:9: `count` is a date here; write a string or a number"]),
        ("count = {}", &["1:9: `count` is a table here; write a string or a number"]),
        (
            "name = [\"a\", [1], {}]",
            &[
                "1:14: `name` is an array here; write a string or a number",
                "1:19: `name` is a table here; write a string or a number",
            ],
        ),
        ("max-size = 1\nmax_size = 2", &["2:1: `max-size` stands in line 1 already; take one of them away"]),
        ("max-size = 1\nmax-size = 2", &["2:1: this is no TOML: duplicate key"]),
        ("way = left", &["1:7: this is no TOML: string values must be quoted, expected literal string"]),
        (
            "cert = 0.0.0.0:80",
            &["1:11: this is no TOML: invalid float, expected nothing; a text stands in quotes"],
        ),
        // A secret is not shown.
        ("token = \"abc\"", &["1:9: token: write 4 characters at least"]),
        // All of them, in order.
        (
            "zzz = 1\ncount = \nquiet = 2\nmax-size = 5\nway = 7",
            &[
                "1:1: `zzz` is no key; `switchboard config` lists all keys",
                "2:9: this is no TOML: string values must be quoted, expected literal string",
                "3:9: `quiet` is a number here; write true or false",
                "5:7: way = 7: write one of left, right",
            ],
        ),
    ] {
        let told = |problem: &super::file::Problem| format!("{}: {}", problem.place.unwrap(), problem.text);
        let problems: Vec<String> = parse(&keys(), text).problems.iter().map(told).collect();
        assert_eq!(problems, expected, "{text}");
    }
}

#[test]
fn what_is_right_beside_a_mistake_is_read() {
    let content = parse(&keys(), "zzz = 1\ncount = 3\nway = 7\nquiet = true\n");
    assert_eq!(flags(&content), ["--count=3", "--quiet"]);
    assert_eq!((content.problems.len(), content.spoiled), (2, vec!["way".to_string()]));
}

proptest! {
    #[test]
    fn any_text_is_a_file_or_not(text in "(([a-z_-]{0,9}|max-size|name|\\PC{0,3})[ ]?=?[ ]?(\"?\\PC{0,5}\"?|[0-9]{1,3}|\\[.{0,6}\\]?)\n?){0,5}") {
        let lines = text.lines().count().max(1) + 1;
        for problem in parse(&keys(), &text).problems {
            let place = problem.place.unwrap();
            prop_assert!((1..=lines).contains(&place.line) && 0 < place.column, "{:?}", problem);
        }
    }

    #[test]
    fn any_value_is_quoted_as_toml(text in "\\PC{0,9}|[\\x00-\\x20\"\\\\]{0,5}") {
        let content = parse(&keys(), &format!("cert = {}", quoted(&text)));
        if text.is_empty() {
            prop_assert_eq!(content.problems.len(), 1);
        } else {
            prop_assert_eq!(flags(&content), [format!("--cert={text}")]);
        }
    }
}

fn value<'a>(settings: &'a [Setting], key: &str) -> (&'a [String], Source) {
    let setting = settings.iter().find(|setting| setting.key == key).unwrap();
    (setting.values(), setting.source)
}

#[test]
fn a_flag_has_priority_over_the_file_and_the_file_over_the_default() {
    let file = Written::new("max-size = \"3K\"\nname = [\"ann\", \"bob\"]\nquiet = true\nway = \"right\"\n");
    let path = file.0.display().to_string();
    for command in [&["serve"][..], &[]] {
        let args = line(&[command, &["--config", &path, "--max-size=2K", "--name", "cid"]].concat());
        let Ok(merged) = small().merge(&args) else { panic!("{args:?} is refused") };
        let of = |key| value(&merged.settings, key);
        assert_eq!(of("max-size"), (&["2K".to_string()][..], Source::Flag));
        // A list in the file is replaced, and not made longer.
        assert_eq!(of("name"), (&["cid".to_string()][..], Source::Flag));
        assert_eq!(of("way"), (&["right".to_string()][..], Source::File(4)));
        assert_eq!(of("quiet"), (&["true".to_string()][..], Source::File(3)));
        assert_eq!(of("volume"), (&["1.5".to_string()][..], Source::Default));
        assert_eq!(of("count"), (&[][..], Source::Default));
        let matches = own(&merged.matches);
        assert_eq!(matches.get_one::<usize>("max_size"), Some(&2048));
        assert!(matches.get_flag("quiet"));
    }
    let args = line(&["other", "--flag"]);
    assert!(small().merge(&args).is_ok_and(|merged| merged.settings.is_empty()));
}

/// Why it is refused: mistakes of the file begin with their place.
fn refusal(file: &Written, args: &[&str]) -> String {
    let path = file.0.display().to_string();
    match small().merge(&line(&[&["serve", "--config", &path], args].concat())) {
        Ok(_) => "accepted".into(),
        Err(Failure::File(faulty)) => file.shown(&faulty),
        Err(Failure::Rule(text)) => text,
        Err(Failure::Usage(error)) => error.to_string().lines().next().unwrap_or_default().into(),
    }
}

#[test]
fn what_belongs_together_may_be_said_in_different_places() {
    for (text, args, expected) in [
        ("cert = 'c'\nkey = 'k'", &[][..], "accepted"),
        ("cert = 'c'", &["--key", "k"], "accepted"),
        ("key = 'k'", &["--cert", "c"], "accepted"),
        (
            "quiet = true\ncert = 'c'",
            &["--key", "k"],
            "1:1: quiet: quiet does not go with cert\n2:1: cert: quiet does not go with cert",
        ),
        ("way = 'right'\nkey = 'k'", &[], "2:1: key: this needs another key too: cert"),
        ("", &["--key", "k"], "error: the following required arguments were not provided:"),
        ("quiet = true", &["--cert", "c", "--key", "k"], "1:1: quiet: quiet does not go with cert"),
        ("count = 9", &["--max-size=8"], "1:1: count: the size is below the count"),
        ("quiet = true", &["--count=9", "--max-size=8"], "the size is below the count"),
        ("count = 0", &["--count=3"], "1:9: count = 0: 0 is not in 1..18446744073709551615"),
        (
            "",
            &["--count=0"],
            "error: invalid value '0' for '--count <N>': 0 is not in 1..18446744073709551615",
        ),
        ("", &["--zzz"], "error: unexpected argument '--zzz' found"),
    ] {
        let said = refusal(&Written::new(text), args);
        let same_but_order =
            |text: &str| text.replace("cert does not go with quiet", "quiet does not go with cert");
        assert_eq!(same_but_order(&said), expected, "{text} {args:?}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    assert!(refusal(&Written::new(b"count = 1 # \xff"), &[]).contains("is not UTF-8 from byte 12 on"));
    let gone = Written::new("");
    fs::remove_file(&gone.0).unwrap();
    assert!(refusal(&gone, &[]).contains("cannot be read: "));
}

#[test]
fn a_check_finds_all_that_does_not_go_together() {
    let check = |text: &str| {
        let file = Written::new(text);
        let problems = small().check(&line(&["serve"]), &file.0);
        file.shown(&Faulty { path: file.0.clone(), problems })
    };
    assert_eq!(check("count = 3\n"), "");
    assert_eq!(
        check("zzz = 1\ncert = 'c'\ncount = 9\nmax-size = 8\n"),
        "1:1: `zzz` is no key; `switchboard config` lists all keys\n\
         2:1: cert: this needs another key too: key\n\
         3:1: count: the size is below the count\n\
         4:1: max-size: the size is below the count"
    );
    // The key is there, and told already.
    assert_eq!(check("cert = 'c'\nkey = [1]\n"), "2:7: `key` takes one value, and not an array");
}

#[test]
fn a_secret_is_shown_nowhere() {
    let file = Written::new("token = \"swordfish\"\nname = \"ann\"\n");
    let path = file.0.display().to_string();
    let Ok(merged) = small().merge(&line(&["--config", &path])) else { panic!("it is refused") };
    let shown: Vec<String> = merged.settings.iter().map(ToString::to_string).collect();
    assert!(shown.contains(&"token = (secret) (line 1 of the file)".into()), "{shown:?}");
    assert!(shown.contains(&"name = [\"ann\"] (line 2 of the file)".into()), "{shown:?}");
    assert!(!shown.concat().contains("swordfish"));
    assert!(!template::of(&keys()).contains("hunter2"));
    assert!(crate::cli::secrets::files(&merged.settings, Some(&file.0)).contains(&file.0));
    assert!(crate::cli::secrets::files(&merged.settings[..1], Some(&file.0)).is_empty());
}

/// Each line that holds a default becomes one that sets it.
fn uncommented(template: &str) -> String {
    let is_key = |rest: &str| rest.starts_with(|c: char| c.is_ascii_lowercase());
    let line = |line| str::strip_prefix(line, "#").filter(|rest| is_key(rest)).unwrap_or(line);
    template.lines().map(|text| line(text).to_string() + "\n").collect()
}

#[test]
fn the_template_holds_every_key_and_is_a_file_itself() {
    for keys in [keys(), serve::Serve::augment_args(Command::new("keys"))] {
        let template = template::of(&keys);
        assert!(template.lines().all(|line| line.is_empty() || line.starts_with('#')), "{template}");
        assert!(template.lines().all(|line| line.chars().count() <= 110), "{template}");
        let text = uncommented(&template);
        assert_ne!(text, template);
        assert_eq!(parse(&keys, &text).problems, [], "{text}");
        for arg in keys.get_arguments() {
            let key = arg.get_long().unwrap();
            assert_eq!(
                template
                    .lines()
                    .filter(|line| line.trim_start_matches(['#', ' ']).starts_with(&format!("{key} = ")))
                    .count(),
                1,
                "{key}"
            );
        }
    }
    let template = template::of(&keys());
    for line in [
        "#max-size = \"1M\"",
        "# count = N",
        "#name = []",
        "#volume = 1.5",
        "# token = TOKEN",
        "#quiet = false",
        "# key = FILE",
    ] {
        assert_eq!(template.lines().filter(|found| *found == line).count(), 1, "{line} in {template}");
    }
}

#[test]
fn every_key_has_a_variable_of_its_name_and_secrets_are_marked() {
    Cli::command().debug_assert();
    for arg in serve::Serve::augment_args(Command::new("keys")).get_arguments() {
        let key = arg.get_long().expect("every option of the server has a long name");
        let variable = format!("SWITCHBOARD_{}", key.replace('-', "_").to_ascii_uppercase());
        assert_eq!(arg.get_env().and_then(|name| name.to_str()), Some(variable.as_str()), "{key}");
        let is_word = |word: &str| key.split('-').any(|part| part == word);
        let looks_secret = !key.ends_with("-file")
            && (["token", "tokens", "secret", "password"].into_iter().any(is_word)
                || key == "redis"
                || key.contains("api-key"));
        assert!(arg.is_hide_env_values_set() || !looks_secret, "{key} lacks `hide_env_values = true`");
    }
}
