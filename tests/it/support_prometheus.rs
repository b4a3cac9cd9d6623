//! The Prometheus text format, read as strictly as its description and conventions are: whatever a scraper might refuse, or
//! understand otherwise, fails the test.

use std::collections::{BTreeMap, BTreeSet};

/// What a server shows, by series: `name{label="value"}`.
#[derive(Debug)]
pub(crate) struct Exposition {
    pub(crate) families: BTreeMap<String, Family>,
}

#[derive(Debug, Default)]
pub(crate) struct Family {
    pub(crate) kind: String,
    /// Labels in the order in which they come, and the value; of histograms with the name's suffix.
    samples: Vec<(String, Labels, f64)>,
}

type Labels = Vec<(String, String)>;

impl Exposition {
    /// Panics with what is wrong.
    #[track_caller]
    pub(crate) fn parse(text: &str) -> Self {
        let mut families: BTreeMap<String, Family> = BTreeMap::new();
        let mut current: Option<String> = None;
        let mut help = None;
        assert!(text.ends_with('\n'), "the last line has no end");
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, words) = rest.split_once(' ').unwrap_or_else(|| panic!("no help: {line:?}"));
                assert!(!words.trim().is_empty() && words == words.trim(), "no help: {line:?}");
                assert_eq!(help.replace(name), None, "HELP without TYPE before {line:?}");
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap_or_else(|| panic!("no type: {line:?}"));
                assert_eq!(help.take(), Some(name), "HELP does not come right before {line:?}");
                check_name(name, kind);
                let family = Family { kind: kind.into(), samples: Vec::new() };
                assert!(families.insert(name.into(), family).is_none(), "twice: {line:?}");
                current = Some(name.into());
            } else {
                assert_eq!(help, None, "HELP without TYPE before {line:?}");
                let name = current.as_deref().unwrap_or_else(|| panic!("before any TYPE: {line:?}"));
                let family = families.get_mut(name).unwrap();
                let (sample, labels, value) = parse_sample(line);
                let suffix = sample.strip_prefix(name).unwrap_or_else(|| panic!("not of {name}: {line:?}"));
                let suffixes: &[&str] = match family.kind.as_str() {
                    "histogram" => &["_bucket", "_sum", "_count"],
                    // Without quantiles, which nobody can add up over several servers.
                    "summary" => &["_sum", "_count"],
                    _ => &[""],
                };
                assert!(suffixes.contains(&suffix), "not of {name}: {line:?}");
                family.samples.push((suffix.into(), labels, value));
            }
        }
        families.iter().for_each(|(name, family)| family.check(name));
        Self { families }
    }

    /// All names that a query can have.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        let of = |(name, family): (&String, &Family)| -> Vec<String> {
            family.samples.iter().map(|(suffix, ..)| format!("{name}{suffix}")).collect()
        };
        self.families.iter().flat_map(of).collect()
    }

    /// The value of one series; the labels as they are written, without braces.
    #[track_caller]
    pub(crate) fn value(&self, name: &str, labels: &str) -> f64 {
        let found = self.families.iter().find_map(|(family, content)| {
            let suffix = name.strip_prefix(family.as_str())?;
            let written = |labels: &Labels| {
                labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect::<Vec<_>>().join(",")
            };
            let sample = content.samples.iter().find(|(own, is, _)| own == suffix && written(is) == labels);
            sample.map(|(.., value)| *value)
        });
        found.unwrap_or_else(|| panic!("no {name}{{{labels}}}"))
    }
}

impl Family {
    fn check(&self, name: &str) {
        assert!(!self.samples.is_empty(), "{name} has no samples");
        let mut series = BTreeSet::new();
        for (suffix, labels, value) in &self.samples {
            assert!(series.insert((suffix, labels)), "twice: {name}{suffix} {labels:?}");
            let rises = self.kind != "gauge";
            assert!(value.is_finite() && (!rises || 0.0 <= *value), "{name} is {value}");
        }
        let mut names: Vec<Vec<&str>> = self
            .samples
            .iter()
            .filter(|(suffix, ..)| suffix != "_bucket")
            .map(|(_, labels, _)| labels.iter().map(|(name, _)| name.as_str()).collect())
            .collect();
        names.dedup();
        assert_eq!(names.len(), 1, "{name} has series with other labels");
        if self.kind == "histogram" {
            self.check_histogram(name);
        }
    }

    /// Each of its series by itself: those that differ in another label than the bound.
    fn check_histogram(&self, name: &str) {
        let mut series = BTreeSet::new();
        series.extend(self.samples.iter().map(|(_, labels, _)| Self::others(labels)));
        series.iter().for_each(|labels| self.check_series(name, labels));
    }

    /// All labels but the bound.
    fn others(labels: &Labels) -> Labels {
        labels.iter().filter(|(label, _)| label != "le").cloned().collect()
    }

    fn check_series(&self, name: &str, labels: &Labels) {
        let values = |suffix: &str| -> Vec<(&Labels, f64)> {
            let own = self.samples.iter().filter(|(own, ..)| own == suffix);
            let own = own.filter(|(_, own, _)| Self::others(own) == *labels);
            own.map(|(_, labels, value)| (labels, *value)).collect()
        };
        let (buckets, sums, counts) = (values("_bucket"), values("_sum"), values("_count"));
        assert_eq!((sums.len(), counts.len()), (1, 1), "{name} has one sum and one count");
        let bound = |labels: &Labels| match labels.iter().find(|(label, _)| label == "le") {
            Some((_, bound)) if bound == "+Inf" => f64::INFINITY,
            Some((_, bound)) => bound.parse().unwrap(),
            None => panic!("{name} has a bucket without a bound"),
        };
        let bounds: Vec<f64> = buckets.iter().map(|(labels, _)| bound(labels)).collect();
        assert!(bounds.windows(2).all(|pair| pair[0] < pair[1]), "{name}: {bounds:?}");
        assert_eq!(bounds.last(), Some(&f64::INFINITY), "{name}");
        assert!(buckets.windows(2).all(|pair| pair[0].1 <= pair[1].1), "{name} is not cumulative");
        assert_eq!(buckets.last().unwrap().1, counts[0].1, "{name}: the last bucket is the count");
    }
}

/// Prometheus' conventions: what is counted ends in `_total`, units are base units and come last.
fn check_name(name: &str, kind: &str) {
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    assert!(name.chars().all(is_word) && name.starts_with(|c: char| c.is_ascii_lowercase()), "{name}");
    assert!(["counter", "gauge", "histogram", "summary"].contains(&kind), "{name} is a {kind}");
    assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
    let words: Vec<&str> = name.trim_end_matches("_total").split('_').collect();
    for word in &words {
        let is_foreign = [
            "ms",
            "milliseconds",
            "microseconds",
            "nanoseconds",
            "minutes",
            "kb",
            "mb",
            "kilobytes",
            "percent",
            "counter",
            "gauge",
            "histogram",
            "bucket",
            "count",
            "sum",
        ]
        .contains(word);
        assert!(!is_foreign, "{name} has {word}");
    }
    for unit in ["seconds", "bytes"] {
        let at = words.iter().position(|word| *word == unit);
        assert!(at.is_none_or(|at| at + 1 == words.len()), "{name}: the unit comes last");
    }
}

/// Name, labels, value.
fn parse_sample(line: &str) -> (String, Labels, f64) {
    let end = line.find(['{', ' ']).unwrap_or_else(|| panic!("no value: {line:?}"));
    let (name, mut rest) = line.split_at(end);
    let mut labels = Vec::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (label, value) = rest.split_once("=\"").unwrap_or_else(|| panic!("no label: {line:?}"));
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
            assert!(!label.is_empty() && label.chars().all(is_name) && !label.starts_with("__"), "{line:?}");
            let (value, behind) = unquote(value).unwrap_or_else(|| panic!("no label: {line:?}"));
            labels.push((label.to_string(), value));
            rest = behind.strip_prefix(',').unwrap_or(behind);
            assert!(behind.starts_with([',', '}']), "no end of a label: {line:?}");
        }
        rest = &rest[1..];
    }
    let value = rest.strip_prefix(' ').and_then(|value| value.parse().ok());
    (name.into(), labels, value.unwrap_or_else(|| panic!("no value: {line:?}")))
}

/// What is before the closing quote, and what is behind it.
fn unquote(text: &str) -> Option<(String, &str)> {
    let (mut value, mut chars) = (String::new(), text.char_indices());
    loop {
        match chars.next()? {
            (at, '"') => return Some((value, &text[at + 1..])),
            (_, '\\') => value.push(match chars.next()?.1 {
                'n' => '\n',
                escaped @ ('\\' | '"') => escaped,
                _ => return None,
            }),
            (_, other) => value.push(other),
        }
    }
}

#[test]
fn the_reader_refuses_what_is_wrong() {
    let good = "# HELP a_total A.\n# TYPE a_total counter\na_total{x=\"1\"} 1\na_total{x=\"\\\"\\\\\\n\"} 2\n\
                # HELP h_seconds H.\n# TYPE h_seconds histogram\nh_seconds_bucket{le=\"0.1\"} 1\n\
                h_seconds_bucket{le=\"+Inf\"} 2\nh_seconds_sum 0.5\nh_seconds_count 2\n";
    let exposition = Exposition::parse(good);
    assert_eq!(exposition.value("a_total", "x=\"1\""), 1.0);
    assert_eq!(exposition.value("h_seconds_bucket", "le=\"0.1\""), 1.0);
    for (from, to) in [
        ("# HELP a_total A.\n", ""),
        ("x=\"1\"} 1", "x=\"1\"} -1"),
        ("x=\"1\"} 1", "x=\"1} 1"),
        ("x=\"1\"} 1", "x=\"1\" 1"),
        ("x=\"1\"", "y=\"1\""),
        ("x=\"\\\"\\\\\\n\"", "x=\"1\""),
        ("x=\"\\\"\\\\\\n\"", "x=\"\\t\""),
        ("a_total counter", "a_total gauge"),
        ("h_seconds", "h_ms"),
        ("h_seconds_count 2", "h_seconds_count 3"),
        ("le=\"0.1\"} 1", "le=\"0.1\"} 3"),
        ("h_seconds_bucket{le=\"+Inf\"} 2\n", ""),
        ("h_seconds_sum 0.5\n", ""),
        ("h_seconds_count 2\n", "h_seconds_count 2"),
        ("# HELP h_seconds", "# HELP b B.\n# TYPE b gauge\n# HELP h_seconds"),
        ("# HELP h_seconds H.", "# HELP a_total A.\n# TYPE a_total counter\na_total 1\n# HELP h_seconds H."),
    ] {
        let bad = good.replace(from, to);
        assert_ne!(bad, good, "{from:?}");
        assert!(std::panic::catch_unwind(|| Exposition::parse(&bad)).is_err(), "{to:?} is let through");
    }
}
