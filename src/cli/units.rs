//! Sizes, times, addresses and origins as people write them: `64K`, `1MiB`, `20s`, `500ms`, `localhost:9527`.

use std::time::Duration;
use switchboard::{Origins, Rate};

/// Bytes: a whole number, alone or with B, K, M, G (also KB, KiB …; all are powers of 1024).
pub(crate) fn size(text: &str) -> Result<usize, String> {
    let (number, unit) = split(text);
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
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

/// Host and port to listen on; whether there is such a host is seen later.
pub(crate) fn address(text: &str) -> Result<String, String> {
    match text.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => Ok(text.into()),
        _ => Err("write HOST:PORT, as 127.0.0.1:9527 or [::]:443".into()),
    }
}

/// An origin as browsers send it, or `*`. Anything else would never be met.
pub(crate) fn origin(text: &str) -> Result<String, String> {
    if text != "*" {
        Origins::List(vec![text.into()]).check().map_err(|error| error.to_string())?;
    }
    Ok(text.into())
}

/// So many, and not none.
pub(crate) fn count(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|count| 0 < *count).ok_or_else(|| "write a whole number, 1 or more".into())
}

/// Bytes in a time, as `64K/s`, or `64K/s:1M` with a burst.
pub(crate) fn byte_rate(text: &str) -> Result<Rate, String> {
    let (count, rest) = text.split_once('/').ok_or("write SIZE/TIME, as 64K/s, or 64K/s:1M with a burst")?;
    let (time, burst) = rest.split_once(':').map_or((rest, None), |(time, burst)| (time, Some(burst)));
    let burst = burst.map(size).transpose()?.map_or(String::new(), |burst| format!(":{burst}"));
    format!("{}/{time}{burst}", size(count)?).parse().map_err(|error: switchboard::Error| error.to_string())
}

fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (&text[..end], text[end..].trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes() {
        for (text, bytes) in
            [("0", 0), ("17", 17), ("64K", 65_536), ("64 kb", 65_536), ("1MiB", 1 << 20), ("2g", 2 << 30)]
        {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "K", "-1", "1.5M", "1T", "1i", "1KBB", "1bib", "99999999999G"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn counts() {
        assert_eq!((count("1"), count("65536")), (Ok(1), Ok(65_536)));
        for text in ["", "0", "-1", "1.5", "x", "99999999999999999999"] {
            assert!(count(text).is_err(), "{text}");
        }
    }

    #[test]
    fn byte_rates() {
        let seconds = Duration::from_secs;
        for (text, rate) in [
            ("64K/s", Rate::new(65_536, seconds(1))),
            ("1M/60s:4M", Rate::new(1 << 20, seconds(60)).with_burst(4 << 20)),
            ("100/m", Rate::new(100, seconds(60))),
        ] {
            assert_eq!(byte_rate(text), Ok(rate), "{text}");
        }
        for text in ["", "64K", "K/s", "64K/x", "64K/s:", "64K/s:x", "5G/s", "0/s", "1/s:0"] {
            assert!(byte_rate(text).is_err(), "{text}");
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

    #[test]
    fn addresses() {
        for text in ["127.0.0.1:9527", "[::1]:0", "localhost:80"] {
            assert_eq!(address(text).as_deref(), Ok(text));
        }
        for text in
            ["", "9527", ":9527", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "::1:x", "http://a:80/"]
        {
            assert!(address(text).is_err(), "{text}");
        }
    }

    #[test]
    fn origins() {
        for text in [
            "*",
            "null",
            "https://example.com",
            "http://localhost:8080",
            "https://*.example.com",
            "http://[::1]:8080",
        ] {
            assert_eq!(origin(text).as_deref(), Ok(text));
        }
        for text in ["", "example.com", "https://", "https://example.com/", "https://a.*.example.com", "://a"]
        {
            assert!(origin(text).is_err(), "{text}");
        }
    }

    proptest! {
        /// What is written is what is meant, or it is refused: nothing wraps around.
        #[test]
        fn any_number_with_any_unit(
            number: u128,
            shift in 0u32..128,
            unit in "[ ]?([kKmMgGtT]?[i]{0,2}[bB]{0,2}|ms|s|h|min|\\PC{0,2})",
        ) {
            prop_assume!(!unit.contains(|c: char| c.is_ascii_digit()));
            let number = number >> shift;
            let text = format!("{number}{unit}");
            let unit = unit.trim();
            let factor = match unit.to_ascii_lowercase().as_str() {
                "" | "b" => Some(1),
                "k" | "kb" | "kib" => Some(1 << 10),
                "m" | "mb" | "mib" => Some(1 << 20),
                "g" | "gb" | "gib" => Some(1u128 << 30),
                _ => None,
            };
            let bytes = factor.and_then(|factor| usize::try_from(number.checked_mul(factor)?).ok());
            prop_assert_eq!(size(&text).ok(), bytes, "{}", text);
            let factor = match unit {
                "ms" => Some(1),
                "" | "s" => Some(1000),
                "m" | "min" => Some(60_000),
                "h" => Some(3_600_000),
                _ => None,
            };
            let millis = factor.and_then(|factor| u64::try_from(number.checked_mul(factor)?).ok());
            prop_assert_eq!(time(&text).ok(), millis.map(Duration::from_millis), "{}", text);
        }

        #[test]
        fn any_text_is_a_size_and_a_time_or_neither(text in "\\PC{0,12}") {
            for said in [size(&text).err(), time(&text).err()].into_iter().flatten() {
                prop_assert!(!said.is_empty());
            }
        }
    }
}
