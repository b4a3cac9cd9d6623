//! Where a session's tokens come from.

use crate::client::ClientBuilder;
use crate::error::{Error, Result};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// What lets a session in.
#[derive(Clone)]
pub(super) enum Token {
    Given(String),
    /// The program's function, to be asked for each connection.
    Asked(Arc<dyn Fn() -> Result<String> + Send + Sync>),
}

impl Token {
    /// Whether there may be a better one after this.
    pub(super) fn is_asked(&self) -> bool {
        matches!(self, Self::Asked(_))
    }

    /// Blocks as long as the program's function does. A panic in it is an error: the session must live on.
    pub(super) fn get(&self) -> Result<String> {
        match self {
            Self::Given(token) => Ok(token.clone()),
            Self::Asked(ask) => catch_unwind(AssertUnwindSafe(|| ask()))
                .unwrap_or_else(|_| Err(Error::other("the function for tokens panicked"))),
        }
    }
}

/// A client that says who it is. RFC 6750 §2.1
pub(super) fn with_token(client: &ClientBuilder, token: &str) -> ClientBuilder {
    client.clone().header("authorization", &format!("Bearer {token}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_that_panics_gives_an_error_and_is_asked_again() {
        let calls = std::sync::atomic::AtomicUsize::new(0);
        let token =
            Token::Asked(Arc::new(move || match calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
                0 => panic!("an expected panic"),
                1 => Err(Error::other("nobody is there")),
                n => Ok(format!("token {n}")),
            }));
        let said: Vec<String> =
            (0..4).map(|_| token.get().unwrap_or_else(|error| error.to_string())).collect();
        assert_eq!(said, ["the function for tokens panicked", "nobody is there", "token 2", "token 3"]);
        assert!(token.is_asked() && !Token::Given("token".into()).is_asked());
    }
}
