//! A signed token, from its text to who it is about: RFC 7515 (the signature) and RFC 7519 (the claims). Pure: it is told the
//! keys and the time.

use super::LONGEST;
use super::key::{Algorithm, Key};
use crate::server::Identity;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// What a token must say, beside `exp` and `sub`.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    /// One of these, if there is one.
    pub(super) audience: Vec<String>,
    pub(super) issuer: Option<String>,
    /// By how much clocks may differ.
    pub(super) leeway: Duration,
}

/// What is wrong with a token.
type Reason = &'static str;

/// Who the token is about, if it is good at `now`, in seconds since 1970.
pub(super) fn verify(token: &str, keys: &[Key], rules: &Rules, now: f64) -> Result<Identity, Reason> {
    let claims = open(token, keys)?;
    judge(&claims, rules, now)
}

/// The claims' JSON, if the signature fits. RFC 7515 §5.2
pub(super) fn open(token: &str, keys: &[Key]) -> Result<Vec<u8>, Reason> {
    if LONGEST < token.len() {
        return Err("the token is longer than 8 KiB");
    }
    let (message, signature) = token.rsplit_once('.').ok_or(MALFORMED)?;
    let (header, claims) =
        message.split_once('.').filter(|(_, claims)| !claims.contains('.')).ok_or(MALFORMED)?;
    let header = Members::parse(&decode(header)?).ok_or("the token's header is malformed")?;
    let signature = decode(signature)?;
    let mut candidates = candidates(keys, &header)?;
    if !candidates.any(|key| key.fits(message.as_bytes(), &signature)) {
        return Err("the signature does not fit");
    }
    decode(claims)
}

const MALFORMED: Reason =
    "the token is malformed: three parts in base64url, with dots between them, are a JWT";

/// Only what an encoder writes: no padding, and no bits set that mean nothing.
fn decode(part: &str) -> Result<Vec<u8>, Reason> {
    BASE64.decode(part).map_err(|_| MALFORMED)
}

/// The keys that may have signed a token with this header.
fn candidates<'a>(keys: &'a [Key], header: &Members) -> Result<impl Iterator<Item = &'a Key>, Reason> {
    // RFC 7515 §4.1.11: what these are about must be understood, and nothing is.
    if header.get("crit").is_some() {
        return Err("the token's header has extensions (crit), which are not known here");
    }
    let algorithm = header.string("alg").and_then(|name| Algorithm::of(&name));
    let algorithm = algorithm.ok_or("the token's algorithm is none of HS256, RS256 and ES256")?;
    let named = match header.get("kid") {
        Some(_) => Some(header.string("kid").ok_or("the token's key id (kid) is no text")?),
        None => None,
    };
    // Without a name, or with one that no key has, any of the others may have signed it.
    let is_known = named.is_some() && keys.iter().any(|key| key.id.as_deref() == named.as_deref());
    let has_name = move |key: &Key| match (&named, is_known) {
        (None, _) => true,
        (Some(name), true) => key.id.as_deref() == Some(name),
        (Some(_), false) => key.id.is_none(),
    };
    let mut fitting = keys.iter().filter(move |key| key.algorithm == algorithm && has_name(key)).peekable();
    if fitting.peek().is_none() {
        return Err("there is no key for the token's algorithm and key id (alg, kid)");
    }
    Ok(fitting)
}

/// RFC 7519 §4.1
fn judge(claims: &[u8], rules: &Rules, now: f64) -> Result<Identity, Reason> {
    let claims = Members::parse(claims).ok_or("the token's claims are malformed, or one is there twice")?;
    let leeway = rules.leeway.as_secs_f64();
    // `None`: it is there, but no number.
    let time = |name| match claims.get(name) {
        Some(_) => claims.number(name).map(Some),
        None => Some(None),
    };
    let until = time("exp").ok_or("the token's end (exp) is no number")?;
    if until.ok_or("the token has no end (exp)")? + leeway <= now {
        return Err("the token has expired");
    }
    let from = time("nbf").ok_or("the token's beginning (nbf) is no number")?;
    if from.is_some_and(|from| now + leeway < from) {
        return Err("the token is not valid yet");
    }
    if rules.issuer.is_some() && claims.string("iss") != rules.issuer {
        return Err("the token is from another issuer (iss)");
    }
    let audience = || claims.strings("aud").or_else(|| claims.string("aud").map(|audience| vec![audience]));
    if !rules.audience.is_empty()
        && !audience().unwrap_or_default().iter().any(|a| rules.audience.contains(a))
    {
        return Err("the token is for another audience (aud)");
    }
    let user = claims.string("sub").filter(|user| !user.is_empty());
    let identity = Identity::user(&user.ok_or("the token names no user (sub)")?);
    match claims.get("rooms") {
        Some(_) => rooms(identity, &claims).ok_or("the token's rooms are malformed"),
        None => Ok(identity),
    }
}

/// `["tea", "team-*"]` to read and write, or `{"read": […], "write": […]}`, where what is not there is nothing.
fn rooms(identity: Identity, claims: &Members) -> Option<Identity> {
    if let Some(rooms) = claims.strings("rooms") {
        return Some(identity.may_read(rooms.clone()).may_write(rooms));
    }
    let rights = Members::parse(claims.get("rooms")?.get().as_bytes())?;
    let of = |name| rights.get(name).map_or(Some(Vec::new()), |_| rights.strings(name));
    let is_known = rights.0.keys().all(|name| ["read", "write"].contains(&name.as_str()));
    is_known.then_some(identity.may_read(of("read")?).may_write(of("write")?))
}

/// A JSON object whose members have a name of their own each: of two with the same name, one reader would believe the first,
/// another the last.
pub(super) struct Members(BTreeMap<String, Box<RawValue>>);

impl Members {
    /// `None`: it is something else, or not all of the text.
    pub(super) fn parse(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok()
    }

    fn get(&self, name: &str) -> Option<&RawValue> {
        self.0.get(name).map(|value| &**value)
    }

    fn read<T: for<'a> Deserialize<'a>>(&self, name: &str) -> Option<T> {
        serde_json::from_str(self.get(name)?.get()).ok()
    }

    fn string(&self, name: &str) -> Option<String> {
        self.read(name)
    }

    fn strings(&self, name: &str) -> Option<Vec<String>> {
        self.read(name)
    }

    /// A finite one: larger ones are an error of the parser.
    fn number(&self, name: &str) -> Option<f64> {
        self.read(name)
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Unique;

        impl<'de> Visitor<'de> for Unique {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = BTreeMap::new();
                while let Some((name, value)) = map.next_entry()? {
                    if members.insert(name, value).is_some() {
                        return Err(A::Error::custom("a member is there twice"));
                    }
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Unique)
    }
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
