//! Colours, where a terminal shows them. Reports are plain text and know nothing of this: the words with which they
//! judge are coloured on the way out. `NO_COLOR`, `CLICOLOR` and `TERM=dumb` are observed.

use anstream::AutoStream;
use anstream::stream::RawStream;
use std::io::{self, Write};

const RED: &str = "1;31";
pub(crate) const GREEN: &str = "32";
const YELLOW: &str = "33";

/// What a line may begin with.
const VERDICTS: &[(&str, &str)] = &[
    ("ok", GREEN),
    ("warn", YELLOW),
    ("warning:", YELLOW),
    ("ok:", GREEN),
    ("FAIL", RED),
    ("FAIL:", RED),
    ("switchboard:", RED),
];
/// What a line may end with.
const TRENDS: &[(&str, &str)] = &[("better", GREEN), ("worse", RED)];

/// A report, on stdout.
pub(crate) fn print(report: &str) -> io::Result<()> {
    let mut stdout = io::stdout();
    let text = if are_shown(&stdout) { painted(report) } else { report.into() };
    stdout.write_all(text.as_bytes())
}

/// Whether colours are wanted there.
pub(crate) fn are_shown(stream: &impl RawStream) -> bool {
    AutoStream::choice(stream) != anstream::ColorChoice::Never
}

/// With its verdicts in colour.
pub(crate) fn painted(text: &str) -> String {
    text.split_inclusive('\n').map(painted_line).collect()
}

fn painted_line(line: &str) -> String {
    let (text, end) = line.split_at(line.trim_end().len());
    let first = VERDICTS.iter().find_map(|(word, colour)| {
        let rest = text.strip_prefix(word)?;
        (rest.is_empty() || rest.starts_with(' ')).then(|| format!("{}{rest}{end}", in_colour(word, colour)))
    });
    let last = || {
        TRENDS.iter().find_map(|(word, colour)| {
            let rest = text.strip_suffix(word)?;
            rest.ends_with(' ').then(|| format!("{rest}{}{end}", in_colour(word, colour)))
        })
    };
    first.or_else(last).unwrap_or_else(|| line.into())
}

pub(crate) fn in_colour(text: &str, colour: &str) -> String {
    format!("\x1b[{colour}m{text}\x1b[0m")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_are_painted_and_nothing_else() {
        for (plain, expected) in [
            ("ok    RLIMIT_NOFILE  19872\n", "\x1b[32mok\x1b[0m    RLIMIT_NOFILE  19872\n"),
            ("FAIL: 3 lost\nok: fine\n", "\x1b[1;31mFAIL:\x1b[0m 3 lost\n\x1b[32mok:\x1b[0m fine\n"),
            ("warn  certificate", "\x1b[33mwarn\x1b[0m  certificate"),
            ("switchboard: no", "\x1b[1;31mswitchboard:\x1b[0m no"),
            ("p99  2.0  1.0  -50.0%  better\n", "p99  2.0  1.0  -50.0%  \x1b[32mbetter\x1b[0m\n"),
            ("p99  1.0  2.0  +50.0%   worse\n", "p99  1.0  2.0  +50.0%   \x1b[1;31mworse\x1b[0m\n"),
        ] {
            assert_eq!(painted(plain), expected);
        }
        for plain in
            ["", "\n", "okay then\n", "  ok\n", "it is worsebetter\n", "better\n", "failures: FAIL\n"]
        {
            assert_eq!(painted(plain), plain);
        }
    }
}
