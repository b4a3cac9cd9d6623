//! What the options name: the configuration, its secrets, the address, the certificate.

use super::super::access::Guard;
use super::super::{environment, secrets};
use super::Patient;
use super::report::Check;
use std::net::ToSocketAddrs;
use std::time::{Duration, SystemTime};
use switchboard::{Server, TlsFiles};

const DAY: u64 = 24 * 60 * 60;
/// An authority that renews by itself has done so by then.
const SOON: u64 = 14;

pub(super) fn configuration(patient: &Patient) -> Vec<Check> {
    const NAME: &str = "configuration";
    if let Some(faulty) = &patient.faulty {
        let mistakes = faulty.to_string();
        let unseen =
            Check::warn("address", "not looked at, nor the certificate").next("mend the configuration first");
        return mistakes.lines().map(|mistake| Check::fail(NAME, mistake)).chain([unseen]).collect();
    }
    vec![match &patient.file {
        Some(file) => Check::ok(NAME, format!("{}: fine", file.display())),
        None => Check::ok(NAME, "no file: flags and environment only"),
    }]
}

/// Variables that were probably meant as options.
pub(super) fn environment(_: &Patient) -> Vec<Check> {
    let strays = environment::strays(std::env::vars_os());
    let check = |stray: String| match stray.split_once("; ") {
        Some((what, next)) => Check::warn("environment", what).next(next),
        None => Check::warn("environment", stray),
    };
    strays.into_iter().map(check).collect()
}

pub(super) fn permissions(patient: &Patient) -> Vec<Check> {
    const NAME: &str = "permissions";
    let files = secrets::files(&patient.settings, patient.file.as_deref());
    // Whether it is there at all is somebody else's question.
    files
        .iter()
        .filter(|file| file.exists())
        .map(|file| match secrets::exposure(file) {
            Some((what, mend)) => Check::warn(NAME, format!("{}: {what}", file.display())).next(mend),
            None => Check::ok(NAME, format!("{}: not for everybody", file.display())),
        })
        .collect()
}

pub(super) fn address(patient: &Patient) -> Vec<Check> {
    const NAME: &str = "address";
    if patient.faulty.is_some() {
        return Vec::new();
    }
    let address = &patient.options.bind;
    vec![match Server::builder().bind(address) {
        Ok(_) => Check::ok(NAME, format!("{address} is free")),
        Err(error) => {
            // The library says what, then what to do.
            let text = error.to_string();
            match text.split_once("; ") {
                Some((what, next)) => Check::fail(NAME, what).next(next),
                None => Check::fail(NAME, text),
            }
        }
    }]
}

pub(super) fn certificate(patient: &Patient) -> Vec<Check> {
    let options = &patient.options;
    let (Some(certificate), Some(key)) = (&options.tls_cert, &options.tls_key) else { return Vec::new() };
    if patient.faulty.is_some() {
        return Vec::new();
    }
    let name = certificate.display().to_string();
    vec![match TlsFiles::read(certificate, key) {
        Ok(files) => judge_expiry(&name, files.expires(), SystemTime::now()),
        Err(error) => {
            let next = "put a valid pair in its place (for development: switchboard certificate DIR)";
            Check::fail("certificate", error.to_string()).next(next)
        }
    }]
}

pub(super) fn tokens(patient: &Patient) -> Vec<Check> {
    const NAME: &str = "tokens";
    if patient.faulty.is_some() {
        return Vec::new();
    }
    vec![match Guard::read(&patient.options.access) {
        Ok(Some(_)) => Check::ok(NAME, "every WebSocket needs a token, and they can be read"),
        Ok(None) if is_open(&patient.options.bind) => {
            Check::warn(NAME, "nobody is asked for one, and others can reach the server")
                .next("--token-file FILE")
        }
        Ok(None) => Check::ok(NAME, "nobody is asked for one"),
        Err(error) => Check::fail(NAME, error.to_string()),
    }]
}

/// Whether more than this machine can reach it.
fn is_open(bind: &str) -> bool {
    bind.to_socket_addrs().is_ok_and(|mut found| found.any(|address| !address.ip().is_loopback()))
}

pub(super) fn keys(patient: &Patient) -> Vec<Check> {
    const NAME: &str = "api";
    if patient.faulty.is_some() {
        return Vec::new();
    }
    vec![match patient.options.api.keys() {
        Ok(keys) if keys.is_empty() => Check::ok(NAME, "there is no key, and so no /api"),
        Ok(_) => Check::ok(NAME, "/api is there for who has a key, and the keys can be read"),
        Err(error) => Check::fail(NAME, error.to_string()),
    }]
}

pub(super) fn schemas(patient: &Patient) -> Vec<Check> {
    const NAME: &str = "schemas";
    let schemas = &patient.options.schemas;
    if patient.faulty.is_some() || schemas.len() == 0 {
        return Vec::new();
    }
    vec![match schemas.read() {
        Ok(_) => Check::ok(NAME, format!("{} can be used", schemas.len())),
        Err(error) => Check::fail(NAME, error.to_string()),
    }]
}

/// Of a certificate that is valid at `now`.
fn judge_expiry(name: &str, end: SystemTime, now: SystemTime) -> Check {
    let left = end.duration_since(now).unwrap_or(Duration::ZERO).as_secs() / DAY;
    let days = if left == 1 { "1 day".into() } else { format!("{left} days") };
    let found = format!("{name}: the key fits, ends in {days}");
    if SOON <= left {
        return Check::ok("certificate", found);
    }
    Check::warn("certificate", found).next("renew it, then kill -HUP the server")
}

#[cfg(test)]
mod tests {
    use super::super::report::State;
    use super::*;

    #[test]
    fn a_certificate_that_ends_soon_is_told() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_219_200);
        for (left, days, state) in [
            (90 * DAY, "90 days", State::Ok),
            (14 * DAY, "14 days", State::Ok),
            (14 * DAY - 1, "13 days", State::Warn),
            (DAY, "1 day", State::Warn),
            (5, "0 days", State::Warn),
        ] {
            let check = judge_expiry("a.pem", now + Duration::from_secs(left), now);
            assert_eq!((check.state, check.found), (state, format!("a.pem: the key fits, ends in {days}")));
        }
    }
}
