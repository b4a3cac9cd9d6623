//! Sizes and times as people write them: `64K`, `1MiB`, `20s`, `500ms`.

use std::time::Duration;

/// Bytes: a whole number, alone or with B, K, M, G (also KB, KiB …; all are powers of 1024).
pub(crate) fn size(text: &str) -> Result<usize, String> {
    let (number, unit) = split(text);
    let factor = match unit.to_ascii_lowercase().trim_end_matches('b').trim_end_matches('i') {
        "" => 1,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        _ => return Err(format!("`{unit}` is no unit of size; write bytes, or K, M, G, as 64K")),
    };
    let number: usize =
        number.parse().map_err(|_| "write a whole number of bytes, or with K, M, G, as 64K")?;
    number.checked_mul(factor).ok_or_else(|| "this is more than the machine can address".into())
}

/// Time: a whole number, alone (seconds) or with ms, s, m, h.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let millis = match unit {
        "ms" => 1,
        "" | "s" => 1000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        _ => {
            return Err(format!(
                "`{unit}` is no unit of time; write seconds, or ms, s, m, h, as 20s or 500ms"
            ));
        }
    };
    let number: u64 =
        number.parse().map_err(|_| "write a whole number with ms, s, m or h, as 20s or 500ms")?;
    number
        .checked_mul(millis)
        .map(Duration::from_millis)
        .ok_or_else(|| "this is longer than time itself".into())
}

fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (&text[..end], text[end..].trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in
            [("0", 0), ("17", 17), ("64K", 65_536), ("64 kb", 65_536), ("1MiB", 1 << 20), ("2g", 2 << 30)]
        {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "K", "-1", "1.5M", "1T", "99999999999G"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times() {
        for (text, millis) in
            [("20", 20_000), ("20s", 20_000), ("500ms", 500), ("2m", 120_000), ("1 h", 3_600_000)]
        {
            assert_eq!(time(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "-1s", "1d", "99999999999999999h"] {
            assert!(time(text).is_err(), "{text}");
        }
    }
}
