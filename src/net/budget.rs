//! How many threads this machine grants the process, worked out before it refuses one.
//!
//! At the limit of memory maps a Rust program does not get an error but aborts: the new thread panics while
//! it sets up its guard page. So the limit must be known and kept below.

use rustix::process::{Resource, getrlimit};
use std::fs::read_to_string;

/// Memory maps of one thread: stack, its guard, the signal stack, its guard.
const MAPS_PER_THREAD: u64 = 4;
/// Memory maps left to the rest of the process: libraries, allocator, large messages.
const MAPS_RESERVE: u64 = 4096;
/// Threads, processes and descriptors left to the rest of the process or the machine.
const RESERVE: u64 = 128;

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

/// A limit of the machine: its name, how many connections it grants, how to raise it.
type Grant = (&'static str, Option<u64>, &'static str);

impl Budget {
    /// Reads the machine's limits as they are now: `/proc`, control group, resource limits. Some threads and
    /// descriptors are left to the rest of the process. Where none can be read: 4096.
    pub fn of_this_machine() -> Self {
        let number = |path: &str| read_to_string(path).ok()?.trim().parse().ok();
        Self::smallest(&[
            (
                "vm.max_map_count",
                number("/proc/sys/vm/max_map_count").map(grant_by_maps),
                "raise it with `sysctl vm.max_map_count=262144`",
            ),
            (
                "RLIMIT_NOFILE",
                getrlimit(Resource::Nofile).current.map(grant),
                "raise it with `ulimit -n 65536` (systemd: LimitNOFILE=)",
            ),
            (
                "RLIMIT_NPROC",
                getrlimit(Resource::Nproc).current.map(grant),
                "raise it with `ulimit -u 65536` (systemd: LimitNPROC=)",
            ),
            (
                "kernel.pid_max",
                number("/proc/sys/kernel/pid_max").map(grant),
                "raise it with `sysctl kernel.pid_max=4194304`",
            ),
            (
                "kernel.threads-max",
                number("/proc/sys/kernel/threads-max").map(grant),
                "raise it with `sysctl kernel.threads-max=262144`",
            ),
            (
                "pids.max",
                pids_max().map(grant),
                "raise the control group's limit (systemd: TasksMax=; docker: --pids-limit)",
            ),
        ])
    }

    fn smallest(grants: &[Grant]) -> Self {
        let known = grants.iter().filter_map(|(limit, granted, advice)| Some((limit, (*granted)?, advice)));
        let (limit, connections, advice) = known.min_by_key(|(_, granted, _)| *granted).unwrap_or((
            &"none known",
            4096,
            &"set a number yourself",
        ));
        let connections = usize::try_from(connections.max(1)).unwrap_or(usize::MAX);
        Self { connections, limit, advice }
    }
}

fn grant_by_maps(maps: u64) -> u64 {
    maps.saturating_sub(MAPS_RESERVE) / MAPS_PER_THREAD
}

fn grant(count: u64) -> u64 {
    count.saturating_sub(RESERVE)
}

/// The smallest `pids.max` from this process's control group up to the root.
fn pids_max() -> Option<u64> {
    let groups = read_to_string("/proc/self/cgroup").ok()?;
    let path = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    std::path::Path::new(path)
        .ancestors()
        .filter_map(|group| {
            let group = group.strip_prefix("/").unwrap_or(group);
            let file = std::path::Path::new("/sys/fs/cgroup").join(group).join("pids.max");
            // "max" is no number, and no limit.
            read_to_string(file).ok()?.trim().parse().ok()
        })
        .min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_grant_binds() {
        let budget = |grants: &[Grant]| {
            let budget = Budget::smallest(grants);
            (budget.connections, budget.limit)
        };
        assert_eq!(budget(&[("a", Some(9), ""), ("b", Some(7), ""), ("c", None, "")]), (7, "b"));
        assert_eq!(budget(&[("a", Some(0), "")]), (1, "a"));
        assert_eq!(budget(&[("a", None, "")]).0, 4096);
    }

    #[test]
    fn limits_grant_less_than_they_say() {
        assert_eq!(grant_by_maps(65_530), 15_358);
        assert_eq!(grant_by_maps(100), 0);
        assert_eq!(grant(20_000), 19_872);
    }

    #[test]
    fn this_machine_has_a_budget() {
        let budget = Budget::of_this_machine();
        assert!(0 < budget.connections && !budget.limit.is_empty(), "{budget:?}");
    }
}
