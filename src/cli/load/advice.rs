//! What to do about a connection that failed or ended.

use super::connection::End;
use std::io::ErrorKind;

/// The next step; `None` where the reason says it all.
pub(super) fn next_step(end: &End) -> Option<&'static str> {
    Some(match end {
        End::Unreachable(ErrorKind::ConnectionRefused, _) => "see whether the server is still running",
        End::Unreachable(ErrorKind::AddrNotAvailable, _) => {
            "no local port is free: lower --connections, or widen the range with `sysctl -w \
             net.ipv4.ip_local_port_range=\"1024 65535\"`"
        }
        End::Unreachable(_, what) if what.contains("open files") => {
            "raise the limit on open files (`ulimit -n`) for this program, or lower --connections"
        }
        End::Unreachable(..) => "see whether the server's queue of new connections is full: lower --at-once",
        End::Refused(401 | 403, _) => "give what the server wants with -H, as -H 'Authorization: Bearer …'",
        End::Refused(429, _) => {
            "the server limits connections of one address: raise its --connect-rate or --per-address for the test"
        }
        End::Refused(503, _) => {
            "the server has no room for so many: lower --connections, or let `switchboard doctor` say on its machine what \
             limits it"
        }
        End::Refused(..) => "check the path of the URL",
        End::Misunderstood(what) if what.contains("in time") => {
            "the server is slow to answer: lower --at-once, or look at what it is busy with"
        }
        End::Closed(1008, _) => "the server's policy forbids it: the reason says which, and -H gives a token",
        End::Closed(1009, _) => "lower --size, or raise the server's --max-message",
        End::Closed(1013, _) | End::Failed(1013, _) => {
            "this client read too slowly for the server: lower --rate or --window, or raise --threads"
        }
        End::Closed(1006, _) => "look into the server's log: it ended connections without a word",
        End::Misunderstood(_) | End::Closed(..) | End::Failed(..) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_mended_says_how() {
        for (end, part) in [
            (End::Unreachable(ErrorKind::ConnectionRefused, "refused".into()), "running"),
            (End::Unreachable(ErrorKind::AddrNotAvailable, "x".into()), "ip_local_port_range"),
            (End::Unreachable(ErrorKind::Other, "Too many open files (os error 24)".into()), "ulimit -n"),
            (End::Refused(503, "busy".into()), "switchboard doctor"),
            (End::Refused(401, String::new()), "Authorization"),
            (End::Refused(429, String::new()), "--connect-rate"),
            (End::Closed(1013, String::new()), "--window"),
        ] {
            assert!(next_step(&end).is_some_and(|step| step.contains(part)), "{end:?}");
        }
        assert_eq!(next_step(&End::Closed(1000, String::new())), None);
    }
}
