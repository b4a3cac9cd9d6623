//! How many threads this machine grants the process, worked out before it refuses one.
//!
//! At the limit of memory maps a Rust program does not get an error but aborts: the new thread panics while it sets up
//! its guard page. So the limit must be known and kept below. The same for memory: who takes more is killed.

use crate::limits::{KIB, MIB};
use rustix::process::{Resource, getrlimit};
use std::fs::read_to_string;
use std::path::{Path, PathBuf};

/// Memory maps of one thread: stack, its guard, the signal stack, its guard.
const MAPS_PER_THREAD: u64 = 4;
/// Memory maps left to the rest of the process: libraries, allocator, large messages.
const MAPS_RESERVE: u64 = 4096;
/// Threads, processes and descriptors left to the rest of the process or the machine.
const RESERVE: u64 = 128;
/// Memory of one idle connection, its kernel stack included, its socket not.
const MEMORY_PER_CONNECTION: u64 = 36 * KIB as u64;
const MEMORY_PER_TLS_CONNECTION: u64 = 44 * KIB as u64;
/// Memory left to the rest of the process.
const MEMORY_RESERVE: u64 = 32 * MIB as u64;
/// A control group of the first version writes about 2^63 for "no limit".
const NO_LIMIT: u64 = 1 << 60;

/// How many connections there can be at once on this machine, and why no more.
///
/// A server asks for it when it starts, and takes no more connections than that.
///
/// ```
/// use switchboard::Budget;
///
/// let Budget { connections, limit, advice } = Budget::of_this_machine();
/// println!("{connections} connections at most, because of {limit}; {advice}");
/// assert!(0 < connections);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Connections (each has a thread and a descriptor) that can be open at once.
    pub connections: usize,
    /// The limit that binds, by its system name.
    pub limit: &'static str,
    /// What to do for more.
    pub advice: &'static str,
}

/// One limit of the system and how many connections it has room for: [`Budget::grants`].
///
/// ```
/// use switchboard::Budget;
///
/// let wanted = 20_000;
/// for grant in Budget::grants(false).iter().filter(|grant| grant.connections < wanted) {
///     println!("{} is {}, and must be {}; {}", grant.limit, grant.value, grant.needed(wanted), grant.advice);
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Grant {
    /// Its system name, as `vm.max_map_count`.
    pub limit: &'static str,
    /// What it is set to: maps, threads, descriptors, or bytes.
    pub value: u64,
    /// Connections that can be open at once, as far as this limit goes.
    pub connections: usize,
    /// What to do for more.
    pub advice: &'static str,
    share: Share,
}

impl Budget {
    /// Reads the machine's limits as they are now: `/proc`, control group, resource limits. Some threads and
    /// descriptors are left to the rest of the process. Where none can be read: 4096.
    pub fn of_this_machine() -> Self {
        Self::new(false)
    }

    /// [`Budget::of_this_machine`] for a server with or without TLS, which costs each connection some memory.
    pub fn new(tls: bool) -> Self {
        Self::smallest(&Self::grants(tls))
    }

    /// Every limit that could be read, the one that binds first.
    pub fn grants(tls: bool) -> Vec<Grant> {
        let mut grants: Vec<Grant> = LIMITS
            .iter()
            .filter_map(|(limit, read, share, advice)| Some(share(tls).grant(limit, read()?, advice)))
            .collect();
        grants.sort_by_key(|grant| grant.connections);
        grants
    }

    fn smallest(grants: &[Grant]) -> Self {
        match grants.iter().min_by_key(|grant| grant.connections) {
            Some(Grant { limit, connections, advice, .. }) => {
                Self { connections: (*connections).max(1), limit, advice }
            }
            None => Self { connections: 4096, limit: "none known", advice: "set a number yourself" },
        }
    }
}

impl Grant {
    /// What the limit must be set to for that many connections.
    pub fn needed(&self, connections: usize) -> u64 {
        (connections as u64).saturating_mul(self.share.per_connection).saturating_add(self.share.reserve)
    }
}

/// How connections use up a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Share {
    /// Left to everything else.
    reserve: u64,
    per_connection: u64,
}

impl Share {
    fn grant(self, limit: &'static str, value: u64, advice: &'static str) -> Grant {
        let connections = value.saturating_sub(self.reserve) / self.per_connection;
        Grant {
            limit,
            value,
            connections: usize::try_from(connections).unwrap_or(usize::MAX),
            advice,
            share: self,
        }
    }
}

/// A limit's name, its value now (`None`: there is none, or it cannot be read), what a connection takes, and how to raise it.
type Limit = (&'static str, fn() -> Option<u64>, fn(bool) -> Share, &'static str);

const LIMITS: &[Limit] = &[
    (
        "vm.max_map_count",
        || number("/proc/sys/vm/max_map_count"),
        maps,
        "raise it with `sysctl vm.max_map_count=262144`",
    ),
    (
        "RLIMIT_NOFILE",
        || getrlimit(Resource::Nofile).current,
        one,
        "raise it with `ulimit -n 65536` (systemd: LimitNOFILE=)",
    ),
    (
        "RLIMIT_NPROC",
        || getrlimit(Resource::Nproc).current,
        one,
        "raise it with `ulimit -u 65536` (systemd: LimitNPROC=)",
    ),
    (
        "kernel.pid_max",
        || number("/proc/sys/kernel/pid_max"),
        one,
        "raise it with `sysctl kernel.pid_max=4194304`",
    ),
    (
        "kernel.threads-max",
        || number("/proc/sys/kernel/threads-max"),
        one,
        "raise it with `sysctl kernel.threads-max=262144`",
    ),
    ("fs.file-max", || number("/proc/sys/fs/file-max"), one, "raise it with `sysctl fs.file-max=1048576`"),
    (
        "pids.max",
        || group_limit("pids", "pids.max", "pids.max"),
        one,
        "raise the control group's limit (systemd: TasksMax=; docker: --pids-limit)",
    ),
    (
        "memory.max",
        || group_limit("memory", "memory.max", "memory.limit_in_bytes"),
        memory,
        "raise the control group's limit (systemd: MemoryMax=; docker: --memory)",
    ),
    ("MemTotal", total_memory, memory, "give the machine more memory"),
];

fn one(_: bool) -> Share {
    Share { reserve: RESERVE, per_connection: 1 }
}

fn maps(_: bool) -> Share {
    Share { reserve: MAPS_RESERVE, per_connection: MAPS_PER_THREAD }
}

fn memory(tls: bool) -> Share {
    let per_connection = if tls { MEMORY_PER_TLS_CONNECTION } else { MEMORY_PER_CONNECTION };
    Share { reserve: MEMORY_RESERVE, per_connection }
}

/// A file's only word; "max" is no number, and no limit.
fn number(path: impl AsRef<Path>) -> Option<u64> {
    read_to_string(path).ok()?.trim().parse().ok()
}

/// The machine's memory, in bytes.
fn total_memory() -> Option<u64> {
    let info = read_to_string("/proc/meminfo").ok()?;
    let total = info.lines().find_map(|line| line.strip_prefix("MemTotal:")?.strip_suffix("kB"))?;
    total.trim().parse::<u64>().ok()?.checked_mul(KIB as u64)
}

/// The smallest limit from this process's control group up to the root, by the file's name in either version.
fn group_limit(controller: &str, file: &str, file_v1: &str) -> Option<u64> {
    let groups = read_to_string("/proc/self/cgroup").ok()?;
    let limits = groups.lines().filter_map(|line| group(line, controller)).flat_map(|(root, path)| {
        let file = if root.ends_with(controller) { file_v1 } else { file };
        let groups: Vec<PathBuf> = path.ancestors().map(|group| root.join(group).join(file)).collect();
        groups.into_iter().filter_map(number)
    });
    limits.filter(|limit| *limit < NO_LIMIT).min()
}

/// Where the controller's groups are and which of them is ours, from a line of `/proc/self/cgroup`: `0::/path` in the second
/// version, `4:memory:/path` in the first.
fn group<'a>(line: &'a str, controller: &str) -> Option<(PathBuf, &'a Path)> {
    let (id, rest) = line.split_once(':')?;
    let (controllers, path) = rest.split_once(':')?;
    let root = Path::new("/sys/fs/cgroup");
    let root = match controllers {
        "" if id == "0" => root.to_path_buf(),
        _ if controllers.split(',').any(|name| name == controller) => root.join(controller),
        _ => return None,
    };
    Some((root, Path::new(path.trim_start_matches('/'))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_grant_binds() {
        let budget = |limits: &[(&'static str, u64)]| {
            let grants: Vec<Grant> =
                limits.iter().map(|(name, value)| one(false).grant(name, *value, "")).collect();
            let budget = Budget::smallest(&grants);
            (budget.connections, budget.limit)
        };
        assert_eq!(budget(&[("a", 137), ("b", 135)]), (7, "b"));
        assert_eq!(budget(&[("a", 0)]), (1, "a"));
        assert_eq!(budget(&[]), (4096, "none known"));
    }

    #[test]
    fn limits_grant_less_than_they_say() {
        for (share, value, connections) in [
            (maps(false), 65_530, 15_358),
            (maps(true), 262_144, 64_512),
            (maps(false), 100, 0),
            (one(false), 20_000, 19_872),
            (one(false), 17, 0),
            (memory(false), 512 << 20, 13_653),
            (memory(true), 512 << 20, 11_170),
            (memory(false), 16 << 20, 0),
        ] {
            let grant = share.grant("limit", value, "");
            assert_eq!(grant.connections, connections, "{grant:?}");
            // Set to what is needed, it grants exactly that.
            let needed = grant.needed(connections);
            assert_eq!(share.grant("limit", needed, "").connections, connections, "{grant:?}");
            assert_eq!(share.grant("limit", needed - 1, "").connections, connections.saturating_sub(1));
            assert!(connections == 0 || needed <= value, "{grant:?}");
        }
        assert_eq!(maps(false).grant("limit", 0, "").needed(64_512), 262_144);
        assert_eq!(one(false).grant("limit", 0, "").needed(usize::MAX), u64::MAX);
    }

    #[test]
    fn control_groups_of_both_versions_are_found() {
        let at = |root: &str, path: &'static str| Some((PathBuf::from(root), Path::new(path)));
        for (line, controller, expected) in [
            ("0::/", "pids", at("/sys/fs/cgroup", "")),
            ("0::/system.slice/chat.service", "memory", at("/sys/fs/cgroup", "system.slice/chat.service")),
            ("4:memory:/docker/1f", "memory", at("/sys/fs/cgroup/memory", "docker/1f")),
            ("4:memory:/docker/1f", "pids", None),
            ("2:cpu,cpuacct:/a:b", "cpu", at("/sys/fs/cgroup/cpu", "a:b")),
            ("1:name=systemd:/", "pids", None),
            ("nonsense", "pids", None),
        ] {
            assert_eq!(group(line, controller), expected, "{line}");
        }
    }

    #[test]
    fn this_machine_has_a_budget() {
        let (budget, grants) = (Budget::of_this_machine(), Budget::grants(false));
        assert!(0 < budget.connections && !budget.limit.is_empty(), "{budget:?}");
        assert_eq!((grants[0].connections, grants[0].limit), (budget.connections, budget.limit));
        assert!(grants.is_sorted_by_key(|grant| grant.connections), "{grants:?}");
        assert!(grants.iter().any(|grant| grant.limit == "MemTotal"), "{grants:?}");
        assert!(Budget::new(true).connections <= budget.connections);
    }
}
