//! The server API: its keys.

use clap::Args;
use std::path::PathBuf;
use switchboard::auth::Tokens;
use switchboard::{Builder, Error, Identity, Result};

/// Where it is.
const PATH: &str = "/api";

#[derive(Args)]
#[command(next_help_heading = "Programs that publish")]
pub(crate) struct Api {
    /// A key for the server API below /api: who brings it (Authorization: Bearer KEY) may publish, tell everybody, disconnect
    /// users and look at rooms. Repeatable, or several with commas between. Without a key there is no /api. Others can see a
    /// command line: rather put it into the environment or a file
    #[arg(
        long,
        value_name = "KEY",
        allow_hyphen_values = true,
        env = "SWITCHBOARD_API_KEY",
        hide_env_values = true,
        value_delimiter = ','
    )]
    api_key: Vec<String>,
    /// Such keys in a file, one in each line, and behind it a word as a note if you like: KEY, or KEY NOTE; # begins a comment. SIGHUP
    /// reads it again
    #[arg(long, value_name = "FILE", env = "SWITCHBOARD_API_KEY_FILE")]
    api_key_file: Option<PathBuf>,
}

impl Api {
    /// Reads them; none: there is no API.
    pub(crate) fn keys(&self) -> Result<Tokens> {
        let keys = self.given()?;
        match &self.api_key_file {
            Some(path) => keys.with_file(path),
            None => Ok(keys),
        }
    }

    /// What can be known without the file.
    pub(crate) fn check(&self) -> Result<()> {
        self.given().map(drop)
    }

    pub(crate) fn has_file(&self) -> bool {
        self.api_key_file.is_some()
    }

    fn given(&self) -> Result<Tokens> {
        let named = |error| Error::Config(format!("--api-key: {error}"));
        self.api_key
            .iter()
            .try_fold(Tokens::new(), |keys, key| keys.with(key, Identity::default()).map_err(named))
    }
}

pub(crate) fn apply(builder: Builder, keys: &Tokens) -> Builder {
    builder.api(PATH, keys)
}
