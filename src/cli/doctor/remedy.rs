//! The command that raises a limit, by the place where the program runs.

use std::path::Path;
use std::{env, fs};

/// Where the program runs, and so where its limits are set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Started by hand.
    Shell,
    /// A unit of systemd, by its name.
    Systemd(String),
    Container,
}

impl Place {
    pub(super) fn here() -> Self {
        let marks = ["/.dockerenv", "/run/.containerenv"];
        let is_container = marks.iter().any(|mark| Path::new(mark).exists())
            || env::var_os("KUBERNETES_SERVICE_HOST").is_some();
        let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Self::of(is_container, &groups)
    }

    /// From `/proc/self/cgroup`: the innermost group of a service has its name.
    fn of(is_container: bool, groups: &str) -> Self {
        if is_container {
            return Self::Container;
        }
        let mut innermost = groups.lines().filter_map(|line| line.rsplit('/').next());
        match innermost.rfind(|name| name.ends_with(".service")) {
            Some(unit) => Self::Systemd(unit.into()),
            None => Self::Shell,
        }
    }

    /// How the limit of that name is set to `value` here.
    pub(super) fn raise(&self, limit: &str, value: u64) -> String {
        if limit == "MemTotal" {
            return format!("give the machine {} of memory", size(value));
        }
        let (shell, unit, container) = match limit {
            "RLIMIT_NOFILE" => ("ulimit -n", "LimitNOFILE", "--ulimit nofile"),
            "RLIMIT_NPROC" => ("ulimit -u", "LimitNPROC", "--ulimit nproc"),
            "pids.max" => ("", "TasksMax", "--pids-limit"),
            "memory.max" => ("", "MemoryMax", "--memory"),
            // Only this one is the container's own.
            "net.core.somaxconn" if *self == Self::Container => {
                return format!("docker run --sysctl {limit}={value}");
            }
            _ if *self == Self::Container => return format!("on the host: sysctl -w {limit}={value}"),
            _ => return format!("sysctl -w {limit}={value}"),
        };
        match self {
            Self::Container => format!("docker run {container}={value}"),
            Self::Systemd(name) if shell.is_empty() => {
                format!("systemctl set-property {name} {unit}={value}")
            }
            Self::Systemd(name) => format!("systemctl edit {name}: [Service] {unit}={value}"),
            Self::Shell if shell.is_empty() => {
                format!("systemctl set-property UNIT {unit}={value} (the unit or slice that this runs in)")
            }
            Self::Shell => format!("as root: {shell} {value} (systemd: {unit}={value})"),
        }
    }
}

/// Bytes as people write them.
pub(super) fn size(bytes: u64) -> String {
    let units = [(1 << 30, "G"), (1 << 20, "M"), (1 << 10, "K")];
    match units.iter().find(|(unit, _)| *unit <= bytes) {
        Some((unit, name)) if bytes.is_multiple_of(*unit) => format!("{}{name}", bytes / unit),
        Some((unit, name)) => format!("{:.1}{name}", bytes as f64 / *unit as f64),
        None => bytes.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_has_its_command() {
        let unit = Place::Systemd("chat.service".into());
        for (place, limit, command) in [
            (&Place::Shell, "vm.max_map_count", "sysctl -w vm.max_map_count=7"),
            (&unit, "vm.max_map_count", "sysctl -w vm.max_map_count=7"),
            (&Place::Container, "vm.max_map_count", "on the host: sysctl -w vm.max_map_count=7"),
            (&Place::Container, "net.core.somaxconn", "docker run --sysctl net.core.somaxconn=7"),
            (&Place::Shell, "RLIMIT_NOFILE", "as root: ulimit -n 7 (systemd: LimitNOFILE=7)"),
            (&unit, "RLIMIT_NOFILE", "systemctl edit chat.service: [Service] LimitNOFILE=7"),
            (&Place::Container, "RLIMIT_NPROC", "docker run --ulimit nproc=7"),
            (&unit, "pids.max", "systemctl set-property chat.service TasksMax=7"),
            (&Place::Container, "memory.max", "docker run --memory=7"),
            (&Place::Shell, "MemTotal", "give the machine 7 of memory"),
        ] {
            assert_eq!(place.raise(limit, 7), command);
        }
        assert!(Place::Shell.raise("pids.max", 7).contains("TasksMax=7"));
    }

    #[test]
    fn places_are_told_apart() {
        let session = "0::/user.slice/user-1000.slice/session-2.scope\n";
        let service = "0::/system.slice/chat.service\n";
        assert_eq!(Place::of(false, session), Place::Shell);
        assert_eq!(Place::of(false, ""), Place::Shell);
        assert_eq!(Place::of(false, service), Place::Systemd("chat.service".into()));
        assert_eq!(Place::of(true, service), Place::Container);
    }

    #[test]
    fn sizes_are_readable() {
        for (bytes, text) in [(0, "0"), (1023, "1023"), (1 << 10, "1K"), (1 << 27, "128M"), (3 << 29, "1.5G")]
        {
            assert_eq!(size(bytes), text);
        }
    }
}
