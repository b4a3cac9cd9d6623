//! The callback style: a value for each connection, whose methods are called as things happen. Built on the
//! blocking handler.

use super::websocket::WebSocket;
use crate::error::Result;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use tungstenite::Message;

/// What is to happen on a connection: implement what you need, and mount it by
/// [`Builder::callbacks`](crate::Builder::callbacks).
///
/// The methods are called one after another on the connection's own thread, so they may block, and the value
/// needs no locks. Returning an error, or panicking, closes the connection with 1011.
///
/// ```
/// use switchboard::{Callbacks, Message, Result, Server, WebSocket};
///
/// #[derive(Default)]
/// struct Group {
///     said: usize,
/// }
///
/// impl Callbacks for Group {
///     fn connect(&mut self, ws: &mut WebSocket) -> Result<()> {
///         ws.join(ws.param("group")).map(drop)
///     }
///
///     fn receive(&mut self, ws: &mut WebSocket, message: Message) -> Result<()> {
///         self.said += 1;
///         ws.room(ws.param("group")).send(message);
///         Ok(())
///     }
///
///     fn disconnect(&mut self, ws: &mut WebSocket) {
///         ws.room(ws.param("group")).send_others(format!("somebody left after {} messages", self.said));
///     }
/// }
///
/// let server = Server::builder().callbacks("/group/{group}", Group::default).bind("127.0.0.1:0")?.start()?;
/// # let mut ann = server.connect("/group/a")?;
/// # ann.send("first")?;
/// # assert_eq!(ann.recv()?, Some("first".into()));
/// let mut bob = server.connect("/group/a")?;
/// bob.send("hello")?;
/// assert_eq!(ann.recv()?, Some("hello".into()));
/// drop(bob);
/// assert_eq!(ann.recv()?, Some("somebody left after 1 messages".into()));
/// # Ok::<(), switchboard::Error>(())
/// ```
pub trait Callbacks: Send {
    /// The connection is open; nothing has been received from it yet.
    ///
    /// # Errors
    /// Closes the connection with 1011. To refuse it with another code, call [`WebSocket::close`] and return
    /// `Ok`.
    fn connect(&mut self, ws: &mut WebSocket) -> Result<()> {
        let _ = ws;
        Ok(())
    }

    /// A text or binary message has come. While this runs, the client's pings are not answered.
    ///
    /// # Errors
    /// Closes the connection with 1011.
    fn receive(&mut self, ws: &mut WebSocket, message: Message) -> Result<()> {
        let _ = (ws, message);
        Ok(())
    }

    /// The connection has ended: always called once after [`Callbacks::connect`], whoever ended it and
    /// however. It is still a member of its rooms; [`WebSocket::closed`] tells code and reason. When one of
    /// the other methods failed or panicked, that gives `None`: 1011 follows this.
    fn disconnect(&mut self, ws: &mut WebSocket) {
        let _ = ws;
    }
}

/// The handler that calls them.
pub(crate) fn run(mut callbacks: impl Callbacks, mut ws: WebSocket) -> Result<()> {
    let result = catch_unwind(AssertUnwindSafe(|| {
        callbacks.connect(&mut ws)?;
        while let Some(message) = ws.recv()? {
            callbacks.receive(&mut ws, message)?;
        }
        Ok(())
    }));
    callbacks.disconnect(&mut ws);
    result.unwrap_or_else(|panic| resume_unwind(panic))
}
