//! Percent-encoding of request targets (RFC 3986 §2.1): their one normal form, and what a segment says.

use super::http::Refusal;
use http::StatusCode;

/// The one spelling of all that mean the same path: what needs no encoding has none, and what does has capital digits
/// (RFC 3986 §6.2.2). Clients that send characters as they are mean their UTF-8 (RFC 3987 §3.1). The query is left as it is but
/// for that, as forms have rules of their own; so is a path with a `%` that encodes nothing: decoding it would make another one.
pub(crate) fn normalize(target: &str) -> String {
    let encoded = percent_encoded(target);
    let (path, query) = encoded.split_at(encoded.find('?').unwrap_or(encoded.len()));
    normal_path(path).map_or_else(|| encoded.clone(), |path| path + query)
}

fn normal_path(path: &str) -> Option<String> {
    let mut parts = path.split('%');
    let mut normal = parts.next()?.to_string();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        match hex_pair(digits.as_bytes())? {
            byte if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => normal.push(byte.into()),
            byte => normal.push_str(&format!("%{byte:02X}")),
        }
        normal.push_str(rest);
    }
    Some(normal)
}

/// What is not ASCII must be encoded in a request; `Uri` leaves it as it is. RFC 3986 §2.5.
pub(super) fn percent_encoded(resource: &str) -> String {
    let mut encoded = String::with_capacity(resource.len());
    for byte in resource.bytes() {
        if byte.is_ascii() {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// The byte of the two hexadecimal digits in front.
fn hex_pair(text: &[u8]) -> Option<u8> {
    let digit =
        |at: usize| char::from(*text.get(at)?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(0)? << 4 | digit(1)?)
}

/// One path segment percent-decoded as UTF-8 (RFC 3986 §2.1). A `+` stays what it is: this is no form.
pub(crate) fn decode_segment(segment: &str) -> Result<String, Refusal> {
    let mut decoded = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first != b'%' {
            decoded.push(*first);
            rest = tail;
            continue;
        }
        let Some(byte) = hex_pair(tail) else {
            return Err(bad(
                "the path holds a '%' without two hexadecimal digits after it: write %25 for the sign itself",
            ));
        };
        decoded.push(byte);
        rest = &tail[2..];
    }
    String::from_utf8(decoded)
        .map_err(|_| bad("the path is not UTF-8 after percent-decoding: encode it as UTF-8 (é is %C3%A9)"))
}

fn bad(reason: &str) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, reason)
}

#[cfg(test)]
mod tests {
    use super::super::soup_tests::{Soup, soup};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn equivalent_targets_become_the_same() {
        for (target, normal) in [
            ("/a-b_c~d.e/%2F%25?x=y", None),
            ("/%65%63ho%2D%2e%5F%7e%30", Some("/echo-._~0")),
            ("/caf%c3%A9", Some("/caf%C3%A9")),
            ("/大?x=é", Some("/%E5%A4%A7?x=%C3%A9")),
            // Not twice: a sign that is data stays one.
            ("/%2565%25%36%35", Some("/%2565%2565")),
            ("/%%36%35", None),
            ("/%65%4", None),
            ("/%zzé", Some("/%zz%C3%A9")),
            ("/%65?%65=%%36é", Some("/e?%65=%%36%C3%A9")),
        ] {
            assert_eq!(normalize(target), normal.unwrap_or(target), "{target}");
        }
    }

    #[test]
    fn path_segments_are_percent_decoded() {
        let table = [
            ("", Some("")),
            ("a-b_c~d.e+f", Some("a-b_c~d.e+f")),
            ("%41%2f%2F%25", Some("A//%")),
            ("caf%C3%A9%00", Some("café\0")),
            ("%e6%97%a5本", Some("日本")),
            ("%", None),
            ("a%4", None),
            ("%zz", None),
            ("%+1", None),
            ("%4é", None),
            ("%C3", None),
            ("%FF%FE", None),
        ];
        for (segment, decoded) in table {
            let actual = decode_segment(segment);
            assert_eq!(actual.as_deref().ok(), decoded, "{segment}");
            assert!(actual.is_ok() || actual.is_err_and(|refusal| refusal.status == StatusCode::BAD_REQUEST));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn percent_decoding_undoes_encoding_and_takes_anything(text in ".{0,30}", Soup(bytes) in soup("a%20b%C3%A9")) {
            let encoded: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
            prop_assert_eq!(decode_segment(&encoded).unwrap(), text);
            if let Ok(decoded) = decode_segment(&String::from_utf8_lossy(&bytes)) {
                prop_assert!(decoded.len() <= 3 * bytes.len());
            }
        }

        /// What a segment says is the same before and after, and doing it again changes nothing.
        #[test]
        fn normal_paths_say_the_same(Soup(bytes) in soup("/r%6Fom/a%2fb%C3%A9?x=%zz")) {
            let target = String::from_utf8_lossy(&bytes);
            let normal = normalize(&target);
            prop_assert!(normal.is_ascii());
            prop_assert_eq!(&normalize(&normal), &normal);
            let says = |target: &str| {
                let path = target.split('?').next().unwrap_or_default().to_string();
                path.split('/').map(|segment| decode_segment(segment).ok()).collect::<Vec<_>>()
            };
            prop_assert_eq!(says(&normal), says(&target));
        }
    }
}
