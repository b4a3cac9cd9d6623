//! The labels by which counters are apart. Each has few values, whatever clients do.

use super::number::{By, Label};

/// Of data messages. RFC 6455 §5.6
pub(crate) struct Kind;

pub(crate) type ByKind = By<Kind, 2>;

impl Label<2> for Kind {
    const NAME: &'static str = "kind";
    const VALUES: [&'static str; 2] = ["text", "binary"];
    /// Whether it is binary.
    type Key = bool;

    fn index(is_binary: bool) -> usize {
        usize::from(is_binary)
    }
}

/// HTTP statuses of 4xx and 5xx: those that the server itself answers, and one for all others of each hundred.
pub(crate) struct Status;

pub(crate) type ByStatus = By<Status, 18>;

impl Label<18> for Status {
    const NAME: &'static str = "status";
    const VALUES: [&'static str; 18] = [
        "400", "401", "403", "404", "405", "408", "413", "414", "415", "426", "429", "431", "500", "501",
        "503", "505", "4xx", "5xx",
    ];
    type Key = u16;

    fn index(status: u16) -> usize {
        position(&Self::VALUES, status).unwrap_or(if status < 500 { 16 } else { 17 })
    }
}

/// Close codes: those of RFC 6455 §7.4.1 and IANA's register, and one for all of libraries (3000 to 3999), of programs (4000
/// to 4999) and what is none.
pub(crate) struct Code;

pub(crate) type ByCode = By<Code, 17>;

impl Label<17> for Code {
    const NAME: &'static str = "code";
    const VALUES: [&'static str; 17] = [
        "1000", "1001", "1002", "1003", "1005", "1006", "1007", "1008", "1009", "1010", "1011", "1012",
        "1013", "1014", "3xxx", "4xxx", "other",
    ];
    type Key = u16;

    fn index(code: u16) -> usize {
        position(&Self::VALUES, code).unwrap_or(match code {
            3000..=3999 => 14,
            4000..=4999 => 15,
            _ => 16,
        })
    }
}

/// Why somebody was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DenialReason {
    Unauthorized,
    Forbidden,
    TooMany,
}

pub(crate) type ByReason = By<DenialReason, 3>;

impl Label<3> for DenialReason {
    const NAME: &'static str = "reason";
    const VALUES: [&'static str; 3] = ["unauthorized", "forbidden", "too_many"];
    type Key = Self;

    fn index(key: Self) -> usize {
        key as usize
    }
}

/// How a connection ended that did not end as it should: told by how its outbox was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unclean {
    /// Cut or given up while something waited for it.
    Stalled,
    /// It took everything, and was cut as it did not answer the Close frame.
    Unanswered,
    /// It went away while something waited for it.
    Gone,
}

pub(crate) type ByUnclean = By<Unclean, 3>;

impl Label<3> for Unclean {
    const NAME: &'static str = "reason";
    const VALUES: [&'static str; 3] = ["stalled", "unanswered", "gone"];
    type Key = Self;

    fn index(key: Self) -> usize {
        key as usize
    }
}

fn position(values: &[&str], number: u16) -> Option<usize> {
    values.iter().position(|value| value.parse() == Ok(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_its_label() {
        let status = |number| Status::VALUES[Status::index(number)];
        assert_eq!([404, 426, 503, 418, 507].map(status), ["404", "426", "503", "4xx", "5xx"]);
        let code = |number| Code::VALUES[Code::index(number)];
        assert_eq!([1000, 1013, 3000, 4999].map(code), ["1000", "1013", "3xxx", "4xxx"]);
        assert_eq!([0, 999, 1004, 1015, 2999, 5000, u16::MAX].map(code), ["other"; 7]);
        assert_eq!(Kind::VALUES[Kind::index(true)], "binary");
        assert_eq!(DenialReason::VALUES[DenialReason::index(DenialReason::TooMany)], "too_many");
        assert_eq!(Unclean::VALUES[Unclean::index(Unclean::Gone)], "gone");
    }
}
