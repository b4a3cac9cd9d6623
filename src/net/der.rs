//! A walk over DER (X.690), as far as certificates and keys need one: RFC 5280 §4.1.

pub(crate) const SEQUENCE: u8 = 0x30;

/// The first DER element: its tag, its content, and what follows. X.690 §8.1.
pub(crate) fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, length], mut rest) = der.split_first_chunk::<2>()?;
    let mut length = usize::from(length);
    if length & 0x80 != 0 {
        let (digits, after) =
            rest.split_at_checked(length & 0x7f).filter(|(digits, _)| (1..=4).contains(&digits.len()))?;
        length = digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit));
        rest = after;
    }
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// A certificate's fields from its period of validity on: Certificate, TBSCertificate, then version, serial number,
/// algorithm and issuer are passed over. Subject and public key follow.
pub(crate) fn certificate_validity(certificate: &[u8]) -> Option<&[u8]> {
    const VERSION: u8 = 0xa0;
    let (_, certificate, _) = element(certificate)?;
    let (_, mut fields, _) = element(certificate)?;
    if fields.first() == Some(&VERSION) {
        fields = element(fields)?.2;
    }
    for _ in ["serial number", "algorithm", "issuer"] {
        fields = element(fields)?.2;
    }
    Some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_have_short_or_long_lengths_but_no_indefinite_ones() {
        assert_eq!(element(b"\x02\x01a!"), Some((2, &b"a"[..], &b"!"[..])));
        assert_eq!(element(b"\x02\x82\x00\x01a!"), Some((2, &b"a"[..], &b"!"[..])));
        assert_eq!(element(b"\x30\x80a\0\0"), None);
        assert_eq!(element(b"\x30\x85\0\0\0\0\x01a"), None);
    }
}
