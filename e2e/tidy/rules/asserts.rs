//! `matches!` as a statement looks like a check and is none.

use crate::lexer::{closing, code_only, line_of, words};
use crate::tree::Tree;

/// Lines where the outcome of `matches!` is thrown away.
pub(crate) fn broken(tree: &Tree) -> Vec<String> {
    let mut places = Vec::new();
    for source in tree.rust() {
        let code = code_only(&source.text);
        places.extend(unasserted(&code).map(|line| format!("{}:{line}", source.path)));
    }
    places
}

fn unasserted(code: &str) -> impl Iterator<Item = usize> + '_ {
    words(code, "matches").filter_map(|at| {
        let open = at + "matches!".len();
        if !code[at..].starts_with("matches!(") {
            return None;
        }
        let opens_statement = code[..at].trim_end().ends_with([';', '{', '}']);
        let ends_statement = code.get(closing(code, open) + 1..).is_some_and(|rest| rest.starts_with(';'));
        (opens_statement && ends_statement).then(|| line_of(code, at))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_statement_throws_its_outcome_away() {
        let code =
            "{\n matches!(x, A(_));\n assert!(matches!(x, B));\n let y = matches!(x, C);\n matches!(x, D)\n}";
        assert_eq!(unasserted(code).collect::<Vec<_>>(), [2]);
    }
}
