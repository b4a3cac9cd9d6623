//! `switchboard completions` and `switchboard man`: from the same definitions as `--help`, so that they say the same.

use clap::{Args, Command};
use clap_complete::Shell;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

const NAME: &str = "switchboard";

const COMPLETIONS: &str = "\
Examples:
  source <(switchboard completions bash)                                        # for this shell
  switchboard completions bash > ~/.local/share/bash-completion/completions/switchboard   # for good
  switchboard completions zsh > \"${fpath[1]}/_switchboard\"
  switchboard completions fish > ~/.config/fish/completions/switchboard.fish";
const MAN: &str = "\
Examples:
  switchboard man ~/.local/share/man/man1
  man switchboard-load";

#[derive(Args)]
#[command(after_help = COMPLETIONS)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

#[derive(Args)]
#[command(after_help = MAN)]
pub(crate) struct Man {
    /// Where the pages are written, one for each command; made if it does not exist
    dir: PathBuf,
}

pub(crate) fn completions(options: &Completions, mut program: Command) -> io::Result<()> {
    // Not at once to stdout: the generator panics when nobody reads it.
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut program, NAME, &mut script);
    io::stdout().write_all(&script)
}

pub(crate) fn man(options: &Man, program: Command) -> io::Result<()> {
    let dir = &options.dir;
    let made = fs::create_dir_all(dir).and_then(|()| clap_mangen::generate_to(program, dir));
    let told = |error: io::Error| format!("{}: {error}; name a folder that you may write in", dir.display());
    made.map_err(|error| io::Error::new(error.kind(), told(error)))
}
