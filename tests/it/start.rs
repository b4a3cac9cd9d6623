//! A server that cannot start leaves nothing behind.

use crate::support::eventually;
use std::fs;
use switchboard::engine::{Engine, Inbox, Notice, Order};
use switchboard::{Error, Result, Server};

/// One that is never there.
struct Nowhere;

impl Engine for Nowhere {
    fn start(&self, _: &str, _: Inbox) -> Result<()> {
        Err(Error::Config("nobody is there".into()))
    }

    fn take(&self, _: Vec<Order>) -> Vec<Notice> {
        Vec::new()
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn stop(&self) {}
}

/// Threads of this process that belong to servers.
fn threads() -> usize {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let name = |task: fs::DirEntry| fs::read_to_string(task.path().join("comm")).ok();
    tasks.flatten().filter_map(name).filter(|name| name.starts_with("sb-")).count()
}

#[test]
fn a_server_that_cannot_start_leaves_no_thread_behind() {
    const TRIES: usize = 100;
    for _ in 0..TRIES {
        let server = Server::builder().protocol("/ws").engine(Nowhere).bind("127.0.0.1:0").unwrap();
        assert!(matches!(server.start(), Err(Error::Config(_))));
    }
    // Other tests have servers, too.
    eventually("the threads have ended", || threads() < TRIES);
}
