//! Who may use the server API: keys, which are tokens.

use super::Tokens;
use crate::server::Builder;

impl Builder {
    /// The server API at and below `path`: publishing, telling users or everybody, ending a user's connections and looking at
    /// rooms, as JSON over HTTP, for programs that have one of these keys (`Authorization: Bearer KEY`). Needs the features
    /// `auth` and `protocol`; it is about the rooms of [`Builder::protocol`]. Routes below this path are not reached. Bodies
    /// may have twice the bytes of [`Limits::message`](crate::Limits::message), and may be chunked.
    ///
    /// While there are no keys ([`Tokens::replace`] can bring some), all of it is answered 404. Who has a key may do everything:
    /// what the key's [`Identity`](crate::Identity) says is not looked at.
    ///
    /// | request | answer |
    /// |---|---|
    /// | `POST /publish` `{room,data,key?}` | `{room,epoch,offset}` |
    /// | `POST /broadcast` `{data}` | `{connections}` |
    /// | `POST /direct` `{to,data}` | `{connections}`; 404 `no_such_user` |
    /// | `POST /disconnect` `{user,reason?}` | `{connections}` |
    /// | `GET /rooms?after=ROOM&limit=N` | `{"rooms":[{room,users,connections,epoch,offset}]}`, and `"more":true` if there are more |
    /// | `GET /rooms/{room}` | `{room,members:[{user,connections}],epoch,offset}`; 404 `no_such_room` |
    /// | `GET /stats` | `{node,connections,users,rooms}` |
    ///
    /// Rooms are listed by name, behind `after` if there is one, at most 10 000 (or `limit`) at once; the numbers of `/stats` are
    /// this server's. What they do is documented where a program itself does it: [`Handle::publish`](crate::Handle::publish),
    /// [`announce`](crate::Handle::announce), [`direct`](crate::Handle::direct), [`kick`](crate::Handle::kick). Errors are
    /// `{code,message}` with 400, 401, 404, 405, 408, 413, 415, 431, 501 or, when the server could not answer, 503.
    ///
    /// ```
    /// use switchboard::auth::Tokens;
    /// use switchboard::{Identity, Server};
    ///
    /// let keys = Tokens::new().with("5f3ac2", Identity::default())?;
    /// let server = Server::builder().protocol("/ws").api("/api", &keys).bind("127.0.0.1:0")?.start()?;
    /// # use std::io::Write;
    /// # let http = |request: &str| -> std::io::Result<String> {
    /// #     let mut socket = std::net::TcpStream::connect(server.local_addr())?;
    /// #     write!(socket, "{request}")?;
    /// #     std::io::read_to_string(socket)
    /// # };
    /// let stats = http("GET /api/stats HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer 5f3ac2\r\n\r\n")?;
    /// assert!(stats.starts_with("HTTP/1.1 200 OK\r\n") && stats.contains(r#""rooms":0"#));
    /// let nobody = http("GET /api/stats HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    /// assert!(nobody.starts_with("HTTP/1.1 401 Unauthorized\r\n"));
    /// # Ok::<(), switchboard::Error>(())
    /// ```
    #[must_use]
    pub fn api(self, path: &str, keys: &Tokens) -> Self {
        let keys = keys.clone();
        self.api_for(path, Box::new(move |key| (!keys.is_empty()).then(|| keys.check(key).is_ok())))
    }
}
