//! SIGHUP: what is read again while the server runs, and what it changes.

use super::config::{Failure, Setting};
use super::serve::{Serve, origins};
use super::{Configured, Said};
use std::ffi::OsString;
use std::path::PathBuf;
use switchboard::{Handle, Result, TlsFiles};

/// What can change without a restart. A key that no row has needs one.
const ROWS: &[Row] = &[
    Row { keys: &["allow-origin"], files: None, apply: set_origins },
    Row { keys: &["tls-cert", "tls-key"], files: Some("certificate"), apply: read_certificate },
];

struct Row {
    keys: &'static [&'static str],
    /// What the files hold that the keys name, if they name files: those may have changed though the keys have not.
    files: Option<&'static str>,
    apply: fn(&Live, &Serve) -> Result<Applied>,
}

enum Applied {
    /// For whoever comes from now on.
    Now,
    /// It cannot change from what it is to that.
    AfterRestart,
    /// There is nothing of the kind.
    Nothing,
}

fn set_origins(live: &Live, options: &Serve) -> Result<Applied> {
    live.server.set_origins(origins(&options.allow_origin));
    Ok(Applied::Now)
}

fn read_certificate(live: &Live, options: &Serve) -> Result<Applied> {
    match (&live.tls, &options.tls_cert, &options.tls_key) {
        (Some(files), Some(certificate), Some(key)) => files.replace(certificate, key).map(|()| Applied::Now),
        (None, None, _) => Ok(Applied::Nothing),
        _ => Ok(Applied::AfterRestart),
    }
}

/// The running server, and the configuration that it runs with.
pub(crate) struct Live {
    pub(crate) server: Handle,
    pub(crate) tls: Option<TlsFiles>,
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
                    Failure::Usage(error) => eprint!("{}", error.render()),
                    Failure::Rule(text) => eprintln!("{text}"),
                    Failure::File(faulty) => eprintln!("{faulty}"),
                }
                eprintln!("everything stays as it was: mend the configuration and send SIGHUP again");
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
            let applied = (row.apply)(self, &configured.options);
            is_read |= !matches!(applied, Ok(Applied::Nothing));
            match (applied, row.files) {
                (Ok(Applied::Now), files) => {
                    self.adopt(&of_row);
                    if let Some(files) = files {
                        eprintln!("the {files} was read again; new connections get it");
                    }
                }
                (Ok(Applied::AfterRestart), _) => restart.extend(of_row),
                (Ok(Applied::Nothing), _) => {}
                (Err(error), files) => eprintln!("the old {} stays: {error}", files.unwrap_or(row.keys[0])),
            }
        }
        if !is_read {
            eprintln!("nothing to read again: there is no configuration file (--config), and no certificate");
        }
        for setting in &restart {
            eprintln!("needs a restart: {}", self.change(setting));
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
            eprintln!("{} was read again{what}", file.display());
        }
        changed
    }

    /// These hold now.
    fn adopt(&mut self, new: &[Setting]) {
        for setting in new {
            eprintln!("changed: {}", self.change(setting));
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
