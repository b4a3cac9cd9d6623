//! Files that hold secrets should be read by their owner only.

use super::access::id_and_file;
use super::config::{Setting, Source};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Keys whose value is the name of a file with a secret in it; a public key is none.
const SECRET_FILES: &[&str] = &["tls-key", "token-file", "jwt-key", "api-key-file"];

/// Permissions of everybody else: read, write.
const OTHERS: u32 = 0o006;

/// The files that hold secrets: those that keys name, and the configuration if it sets a secret.
pub(crate) fn files(settings: &[Setting], configuration: Option<&Path>) -> Vec<PathBuf> {
    let named = settings.iter().filter(|setting| SECRET_FILES.contains(&setting.key.as_str()));
    let path = |text: &String| PathBuf::from(id_and_file(text).1);
    let mut files: Vec<PathBuf> =
        named.flat_map(Setting::values).map(path).filter(|path| !is_public(path)).collect();
    let holds_secret =
        settings.iter().any(|setting| setting.is_secret && matches!(setting.source, Source::File(_)));
    files.extend(configuration.filter(|_| holds_secret).map(Path::to_path_buf));
    files
}

/// Whether it is a public key in PEM, which anybody may read.
fn is_public(path: &Path) -> bool {
    fs::read_to_string(path).is_ok_and(|text| text.contains("-----BEGIN PUBLIC KEY-----"))
}

/// What is wrong with the file's permissions, and the command that mends it.
pub(crate) fn exposure(path: &Path) -> Option<(String, String)> {
    let mode = fs::metadata(path).ok()?.permissions().mode() & 0o777;
    let verb = match mode & OTHERS {
        0 => return None,
        0o004 => "read",
        0o002 => "overwrite",
        _ => "read and overwrite",
    };
    Some((format!("every user can {verb} it (mode {mode:03o})"), format!("chmod 600 {}", path.display())))
}
