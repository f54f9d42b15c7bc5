//! A setting that is said to work is read by code that ships.
//!
//! A typed field of the settings crate names its settings in its comment. The rule follows a field from there: read
//! outside of that crate, from where it may be copied into a field of another crate, in a function that somebody
//! calls. It looks at names only, so it finds what was forgotten, not what is wrong.

use ottla_broker_config::{Effect, Setting, Update, broker_settings, topic_settings};

use crate::lexer::{code_only, words};
use crate::rules::sizes::functions;
use crate::tree::{Source, Tree};

/// The crate that resolves settings.
const RESOLVER: &str = "broker/crates/config/src/";
/// Crates of the broker that do not ship.
const UNSHIPPED: [&str; 2] = ["broker/crates/sim/", "broker/crates/protocol-codegen/"];
/// Settings whose whole effect is that the file is checked against them.
const CHECKED: [&str; 1] = ["process.roles"];
/// The struct whose fields are resolved anew whenever dynamic settings change.
const DYNAMIC: &str = "DynamicBrokerConfig";

/// A field of the settings crate.
struct Field {
    owner: String,
    name: String,
    settings: Vec<String>,
}

/// A shipped source: its code without tests, comments and texts, and the same with its texts.
struct Shipped {
    code: String,
    text: String,
}

/// Settings that are said to work and that nothing reads, or that are said to change at run time and do not.
pub(crate) fn broken(tree: &Tree) -> Vec<String> {
    let resolver = tree.rust().filter(|source| source.path.starts_with(RESOLVER));
    let fields: Vec<Field> = resolver.flat_map(|source| fields(&source.text)).collect();
    let shipped: Vec<Shipped> = tree.rust().filter(|source| is_shipped(source)).map(shipped).collect();
    let works = |setting: &&Setting| setting.effect == Effect::Works;
    let (topics, brokers): (Vec<_>, Vec<_>) =
        (topic_settings().filter(works).collect(), broker_settings().filter(works).collect());
    let read = |name: &str| is_read(name, &fields, &shipped);
    let default_of_topics = |name: &str| topics.iter().any(|topic| topic.synonyms.contains(&name));
    let mut places = Vec::new();
    for topic in topics.iter().filter(|topic| !read(topic.name)) {
        places.push(format!("{} is said to work and nothing that ships reads it", topic.name));
    }
    for broker in &brokers {
        let is_default = default_of_topics(broker.name);
        let stands_in = brokers.iter().any(|other| other.synonyms.contains(&broker.name) && read(other.name));
        if !is_default && !stands_in && !CHECKED.contains(&broker.name) && !read(broker.name) {
            places.push(format!("{} is said to work and nothing that ships reads it", broker.name));
        }
        let resolved_anew =
            |field: &Field| field.owner == DYNAMIC && field.settings.iter().any(|name| name == broker.name);
        if broker.update != Update::Static && !is_default && !fields.iter().any(resolved_anew) {
            places.push(format!("{} is said to change at run time and is read at boot only", broker.name));
        }
    }
    places
}

fn is_shipped(source: &Source) -> bool {
    source.path.starts_with("broker/")
        && !source.path.starts_with(RESOLVER)
        && !UNSHIPPED.iter().any(|folder| source.path.starts_with(folder))
        && !source.is_test()
}

fn shipped(source: &Source) -> Shipped {
    let end = source.text.find("\n#[cfg(test)]\nmod ").unwrap_or(source.text.len());
    let text = &source.text[..end];
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    Shipped { code: code_only(text), text: lines.collect::<Vec<_>>().join("\n") }
}

/// The public fields of a source whose comments name settings in backticks.
fn fields(source: &str) -> Vec<Field> {
    let mut found = Vec::new();
    let (mut owner, mut comment) = (String::new(), String::new());
    for line in source.lines() {
        let line = line.trim();
        if let Some(words) = line.strip_prefix("///") {
            comment.push_str(words);
            continue;
        }
        if let Some(rest) = line.strip_prefix("pub struct ") {
            owner = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
        } else if let Some((name, _)) = line.strip_prefix("pub ").and_then(|rest| rest.split_once(':')) {
            let settings = comment.split('`').skip(1).step_by(2).map(str::to_owned).collect();
            found.push(Field { owner: owner.clone(), name: name.to_owned(), settings });
        }
        comment.clear();
    }
    found
}

/// Whether a shipped source asks for the setting by its name, or reads a field that holds it.
fn is_read(setting: &str, fields: &[Field], shipped: &[Shipped]) -> bool {
    let literal = format!("\"{setting}\"");
    let holders = fields.iter().filter(|field| field.settings.iter().any(|name| name == setting));
    shipped.iter().any(|source| source.text.contains(&literal))
        || holders.into_iter().any(|field| field_is_read(field, shipped))
}

fn field_is_read(field: &Field, shipped: &[Shipped]) -> bool {
    // Only where the struct is at hand can a field of this name be the one meant.
    let parent = format!(".{}.", parent(&field.owner));
    let at_hand = |source: &&Shipped| {
        source.code.contains(&parent) || words(&source.code, &field.owner).next().is_some()
    };
    let used = |read: &Read| matches!(read, Read::Used(function) if is_called(function, shipped));
    shipped.iter().filter(at_hand).flat_map(|source| reads(source, &field.name)).any(|read| match &read {
        Read::Used(_) => used(&read),
        Read::Copied(into) => shipped.iter().flat_map(|source| reads(source, into)).any(|read| used(&read)),
    })
}

/// What a broker's settings call the part of this type: `QuorumConfig` is `quorum`.
fn parent(owner: &str) -> String {
    let part = owner.strip_suffix("Config").or(owner.strip_suffix("Defaults")).unwrap_or(owner);
    match part {
        "Broker" => "config".to_owned(),
        "Topic" if owner.ends_with("Defaults") => "topics".to_owned(),
        part => part.to_ascii_lowercase(),
    }
}

enum Read {
    /// In the function of this name.
    Used(String),
    /// Into a field of this name of another struct.
    Copied(String),
}

/// Where `.field` is read.
fn reads(source: &Shipped, field: &str) -> Vec<Read> {
    let code = &source.code;
    let functions = functions(code);
    let dotted = words(code, field).filter(|at| code[..*at].ends_with('.'));
    // A method of the same name is something else.
    let read = dotted.filter(|at| !code[at + field.len()..].starts_with('('));
    read.filter_map(|at| {
        let function = functions.iter().rfind(|function| function.body.contains(&at))?;
        let line = &code[code[..at].rfind('\n').map_or(0, |end| end + 1)..at];
        let ends = code[at + field.len()..].trim_start().starts_with(',');
        match line.trim().split_once(": ") {
            Some((into, path)) if ends && is_path(into) && is_path(path) => {
                Some(Read::Copied(into.to_owned()))
            }
            _ => Some(Read::Used(function.name.clone())),
        }
    })
    .collect()
}

fn is_path(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.'))
}

/// Whether shipped code calls a function of this name, or hands it on.
fn is_called(function: &str, shipped: &[Shipped]) -> bool {
    let elsewhere = |code: &str, at: usize| !code[..at].trim_end().ends_with("fn");
    shipped.iter().any(|source| words(&source.code, function).any(|at| elsewhere(&source.code, at)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(code: &str) -> Shipped {
        Shipped { code: code_only(code), text: code.to_owned() }
    }

    fn field() -> Vec<Field> {
        fields("pub struct LogsConfig {\n    /// `a.b.ms`: how long.\n    pub a_ms: DurationMs,\n}\n")
    }

    fn found(sources: &[&str]) -> bool {
        is_read("a.b.ms", &field(), &sources.iter().map(|code| source(code)).collect::<Vec<_>>())
    }

    #[test]
    fn a_field_that_a_called_function_reads_is_read() {
        assert!(found(&["fn f() { wait(config.logs.a_ms) }\nfn g() { f() }"]));
        assert!(found(&["fn f(config: &LogsConfig) { wait(config.a_ms) }", "fn g() { f() }"]));
        assert!(found(&["fn f() { setting(\"a.b.ms\") }"]), "by its name");
    }

    #[test]
    fn a_field_is_not_read_by_what_nobody_calls() {
        assert!(!found(&["fn f() { wait(config.logs.a_ms) }"]));
        assert!(!found(&["fn f() { wait(other.a_ms) }\nfn g() { f() }"]), "of another struct");
        assert!(!found(&["fn f() { logs.a_ms() }\nfn g() { f() }"]));
    }

    #[test]
    fn a_copy_is_followed_to_its_reader() {
        let copy = "fn f() -> C {\n C {\n x_ms: config.logs.a_ms,\n }\n}\nfn g() { f() }";
        assert!(!found(&[copy]));
        assert!(!found(&[copy, "fn h(&self) { self.config.x_ms }"]), "nobody calls it");
        assert!(found(&[copy, "fn h(&self) { self.config.x_ms }\nfn i() { h() }"]));
    }
}
