//! A test that is left out says which command runs it.

use crate::lexer::{code_only, line_of};
use crate::tree::{Tree, root};

/// Lines that leave a test out without naming a target of the Makefile that runs it.
pub(crate) fn broken(tree: &Tree) -> Vec<String> {
    let makefile = std::fs::read_to_string(root().join("Makefile")).expect("there is a Makefile");
    let targets: Vec<&str> = targets(&makefile).collect();
    let mut places = Vec::new();
    for source in tree.rust() {
        let lines = unexplained(&source.text, &targets);
        places.extend(lines.into_iter().map(|line| format!("{}:{line}", source.path)));
    }
    places
}

/// The names of a Makefile's targets.
fn targets(makefile: &str) -> impl Iterator<Item = &str> {
    let is_name =
        |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    makefile
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, _)| name)
        .filter(move |name| is_name(name))
}

fn unexplained(source: &str, targets: &[&str]) -> Vec<usize> {
    let code = code_only(source);
    let ignored = code.match_indices("#[ignore").map(|(at, _)| at);
    let unexplained = ignored.filter(|at| {
        let end = code[*at..].find(']').map_or(source.len(), |length| at + length);
        let attribute = &source[*at..end];
        let named = attribute.split("make ").skip(1);
        let mut names = named.map(|rest| {
            let length = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(rest.len());
            &rest[..length]
        });
        !names.any(|name| targets.contains(&name))
    });
    unexplained.map(|at| line_of(&code, at)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_names_a_target_that_there_is() {
        let targets: Vec<&str> = targets("CACHE := x\nbench-more: build ## minutes\n\tcargo run\n").collect();
        assert_eq!(targets, ["bench-more"]);
        assert!(unexplained("#[ignore = \"slow: make bench-more runs it\"]", &targets).is_empty());
        assert_eq!(unexplained("\n#[ignore]", &targets), [2]);
        assert_eq!(unexplained("#[ignore = \"slow\"]", &targets), [1]);
        assert_eq!(unexplained("#[ignore = \"make bench runs it\"]", &targets), [1]);
    }
}
