//! Authenticators: tokens that are looked up in a list, and signed tokens (JWT) that tell by themselves whose they are.
//!
//! Both make the closure that [`Builder::authenticate`](crate::Builder::authenticate) takes:
//!
//! ```
//! use switchboard::auth::{Jwt, Key, Signer};
//! use switchboard::{Client, Server};
//!
//! # fn main() -> switchboard::Result<()> {
//! let secret = "32 random bytes, or more than that";
//! let jwt = Jwt::new().with_key(Key::secret(secret)?).audience("chat");
//! let server = Server::builder()
//!     .authenticate(jwt.authenticator())
//!     .route("/", |mut ws| ws.send(format!("hello {}", ws.identity().name().unwrap_or("stranger"))))
//!     .bind("127.0.0.1:0")?
//!     .start()?;
//!
//! // Who gives tokens away has the same secret, or the private key of the pair.
//! let token = Signer::secret(secret)?.sign(r#"{"sub": "ann", "aud": "chat", "exp": 4102444800}"#)?;
//! let mut client = server.connect(&format!("/?token={token}"))?;
//! assert_eq!(client.recv()?.unwrap().to_text().unwrap(), "hello ann");
//! # Ok(())
//! # }
//! ```
//!
//! A token proves who opens the connection. What it says holds until that connection ends, also when the token expires or
//! its key is taken away meanwhile: [`User::close`](crate::User::close) ends a user's connections.
//!
//! Reasons for a refusal name what is wrong, and never the token.

#[cfg(feature = "protocol")]
mod api;
mod jwt;
mod key;
mod pem;
mod reloadable;
mod signer;
mod tokens;
mod verify;

pub use jwt::Jwt;
pub use key::Key;
pub use signer::Signer;
pub use tokens::Tokens;

use crate::server::{Denied, Identity, Request};

/// Longer tokens are not looked at, in bytes.
const LONGEST: usize = 8 * 1024;

type Checked = Result<Identity, Denied>;

/// The closure that finds the token in a request.
fn authenticator(
    check: impl Fn(&str) -> Checked + Send + Sync,
) -> impl Fn(&Request) -> Checked + Send + Sync {
    move |request| match request.token() {
        Some(token) if !token.is_empty() => check(&token),
        _ => {
            Err(denied("a token is needed: Authorization: Bearer TOKEN, subprotocol bearer.TOKEN or ?token="))
        }
    }
}

/// A Close frame has room for 123 bytes of it.
fn denied(reason: &str) -> Denied {
    Denied::unauthorized(format!("authentication failed: {reason}"))
}
