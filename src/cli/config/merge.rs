//! Flags, environment and file as one: a flag has priority over the environment, that over the file, that over the default.
//!
//! What the file says and nobody else does is put before the flags, as flags. So clap judges all of it by the same
//! definitions: what needs or excludes what, too, wherever it was said.

use super::file::{self, Content, Entry, Problem, argument};
use super::setting::{self, Setting};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{ArgMatches, Command};
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// The argument that names the file.
pub(crate) const FILE: &str = "config";

/// What can be said to the program.
pub(crate) struct Grammar {
    /// With all its commands.
    pub(crate) command: Command,
    /// One whose flags are the keys of a file.
    pub(crate) keys: Command,
    /// What clap cannot know about values that do not go together.
    pub(crate) judge: fn(&ArgMatches) -> Result<(), String>,
}

/// What holds.
pub(crate) struct Merged {
    pub(crate) matches: ArgMatches,
    /// Empty for commands without a configuration.
    pub(crate) settings: Vec<Setting>,
}

/// Why nothing holds.
pub(crate) enum Failure {
    /// A mistake in the flags or the environment; or `--help`, which clap treats as one.
    Usage(clap::Error),
    /// Values that do not go together, and none of them is the file's.
    Rule(String),
    File(Faulty),
}

/// A file with mistakes.
pub(crate) struct Faulty {
    pub(crate) path: PathBuf,
    pub(crate) problems: Vec<Problem>,
}

/// The matches of the command that was given, or of the program when there was none.
pub(crate) fn own(matches: &ArgMatches) -> &ArgMatches {
    matches.subcommand().map_or(matches, |(_, own)| own)
}

impl Grammar {
    /// Reads everything: the arguments, and the file that they or the environment name.
    pub(crate) fn merge(&self, args: &[OsString]) -> Result<Merged, Failure> {
        if let Err(error) = self.command.clone().try_get_matches_from(args)
            && !is_relation(&error)
        {
            return Err(Failure::Usage(error));
        }
        // What is missing may be in the file: for now only who said what is of interest.
        let said = self.command.clone().ignore_errors(true).try_get_matches_from(args);
        let said = said.map_err(Failure::Usage)?;
        if !self.is_configured(&said) {
            return Ok(Merged { matches: self.without_file(args)?, settings: Vec::new() });
        }
        let entries = match own(&said).get_one::<PathBuf>(FILE) {
            Some(path) => self.entries(args, path, own(&said))?,
            None => Vec::new(),
        };
        let matches = self.attempt(args, &entries).map_err(Objection::into_failure)?;
        let settings = setting::all(&self.keys, own(&matches), &entries);
        Ok(Merged { matches, settings })
    }

    /// What the file says of one key, whatever is wrong with others.
    pub(crate) fn flags(&self, path: &Path, key: &str) -> Vec<OsString> {
        let entries = self.read(path).map(|content| content.entries).unwrap_or_default();
        let own = entries.into_iter().filter(|entry| entry.key == key);
        own.flat_map(|entry| entry.flags).map(OsString::from).collect()
    }

    /// What of the file counts beside what is `said` elsewhere.
    fn entries(&self, args: &[OsString], path: &Path, said: &ArgMatches) -> Result<Vec<Entry>, Failure> {
        let faulty = |problems| Failure::File(Faulty { path: path.into(), problems });
        let mut content = self.read(path).map_err(|problem| faulty(vec![problem]))?;
        content.entries.retain(|entry| {
            let id = argument(&self.keys, &entry.key).map(|arg| arg.get_id().as_str());
            let source = id.and_then(|id| said.value_source(id));
            !matches!(source, Some(ValueSource::CommandLine | ValueSource::EnvVariable))
        });
        let entries = content.entries.clone();
        match self.problems(args, content) {
            problems if problems.is_empty() => Ok(entries),
            problems => Err(faulty(problems)),
        }
    }

    /// Flags and environment alone.
    pub(crate) fn without_file(&self, args: &[OsString]) -> Result<ArgMatches, Failure> {
        self.attempt(args, &[]).map_err(Objection::into_failure)
    }

    /// All mistakes of a file that is served with as `args` say.
    pub(crate) fn check(&self, args: &[OsString], path: &Path) -> Vec<Problem> {
        self.read(path).map_or_else(|problem| vec![problem], |content| self.problems(args, content))
    }

    fn read(&self, path: &Path) -> Result<Content, Problem> {
        let wrong = |text: String| Problem { place: None, text };
        let bytes = fs::read(path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
        let text = String::from_utf8(bytes).map_err(|error| {
            wrong(format!("is not UTF-8 from byte {} on", error.utf8_error().valid_up_to()))
        })?;
        Ok(file::parse(&self.keys, &text))
    }

    /// The mistakes in a file, and what in it does not go together or with `args`.
    fn problems(&self, args: &[OsString], content: Content) -> Vec<Problem> {
        let Content { mut entries, mut problems, mut spoiled } = content;
        // One objection at a time is all that is told; the next is seen without the entries that this one is about.
        while let Err(objection) = self.attempt(args, &entries) {
            let blamed = self.blame(args, &entries, &objection);
            if blamed.is_empty() {
                break;
            }
            let is_guilty = |entry: &Entry| blamed.iter().any(|problem| problem.place == Some(entry.place));
            let guilty = entries.extract_if(.., |entry| is_guilty(entry)).map(|entry| entry.key);
            let guilty: Vec<String> = guilty.collect();
            // What needs a key that is there, though with a mistake, has been told enough.
            let is_told = |problem: &Problem| spoiled.iter().any(|key| problem.text.ends_with(&needs(key)));
            problems.extend(blamed.into_iter().filter(|problem| !is_told(problem)));
            spoiled.extend(guilty);
        }
        problems.sort();
        problems
    }

    /// Everything as one command line.
    fn attempt(&self, args: &[OsString], entries: &[Entry]) -> Result<ArgMatches, Objection> {
        let is_command = |arg: &OsString| arg.to_str().is_some_and(|arg| self.has_command(arg));
        let at = if args.get(1).is_some_and(is_command) { 2 } else { 1 }.min(args.len());
        let mut line = args[..at].to_vec();
        line.extend(entries.iter().flat_map(|entry| &entry.flags).map(OsString::from));
        line.extend_from_slice(&args[at..]);
        let matches = self.command.clone().try_get_matches_from(line).map_err(Objection::Usage)?;
        if self.is_configured(&matches) {
            (self.judge)(own(&matches)).map_err(Objection::Rule)?;
        }
        Ok(matches)
    }

    /// Whether the command that was given has a configuration. The matches themselves tell it in debug builds only.
    fn is_configured(&self, matches: &ArgMatches) -> bool {
        let given = matches.subcommand_name().and_then(|name| self.command.find_subcommand(name));
        given.unwrap_or(&self.command).get_arguments().any(|argument| argument.get_id() == FILE)
    }

    fn has_command(&self, name: &str) -> bool {
        self.command.find_subcommand(name).is_some()
    }

    /// The entries without which there would be fewer objections.
    fn blame(&self, args: &[OsString], entries: &[Entry], objection: &Objection) -> Vec<Problem> {
        let all = objection.texts();
        let without = |index: usize| {
            let rest = [&entries[..index], &entries[index + 1..]].concat();
            self.attempt(args, &rest).err().map(|objection| objection.texts()).unwrap_or_default()
        };
        let blamed = entries.iter().enumerate().flat_map(|(index, entry)| {
            let rest = without(index);
            let gone = all.iter().filter(move |text| !rest.contains(text));
            gone.map(|text| {
                // A rule about one key names it as a flag.
                let flag = format!("--{}: ", entry.key);
                let text = text.strip_prefix(&flag).unwrap_or(text);
                Problem { place: Some(entry.place), text: format!("{}: {text}", entry.key) }
            })
        });
        blamed.collect()
    }
}

/// Whether more arguments could mend it.
fn is_relation(error: &clap::Error) -> bool {
    matches!(error.kind(), ErrorKind::MissingRequiredArgument | ErrorKind::ArgumentConflict)
}

fn needs(key: &str) -> String {
    format!("this needs another key too: {key}")
}

/// Why a command line is not accepted.
enum Objection {
    Usage(clap::Error),
    Rule(String),
}

impl Objection {
    fn into_failure(self) -> Failure {
        match self {
            Self::Usage(error) => Failure::Usage(error),
            Self::Rule(text) => Failure::Rule(text),
        }
    }

    /// In words that fit behind a key.
    fn texts(&self) -> Vec<String> {
        let error = match self {
            Self::Rule(text) => return vec![text.clone()],
            Self::Usage(error) => error,
        };
        let named = |kind| {
            let flags = match error.get(kind) {
                Some(ContextValue::String(flag)) => vec![flag.clone()],
                Some(ContextValue::Strings(flags)) => flags.clone(),
                _ => Vec::new(),
            };
            let name = |flag: String| flag.trim_start_matches('-').split(' ').next().map(str::to_string);
            flags.into_iter().filter_map(name).collect::<Vec<_>>()
        };
        match error.kind() {
            ErrorKind::MissingRequiredArgument => {
                let missing = named(ContextKind::InvalidArg);
                missing.iter().map(|name| needs(name)).collect()
            }
            ErrorKind::ArgumentConflict => {
                let (one, others) = (named(ContextKind::InvalidArg), named(ContextKind::PriorArg));
                vec![format!("{} does not go with {}", one.join(", "), others.join(", "))]
            }
            _ => vec![error.to_string()],
        }
    }
}

impl fmt::Display for Faulty {
    /// One line for each mistake, with its place in a form that editors understand.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            let line_break = if index == 0 { "" } else { "\n" };
            write!(f, "{line_break}{}:", self.path.display())?;
            match problem.place {
                Some(place) => write!(f, "{place}: {}", problem.text)?,
                None => write!(f, " {}", problem.text)?,
            }
        }
        Ok(())
    }
}
