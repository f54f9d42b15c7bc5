//! Apache Kafka's own command-line tools, from its jars.

use std::path::PathBuf;

use anyhow::{Context, Result};
use tokio::process::Command;

use crate::binaries::checkout;
use crate::clients::place::Place;
use crate::requirement::unmet;

/// The release that is tested against; `clients/kafka/pom.xml` fetches the same.
const VERSION: &str = "4.3.1";
/// The classes behind the names of Kafka's scripts.
const TOOLS: &str = include_str!("../../clients/kafka/tools.txt");

/// Kafka's jars, and a Java to run them.
#[derive(Clone, Debug)]
pub struct Kafka {
    jars: PathBuf,
}

/// Kafka's tools; none, and a visible skip, where its jars or Java are missing.
pub fn kafka() -> Option<Kafka> {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")));
    let jars = cache.unwrap_or_default().join(format!("ottla/kafka-{VERSION}"));
    let java = std::process::Command::new("java").arg("-version").output();
    if jars.is_dir() && java.is_ok() {
        return Some(Kafka { jars });
    }
    unmet(
        "Kafka's jars or Java 17 are missing",
        "apt-get install -y openjdk-17-jre-headless maven && e2e/clients/install",
    );
    None
}

impl Kafka {
    /// The tool `name`, as its script is called without `.sh`, with room for its own arguments.
    ///
    /// # Errors
    /// When `clients/kafka/tools.txt` does not name it.
    pub fn tool(&self, place: &Place, name: &str) -> Result<Command> {
        let class = class_of(name).with_context(|| format!("clients/kafka/tools.txt has no {name}"))?;
        let settings = checkout().join("e2e/clients/kafka");
        let mut command = place.command("java", &[&self.jars, &settings]);
        // Tools live for seconds: the quick compiler alone makes them start in half the time.
        command.args(["-Xmx256M", "-XX:TieredStopAtLevel=1"]);
        command.arg(format!("-Dlog4j2.configurationFile={}", settings.join("log4j2.yaml").display()));
        command.arg("-cp").arg(format!("{}/*", self.jars.display())).arg(class);
        Ok(command)
    }
}

fn class_of(tool: &str) -> Option<&'static str> {
    TOOLS.lines().filter(|line| !line.starts_with('#')).find_map(|line| match line.split_once(' ') {
        Some((name, class)) if name == tool => Some(class),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_go_by_the_names_of_kafkas_scripts() {
        assert_eq!(class_of("kafka-topics"), Some("org.apache.kafka.tools.TopicCommand"));
        assert_eq!(class_of("kafka"), None);
    }

    #[test]
    fn the_release_is_the_one_that_is_fetched() {
        let pom = include_str!("../../clients/kafka/pom.xml");
        assert!(pom.contains(&format!("<kafka.version>{VERSION}</kafka.version>")));
    }
}
