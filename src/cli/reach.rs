//! How a client reaches its server: what all commands that connect can be told about that, and what to do when it fails.

use clap::Args;
use std::fs;
use std::path::PathBuf;
use switchboard::{ClientBuilder, Error, Result};

#[derive(Args)]
pub(crate) struct Reach {
    /// A header field for the request, as 'Authorization: Bearer secret'; repeatable
    #[arg(short = 'H', long, value_name = "NAME: VALUE", value_parser = header)]
    header: Vec<(String, String)>,
    /// A subprotocol to offer; repeatable, the one wanted most first
    #[arg(long, value_name = "NAME")]
    subprotocol: Vec<String>,
    /// Trust the certificates in this PEM file, in place of the usual authorities
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Trust any certificate; for development only
    #[arg(long, conflicts_with = "ca")]
    insecure: bool,
}

impl Reach {
    pub(crate) fn apply(&self, mut client: ClientBuilder) -> Result<ClientBuilder> {
        for (name, value) in &self.header {
            client = client.header(name, value);
        }
        for name in &self.subprotocol {
            client = client.subprotocol(name);
        }
        if let Some(path) = &self.ca {
            let pem = fs::read(path)
                .map_err(|error| Error::Config(format!("cannot read --ca {}: {error}", path.display())))?;
            client = client.roots(pem);
        } else if self.insecure {
            client = client.danger_accept_any_certificate();
        }
        Ok(client)
    }

    pub(crate) fn offers_subprotocol(&self) -> bool {
        !self.subprotocol.is_empty()
    }
}

fn header(text: &str) -> std::result::Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("write NAME: VALUE, as 'Authorization: Bearer secret'")?;
    Ok((name.trim().into(), value.trim().into()))
}

/// What to do about a connection that did not come about.
pub(crate) fn advice(error: &Error) -> String {
    let what = match error {
        Error::Io(_) => "check host and port of the URL, and the network",
        Error::Refused { status: 401 | 403, .. } => {
            "give what it wants with -H, as -H 'Authorization: Bearer …', -H 'Cookie: …' or -H 'Origin: …'"
        }
        Error::Refused { status: 404, .. } => "check the path of the URL",
        Error::Refused { status: 300..=399, .. } => "redirects are not followed: connect to where it leads",
        Error::Refused { retry_after: Some(after), .. } => {
            return format!("; try again in {} s, as it asks", after.as_secs());
        }
        Error::Refused { status: 429 | 500.., .. } => "try again later, or look into the server's log",
        // It says itself what to do.
        Error::Refused { reason, .. } if !reason.is_empty() => return String::new(),
        Error::Refused { .. } => "check whether the URL is that of a WebSocket",
        Error::Handshake(what) if what.contains("certificate") => {
            "name its authority with --ca FILE, or trust anybody with --insecure if it is your own"
        }
        Error::Handshake(_) => "check scheme and port of the URL (ws:// without TLS, wss:// with it)",
        _ => return String::new(),
    };
    format!("; {what}")
}
