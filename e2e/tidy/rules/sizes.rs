//! Files and functions that can be read in one sitting.

use std::ops::Range;

use crate::lexer::{closing, code_only, line_of, words};
use crate::tree::Tree;

/// Lines of a file. From half of it on, ask whether it holds one idea.
const FILE_LINES_MAX: usize = 800;
/// Lines of a function's body that hold code.
const FUNCTION_LINES_MAX: usize = 70;
/// What people write; data and prose may be longer.
const LANGUAGES: [&str; 4] = [".rs", ".go", ".sh", ".py"];

/// Files and functions that are too long.
pub(crate) fn broken(tree: &Tree) -> Vec<String> {
    let mut places = Vec::new();
    let written = tree.sources.iter().filter(|source| !source.is_generated());
    for source in written.filter(|source| LANGUAGES.iter().any(|end| source.path.ends_with(end))) {
        let lines = source.text.lines().count();
        if lines > FILE_LINES_MAX {
            places.push(format!("{}: {lines} lines", source.path));
        }
    }
    for source in tree.rust() {
        let code = code_only(&source.text);
        for Function { name, at, body } in functions(&code) {
            let lines = lines_of_code(&code[body]);
            if lines > FUNCTION_LINES_MAX {
                places.push(format!("{}:{}: {name} has {lines} lines", source.path, line_of(&code, at)));
            }
        }
    }
    places
}

/// A function that has a body.
pub(crate) struct Function {
    /// Its name.
    pub(crate) name: String,
    /// Where its `fn` stands.
    pub(crate) at: usize,
    /// What lies between its braces.
    pub(crate) body: Range<usize>,
}

/// Every function of a source, of which only the code is left.
pub(crate) fn functions(code: &str) -> Vec<Function> {
    let mut found = Vec::new();
    for at in words(code, "fn") {
        let name: String =
            code[at + 2..].trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if name.is_empty() {
            continue; // the type of a function pointer
        }
        let Some(open) = body(code, at) else { continue };
        found.push(Function { name, at, body: open + 1..closing(code, open) });
    }
    found
}

/// The number of lines that hold code.
fn lines_of_code(body: &str) -> usize {
    body.lines().filter(|line| !line.trim().is_empty()).count()
}

/// Where the body of the function whose `fn` stands at `at` opens; none for one without a body.
fn body(code: &str, at: usize) -> Option<usize> {
    let mut next = at;
    while next < code.len() {
        match code.as_bytes()[next] {
            b'(' | b'[' => next = closing(code, next) + 1,
            b'{' => return Some(next),
            b';' => return None,
            _ => next += 1,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_with_code_count() {
        let source = "fn f(x: [u8; 2]) -> u8 {\n    // why\n\n    x[0]\n}\nfn g();\ntype H = fn(u8);\n";
        let code = code_only(source);
        let found: Vec<_> =
            functions(&code).into_iter().map(|f| (f.name, lines_of_code(&code[f.body]))).collect();
        assert_eq!(found, [("f".to_owned(), 1)]);
    }
}
