//! A connection's messages as an iterator.

use super::websocket::WebSocket;
use tungstenite::Message;

/// The messages of a connection until it ends, however it ends; blocks for each. [`WebSocket::closed`] then
/// tells how it ended.
///
/// ```
/// # let (tell, told) = std::sync::mpsc::channel();
/// # let server = switchboard::Server::builder().route("/", move |mut ws| {
/// let mut seen = String::new();
/// for message in &mut ws {
///     seen += message.to_text().unwrap_or("(binary)");
/// }
/// # let _ = tell.send(seen);
/// # Ok(())
/// # });
/// # let server = server.bind("127.0.0.1:0")?.start()?;
/// # let mut client = server.connect("/")?;
/// # for message in ["one ", "two"] { client.send(message)?; }
/// # drop(client);
/// # let seen = told.recv().unwrap();
/// assert_eq!(seen, "one two");
/// # Ok::<(), switchboard::Error>(())
/// ```
pub struct Messages<'a> {
    pub(super) ws: &'a mut WebSocket,
}

impl Iterator for Messages<'_> {
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        self.ws.recv().ok().flatten()
    }
}

impl<'a> IntoIterator for &'a mut WebSocket {
    type Item = Message;
    type IntoIter = Messages<'a>;

    fn into_iter(self) -> Messages<'a> {
        self.iter()
    }
}
