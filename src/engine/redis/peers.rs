//! Which other servers are alive: those that were heard lately. Pure.

use crate::engine::Name;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// A server that is silent for so long is gone. Its users, then, leave after the grace period: within 30 s and that.
pub(super) const SILENCE: Duration = Duration::from_secs(20);

#[derive(Default)]
pub(super) struct Peers(HashMap<Name, Instant>);

impl Peers {
    pub(super) fn heard(&mut self, node: &Name, now: Instant) {
        match self.0.get_mut(node) {
            Some(at) => *at = now,
            None => drop(self.0.insert(node.clone(), now)),
        }
    }

    /// Redis knows that it was heard so long ago.
    pub(super) fn learn(&mut self, node: &Name, age: Duration, now: Instant) {
        if let Some(at) = now.checked_sub(age)
            && age < SILENCE
        {
            self.0.entry(node.clone()).or_insert(at);
        }
    }

    /// Nothing could be heard of anybody for so long: that time does not count.
    pub(super) fn skip(&mut self, time: Duration) {
        self.0.values_mut().for_each(|at| *at += time);
    }

    pub(super) fn is_alive(&self, node: &str) -> bool {
        self.0.contains_key(node)
    }

    /// `false`: it was gone already.
    pub(super) fn forget(&mut self, node: &str) -> bool {
        self.0.remove(node).is_some()
    }

    /// Takes out those that have been silent for too long.
    pub(super) fn silent(&mut self, now: Instant) -> Vec<Name> {
        let is_silent = |at: Instant| SILENCE <= now.saturating_duration_since(at);
        self.0.extract_if(|_, at| is_silent(*at)).map(|(node, _)| node).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_silent_is_gone_once() {
        let (mut peers, now) = (Peers::default(), Instant::now() + SILENCE);
        let [a, b]: [Name; 2] = ["a".into(), "b".into()];
        peers.heard(&a, now);
        peers.learn(&b, Duration::from_secs(5), now);
        peers.learn(&"old".into(), SILENCE, now);
        assert!(peers.is_alive("a") && peers.is_alive("b") && !peers.is_alive("old"));
        assert_eq!(peers.silent(now + SILENCE - Duration::from_secs(5)), [b]);
        peers.skip(SILENCE);
        assert!(peers.silent(now + 2 * SILENCE - Duration::from_secs(1)).is_empty());
        assert_eq!(peers.silent(now + 2 * SILENCE), [a]);
        assert!(peers.silent(now + 3 * SILENCE).is_empty());
        peers.heard(&"c".into(), now);
        assert!(peers.forget("c") && !peers.forget("c"));
    }
}
