//! How much one client may do, and the counts of who does: connections by address and user.

use crate::limits::KIB;
use crate::rate::{Bucket, Rate};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Addresses and users whose counts are kept at once, but for those that are here: whoever has a whole network of addresses
/// can make up more than any memory holds.
const REMEMBERED: usize = 64 * KIB;

/// How much one client may do. What a server as a whole may use is in [`Limits`](crate::Limits).
///
/// These can change while the server runs ([`Handle::set_quotas`](crate::Handle::set_quotas)): they hold for connections
/// that come then. By default a client may do what it likes, as far as the limits and the others' bounded queues allow: a
/// limit for each address would shut out those who share one, as behind a proxy.
///
/// ```
/// use switchboard::{Quotas, Server};
///
/// # fn main() -> switchboard::Result<()> {
/// let quotas = Quotas { per_address: Some(100), messages: Some("50/s:200".parse()?), ..Quotas::default() };
/// let builder = Server::builder().quotas(quotas);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quotas {
    /// Connections at once from one address; an IPv6 address stands for its /64, which is what one customer gets. Default
    /// `None`. One more WebSocket is closed with 1008, or refused with 429 ([`Builder::refuse`](crate::Builder::refuse)); a
    /// plain request, or whatever comes when there are twice as many, gets 429.
    pub per_address: Option<usize>,
    /// WebSockets at once of one user ([`Identity`](crate::Identity)). Default `None`. One more: 1008 or 429.
    pub per_user: Option<usize>,
    /// New connections from one address. Default `None`. More: 429 with `Retry-After`; with TLS the connection is closed
    /// instead, before the handshake costs anything.
    pub connects: Option<Rate>,
    /// Messages, pings and pongs of one connection. Default `None`. More: close code 1008.
    pub messages: Option<Rate>,
    /// Bytes of one connection, as they come: what also bounds the fragments of a message. Default `None`. More: close
    /// code 1008.
    pub bytes: Option<Rate>,
    /// Rooms that one connection is in at once. Default 1000. Joining one more is an [`Error::Quota`](crate::Error::Quota).
    pub rooms: usize,
}

impl Default for Quotas {
    fn default() -> Self {
        Self { per_address: None, per_user: None, connects: None, messages: None, bytes: None, rooms: 1000 }
    }
}

/// Whom a count is of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Address(IpAddr),
    User(Arc<str>),
}

/// Who is here, and who came lately.
#[derive(Default)]
pub(crate) struct Visitors(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    visits: HashMap<Key, Visit>,
    /// When there are so many, those that say nothing are dropped.
    sweep_at: usize,
}

#[derive(Default)]
struct Visit {
    open: usize,
    /// Of that rate: another may hold by now.
    connects: Option<(Rate, Bucket)>,
}

/// One connection's place in the counts; given back when dropped.
pub(crate) struct Place {
    visitors: Arc<Visitors>,
    key: Key,
    /// How many there were at that moment, this one included.
    pub(crate) open: usize,
}

impl Visitors {
    /// Counts a connection from this address. `Err`: there were too many lately; after that time one more may come.
    pub(crate) fn from_address(
        self: &Arc<Self>,
        address: IpAddr,
        rate: Option<Rate>,
        now: Instant,
    ) -> Result<Place, Duration> {
        self.enter(Key::Address(network(address)), rate, now)
    }

    /// Counts a WebSocket of this user.
    pub(crate) fn of_user(self: &Arc<Self>, user: &str) -> Option<Place> {
        self.enter(Key::User(user.into()), None, Instant::now()).ok()
    }

    fn enter(self: &Arc<Self>, key: Key, rate: Option<Rate>, now: Instant) -> Result<Place, Duration> {
        let mut counts = self.0.lock();
        counts.sweep(now);
        let visit = counts.visits.entry(key.clone()).or_default();
        if visit.connects.as_ref().map(|(rate, _)| *rate) != rate {
            visit.connects = rate.map(|rate| (rate, Bucket::new(rate, now)));
        }
        if let Some((_, bucket)) = &mut visit.connects {
            bucket.take(1, now)?;
        }
        visit.open += 1;
        Ok(Place { visitors: self.clone(), key, open: visit.open })
    }
}

impl Counts {
    /// Forgets addresses that are as good as new, once there are twice as many as after the last time.
    fn sweep(&mut self, now: Instant) {
        if self.visits.len() < self.sweep_at.max(KIB) {
            return;
        }
        self.visits.retain(|_, visit| {
            0 < visit.open || visit.connects.as_ref().is_some_and(|(_, bucket)| !bucket.is_full(now))
        });
        if REMEMBERED <= self.visits.len() {
            self.visits.retain(|_, visit| 0 < visit.open);
        }
        self.sweep_at = 2 * self.visits.len();
        self.visits.shrink_to(self.sweep_at);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.visitors.0.lock();
        let Some(visit) = counts.visits.get_mut(&self.key) else { return };
        visit.open -= 1;
        if visit.open == 0 && visit.connects.is_none() {
            counts.visits.remove(&self.key);
        }
    }
}

/// The address as it is counted: of IPv6 the first 64 bits, and an IPv4 address inside IPv6 as what it is.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn places_are_counted_and_given_back() {
        let (visitors, now) = (Arc::new(Visitors::default()), Instant::now());
        let enter = |text| visitors.from_address(address(text), None, now).unwrap();
        let first = enter("10.0.0.1");
        let (second, other) = (enter("::ffff:10.0.0.1"), enter("10.0.0.2"));
        assert_eq!((first.open, second.open, other.open), (1, 2, 1));
        drop(first);
        assert_eq!(enter("10.0.0.1").open, 2);
        let (near, same, far) = (enter("2001:db8::1"), enter("2001:db8::ffff:2"), enter("2001:db8:0:1::1"));
        assert_eq!((near.open, same.open, far.open), (1, 2, 1));
        assert_eq!(visitors.of_user("ann").unwrap().open, 1);
        drop((second, other, near, same, far));
        assert!(visitors.0.lock().visits.is_empty());
    }

    #[test]
    fn each_address_has_a_rate_of_its_own() {
        let (visitors, start) = (Arc::new(Visitors::default()), Instant::now());
        let rate = Some("2/s".parse().unwrap());
        let enter = |text, now| visitors.from_address(address(text), rate, now).map(drop);
        assert!(enter("10.0.0.1", start).is_ok() && enter("10.0.0.1", start).is_ok());
        assert_eq!(enter("10.0.0.1", start), Err(Duration::from_millis(500)));
        assert!(enter("10.0.0.2", start).is_ok());
        assert!(enter("10.0.0.1", start + Duration::from_millis(500)).is_ok());
    }

    #[test]
    fn another_rate_holds_for_whoever_comes_then() {
        let (visitors, now) = (Arc::new(Visitors::default()), Instant::now());
        let enter = |rate: &str| {
            visitors.from_address(address("10.0.0.1"), Some(rate.parse().unwrap()), now).map(drop)
        };
        assert!((0..50).all(|_| enter("100/s").is_ok()));
        // An attack is under way, and somebody turns the rate down.
        assert!(enter("1/h").is_ok() && enter("1/h").is_err());
        assert!(enter("100/s").is_ok());
    }

    #[test]
    fn addresses_that_came_once_are_forgotten() {
        let (visitors, start) = (Arc::new(Visitors::default()), Instant::now());
        let rate = Some("2/s".parse().unwrap());
        let here = visitors.from_address(address("10.0.0.1"), rate, start).unwrap();
        for n in 0..100_000_u32 {
            let now = start + Duration::from_millis(n.into());
            drop(visitors.from_address(IpAddr::V4(n.into()), rate, now));
        }
        assert!(visitors.0.lock().visits.len() < 4 * KIB);
        assert_eq!(visitors.from_address(address("10.0.0.1"), None, start).unwrap().open, 2);
        drop(here);
    }

    #[test]
    fn not_every_address_there_is_can_be_remembered() {
        let (visitors, now) = (Arc::new(Visitors::default()), Instant::now());
        let rate = Some("1/h".parse().unwrap());
        let here = visitors.from_address(address("10.0.0.1"), rate, now).unwrap();
        for n in 0..300_000_u128 {
            drop(visitors.from_address(IpAddr::V6((n << 64).into()), rate, now));
            assert!(visitors.0.lock().visits.len() <= REMEMBERED);
        }
        assert!(visitors.from_address(address("10.0.0.1"), rate, now).is_err(), "whoever is here is");
        drop(here);
    }
}
