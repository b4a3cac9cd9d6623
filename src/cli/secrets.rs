//! Files that hold secrets should be read by their owner only, or by a group on purpose.

use super::access::id_and_file;
use super::config::{Setting, Source};
use rustix::process::{getegid, geteuid};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Keys whose value is the name of a file with a secret in it; a public key is none.
const SECRET_FILES: &[&str] = &["tls-key", "token-file", "jwt-key", "api-key-file"];

const ROOT: u32 = 0;
/// Of the permissions of an owner, of a group or of all others.
const READ_WRITE: u32 = 0o6;

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
    let about = fs::metadata(path).ok()?;
    let file = Owned { mode: about.mode() & 0o777, user: about.uid(), group: about.gid() };
    let (user, group) = (geteuid().as_raw(), getegid().as_raw());
    Some((file.exposed_to(user, group)?, format!("chmod 600 {}", path.display())))
}

/// Whose a file is, and who may do what with it.
struct Owned {
    mode: u32,
    user: u32,
    group: u32,
}

impl Owned {
    /// Who else can get at it, beside a process of that user and group.
    ///
    /// A group that may is often the very way by which a process was given the file: secrets in Kubernetes belong to root and
    /// the pod's group (0440, 0640), keys of Debian to root and `ssl-cert`. So it is an exposure only where the process could
    /// as well do without: when the file is the user's own, and the group is neither the process's own nor root's choice.
    fn exposed_to(&self, user: u32, group: u32) -> Option<String> {
        let verb = |bits| match bits & READ_WRITE {
            0o4 => Some("read"),
            0o2 => Some("overwrite"),
            0o6 => Some("read and overwrite"),
            _ => None,
        };
        let is_given_by_group = self.user != user || self.user == ROOT || self.group == group;
        let who = match (verb(self.mode), verb(self.mode >> 3)) {
            (Some(verb), _) => format!("every user can {verb}"),
            (None, Some(verb)) if !is_given_by_group => {
                format!("the group {} can {verb}", self.group)
            }
            _ => return None,
        };
        Some(format!("{who} it (mode {:03o})", self.mode))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_else_can_get_at_a_file() {
        let (ann, anns, staff) = (1000, 1000, 50);
        for (mode, user, group, expected) in [
            (0o600, ann, anns, None),
            (0o400, ann, staff, None),
            (0o604, ann, anns, Some("every user can read it (mode 604)")),
            (0o646, ann, staff, Some("every user can read and overwrite it (mode 646)")),
            (0o602, ROOT, ROOT, Some("every user can overwrite it (mode 602)")),
            // A group of her own, as most systems make for each user.
            (0o640, ann, anns, None),
            (0o660, ann, anns, None),
            (0o640, ann, staff, Some("the group 50 can read it (mode 640)")),
            (0o620, ann, staff, Some("the group 50 can overwrite it (mode 620)")),
            (0o460, ann, staff, Some("the group 50 can read and overwrite it (mode 460)")),
            (0o610, ann, staff, None),
            // Mounted secrets.
            (0o440, ROOT, staff, None),
            (0o640, ROOT, anns, None),
            (0o444, ROOT, ROOT, Some("every user can read it (mode 444)")),
        ] {
            let file = Owned { mode, user, group };
            assert_eq!(file.exposed_to(ann, anns).as_deref(), expected, "{mode:o} {user} {group}");
        }
        let roots = Owned { mode: 0o640, user: ROOT, group: staff };
        assert_eq!(roots.exposed_to(ROOT, ROOT), None);
    }
}
