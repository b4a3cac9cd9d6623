//! A session keeps to the server's rate also when nothing else happens that could wake it.

use crate::support::PATIENCE;
use switchboard::{Quotas, Server, Session};

#[test]
fn who_waits_for_each_answer_is_slowed_down_and_not_forgotten() {
    for quotas in [
        Quotas { messages: Some("20/s:4".parse().unwrap()), ..Quotas::default() },
        Quotas { bytes: Some("4000/s:800".parse().unwrap()), ..Quotas::default() },
    ] {
        let server = Server::builder().protocol("/ws").quotas(quotas).bind("127.0.0.1:0").unwrap();
        let server = server.start().unwrap();
        let url = format!("ws://{}/ws", server.local_addr());
        let session = Session::builder().patience(PATIENCE).connect(&url).unwrap();
        // Not joined: nothing comes but the answers.
        let room = session.room("r");
        for n in 1..=10 {
            assert_eq!(room.publish(n).unwrap().offset, n);
        }
    }
}
