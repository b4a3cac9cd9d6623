//! The limits of the system, against what the server would take.

use super::super::serve::raise_descriptor_limit;
use super::Patient;
use super::remedy::size;
use super::report::{Check, State};
use rustix::process::{Resource, getrlimit};
use std::fs;
use switchboard::{Budget, Grant};

/// Connections that the commands of the report make room for when no number was asked for: more are for an event loop.
const GOAL: usize = 64_512;
/// With room for fewer than this there is something wrong with the machine, not with the wish.
const FEW: usize = 1000;

/// The limits on open files as the program found them.
pub(super) struct Descriptors {
    soft: Option<u64>,
    hard: Option<u64>,
}

impl Descriptors {
    /// Reads them, then raises the soft one as the server does, so that what is worked out is the server's.
    pub(super) fn raise() -> Self {
        let before = getrlimit(Resource::Nofile);
        raise_descriptor_limit();
        Self { soft: before.current, hard: before.maximum }
    }
}

/// One line for each limit that connections use up.
pub(super) fn connections(patient: &Patient) -> Vec<Check> {
    let wanted = patient.limits.connections;
    let grants = Budget::grants(patient.speaks_tls());
    grants
        .iter()
        .map(|grant| {
            let raise = |wanted| patient.place.raise(grant.limit, grant.needed(wanted));
            let check = Check::new(judge(grant.connections, wanted), grant.limit, found(grant, patient));
            let check = Check { connections: Some(grant.connections), ..check };
            match wanted {
                Some(wanted) if grant.connections < wanted => check.next(raise(wanted)),
                None if grant.connections < GOAL => check.next(format!("for {GOAL}: {}", raise(GOAL))),
                _ => check,
            }
        })
        .collect()
}

fn judge(connections: usize, wanted: Option<usize>) -> State {
    match wanted {
        Some(wanted) if connections < wanted => State::Fail,
        None if connections < FEW => State::Warn,
        _ => State::Ok,
    }
}

fn found(grant: &Grant, patient: &Patient) -> String {
    match (grant.limit, &patient.descriptors) {
        ("RLIMIT_NOFILE", Descriptors { soft: Some(soft), hard }) if Some(*soft) != *hard => {
            let hard = hard.map_or("no limit".into(), |hard| hard.to_string());
            format!("{soft}, the server raises it to {hard}")
        }
        ("memory.max" | "MemTotal", _) => size(grant.value),
        _ => grant.value.to_string(),
    }
}

/// Connections that may wait to be accepted.
pub(super) fn backlog(patient: &Patient) -> Vec<Check> {
    const NAME: &str = "net.core.somaxconn";
    let Some([most]) = numbers("/proc/sys/net/core/somaxconn") else { return Vec::new() };
    vec![judge_backlog(most, patient.limits.backlog.unsigned_abs().into(), |value| {
        patient.place.raise(NAME, value)
    })]
}

fn judge_backlog(most: u64, wanted: u64, raise: impl Fn(u64) -> String) -> Check {
    const NAME: &str = "net.core.somaxconn";
    if wanted <= most {
        return Check::ok(NAME, format!("{most}, the server asks for {wanted}"));
    }
    Check::warn(NAME, format!("{most} may wait to be accepted, not {wanted}")).next(raise(wanted))
}

/// What the kernel keeps for each connection on its way out and in.
pub(super) fn buffers(patient: &Patient) -> Vec<Check> {
    let send = numbers("/proc/sys/net/core/wmem_max").map(|[most]| {
        judge_send_buffer(most, patient.limits.send_buffer as u64, |value| {
            patient.place.raise("net.core.wmem_max", value)
        })
    });
    let receive = numbers("/proc/sys/net/ipv4/tcp_rmem").map(judge_receive_buffer);
    [send, receive].into_iter().flatten().collect()
}

fn judge_send_buffer(most: u64, wanted: u64, raise: impl Fn(u64) -> String) -> Check {
    const NAME: &str = "net.core.wmem_max";
    // `tcp_wmem` has no say: it is for sockets whose buffer nobody has set.
    if wanted <= most {
        return Check::ok(NAME, format!("{}, a connection asks for {}", size(most), size(wanted)));
    }
    Check::warn(NAME, format!("send buffers are cut to {}, from {}", size(most), size(wanted)))
        .next(raise(wanted))
}

fn judge_receive_buffer([least, usual, most]: [u64; 3]) -> Check {
    const NAME: &str = "net.ipv4.tcp_rmem";
    const SMALL: u64 = 64 << 10;
    if SMALL <= most {
        return Check::ok(NAME, format!("up to {} unread per connection", size(most)));
    }
    Check::warn(NAME, format!("only {} per connection: slow over long distances", size(most)))
        .next(format!("sysctl -w {NAME}=\"{least} {usual} 6291456\""))
}

/// The numbers in a file of the kernel's.
fn numbers<const N: usize>(path: &str) -> Option<[u64; N]> {
    let text = fs::read_to_string(path).ok()?;
    let numbers: Option<Vec<u64>> = text.split_whitespace().map(|word| word.parse().ok()).collect();
    numbers?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_was_asked_for_must_fit() {
        for (connections, wanted, state) in [
            (15_358, None, State::Ok),
            (15_358, Some(15_358), State::Ok),
            (15_358, Some(15_359), State::Fail),
            (896, None, State::Warn),
            (896, Some(500), State::Ok),
        ] {
            assert_eq!(judge(connections, wanted), state, "{connections} for {wanted:?}");
        }
    }

    #[test]
    fn what_is_too_small_names_what_would_do() {
        let raise = |value: u64| format!("set {value}");
        assert_eq!(judge_backlog(4096, 4096, raise).state, State::Ok);
        let check = judge_backlog(128, 4096, raise);
        assert_eq!((check.state, check.next.as_deref()), (State::Warn, Some("set 4096")));
        assert_eq!(judge_send_buffer(212_992, 131_072, raise).state, State::Ok);
        let check = judge_send_buffer(65_536, 131_072, raise);
        assert_eq!((check.state, check.next.as_deref()), (State::Warn, Some("set 131072")));
        assert_eq!(judge_receive_buffer([4096, 131_072, 6_291_456]).state, State::Ok);
        let check = judge_receive_buffer([4096, 16_384, 32_768]);
        assert_eq!(check.state, State::Warn);
        assert!(check.next.unwrap().ends_with("=\"4096 16384 6291456\""));
    }
}
