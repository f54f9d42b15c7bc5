//! Prometheus' text format.

use std::fmt::{Display, Write};

/// A page of metrics under construction.
#[derive(Debug, Default)]
pub struct MetricsText {
    page: String,
}

impl MetricsText {
    /// Begins a metric: its name, `counter` or `gauge` or `histogram`, and a sentence.
    pub fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String cannot fail.
        let _ = write!(self.page, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    /// Adds one sample.
    pub fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.page.push_str(name);
        if !labels.is_empty() {
            self.page.push('{');
            for (i, (key, text)) in labels.iter().enumerate() {
                let comma = if i == 0 { "" } else { "," };
                let _ = write!(self.page, "{comma}{key}=\"{}\"", escaped(text));
            }
            self.page.push('}');
        }
        let _ = writeln!(self.page, " {value}");
    }

    /// A metric with one sample and no labels.
    pub fn single(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }

    /// The finished page.
    pub fn finish(self) -> String {
        self.page
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_values_are_escaped() {
        let mut text = MetricsText::default();
        text.family("m", "gauge", "Help.");
        text.sample("m", &[("a", "x\"y\\z\n"), ("b", "c")], 1);
        assert_eq!(text.finish(), "# HELP m Help.\n# TYPE m gauge\nm{a=\"x\\\"y\\\\z\\n\",b=\"c\"} 1\n");
    }
}
