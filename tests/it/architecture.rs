//! The walls: which file may know what. Read from the source, so that a wall cannot be broken by accident.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A source file without its comments and its tests.
struct Source {
    /// Below `src/`, as `net/outbox.rs`.
    name: String,
    text: String,
    code: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// All of `src/` but files of tests.
fn sources() -> Vec<Source> {
    let sources: Vec<Source> = rust_files("src")
        .into_iter()
        .filter(|path| {
            let stem = path.file_stem().unwrap().to_string_lossy();
            stem != "tests" && !stem.ends_with("_tests")
        })
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            let name = path.strip_prefix(root().join("src")).unwrap().to_string_lossy().into_owned();
            let code = without_tests(&text).lines().map(without_comment).collect::<Vec<_>>().join("\n");
            Source { name, code, text }
        })
        .collect();
    assert!(20 < sources.len(), "the walk over src/ found only {} files", sources.len());
    sources
}

/// Tests come last in a file.
fn without_tests(text: &str) -> &str {
    let module = text.match_indices("#[cfg(test)]\n").find(|(at, found)| {
        let behind = text[at + found.len()..].lines().find(|line| !line.starts_with("#["));
        behind.is_some_and(|line| line.starts_with("mod "))
    });
    module.map_or(text, |(at, _)| &text[..at])
}

fn without_comment(line: &str) -> &str {
    line.split_once("//").map_or(line, |(code, _)| code)
}

/// A layer's number and its name; an import may point to the same name or to a lower number.
fn layer(module: &str) -> (u8, &str) {
    match module {
        "limits" | "rate" | "metrics" | "error" => (0, "foundations"),
        "wire" => (1, "wire"),
        "hub" => (1, "hub"),
        "net" => (2, "net"),
        "engine" => (3, "engine"),
        "sender" | "client" | "reconnect" | "sansio" | "session" => (3, "client"),
        "server" => (4, "server"),
        "auth" => (5, "auth"),
        "schema" => (5, "schema"),
        // `lib.rs` itself and what it re-exports.
        _ => (6, "lib"),
    }
}

/// The top-level modules of this crate that a file names: `crate::x`, `crate::{x, y}`, and `super::` that leads as far.
fn imports(source: &Source) -> Vec<String> {
    let path = source.name.trim_end_matches(".rs").trim_end_matches("/mod");
    let depth = path.split('/').count();
    let to_root = format!("{}::", vec!["super"; depth].join("::"));
    let code = source.code.replace(&to_root, "crate::");
    let mut modules = Vec::new();
    for (at, found) in code.match_indices("crate::") {
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':') {
            continue;
        }
        let rest = &code[at + found.len()..];
        let word = |text: &str| {
            let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
            text[..end].to_string()
        };
        match rest.strip_prefix('{') {
            None => modules.push(word(rest)),
            Some(group) => {
                let mut nesting = 0;
                let mut first = true;
                for (at, c) in group.char_indices() {
                    match c {
                        '{' => nesting += 1,
                        '}' if nesting == 0 => break,
                        '}' => nesting -= 1,
                        ',' if nesting == 0 => first = true,
                        c if c.is_whitespace() => {}
                        _ if first => {
                            modules.push(word(&group[at..]));
                            first = false;
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    modules
}

fn is_program(name: &str) -> bool {
    name == "main.rs" || name.starts_with("cli/")
}

#[test]
fn every_file_says_first_what_it_is() {
    for path in rust_files("src").into_iter().chain(rust_files("tests/it")).chain(rust_files("examples")) {
        assert!(fs::read_to_string(&path).unwrap().starts_with("//!"), "{}", path.display());
    }
}

#[test]
fn imports_point_down_only() {
    let mut seen = 0;
    for source in sources().iter().filter(|source| !is_program(&source.name)) {
        let module = source.name.split('/').next().unwrap().trim_end_matches(".rs");
        let (number, own) = layer(module);
        for import in imports(source) {
            let (below, other) = layer(&import);
            assert!(
                below < number || other == own,
                "{} ({own}) imports crate::{import} ({other})",
                source.name
            );
            seen += 1;
        }
    }
    assert!(50 < seen, "only {seen} imports were found");
}

#[test]
fn the_program_uses_the_public_interface_only() {
    for source in sources().iter().filter(|source| is_program(&source.name)) {
        for import in imports(source) {
            assert_eq!(import, "cli", "{}", source.name);
        }
        for forbidden in ["#[path", "include!("] {
            assert!(!source.code.contains(forbidden), "{} has {forbidden}", source.name);
        }
    }
}

#[test]
fn wire_hub_and_the_sessions_core_know_no_socket_thread_clock_lock_or_log() {
    let forbidden = [
        "std::net",
        "std::thread",
        "std::sync::atomic",
        "std::fs",
        "std::process",
        "std::env",
        "parking_lot",
        "crossbeam",
        "Mutex",
        "Condvar",
        "Instant::now",
        "SystemTime::now",
        "println!",
        "eprintln!",
        "print!(",
        "dbg!",
        "log::",
        "rustix",
        "socket2",
    ];
    for source in sources() {
        if ["wire/", "hub/", "session/core/"].iter().any(|folder| source.name.starts_with(folder)) {
            for word in forbidden {
                assert!(!source.code.contains(word), "{} names {word}", source.name);
            }
        }
    }
}

#[test]
fn the_library_prints_nothing_and_never_exits() {
    for source in sources().iter().filter(|source| !is_program(&source.name)) {
        for word in
            ["println!", "eprintln!", "print!(", "dbg!", "process::exit", "process::abort", "set_hook"]
        {
            assert!(!source.code.contains(word), "{} has {word}", source.name);
        }
    }
}

#[test]
fn no_file_is_longer_than_one_can_take_in() {
    for source in sources() {
        let lines = without_tests(&source.text).lines().count();
        assert!(lines <= 400, "{} has {lines} lines without its tests; 400 is the most", source.name);
    }
}

/// What `src/lib.rs` exports of this crate, by name.
fn exports() -> Vec<String> {
    let text = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let code: String = text.lines().map(without_comment).collect();
    let mut names = Vec::new();
    for (path, _) in code.split("pub use ").skip(1).filter_map(|rest| rest.split_once(';')) {
        // Documented where they come from.
        if path.starts_with("tungstenite::") {
            continue;
        }
        let last = path.split_once('{').map_or(path.rsplit("::").next(), |(_, group)| Some(group));
        let group = last.unwrap_or_default().trim_end_matches('}');
        names.extend(group.split(',').map(|name| name.trim().to_string()).filter(|name| !name.is_empty()));
    }
    names
}

/// The name of a public type, trait or function that this line declares outside any block.
fn declared(line: &str) -> Option<&str> {
    let (kind, rest) = line.strip_prefix("pub ")?.split_once(' ')?;
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    ["struct", "enum", "trait", "fn", "type", "union"].contains(&kind).then_some(&rest[..end])
}

#[test]
fn everything_exported_has_an_example() {
    let mut shown = Vec::new();
    for source in sources().iter().filter(|source| !is_program(&source.name)) {
        let mut has_example = false;
        for line in without_tests(&source.text).lines() {
            if let Some(name) = declared(line) {
                assert!(has_example, "{}: `{name}` has no example in its documentation", source.name);
                shown.push(name.to_string());
            }
            // The example is in the lines right above; attributes stand between.
            let is_above = line.starts_with("///") || line.starts_with("#[");
            has_example = is_above && (has_example || line == "/// ```");
        }
    }
    let exports = exports();
    assert!(25 < exports.len(), "src/lib.rs exports only {exports:?}");
    for name in &exports {
        assert!(shown.contains(name), "`{name}` is exported, but declared nowhere");
    }
}

#[test]
fn every_example_in_the_source_runs() {
    let mut fences = 0;
    for source in sources() {
        let docs = source.text.lines().filter_map(|line| {
            let line = line.trim_start();
            line.strip_prefix("///").or_else(|| line.strip_prefix("//!"))
        });
        for fence in docs.filter_map(|line| line.trim_start().strip_prefix("```")) {
            let is_run = !["no_run", "ignore", "compile_fail"].iter().any(|mark| fence.contains(mark));
            assert!(is_run, "{}: an example is marked `{fence}`", source.name);
            fences += 1;
        }
    }
    assert!(100 < fences, "only {fences} were found");
}

/// The list is in `deny.toml`, for `cargo deny`. The lock file holds the dependencies of all features.
#[test]
fn there_is_no_async_runtime_in_the_tree() {
    let read = |file: &str| fs::read_to_string(root().join(file)).unwrap();
    let (lock, deny) = (read("Cargo.lock"), read("deny.toml"));
    let packages: Vec<&str> =
        lock.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"')).collect();
    assert!(packages.contains(&"tungstenite"), "this is no lock file: {packages:?}");
    let banned = |line: &'static str| line.trim().strip_prefix("{ crate = \"")?.split('"').next();
    let banned: Vec<&str> = deny.leak().lines().filter_map(banned).collect();
    for runtime in ["tokio", "async-std", "smol", "futures-executor", "async-executor", "mio", "polling"] {
        assert!(banned.contains(&runtime), "{runtime} is not banned in deny.toml");
    }
    for runtime in banned {
        assert!(!packages.contains(&runtime), "{runtime} is in Cargo.lock");
    }
}

#[test]
fn the_library_alone_is_small_and_needs_no_c_compiler() {
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let arguments =
        ["tree", "--locked", "--no-default-features", "--edges", "normal,build", "--prefix", "none"];
    let tree = Command::new(cargo).args(arguments).current_dir(root()).output().unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let tree = String::from_utf8(tree.stdout).unwrap();
    let crates: BTreeSet<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(crates.contains("tungstenite") && crates.len() <= 40, "{}: {crates:?}", crates.len());
    for builder in ["cc", "cmake", "bindgen", "pkg-config"] {
        assert!(!crates.contains(builder), "{builder} is in the tree");
    }
}

#[test]
fn the_guide_has_all_its_chapters() {
    let contents = fs::read_to_string(root().join("src/guide/mod.rs")).unwrap();
    let mut chapters = 0;
    for entry in fs::read_dir(root().join("src/guide")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "md") {
            let name = path.file_stem().unwrap().to_string_lossy();
            assert_eq!(contents.matches(&format!("| [`{name}`] |")).count(), 1, "{name} in the contents");
            assert!(contents.contains(&format!("include_str!(\"{name}.md\")")), "{name} is not included");
            let lines = fs::read_to_string(&path).unwrap().lines().count();
            assert!((60..=150).contains(&lines), "{name} has {lines} lines; 60 to 150 are a chapter");
            chapters += 1;
        }
    }
    assert_eq!(chapters, 12);
}

#[test]
fn nothing_is_left_undone() {
    // In two parts, or this file would find itself.
    let marks =
        [["TO", "DO"], ["FIX", "ME"], ["unimplemen", "ted!("], ["to", "do!("]].map(|parts| parts.concat());
    for path in ["src", "tests", "examples", "benches"].into_iter().flat_map(rust_files) {
        let text = fs::read_to_string(&path).unwrap();
        for mark in &marks {
            assert!(!text.contains(mark), "{} has {mark}", path.display());
        }
    }
}
