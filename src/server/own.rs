//! Which connection a thread serves: a handler that ends its own server must not wait for itself.

use super::shared::Shared;
use std::cell::Cell;
use std::sync::{Arc, Weak};

thread_local! {
    /// The server, told from others by its address, and the connection.
    static SERVED: Cell<Option<(*const Shared, u64)>> = const { Cell::new(None) };
}

/// While it is there, this thread serves a connection.
pub(crate) struct Serving;

impl Serving {
    pub(crate) fn begin(shared: &Arc<Shared>, id: u64) -> Self {
        SERVED.set(Some((Arc::as_ptr(shared), id)));
        Self
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        SERVED.set(None);
    }
}

/// This thread is about to wait for the end of that server: if it serves one of its connections, that one and the thread are
/// waited for no longer, by nobody.
pub(crate) fn step_aside(shared: &Arc<Shared>) {
    let Some((server, id)) = SERVED.get() else { return };
    if server != Arc::as_ptr(shared) {
        return;
    }
    // Once is enough: the server has ended when the thread goes on.
    SERVED.set(None);
    shared.sockets.excuse(id);
    if let Some(pool) = shared.pool.get().and_then(Weak::upgrade) {
        pool.excuse();
    }
}
