//! Who may in: the options, and the checks they make.

use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use switchboard::auth::{Jwt, Key, Tokens};
use switchboard::{Builder, Denied, Error, Identity, Refuse, Request, Result};

#[derive(Args)]
#[command(next_help_heading = "Who may connect")]
pub(crate) struct Access {
    /// A token that lets in; with =USER behind it, it is that user's. Repeatable. With any token or key, every WebSocket
    /// needs one: in a header (Authorization: Bearer TOKEN), as subprotocol bearer.TOKEN, or as ?token=TOKEN. Others can see
    /// a command line: rather put it into the environment, or many into --token-file
    #[arg(
        long,
        value_name = "TOKEN[=USER]",
        allow_hyphen_values = true,
        env = "SWITCHBOARD_TOKEN",
        hide_env_values = true
    )]
    token: Vec<String>,
    /// Tokens in a file, one in each line: TOKEN, or TOKEN USER; # begins a comment. SIGHUP reads it again
    #[arg(long, value_name = "FILE", env = "SWITCHBOARD_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// Lets in who brings a JWT signed with this secret (HS256), of 32 bytes or more. Its sub is the user, its rooms what
    /// the user may: ["tea", "team-*"], or {"read": […], "write": […]}
    #[arg(
        long,
        value_name = "SECRET",
        allow_hyphen_values = true,
        env = "SWITCHBOARD_JWT_SECRET",
        hide_env_values = true
    )]
    jwt_secret: Option<String>,
    /// The same for what a file holds: a public key in PEM (RS256, ES256), or a secret. With ID= before it, the key of that
    /// name (kid). Repeatable, so that old tokens are good while new ones are given away. SIGHUP reads it again
    #[arg(long, value_name = "[ID=]FILE", env = "SWITCHBOARD_JWT_KEY", value_delimiter = ',')]
    jwt_key: Vec<String>,
    /// Only JWTs for this audience (aud); repeatable, for one of these
    #[arg(long, value_name = "AUD", env = "SWITCHBOARD_JWT_AUDIENCE", value_delimiter = ',')]
    jwt_audience: Vec<String>,
    /// Only JWTs of this issuer (iss)
    #[arg(long, value_name = "ISS", env = "SWITCHBOARD_JWT_ISSUER")]
    jwt_issuer: Option<String>,
    /// How a client is told that it may not in: by a WebSocket that is closed at once with 1008 and the reason, which a page
    /// in a browser can show; or by HTTP 401, 403 or 429
    #[arg(long, value_name = "HOW", default_value = "close", env = "SWITCHBOARD_REFUSE")]
    refuse: How,
    /// Refuse clients that are no web page, or do not say of which: those without an Origin
    #[arg(long, env = "SWITCHBOARD_REQUIRE_ORIGIN")]
    require_origin: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum How {
    Close,
    Http,
}

impl Access {
    pub(crate) fn apply(&self, builder: Builder, guard: Option<&Guard>) -> Builder {
        let refuse = match self.refuse {
            How::Close => Refuse::Close,
            How::Http => Refuse::Http,
        };
        let builder = builder.refuse(refuse).require_origin(self.require_origin);
        match guard.cloned() {
            Some(guard) => builder.authenticate(move |request| guard.identify(request)),
            None => builder,
        }
    }

    /// What can be known without the files: whether the values can be used, and go together.
    pub(crate) fn check(&self) -> Result<()> {
        given_tokens(self)?;
        given_secret(self)?;
        let has_jwt = self.jwt_secret.is_some() || !self.jwt_key.is_empty();
        // One by one, for each is a mistake of its own in a file.
        let given = [("audience", !self.jwt_audience.is_empty()), ("issuer", self.jwt_issuer.is_some())];
        match given.iter().find(|(_, is_given)| *is_given && !has_jwt) {
            Some((name, _)) => {
                Err(Error::Config(format!("--jwt-{name}: this is about JWTs: add --jwt-secret or --jwt-key")))
            }
            None => Ok(()),
        }
    }

    /// Whether anybody is asked who they are.
    pub(crate) fn asks(&self) -> bool {
        !self.token.is_empty() || self.jwt_secret.is_some() || self.has_files()
    }

    /// Whether there is something to read again.
    pub(crate) fn has_files(&self) -> bool {
        self.token_file.is_some() || !self.jwt_key.is_empty()
    }
}

/// Finds out who a client is. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Guard(Arc<RwLock<Checks>>);

struct Checks {
    tokens: Option<Tokens>,
    jwt: Option<Jwt>,
}

impl Guard {
    /// `None`: everybody may in.
    pub(crate) fn read(options: &Access) -> Result<Option<Self>> {
        let checks = Checks::read(options)?;
        Ok(checks.map(|checks| Self(Arc::new(RwLock::new(checks)))))
    }

    /// Reads everything again, for those who come from now on; after an error everything stays as it was.
    pub(crate) fn reload(&self, options: &Access) -> Result<()> {
        let Some(new) = Checks::read(options)? else {
            return Err(Error::Config("a restart is needed to let everybody in".into()));
        };
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }

    fn identify(&self, request: &Request) -> Result<Identity, Denied> {
        let checks = self.0.read().unwrap_or_else(PoisonError::into_inner);
        match (&checks.tokens, &checks.jwt) {
            (Some(tokens), None) => tokens.authenticator()(request),
            (None, Some(jwt)) => jwt.authenticator()(request),
            // The more telling refusal of a token that is written as a JWT is the JWT's.
            (Some(tokens), Some(jwt)) => tokens.authenticator()(request).or_else(|denied| {
                let is_jwt = request.token().is_some_and(|token| token.matches('.').count() == 2);
                if is_jwt { jwt.authenticator()(request) } else { Err(denied) }
            }),
            (None, None) => Ok(Identity::default()),
        }
    }
}

impl Checks {
    fn read(options: &Access) -> Result<Option<Self>> {
        options.check()?;
        let (tokens, jwt) = (tokens(options)?, jwt(options)?);
        Ok((tokens.is_some() || jwt.is_some()).then_some(Self { tokens, jwt }))
    }
}

fn tokens(options: &Access) -> Result<Option<Tokens>> {
    if options.token.is_empty() && options.token_file.is_none() {
        return Ok(None);
    }
    let tokens = given_tokens(options)?;
    match &options.token_file {
        Some(path) => tokens.with_file(path).map(Some),
        None => Ok(Some(tokens)),
    }
}

/// Those that are no file's.
fn given_tokens(options: &Access) -> Result<Tokens> {
    let named = |error| Error::Config(format!("--token: {error}"));
    options.token.iter().try_fold(Tokens::new(), |tokens, token| {
        let (token, identity) = token_and_user(token);
        tokens.with(token, identity).map_err(named)
    })
}

/// A user is behind the last `=`; but base64 ends with some.
fn token_and_user(text: &str) -> (&str, Identity) {
    match text.rsplit_once('=') {
        Some((token, user)) if !user.is_empty() => (token, Identity::user(user)),
        _ => (text, Identity::default()),
    }
}

fn jwt(options: &Access) -> Result<Option<Jwt>> {
    if options.jwt_secret.is_none() && options.jwt_key.is_empty() {
        return Ok(None);
    }
    let mut jwt = Jwt::new();
    if let Some(key) = given_secret(options)? {
        jwt = jwt.with_key(key);
    }
    for key in &options.jwt_key {
        let (id, file) = id_and_file(key);
        jwt = jwt.with_key_file(file, id)?;
    }
    jwt = options.jwt_audience.iter().fold(jwt, Jwt::audience);
    Ok(Some(match &options.jwt_issuer {
        Some(issuer) => jwt.issuer(issuer),
        None => jwt,
    }))
}

fn given_secret(options: &Access) -> Result<Option<Key>> {
    let named = |error| Error::Config(format!("--jwt-secret: {error}"));
    options.jwt_secret.as_ref().map(Key::secret).transpose().map_err(named)
}

/// `2026-11=keys/new.pem`; a path with a `=` in it can have a `./` before it.
pub(crate) fn id_and_file(text: &str) -> (Option<&str>, &str) {
    match text.split_once('=') {
        Some((id, file)) if !id.contains('/') => (Some(id), file),
        _ => (None, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_behind_the_last_equals_sign() {
        for (text, token, user) in [
            ("abc", "abc", None),
            ("abc=ann", "abc", Some("ann")),
            ("abc=ann lee", "abc", Some("ann lee")),
            ("YWJj==", "YWJj==", None),
            ("YWJj===ann", "YWJj==", Some("ann")),
            ("a=b=c", "a=b", Some("c")),
            ("=", "=", None),
        ] {
            let (found, identity) = token_and_user(text);
            assert_eq!((found, identity.name()), (token, user), "{text}");
        }
    }

    #[test]
    fn a_key_has_a_name_or_none() {
        for (text, id, file) in [
            ("key.pem", None, "key.pem"),
            ("new=key.pem", Some("new"), "key.pem"),
            ("new=/etc/a=b.pem", Some("new"), "/etc/a=b.pem"),
            ("./a=b.pem", None, "./a=b.pem"),
            ("/etc/a=b.pem", None, "/etc/a=b.pem"),
        ] {
            assert_eq!(id_and_file(text), (id, file), "{text}");
        }
    }
}
