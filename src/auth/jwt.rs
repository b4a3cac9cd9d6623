//! Signed tokens: the keys and the rules they are checked by.

use super::key::Key;
use super::reloadable::Reloadable;
use super::verify::{Rules, verify};
use super::{Checked, authenticator, denied};
#[cfg(doc)]
use crate::error::Error;
use crate::error::Result;
use crate::server::Request;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Lets in whoever brings a signed token: a JSON Web Token (RFC 7519), signed with HS256, RS256 or ES256. Clones are the same
/// one: what [`Jwt::reload`] reads, every server has that it was given to.
///
/// | claim | |
/// |---|---|
/// | `exp` | when it ends, in seconds since 1970; required |
/// | `sub` | the user's name ([`Identity::name`](crate::Identity::name)); required |
/// | `nbf` | when it begins |
/// | `iss`, `aud` | checked if [`Jwt::issuer`], [`Jwt::audience`] say what they must be |
/// | `rooms` | what the user may: `["tea", "team-*"]` to read and write, or `{"read": […], "write": […]}`; without it, everything |
///
/// With several keys, old tokens are good while new ones are given away already: see [`Key::with_id`]. A token with a claim
/// twice, padded or otherwise not canonical base64, extensions that must be understood (`crit`), or more than 8 KiB, is denied.
///
/// ```
/// use switchboard::auth::{Jwt, Key, Signer};
///
/// let secret = "32 random bytes, or more than that";
/// let jwt = Jwt::new().with_key(Key::secret(secret)?).issuer("accounts");
/// let sign = |claims| Signer::secret(secret).and_then(|signer| signer.sign(claims));
///
/// let token = sign(r#"{"iss": "accounts", "sub": "ann", "exp": 4102444800, "rooms": ["tea"]}"#)?;
/// let ann = jwt.check(&token).unwrap();
/// assert!(ann.name() == Some("ann") && ann.writes("tea") && !ann.reads("coffee"));
///
/// let elsewhere = sign(r#"{"iss": "others", "sub": "ann", "exp": 4102444800}"#)?;
/// assert!(jwt.check(&elsewhere).is_err());
/// # Ok::<(), switchboard::Error>(())
/// ```
#[derive(Clone)]
pub struct Jwt {
    keys: Reloadable<Key>,
    rules: Rules,
}

impl Default for Jwt {
    fn default() -> Self {
        let rules = Rules { audience: Vec::new(), issuer: None, leeway: Duration::from_secs(60) };
        Self { keys: Reloadable::new(|_| Ok(())), rules }
    }
}

impl Jwt {
    /// Without a key, nobody is let in.
    pub fn new() -> Self {
        Self::default()
    }

    /// One more key.
    #[must_use]
    pub fn with_key(self, key: Key) -> Self {
        Self { keys: self.keys.with(key), ..self }
    }

    /// One more key from a file, with or without a name: see [`Key::read`] and [`Key::with_id`].
    ///
    /// # Errors
    /// As [`Key::read`].
    pub fn with_key_file(self, path: impl AsRef<Path>, id: Option<&str>) -> Result<Self> {
        let (path, id) = (path.as_ref().to_path_buf(), id.map(String::from));
        let read = move || {
            let key = Key::read(&path)?;
            Ok(vec![match &id {
                Some(id) => key.with_id(id),
                None => key,
            }])
        };
        Ok(Self { keys: self.keys.with_file(read)?, ..self })
    }

    /// Only tokens for this audience (`aud`); repeated, for one of these. Default: it is not looked at.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.rules.audience.push(audience.into());
        self
    }

    /// Only tokens of this issuer (`iss`). Default: it is not looked at.
    #[must_use]
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.rules.issuer = Some(issuer.into());
        self
    }

    /// By how much the clock of the one who signs may differ. Default: 60 s.
    #[must_use]
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.rules.leeway = leeway;
        self
    }

    /// Reads the files again. Who is in stays in.
    ///
    /// # Errors
    /// As [`Key::read`]; the old keys stay.
    pub fn reload(&self) -> Result<()> {
        self.keys.reload()
    }

    /// Who the token is about.
    ///
    /// # Errors
    /// Why it is not good; 401 where refusals are HTTP.
    pub fn check(&self, token: &str) -> Checked {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        verify(token, &self.keys.get(), &self.rules, now.as_secs_f64()).map_err(denied)
    }

    /// For [`Builder::authenticate`](crate::Builder::authenticate).
    pub fn authenticator(&self) -> impl Fn(&Request) -> Checked + Send + Sync + use<> {
        let jwt = self.clone();
        authenticator(move |token| jwt.check(token))
    }
}
