//! `docs/settings.md`: every setting as the broker's own table has it.
//!
//! `OTTLA_REFRESH=1` writes the file instead of comparing it; `make fix` does so.

use ottla_broker_config::{
    Effect, Origin, Setting, Update, broker_settings, group_settings, quota_settings, topic_settings,
};

use crate::tree::root;

const PAGE: &str = "docs/settings.md";

/// What stands before the tables.
const HEAD: &str = "\
<!-- Generated from the table in broker/crates/config/src/table; `make fix` writes it. -->
# Settings
Names, types, defaults and ranges are Apache Kafka's. Each setting is of one kind:

- **works**: it does what is said here.
- **inert**: it is accepted, kept and shown, and changes nothing. Neither data nor protection are at stake. A value other
  than the default is told in the broker's log and in `status.notes` of the KafkaCluster or KafkaTopic; what Kafka's
  tools show as a setting's documentation says so, too.
- **refused**: it asks for something that is not there and that must not be missed unnoticed. A value other than the
  default stops the broker's start, is INVALID_CONFIG in the API, and makes a KafkaCluster or KafkaTopic invalid before
  anything restarts.

A default of `-` is Kafka's null. Settings without a word in *changed* need a restart.
";

#[test]
fn the_settings_page_is_what_the_table_says() {
    let page = page();
    let path = root().join(PAGE);
    if std::env::var_os("OTTLA_REFRESH").is_some() {
        std::fs::write(&path, page).expect("the page is written");
    } else {
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(committed == page, "`make fix` refreshes {PAGE}");
    }
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    let parts: [(&str, Vec<&Setting>); 4] = [
        ("Topics", topic_settings().collect()),
        ("Brokers", broker_settings().collect()),
        ("Groups", group_settings().collect()),
        ("Client quotas", quota_settings().collect()),
    ];
    for (title, settings) in parts {
        page.push_str(&format!(
            "\n## {title}\n| setting | kind | default | takes | changed | what it does |\n"
        ));
        page.push_str("|--|--|--|--|--|--|\n");
        page.extend(settings.into_iter().filter(|setting| !setting.internal).map(row));
    }
    page
}

fn row(setting: &Setting) -> String {
    let kind = match setting.effect {
        Effect::Works => "**works**".to_owned(),
        Effect::Inert { instead } => format!("inert: {instead}"),
        Effect::Refused { advice } => format!("refused: {advice}"),
    };
    let changed = match setting.update {
        Update::Topic | Update::Group | Update::ClusterWide => "while running",
        Update::PerBroker => "while running, per broker",
        Update::Static => "",
    };
    let default = match setting.default {
        None => "-".to_owned(),
        Some("") => "empty".to_owned(),
        Some(text) => format!("`{text}`"),
    };
    let origin = match setting.origin {
        Origin::Kafka => "",
        Origin::Kip(number) => &format!(" (KIP-{number})"),
        Origin::Ottla => " (Ottla's own)",
    };
    let cells = [
        format!("`{}`", setting.name),
        kind,
        default,
        setting.takes(),
        changed.to_owned(),
        format!("{}{origin}", setting.about),
    ];
    format!("| {} |\n", cells.map(|cell| cell.replace('|', "\\|")).join(" | "))
}
