//! The Prometheus text exposition format, version 0.0.4.

use std::fmt::{Display, Write};

/// Metric families, one after the other. Nobody may add the same one twice.
#[derive(Default)]
pub(crate) struct Text(String);

/// Something that has samples of one family.
pub(crate) trait Metric {
    /// `counter`, `gauge` or `histogram`.
    const KIND: &'static str;

    fn write(&self, samples: &mut Samples<'_>);
}

/// The samples of one family.
pub(crate) struct Samples<'a> {
    text: &'a mut String,
    name: &'a str,
    /// What all of them have besides their own labels.
    label: Option<(&'a str, &'a str)>,
}

impl Text {
    pub(crate) fn add<M: Metric>(&mut self, name: &str, help: &str, metric: &M) {
        metric.write(&mut self.family(name, M::KIND, help));
    }

    /// A counter whose value is known elsewhere.
    pub(crate) fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "counter", help).sample("", &[], value);
    }

    /// A gauge whose value is known elsewhere.
    pub(crate) fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "gauge", help).sample("", &[], value);
    }

    /// The head of a family, whose samples are to follow at once.
    pub(crate) fn family<'a>(&'a mut self, name: &'a str, kind: &str, help: &str) -> Samples<'a> {
        // Here and below: writing to a String cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {}\n# TYPE {name} {kind}", help.trim_start());
        Samples { text: &mut self.0, name, label: None }
    }

    pub(crate) fn finish(self) -> String {
        self.0
    }
}

impl<'a> Samples<'a> {
    /// The next ones have this label too.
    #[cfg(feature = "redis")]
    pub(crate) fn labelled(&mut self, name: &'a str, value: &'a str) -> &mut Self {
        self.label = Some((name, value));
        self
    }

    /// `suffix` is a histogram's, as `_sum`.
    pub(crate) fn sample(&mut self, suffix: &str, labels: &[(&str, &str)], value: impl Display) {
        let _ = write!(self.text, "{}{suffix}", self.name);
        for (at, (name, value)) in self.label.iter().chain(labels).enumerate() {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let before = if at == 0 { '{' } else { ',' };
            let _ = write!(self.text, "{before}{name}=\"{value}\"");
        }
        let after = if labels.is_empty() && self.label.is_none() { "" } else { "}" };
        let _ = writeln!(self.text, "{after} {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_has_its_head_once_and_labels_are_escaped() {
        let mut text = Text::default();
        let mut samples = text.family("calls_total", "counter", "Calls.");
        samples.sample("", &[("route", "/a\"b\\c\nd"), ("kind", "x")], 3);
        samples.sample("", &[("route", "/"), ("kind", "x")], 0.5);
        text.gauge("rooms", " Rooms.", 2);
        assert_eq!(
            text.finish(),
            "# HELP calls_total Calls.\n# TYPE calls_total counter\n\
             calls_total{route=\"/a\\\"b\\\\c\\nd\",kind=\"x\"} 3\ncalls_total{route=\"/\",kind=\"x\"} 0.5\n\
             # HELP rooms Rooms.\n# TYPE rooms gauge\nrooms 2\n"
        );
    }
}
