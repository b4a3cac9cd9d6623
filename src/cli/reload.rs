//! SIGHUP: what is read again while the server runs, and what it changes.

use super::access::Guard;
use super::config::{Failure, Setting};
use super::logging::say;
use super::schema::Checks;
use super::serve::{Serve, origins};
use super::{Configured, Said};
use std::ffi::OsString;
use std::path::PathBuf;
use switchboard::auth::Tokens;
use switchboard::{Handle, Result, TlsFiles};

/// What can change without a restart. A key that no row has needs one.
const ROWS: &[Row] = &[
    Row { keys: &["allow-origin"], files: None, apply: set_origins },
    Row {
        keys: &["per-address", "per-user", "connect-rate", "rate", "byte-rate", "rooms"],
        files: None,
        apply: set_quotas,
    },
    Row {
        keys: &["tls-cert", "tls-key"],
        files: Some(Files {
            read: "the certificate was read again; new connections get it",
            stay: "the old certificate stays",
        }),
        apply: read_certificate,
    },
    Row {
        keys: &["token", "token-file", "jwt-secret", "jwt-key", "jwt-audience", "jwt-issuer"],
        files: Some(Files {
            read: "tokens and keys were read again; new connections are checked by them",
            stay: "the old tokens and keys stay",
        }),
        apply: read_tokens,
    },
    Row {
        keys: &["api-key", "api-key-file"],
        files: Some(Files {
            read: "the keys of the API were read again; new requests are checked by them",
            stay: "the old keys of the API stay",
        }),
        apply: read_keys,
    },
    Row {
        keys: &["schema"],
        files: Some(Files {
            read: "the schemas were read again; messages from now on are checked by them",
            stay: "the old schemas stay",
        }),
        apply: read_schemas,
    },
];

struct Row {
    keys: &'static [&'static str],
    /// When the keys name files: those may have changed though the keys have not.
    files: Option<Files>,
    /// Is told whether one of the keys has changed.
    apply: fn(&Live, &Serve, bool) -> Result<Applied>,
}

/// What is said when they were read, and when they could not be.
struct Files {
    read: &'static str,
    stay: &'static str,
}

enum Applied {
    /// For whoever comes from now on.
    Now,
    /// It cannot change from what it is to that.
    AfterRestart,
    /// There is nothing of the kind.
    Nothing,
}

fn set_origins(live: &Live, options: &Serve, _: bool) -> Result<Applied> {
    live.server.set_origins(origins(&options.allow_origin)).map(|()| Applied::Now)
}

fn set_quotas(live: &Live, options: &Serve, _: bool) -> Result<Applied> {
    live.server.set_quotas(options.shares.quotas());
    Ok(Applied::Now)
}

fn read_certificate(live: &Live, options: &Serve, _: bool) -> Result<Applied> {
    match (&live.tls, &options.tls_cert, &options.tls_key) {
        (Some(files), Some(certificate), Some(key)) => files.replace(certificate, key).map(|()| Applied::Now),
        (None, None, _) => Ok(Applied::Nothing),
        _ => Ok(Applied::AfterRestart),
    }
}

fn read_tokens(live: &Live, options: &Serve, has_changed: bool) -> Result<Applied> {
    let access = &options.access;
    match &live.guard {
        Some(_) if !has_changed && !access.has_files() => Ok(Applied::Nothing),
        Some(guard) if access.asks() => guard.reload(access).map(|()| Applied::Now),
        // Who may in without a token reaches other paths.
        None if !has_changed => Ok(Applied::Nothing),
        _ => Ok(Applied::AfterRestart),
    }
}

fn read_keys(live: &Live, options: &Serve, has_changed: bool) -> Result<Applied> {
    if !has_changed && !options.api.has_file() {
        return Ok(Applied::Nothing);
    }
    live.keys.replace(&options.api.keys()?);
    Ok(Applied::Now)
}

fn read_schemas(live: &Live, options: &Serve, has_changed: bool) -> Result<Applied> {
    match live.schemas.is_empty() {
        // Which path or room has one is fixed at the start.
        _ if has_changed => Ok(Applied::AfterRestart),
        true => Ok(Applied::Nothing),
        false => live.schemas.reload(&options.schemas).map(|()| Applied::Now),
    }
}

/// The running server, and the configuration that it runs with.
pub(crate) struct Live {
    pub(crate) server: Handle,
    pub(crate) tls: Option<TlsFiles>,
    pub(crate) guard: Option<Guard>,
    /// Those of the API.
    pub(crate) keys: Tokens,
    pub(crate) schemas: Checks,
    pub(crate) settings: Vec<Setting>,
    pub(crate) file: Option<PathBuf>,
    pub(crate) args: Vec<OsString>,
}

impl Live {
    /// Reads everything again and tells on stderr what has become of it.
    pub(crate) fn reload(&mut self) {
        match super::read(&self.args) {
            Ok(Said { cli, settings }) => self.apply(&cli.into_configured(), &settings),
            Err(failure) => {
                match failure {
                    Failure::Usage(error) => say!(Error, "{}", error.to_string().trim_end()),
                    Failure::Rule(text) => say!(Error, "{text}"),
                    Failure::File(faulty) => say!(Error, "{faulty}"),
                }
                say!(Error, "everything stays as it was: mend the configuration and send SIGHUP again");
            }
        }
    }

    fn apply(&mut self, configured: &Configured, settings: &[Setting]) {
        let mut restart = self.changed(settings);
        let mut is_read = self.file.is_some();
        for row in ROWS {
            let (of_row, others): (Vec<_>, Vec<_>) =
                restart.into_iter().partition(|setting| row.keys.contains(&setting.key.as_str()));
            restart = others;
            if of_row.is_empty() && row.files.is_none() {
                continue;
            }
            let applied = (row.apply)(self, &configured.options, !of_row.is_empty());
            is_read |= !matches!(applied, Ok(Applied::Nothing));
            match (applied, &row.files) {
                (Ok(Applied::Now), files) => {
                    self.adopt(&of_row);
                    files.iter().for_each(|files| say!(Info, "{}", files.read));
                }
                (Ok(Applied::AfterRestart), _) => restart.extend(of_row),
                (Ok(Applied::Nothing), _) => {}
                (Err(error), Some(files)) => say!(Error, "{}: {error}", files.stay),
                (Err(error), None) => say!(Error, "{} stays as it was: {error}", row.keys.join(", ")),
            }
        }
        if !is_read {
            say!(
                Warn,
                "nothing to read again: there is no configuration file (--config), no certificate, and no file of tokens, keys or schemas"
            );
        }
        for setting in &restart {
            say!(Warn, "needs a restart: {}", self.change(setting));
        }
    }

    fn holds(&self, key: &str) -> Option<&Setting> {
        self.settings.iter().find(|setting| setting.key == key)
    }

    fn changed(&self, settings: &[Setting]) -> Vec<Setting> {
        let changed = |new: &&Setting| self.holds(&new.key).is_some_and(|old| old.differs(new));
        let changed: Vec<Setting> = settings.iter().filter(changed).cloned().collect();
        if let Some(file) = &self.file {
            let what = if changed.is_empty() { ": nothing has changed" } else { "" };
            say!(Info, "{} was read again{what}", file.display());
        }
        changed
    }

    /// These hold now.
    fn adopt(&mut self, new: &[Setting]) {
        for setting in new {
            say!(Info, "changed: {}", self.change(setting));
            if let Some(old) = self.settings.iter_mut().find(|old| old.key == setting.key) {
                *old = setting.clone();
            }
        }
    }

    /// From what to what.
    fn change(&self, new: &Setting) -> String {
        let old = self.holds(&new.key).map(Setting::value).unwrap_or_default();
        format!("{} = {}, was {old}", new.key, new.value())
    }
}
