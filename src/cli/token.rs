//! `switchboard token`: a signed token, for trying out a server that asks for one.

use super::access::id_and_file;
use super::units;
use clap::Args;
use serde_json::json;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use switchboard::auth::Signer;
use switchboard::{Error, Result};

const AFTER_HELP: &str = "\
Examples:
  switchboard token --jwt-key private.pem --sub ann
  SWITCHBOARD_JWT_SECRET=… switchboard token --sub ann --exp 10m --rooms 'tea,team-*'";

#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Token {
    /// The server's secret (HS256)
    #[arg(
        long,
        value_name = "SECRET",
        allow_hyphen_values = true,
        env = "SWITCHBOARD_JWT_SECRET",
        hide_env_values = true
    )]
    jwt_secret: Option<String>,
    /// A private key in PEM, to the public one that the server has (RS256, ES256); or a file with the secret. With ID=
    /// before it, the key's name (kid)
    #[arg(long, value_name = "[ID=]FILE")]
    jwt_key: Option<String>,
    /// Whose token it is
    #[arg(long, value_name = "USER")]
    sub: String,
    /// How long it is good, as 1h or 30m
    #[arg(long, value_name = "T", default_value = "1h", value_parser = units::time)]
    exp: Duration,
    /// For whom it is; repeatable
    #[arg(long, value_name = "AUD", value_delimiter = ',')]
    aud: Vec<String>,
    /// Who gives it away
    #[arg(long, value_name = "ISS")]
    iss: Option<String>,
    /// Rooms to read and write, as tea,team-* [default: all]
    #[arg(long, value_name = "ROOM", value_delimiter = ',')]
    rooms: Option<Vec<String>>,
}

pub(crate) fn run(options: Token) -> Result<()> {
    let signer = match (&options.jwt_key, &options.jwt_secret) {
        (Some(key), _) => {
            let (id, file) = id_and_file(key);
            let signer = Signer::read(file)?;
            match id {
                Some(id) => signer.with_id(id),
                None => signer,
            }
        }
        (None, Some(secret)) => Signer::secret(secret)?,
        (None, None) => {
            let what = "what shall sign the token? add --jwt-key FILE, or --jwt-secret SECRET (or SWITCHBOARD_JWT_SECRET)";
            return Err(Error::Config(what.into()));
        }
    };
    println!("{}", signer.sign(&claims(options))?);
    Ok(())
}

fn claims(options: Token) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut claims = json!({
        "sub": options.sub,
        "iat": now.as_secs(),
        "exp": now.saturating_add(options.exp).as_secs(),
    });
    if !options.aud.is_empty() {
        claims["aud"] = options.aud.into();
    }
    if let Some(iss) = options.iss {
        claims["iss"] = iss.into();
    }
    if let Some(rooms) = options.rooms {
        claims["rooms"] = rooms.into();
    }
    claims.to_string()
}
