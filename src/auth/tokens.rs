//! Tokens that are known one by one.

use super::reloadable::Reloadable;
use super::{Checked, LONGEST, authenticator, denied};
use crate::error::{Error, Result};
use crate::server::{Identity, Request};
use ring::digest::{SHA256, digest};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use subtle::{ConditionallySelectable, ConstantTimeEq};

/// Lets in whoever brings one of these tokens. Clones are the same one: what [`Tokens::reload`] reads, every server has that it
/// was given to.
///
/// ```
/// use switchboard::Identity;
/// use switchboard::auth::Tokens;
///
/// # fn main() -> switchboard::Result<()> {
/// let tokens = Tokens::new().with("5f3ac2", Identity::user("ann").may_write(["tea"]))?;
/// assert_eq!(tokens.check("5f3ac2").unwrap().name(), Some("ann"));
/// assert!(tokens.check("5f3ac3").is_err());
/// # Ok(())
/// # }
/// ```
///
/// How long a check takes tells nothing about the tokens: neither which one it was, nor how much of it was right.
#[derive(Clone)]
pub struct Tokens(Reloadable<Entry>);

#[derive(Clone)]
struct Entry {
    digest: [u8; 32],
    identity: Identity,
    /// Where it was said, for errors.
    place: Arc<str>,
}

impl Default for Tokens {
    fn default() -> Self {
        Self(Reloadable::new(check_unique))
    }
}

impl Tokens {
    /// None: nobody is let in.
    pub fn new() -> Self {
        Self::default()
    }

    /// One more token, and whose it is.
    ///
    /// # Errors
    /// [`Error::Config`] for an empty token, one with other characters than visible ASCII, and one that is there already.
    pub fn with(self, token: &str, identity: Identity) -> Result<Self> {
        let digest = digest_of(token).map_err(|what| Error::Config(what.into()))?;
        let tokens = self.0.with(Entry { digest, identity, place: "a token that was given".into() });
        check_unique(&tokens.get())?;
        Ok(Self(tokens))
    }

    /// The tokens of a file: one in each line, and a blank and the user's name behind it, unless it is for somebody without a
    /// name. What follows a `#` at the beginning of a word is a comment.
    ///
    /// ```text
    /// # who may in
    /// 4bc1d02e77a35f90 ann
    /// 90af13cc5d28e641 bob   # until spring
    /// ```
    ///
    /// # Errors
    /// [`Error::Config`] when the file cannot be read, holds no token, or one that is not allowed ([`Tokens::with`]). The text
    /// names file and line.
    pub fn with_file(self, path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_path_buf();
        self.0.with_file(move || read(&path)).map(Self)
    }

    /// Reads the files again. Who is in stays in.
    ///
    /// # Errors
    /// As [`Tokens::with_file`]; the old tokens stay.
    pub fn reload(&self) -> Result<()> {
        self.0.reload()
    }

    /// Takes those that `other` has now in place of all that there are, for all clones. The files that are read again stay.
    ///
    /// ```
    /// use switchboard::Identity;
    /// use switchboard::auth::Tokens;
    ///
    /// # fn main() -> switchboard::Result<()> {
    /// let tokens = Tokens::new();
    /// let of_a_server = tokens.clone();
    /// tokens.replace(&Tokens::new().with("5f3ac2", Identity::user("ann"))?);
    /// assert!(of_a_server.check("5f3ac2").is_ok());
    /// # Ok(())
    /// # }
    /// ```
    pub fn replace(&self, other: &Self) {
        self.0.set(other.0.get());
    }

    /// Whether nobody is let in.
    pub fn is_empty(&self) -> bool {
        self.0.get().is_empty()
    }

    /// Whose token this is.
    ///
    /// # Errors
    /// It is nobody's; 401 where refusals are HTTP.
    pub fn check(&self, token: &str) -> Checked {
        if LONGEST < token.len() {
            return Err(denied("the token is longer than 8 KiB"));
        }
        let entries = self.0.get();
        let digest = digest(&SHA256, token.as_bytes());
        let mut found = u64::MAX;
        for (at, entry) in (0..).zip(entries.iter()) {
            found.conditional_assign(&at, entry.digest[..].ct_eq(digest.as_ref()));
        }
        let entry = usize::try_from(found).ok().and_then(|found| entries.get(found));
        entry.map(|entry| entry.identity.clone()).ok_or_else(|| denied("the token is not known"))
    }

    /// For [`Builder::authenticate`](crate::Builder::authenticate).
    pub fn authenticator(&self) -> impl Fn(&Request) -> Checked + Send + Sync + use<> {
        let tokens = self.clone();
        authenticator(move |token| tokens.check(token))
    }
}

/// Of the same length whatever the token.
fn digest_of(token: &str) -> Result<[u8; 32], &'static str> {
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(
            "a token is letters, digits and signs of ASCII, without blanks: openssl rand -hex 32 makes one",
        );
    }
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    Ok(bytes)
}

fn read(path: &Path) -> Result<Vec<Entry>> {
    let wrong = |what: String| Error::Config(format!("{}{what}", path.display()));
    let text = fs::read_to_string(path).map_err(|error| wrong(format!(": {error}")))?;
    let entries = (1..).zip(text.lines()).filter_map(|(number, line)| {
        let place = format!("{}:{number}", path.display());
        parse(line, &place).map_err(|what| wrong(format!(":{number}: {what}"))).transpose()
    });
    let entries = entries.collect::<Result<Vec<_>>>()?;
    if entries.is_empty() {
        return Err(wrong(" holds no token; write one in each line: TOKEN, or TOKEN USER".into()));
    }
    Ok(entries)
}

/// One line; `None` for one without a token.
fn parse(line: &str, place: &str) -> Result<Option<Entry>, &'static str> {
    let mut words = line.split_whitespace().take_while(|word| !word.starts_with('#'));
    let Some(token) = words.next() else { return Ok(None) };
    let (user, more) = (words.next(), words.next());
    if more.is_some() || user.is_some_and(|user| user.chars().any(char::is_control)) {
        return Err("write TOKEN, or TOKEN USER, where both have no blanks; # begins a comment");
    }
    let identity = user.map(Identity::user).unwrap_or_default();
    Ok(Some(Entry { digest: digest_of(token)?, identity, place: place.into() }))
}

/// A token is one user's.
fn check_unique(entries: &[Entry]) -> Result<()> {
    for (at, entry) in entries.iter().enumerate() {
        if let Some(first) = entries[..at].iter().find(|first| first.digest == entry.digest) {
            let (place, first) = (&entry.place, &first.place);
            return Err(Error::Config(format!(
                "{place}: the same token as {first}; each needs one of its own"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{Jwt, Signer};
    use proptest::prelude::*;
    use std::path::PathBuf;

    fn names(tokens: &Tokens, asked: &[&str]) -> Vec<Option<String>> {
        let name = |token: &&str| Some(tokens.check(token).ok()?.name().unwrap_or("somebody").to_string());
        asked.iter().map(name).collect()
    }

    fn in_file(test: &str, content: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("switchboard-{test}-{}", std::process::id()));
        fs::write(&path, content).unwrap();
        path
    }

    #[test]
    fn a_token_is_whose_it_is_and_nothing_near_it_passes() {
        let ann = Identity::user("ann").may_write(["tea"]);
        let tokens = Tokens::new().with("abc", ann.clone()).unwrap();
        let tokens = tokens.with("abcd", Identity::default()).unwrap();
        assert_eq!((tokens.check("abc"), tokens.check("abcd")), (Ok(ann), Ok(Identity::default())));
        for wrong in ["", "a", "ab", "ABC", "abc ", " abc", "abcde", "abc\0", "é", &"x".repeat(LONGEST)] {
            assert_eq!(tokens.check(wrong), Err(denied("the token is not known")), "{wrong}");
        }
        let long = tokens.check(&"x".repeat(LONGEST + 1)).unwrap_err();
        assert_eq!(long, denied("the token is longer than 8 KiB"));
        assert_eq!(Tokens::new().check("abc"), Err(denied("the token is not known")));
        for wrong in ["", "a b", "é", "a\n"] {
            assert!(Tokens::new().with(wrong, Identity::default()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_file_has_a_token_in_each_line() {
        let path = in_file(
            "lines",
            "# who may in\n\n  aaa ann\r\nbbb\t bob # until spring\nccc\n c#c carl\n ccc# #\n",
        );
        let tokens = Tokens::new().with_file(&path).unwrap();
        let asked = ["aaa", "bbb", "ccc", "c#c", "ccc#", "#", "who", "ann", "until"];
        let user = |name: &str| Some(name.to_string());
        let expected = [
            user("ann"),
            user("bob"),
            user("somebody"),
            user("carl"),
            user("somebody"),
            None,
            None,
            None,
            None,
        ];
        assert_eq!(names(&tokens, &asked), expected);
        for (content, what) in [
            ("", " holds no token"),
            ("# aaa\n", " holds no token"),
            ("aaa ann\nbbb bob smith\n", ":2: write TOKEN"),
            ("aaa \u{1}\n", ":1: write TOKEN"),
            ("aaa\n\nhüsh\n", ":3: a token is letters"),
            ("hush ann\nbbb\nhush bob\n", ":3: the same token as "),
        ] {
            fs::write(&path, content).unwrap();
            let error = tokens.reload().unwrap_err().to_string();
            assert!(error.starts_with(&format!("{}{what}", path.display())), "{error}");
            assert!(!error.contains("hush") && !error.contains("hüsh"), "{error}");
            assert_eq!(names(&tokens, &asked), expected, "the old ones stay");
        }
        fs::remove_file(&path).unwrap();
        assert!(tokens.reload().unwrap_err().to_string().contains("No such file"));
        assert_eq!(names(&tokens, &asked), expected);
    }

    #[test]
    fn what_one_clone_reads_again_all_have() {
        let path = in_file("reload", "old ann\n");
        let tokens = Tokens::new().with("given", Identity::user("root")).unwrap().with_file(&path).unwrap();
        let clone = tokens.clone();
        let other = tokens.clone().with("more", Identity::default()).unwrap();
        fs::write(&path, "new ann\n").unwrap();
        tokens.reload().unwrap();
        let is_in =
            |tokens: &Tokens| ["given", "old", "new", "more"].map(|token| tokens.check(token).is_ok());
        assert_eq!((is_in(&tokens), is_in(&clone)), ([true, false, true, false], [true, false, true, false]));
        assert_eq!(is_in(&other), [true, true, false, true]);
        fs::write(&path, "given bob\n").unwrap();
        assert!(
            tokens.reload().unwrap_err().to_string().contains("the same token as a token that was given")
        );

        let secret = |what: &str| format!("the {what} secret, of many more bytes");
        let token =
            |what| Signer::secret(secret(what)).unwrap().sign(r#"{"sub":"ann","exp":4102444800}"#).unwrap();
        fs::write(&path, secret("old")).unwrap();
        let jwt = Jwt::new().with_key_file(&path, None).unwrap();
        let clone = jwt.clone();
        let is_in = |jwt: &Jwt| ["old", "new"].map(|what| jwt.check(&token(what)).is_ok());
        assert_eq!(is_in(&clone), [true, false]);
        fs::write(&path, secret("new")).unwrap();
        jwt.reload().unwrap();
        assert_eq!(is_in(&clone), [false, true]);
        fs::write(&path, "short").unwrap();
        assert!(jwt.reload().is_err());
        assert_eq!(is_in(&clone), [false, true]);
        fs::remove_file(&path).unwrap();
    }

    proptest! {
        #[test]
        fn any_line_is_a_token_or_not(line in "\\PC{0,40}", token in "[!-~]{1,20}", user in "[a-zé]{0,5}") {
            let _ = parse(&line, "");
            prop_assume!(!token.starts_with('#'));
            let entry = parse(&format!(" {token}  {user} # more"), "").unwrap().unwrap();
            prop_assert_eq!(entry.identity.name(), Some(&user[..]).filter(|user| !user.is_empty()));
            let tokens = Tokens(Reloadable::new(check_unique).with(entry));
            prop_assert!(tokens.check(&token).is_ok());
            prop_assert!(line == token || tokens.check(&line).is_err());
        }
    }
}
