//! The live table as lines of text. Pure.

use super::view::View;

/// Titles of the columns of brokers.
const BROKER_TITLES: [&str; 7] = ["BROKER", "PORT", "STATE", "RACK", "LEADERS", "REPLICAS", "BYTES"];
/// Titles of the columns of topics.
const TOPIC_TITLES: [&str; 5] = ["TOPIC", "STATE", "PARTITIONS", "COPIES", "BEHIND"];

/// Lines that one sentence may take; the longest that a broker or the planner says fit on a narrow terminal.
const SENTENCE_LINES_MAX: usize = 6;

/// The table of a view and the latest `news`, in at most `height` lines of at most `width` characters.
pub(super) fn render(view: &View, news: &[String], width: usize, height: usize) -> Vec<String> {
    let mut lines = vec![format!("{}  {}  bootstrap {}", view.cluster, view.state, view.bootstrap)];
    lines.extend(view.doing.iter().flat_map(|sentence| wrapped(sentence, width)));
    for problem in &view.refused {
        lines.extend(wrapped(&format!("REFUSED, nothing changes: {problem}"), width));
    }
    lines.push(String::new());
    lines.extend(columns(
        BROKER_TITLES,
        view.brokers.iter().map(|row| {
            let number = |count: Option<i32>| count.map_or("-".to_owned(), |count| count.to_string());
            [
                row.id.to_string(),
                row.port.to_string(),
                row.state.clone(),
                row.rack.clone().unwrap_or_else(|| "-".to_owned()),
                number(row.leaders),
                number(row.replicas),
                row.bytes.map_or("-".to_owned(), size),
            ]
        }),
    ));
    if !view.topics.is_empty() {
        lines.push(String::new());
        lines.extend(columns(
            TOPIC_TITLES,
            view.topics.iter().map(|row| {
                let number = |count: Option<i32>| count.map_or("-".to_owned(), |count| count.to_string());
                [
                    row.name.clone(),
                    row.state.clone(),
                    number(row.partitions),
                    number(row.copies),
                    row.behind.to_string(),
                ]
            }),
        ));
        let told = view.topics.iter().filter(|row| !row.message.is_empty());
        lines.extend(told.flat_map(|row| wrapped(&format!("{}: {}", row.name, row.message), width)));
    }
    let left = height.saturating_sub(lines.len() + 3);
    if left > 0 {
        lines.push(String::new());
        lines.extend(news.iter().skip(news.len().saturating_sub(left)).map(|line| format!("  {line}")));
    }
    lines.truncate(height.saturating_sub(1).max(1));
    lines.push("Edit the manifests to change the cluster; Ctrl-C stops it and keeps its data.".to_owned());
    lines.into_iter().map(|line| cut(&line, width)).collect()
}

/// A sentence over as many lines as it needs, since what to do about it stands at its end.
fn wrapped(sentence: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = vec![];
    for word in sentence.split_whitespace() {
        let more = lines.len() < SENTENCE_LINES_MAX;
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) if more => lines.push(format!("    {word}")),
            Some(line) => {
                // The cut shows that there was more.
                line.push(' ');
                line.push_str(word);
            }
            None => lines.push(format!("  {word}")),
        }
    }
    lines
}

/// Bytes as a person reads them.
fn size(bytes: i64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// Rows under titles, each column as wide as its widest cell.
fn columns<const N: usize>(titles: [&str; N], rows: impl Iterator<Item = [String; N]>) -> Vec<String> {
    let mut cells = vec![titles.map(str::to_owned)];
    cells.extend(rows);
    let widths: Vec<usize> =
        (0..N).map(|at| cells.iter().map(|row| row[at].chars().count()).max().unwrap_or(0)).collect();
    let line = |row: &[String; N]| {
        let padded = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        format!("  {}", padded.collect::<Vec<_>>().join("  ")).trim_end().to_owned()
    };
    cells.iter().map(line).collect()
}

/// The line without what does not fit, so that it never takes two.
fn cut(line: &str, width: usize) -> String {
    // A control character from a message could move the cursor.
    let plain = line.chars().map(|c| if c.is_control() { ' ' } else { c });
    if line.chars().count() <= width {
        return plain.collect();
    }
    let mut short: String = plain.take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::view::{BrokerRow, TopicRow};

    fn view() -> View {
        let broker = |id: i32, state: &str| BrokerRow {
            id,
            port: 9092,
            state: state.to_owned(),
            rack: Some("a".to_owned()),
            leaders: Some(4),
            replicas: Some(12),
            bytes: Some(1536),
        };
        View {
            cluster: "demo".to_owned(),
            bootstrap: "localhost:9092".to_owned(),
            state: "Rebalancing".to_owned(),
            doing: vec!["4 replicas still move".to_owned()],
            refused: vec![],
            brokers: vec![broker(0, "Serving"), BrokerRow { id: 1, ..BrokerRow::default() }],
            topics: vec![TopicRow {
                name: "flights".to_owned(),
                state: "Ready".to_owned(),
                partitions: Some(12),
                copies: Some(3),
                ..TopicRow::default()
            }],
        }
    }

    #[test]
    fn columns_line_up_and_unknown_figures_are_dashes() {
        let lines = render(&view(), &[], 100, 30);
        let expected = [
            "demo  Rebalancing  bootstrap localhost:9092",
            "  4 replicas still move",
            "",
            "  BROKER  PORT  STATE    RACK  LEADERS  REPLICAS  BYTES",
            "  0       9092  Serving  a     4        12        1.5 KiB",
            "  1       0              -     -        -         -",
            "",
            "  TOPIC    STATE  PARTITIONS  COPIES  BEHIND",
            "  flights  Ready  12          3       0",
        ];
        assert_eq!(lines[..expected.len()], expected);
    }

    #[test]
    fn it_never_exceeds_the_terminal() {
        let news: Vec<String> = (0..50).map(|n| format!("news {n} {}", "x".repeat(200))).collect();
        for (width, height) in [(20, 5), (80, 24), (1, 1), (200, 100)] {
            let lines = render(&view(), &news, width, height);
            assert!(lines.len() <= height.max(2), "{} lines in {height}", lines.len());
            assert!(lines.iter().all(|line| line.chars().count() <= width), "wider than {width}");
        }
    }

    #[test]
    fn a_long_sentence_is_told_to_its_end() {
        let mut view = view();
        let advice = "did you mean \"min.insync.replicas\"?";
        view.refused = vec![format!("cluster.yaml: KafkaCluster demo: {} {advice}", "word ".repeat(20))];
        view.topics[0].message = format!("{} lower it or add brokers", "word ".repeat(20));
        let lines = render(&view, &[], 60, 30);
        let text = lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ");
        assert!(text.contains(advice) && text.contains("lower it or add brokers"), "{text}");
        assert!(lines.iter().all(|line| line.chars().count() <= 60));
    }

    #[test]
    fn the_latest_news_are_shown() {
        let news: Vec<String> = (0..50).map(|n| format!("news {n}")).collect();
        let text = render(&view(), &news, 80, 24).join("\n");
        assert!(text.contains("news 49") && !text.contains("news 1\n"), "{text}");
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        let mut view = view();
        view.refused = vec!["\u{1b}[2Jbad".to_owned()];
        assert!(render(&view, &[], 80, 24).iter().all(|line| !line.contains('\u{1b}')));
    }
}
