//! Paths in the documents that people start from lead somewhere.

use crate::tree::Tree;

/// The documents at the root of the checkout that name paths.
const DOCUMENTS: [&str; 3] = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"];
/// What ends a name that is meant as a file.
const ENDINGS: [&str; 6] = [".rs", ".md", ".toml", ".yaml", ".json", ".sh"];

/// Paths that name nothing in the checkout, or more than one thing.
pub(crate) fn broken(tree: &Tree) -> Vec<String> {
    let all: Vec<&str> = tree.sources.iter().map(|source| source.path.as_str()).collect();
    let mut places = Vec::new();
    for source in tree.sources.iter().filter(|source| DOCUMENTS.contains(&source.path.as_str())) {
        for (line, path) in named(&source.text) {
            if let Some(problem) = problem(path, &all) {
                places.push(format!("{}:{line}: {path}: {problem}", source.path));
            }
        }
    }
    places
}

/// What stands in backticks or as the target of a link and looks like a path, with its line; code blocks are commands.
fn named(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut in_block = false;
    for (number, line) in text.lines().enumerate() {
        if line.starts_with("```") {
            in_block = !in_block;
            continue;
        }
        if in_block {
            continue;
        }
        let quoted = line.split('`').skip(1).step_by(2).filter(|word| looks_like_path(word));
        let links =
            line.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
        let links = links.filter(|target| !target.contains("://"));
        found.extend(quoted.chain(links).map(|path| (number + 1, path)));
    }
    found
}

fn looks_like_path(word: &str) -> bool {
    let plain = word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-'));
    // A path from the root of a machine or of a server is not ours.
    plain && !word.starts_with('/') && (word.contains('/') || ENDINGS.iter().any(|end| word.ends_with(end)))
}

/// Why a path does not resolve: it counts from the root of the checkout, or is the end of one path only.
fn problem(path: &str, all: &[&str]) -> Option<&'static str> {
    let is_folder = path.ends_with('/');
    let path = path.trim_end_matches('/');
    let folder = format!("{path}/");
    if all.iter().any(|other| *other == path || other.starts_with(&folder)) {
        return None;
    }
    let (file, inner) = (format!("/{path}"), format!("/{path}/"));
    let mut ends: Vec<&str> = Vec::new();
    for other in all {
        if other.ends_with(&file) {
            ends.push(other);
        } else if let Some(at) = other.find(&inner) {
            ends.push(&other[..at]);
        }
    }
    ends.sort();
    ends.dedup();
    match (path.contains('/'), ends.len()) {
        (_, 0) => Some("there is no such path"),
        // Such as `src/`, which a sentence says of several crates.
        (false, _) if is_folder => None,
        (false, _) => Some("a file below the root needs its folder"),
        (true, 1) => None,
        (true, _) => Some("several paths end so"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [&str; 4] = ["Cargo.toml", "a/src/x/y.rs", "a/src/z/y.rs", "b/src/z/y.rs"];

    #[test]
    fn a_path_counts_from_the_root_or_is_the_end_of_one() {
        for sound in ["Cargo.toml", "a/src", "a/src/", "src/", "x/y.rs", "a/src/x/y.rs"] {
            assert_eq!(problem(sound, &ALL), None, "{sound}");
        }
        assert_eq!(problem("q/y.rs", &ALL), Some("there is no such path"));
        assert_eq!(problem("y.rs", &ALL), Some("a file below the root needs its folder"));
        assert_eq!(problem("z/y.rs", &ALL), Some("several paths end so"));
    }

    #[test]
    fn only_what_looks_like_a_path_is_one() {
        let text = [
            "`a/b.rs` and `make up`, `localhost:9092`, `min.insync.replicas`, `~/.cache/x`, `/healthz`, [d](D.md)",
            "```sh",
            "cat `c/d.rs`",
            "```",
            "`limits.rs`",
        ];
        let text = text.join("\n");
        assert_eq!(named(&text), [(1, "a/b.rs"), (1, "D.md"), (5, "limits.rs")]);
    }
}
