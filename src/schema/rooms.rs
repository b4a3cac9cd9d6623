//! Schemas for what is published in rooms of `switchboard.v1`.

use super::flaw::Flaw;
use super::{Schema, parse};
use crate::server::Builder;

impl Builder {
    /// What is published in the room of that name, or, with a `*` at the end, in all rooms whose names begin so, must fit the
    /// schema: the `data` of clients and of the server API; what the program itself publishes is its own affair. Other data is
    /// published nowhere, and answered with the error `invalid_data`, whose `path` is the JSON pointer (RFC 6901) to what in
    /// the data does not fit. Of the patterns that fit a room the longest counts, and only that; the same pattern again takes
    /// the first one's place. Checked on the publisher's thread, with the bounds of [`Schema`].
    ///
    /// ```
    /// use switchboard::{Schema, Server};
    ///
    /// let order = Schema::parse(r#"{"required": ["item"], "properties": {"item": {"type": "string"}}}"#)?;
    /// let server = Server::builder().protocol("/ws").check_room("orders-*", &order).bind("127.0.0.1:0")?.start()?;
    ///
    /// let mut client = server.connect("/ws")?;
    /// client.recv()?; // the welcome
    /// client.send(r#"{"type":"publish","room":"orders-7","data":{"item":5},"id":1}"#)?;
    /// assert_eq!(
    ///     client.recv()?.unwrap().to_text()?,
    ///     r#"{"type":"error","id":1,"code":"invalid_data","message":"it is not of type \"string\"","path":"/item"}"#
    /// );
    /// client.send(r#"{"type":"publish","room":"orders-7","data":{"item":"tea"},"id":2}"#)?;
    /// assert!(client.recv()?.unwrap().to_text()?.starts_with(r#"{"type":"published","id":2,"#));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn check_room(self, pattern: &str, schema: &Schema) -> Self {
        let schema = schema.clone();
        let check = move |data: &str| schema.fits(data).map_err(|flaw| (flaw.path, flaw.what));
        self.check_data(pattern, Box::new(check))
    }
}

impl Schema {
    /// Whether a value fits, of which the JSON is known to be right.
    fn fits(&self, json: &str) -> Result<(), Flaw> {
        let value = parse::parse(json).map_err(|bound| Flaw::whole(&bound.to_string()))?;
        self.flaw(&value, json.len()).map_or(Ok(()), Err)
    }
}
