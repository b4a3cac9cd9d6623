//! Several Redises as one: rooms are spread over them by their names; what is about servers and users is at the first.

use crate::engine::{Address, Inbox, Notice, Order};
use parking_lot::Mutex;
use std::sync::Arc;

/// Which of `count` an order is for. Servers of all machines and versions must agree on it.
pub(super) fn shard(order: &Order, count: usize) -> usize {
    match order {
        Order::Publish { publish, .. } => shard_of(&publish.room, count),
        Order::Open { room, .. }
        | Order::Close { room }
        | Order::Presence { room, .. }
        | Order::Listen { to: Address::Room(room), .. }
        | Order::Tell { to: Address::Room(room), .. } => shard_of(room, count),
        Order::Listen { .. } | Order::Tell { .. } => 0,
    }
}

/// By the hash FNV-1a of 64 bits.
fn shard_of(room: &str, count: usize) -> usize {
    let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let hash = room.bytes().fold(0xcbf2_9ce4_8422_2325, mix);
    // The low bits of this hash are its weak ones.
    ((hash >> 32) % count as u64) as usize
}

/// An inbox for each, behind which they are one: it can be reached when all can, and a server is gone when the first says so.
pub(super) fn inboxes(inbox: Inbox, count: usize) -> Vec<Inbox> {
    if count == 1 {
        return vec![inbox];
    }
    let hearing = Arc::new(Mutex::new(vec![false; count]));
    let of = |number: usize| {
        let (inbox, hearing) = (inbox.clone(), hearing.clone());
        Inbox::new(move |mut notices| {
            // Held until all is told: nobody may say meanwhile that all can be reached.
            let mut hearing = hearing.lock();
            notices.retain(|notice| match notice {
                Notice::Gone { .. } => number == 0,
                Notice::Deaf { .. } => {
                    hearing[number] = false;
                    true
                }
                Notice::Hearing => {
                    hearing[number] = true;
                    hearing.iter().all(|hearing| *hearing)
                }
                _ => true,
            });
            inbox.tell(notices)
        })
    };
    (0..count).map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn rooms_are_spread_and_stay() {
        let mut counts = [0; 3];
        for n in 0..3000 {
            counts[shard_of(&format!("room-{n}"), 3)] += 1;
        }
        assert!(counts.iter().all(|count| (900..1100).contains(count)), "{counts:?}");
        // What other versions have computed.
        assert_eq!(["", "lobby", "tea", "大厅"].map(|room| shard_of(room, 5)), [4, 4, 0, 2]);
        let listen = |to| shard(&Order::Listen { to, connections: 1 }, 3);
        assert_eq!((listen(Address::Nick("room-1".into())), listen(Address::Everyone)), (0, 0));
    }

    #[test]
    fn all_must_be_reached() {
        let (tell, told) = channel();
        let inboxes = inboxes(Inbox::new(move |notices| tell.send(notices).is_ok()), 2);
        let all = || told.try_iter().flatten().collect::<Vec<Notice>>();
        let deaf = Notice::Deaf { why: "x".into() };
        let gone = Notice::Gone { node: "n".into() };
        inboxes[1].tell(vec![Notice::Hearing]);
        assert_eq!(all(), []);
        inboxes[0].tell(vec![gone.clone(), Notice::Hearing]);
        assert_eq!(all(), [gone.clone(), Notice::Hearing]);
        inboxes[1].tell(vec![gone, deaf.clone()]);
        inboxes[0].tell(vec![deaf.clone(), Notice::Hearing]);
        assert_eq!(all(), [deaf.clone(), deaf]);
        inboxes[1].tell(vec![Notice::Hearing]);
        assert_eq!(all(), [Notice::Hearing]);
    }
}
