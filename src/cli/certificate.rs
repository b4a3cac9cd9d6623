//! `switchboard certificate`: a self-signed certificate for development.

use clap::Args;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};
use switchboard::{Error, Result};

/// Some clients refuse certificates that are good for longer.
const DAYS: u32 = 397;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

const AFTER_HELP: &str = "\
Examples:
  switchboard certificate tls
  switchboard --tls-cert tls/cert.pem --tls-key tls/key.pem
  switchboard certificate tls --host localhost,192.168.1.7";

#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Certificate {
    /// Where cert.pem and key.pem are written; made if it does not exist
    dir: PathBuf,
    /// Names and addresses the certificate is for
    #[arg(long, value_name = "NAME", value_delimiter = ',', default_value = "localhost,127.0.0.1,::1")]
    host: Vec<String>,
    /// Write over what is there
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(options: Certificate) -> Result<()> {
    let Certificate { dir, host, force } = options;
    let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
    if let (false, Some(there)) = (force, [&cert, &key].into_iter().find(|file| file.exists())) {
        let what = "is there already; name another directory, or add --force to write over it";
        return Err(Error::Config(format!("{} {what}", there.display())));
    }
    let signing_key = rcgen::KeyPair::generate().map_err(Error::other)?;
    let mut params = rcgen::CertificateParams::new(host).map_err(Error::other)?;
    // A clock may be a little late.
    let now = SystemTime::now();
    (params.not_before, params.not_after) = ((now - DAY).into(), (now + DAYS * DAY).into());
    let made = params.self_signed(&signing_key).map_err(Error::other)?;
    fs::create_dir_all(&dir)?;
    fs::write(&cert, made.pem())?;
    write_private(&key, &signing_key.serialize_pem())?;
    println!("switchboard serve --tls-cert {} --tls-key {}", cert.display(), key.display());
    eprintln!("for development only, and for {DAYS} days: no browser trusts it by itself");
    Ok(())
}

/// Readable for its owner only.
fn write_private(path: &PathBuf, text: &str) -> Result<()> {
    use std::io::Write;
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    // A file that was there before has kept its mode.
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    Ok(file.write_all(text.as_bytes())?)
}
