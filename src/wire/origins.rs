//! The entries of a list of origins: which origins each stands for, and whether it stands for any (RFC 6454 §6.2).

use super::handshake::Origins;
use super::http::split_authority;
use crate::error::{Error, Result};

impl Origins {
    /// Whether each entry is something that a browser sends: another one would let nobody in, and say nothing.
    ///
    /// # Errors
    /// [`Error::Config`] that names the entry and what to write.
    pub fn check(&self) -> Result<()> {
        let Self::List(list) = self else { return Ok(()) };
        match list.iter().find_map(|entry| Some((entry, mistake(entry)?))) {
            Some((entry, what)) => Err(Error::Config(format!("the origin `{entry}` {what}"))),
            None => Ok(()),
        }
    }
}

/// Whether `entry` stands for this origin. `https://*.example.com` stands for whatever is below that name, but not for the
/// name itself; `*.example.com` does so for http and https.
pub(super) fn stands_for(entry: &str, origin: &str) -> bool {
    let Some((scheme, base)) = wildcard(entry) else { return entry.eq_ignore_ascii_case(origin) };
    let Some((of_origin, authority)) = origin.split_once("://") else { return false };
    let is_scheme = match scheme {
        Some(scheme) => scheme.eq_ignore_ascii_case(of_origin),
        None => ["http", "https"].iter().any(|scheme| scheme.eq_ignore_ascii_case(of_origin)),
    };
    let (Some((base, port)), Some((host, of_origin))) = (split_authority(base), split_authority(authority))
    else {
        return false;
    };
    let Some((below, end)) = host.len().checked_sub(base.len()).and_then(|at| host.split_at_checked(at))
    else {
        return false;
    };
    is_scheme
        && port == of_origin
        && end.eq_ignore_ascii_case(base)
        && below.len() > 1
        && below.ends_with('.')
}

/// The scheme, if there is one, and what stands behind `*.`.
fn wildcard(entry: &str) -> Option<(Option<&str>, &str)> {
    let (scheme, authority) = parts(entry);
    Some((scheme, authority.strip_prefix("*.")?))
}

fn parts(entry: &str) -> (Option<&str>, &str) {
    entry.split_once("://").map_or((None, entry), |(scheme, authority)| (Some(scheme), authority))
}

/// What is wrong with an entry, and what to write.
fn mistake(entry: &str) -> Option<String> {
    const NONE: &str = "is none: write scheme://host or scheme://host:port, as https://example.com";
    if ["null", "file://"].contains(&entry) {
        return None;
    }
    if entry == "*" {
        return Some("stands for all of them: allow any origin, or none but those that you name".into());
    }
    let (scheme, authority) = parts(entry);
    let (authority, rest) = authority.split_at(authority.find(['/', '?', '#']).unwrap_or(authority.len()));
    let wildcard = authority.strip_prefix("*.");
    let Some((host, port)) = split_authority(wildcard.unwrap_or(authority)) else {
        return Some(match authority.is_ascii() {
            true => NONE.into(),
            false => {
                "has other letters than ASCII: write the host as browsers send it, as xn--4gq48lf9j".into()
            }
        });
    };
    let written = format!("{}://{authority}", scheme.unwrap_or("https"));
    let is_scheme = |scheme: &str| {
        !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
    };
    let is_host = |b: u8| b.is_ascii_alphanumeric() || b"-._[]:".contains(&b);
    let is_address =
        || host.starts_with('[') || host.rsplit('.').next().is_some_and(|end| end.parse::<u32>().is_ok());
    let own_port = [("http", 80), ("https", 443)];
    if scheme.is_some_and(|scheme| !is_scheme(scheme)) {
        Some(NONE.into())
    } else if host.contains('*') || wildcard.is_some() && is_address() {
        Some("has a `*` where none can be: it stands for the first parts of a name, as in https://*.example.com".into())
    } else if !host.bytes().all(is_host) {
        Some(NONE.into())
    } else if scheme.is_none() && wildcard.is_none() {
        Some(format!("has no scheme: write {written}"))
    } else if !rest.is_empty() {
        Some(format!("goes on behind the host, with `{rest}`: write {written}"))
    } else if own_port.iter().any(|own| port == Some(own.1) && scheme == Some(own.0)) {
        let end = written.rfind(':').unwrap_or(written.len());
        Some(format!(
            "names the port that its scheme has anyway, which browsers leave out: write {}",
            &written[..end]
        ))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_wildcard_stands_for_what_is_below_a_name() {
        for (entry, origin, expected) in [
            ("https://example.com", "https://example.com", true),
            ("https://example.com", "HTTPS://Example.COM", true),
            ("https://example.com", "https://a.example.com", false),
            ("https://*.example.com", "https://a.example.com", true),
            ("https://*.example.com", "https://A.B.Example.Com", true),
            ("https://*.example.com", "https://example.com", false),
            ("https://*.example.com", "https://.example.com", false),
            ("https://*.example.com", "https://evilexample.com", false),
            ("https://*.example.com", "https://a.example.com.evil.com", false),
            ("https://*.example.com", "https://a.example.com:443", false),
            ("https://*.example.com", "https://a.example.com:8443", false),
            ("https://*.example.com", "https://a.example.com/", false),
            ("https://*.example.com", "https://evil.com/.example.com", false),
            ("https://*.example.com", "https://evil@a.example.com", false),
            ("https://*.example.com", "http://a.example.com", false),
            ("https://*.example.com", "a.example.com", false),
            ("https://*.example.com", "null", false),
            ("https://*.example.com", "", false),
            ("https://*.example.com:8443", "https://a.example.com:8443", true),
            ("https://*.example.com:8443", "https://a.example.com", false),
            ("*.example.com", "https://a.example.com", true),
            ("*.example.com", "http://a.example.com", true),
            ("*.example.com", "ftp://a.example.com", false),
            ("*.example.com", "http://example.com", false),
            ("*.example.com", "http://evilexample.com", false),
            ("*.example.com:8080", "http://a.example.com:8080", true),
            ("*.", "https://a.", false),
            ("null", "null", true),
        ] {
            assert_eq!(stands_for(entry, origin), expected, "{entry} {origin}");
        }
    }

    #[test]
    fn an_entry_that_no_browser_sends_is_told_what_to_write() {
        for good in [
            "null",
            "file://",
            "https://example.com",
            "http://localhost:8080",
            "http://127.0.0.1",
            "https://[::1]:8443",
            "https://xn--4gq48lf9j.example",
            "chrome-extension://abcdefghijklmnop",
            "https://*.example.com",
            "https://*.example.com:8443",
            "*.example.com",
        ] {
            assert_eq!(mistake(good), None, "{good}");
        }
        for (bad, advice) in [
            ("*", "allow any"),
            ("", "as https://example.com"),
            ("example.com", "write https://example.com"),
            ("example.com/", "write https://example.com"),
            ("example.com:8080", "write https://example.com:8080"),
            ("https://example.com/", "write https://example.com"),
            ("https://example.com/chat?x", "write https://example.com"),
            ("https://*.example.com/", "write https://*.example.com"),
            ("https://example.com:443", "write https://example.com"),
            ("http://example.com:80", "write http://example.com"),
            ("https://", "as https://example.com"),
            ("://example.com", "as https://example.com"),
            ("https:example.com", "as https://example.com"),
            ("https://example.com:x", "as https://example.com"),
            ("https://ann@example.com", "as https://example.com"),
            ("https://a b", "as https://example.com"),
            ("https://a.com,https://b.com", "as https://example.com"),
            ("https://bücher.example", "xn--"),
            ("https://*", "https://*.example.com"),
            ("https://a.*.com", "https://*.example.com"),
            ("https://*example.com", "https://*.example.com"),
            ("https://*.*.com", "https://*.example.com"),
            ("https://*.0.0.1", "https://*.example.com"),
            ("https://*.[::1]", "https://*.example.com"),
        ] {
            let what = mistake(bad).unwrap_or_else(|| panic!("nothing wrong with {bad}"));
            assert!(what.contains(advice), "{bad}: {what}");
            let list = Origins::List(vec!["null".into(), bad.into()]);
            assert!(list.check().unwrap_err().to_string().contains(&format!("`{bad}` {what}")));
        }
    }

    proptest! {
        /// Whatever an entry is, it stands for nothing outside the name in it.
        #[test]
        fn nobody_gets_in_by_a_similar_name(before in "[a-z.:/@*]{0,6}", name in "[a-z]{1,3}", behind in "[a-z.:/@0-9]{0,6}") {
            let origin = format!("https://{before}{name}.example{behind}");
            let entry = format!("https://*.{name}.example");
            let is_below = behind.is_empty()
                && before.len() > 1
                && before.ends_with('.')
                && !before.contains([':', '/', '@']);
            prop_assert_eq!(stands_for(&entry, &origin), is_below, "{} {}", entry, origin);
            let _ = (mistake(&origin), mistake(&before), stands_for(&origin, &entry));
        }
    }
}
