//! `switchboard health`: whether a server answers. For containers and scripts that have no other client.

use super::{Configured, units};
use clap::Args;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;
use switchboard::{Client, Error, Limits, Result};

const AFTER_HELP: &str = "\
It takes the options, the environment and the file of `switchboard serve` too, and asks the server that they would start.

Exit status: 0 when it lives, also when it has no free place or the rate of connections is used up (but with TLS, where such a \
rate closes connections without a word); with --ready only when it would serve a client that comes now. 1 otherwise.";

#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Health {
    /// The server, as http://127.0.0.1:9527 or https://example.com [default: the one that these options start on this
    /// machine, whose certificate is not checked]
    url: Option<String>,
    /// Ask whether it takes clients (/readyz), not only whether it lives (/healthz)
    #[arg(long)]
    ready: bool,
    /// Time for the answer
    #[arg(long, value_name = "T", default_value = "3s", value_parser = units::time)]
    timeout: Duration,
    #[command(flatten)]
    configured: Configured,
}

pub(crate) fn run(options: Health) -> Result<ExitCode> {
    let Health { url, ready, timeout, configured } = options;
    let mut client =
        Client::builder().limits(Limits { head_deadline: timeout, ..Limits::default() }).compression(false);
    let server = match url {
        Some(url) => url.trim_end_matches('/').to_string(),
        None => {
            client = client.danger_accept_any_certificate();
            let scheme = if configured.options.tls_cert.is_some() { "https" } else { "http" };
            format!("{scheme}://{}", reachable(&configured.options.bind))
        }
    };
    let page = format!("{server}{}", if ready { "/readyz" } else { "/healthz" });
    let Some(rest) = page.strip_prefix("http") else {
        return Err(Error::Config(format!(
            "`{server}` is no address of a server: write http:// or https://"
        )));
    };
    // These pages answer whatever is asked: a WebSocket is what the library's client can ask for.
    let ask = |rest: &str| match client.connect(&format!("ws{rest}")) {
        Err(Error::Refused { status, .. }) => Ok(status),
        Err(error) => Err(error),
        Ok(_) => Err(Error::Config(format!("{page} is a WebSocket: this is no Switchboard"))),
    };
    let status = match (ask(rest), rest.strip_prefix('s')) {
        // A server that can hear no more clients begins no TLS, and says so in the clear.
        (Err(Error::Handshake(why)), Some(plain)) => match ask(plain) {
            Ok(503) => 503,
            _ => return Err(Error::Handshake(why)),
        },
        (asked, _) => asked?,
    };
    let (is_well, meaning) = judge(status, ready);
    println!("{page}: {status}, {meaning}");
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn judge(status: u16, ready: bool) -> (bool, &'static str) {
    match status {
        200 if ready => (true, "it takes clients"),
        200 => (true, "it lives"),
        429 => {
            (!ready, "it lives; more connections came from here than --connect-rate or --per-address allow")
        }
        503 => (!ready, "it lives; all connections are in use, or it is going away"),
        _ => (false, "that is no answer of a Switchboard; is it the right port?"),
    }
}

/// An address by which a server that is bound there can be reached from its own machine.
fn reachable(bind: &str) -> String {
    match bind.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_unspecified() && address.is_ipv4() => {
            format!("127.0.0.1:{}", address.port())
        }
        Ok(address) if address.ip().is_unspecified() => format!("[::1]:{}", address.port()),
        _ => bind.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_everywhere_is_asked_over_the_loopback() {
        for (bind, address) in [
            ("0.0.0.0:9527", "127.0.0.1:9527"),
            ("[::]:80", "[::1]:80"),
            ("192.0.2.1:80", "192.0.2.1:80"),
            ("localhost:80", "localhost:80"),
        ] {
            assert_eq!(reachable(bind), address);
        }
    }

    #[test]
    fn a_full_server_lives_but_is_not_ready() {
        let judged = |ready| [200, 429, 503, 404, 500].map(|status| judge(status, ready).0);
        assert_eq!(judged(false), [true, true, true, false, false]);
        assert_eq!(judged(true), [true, false, false, false, false]);
    }
}
