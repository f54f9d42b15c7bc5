//! Kafka's file format: the subset of Java properties that server.properties uses. Text in, pairs out; no I/O.

use std::collections::BTreeMap;

/// A line that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct PropertiesError {
    /// Counted from one.
    pub line: usize,
    /// What is wrong with it.
    pub problem: &'static str,
}

/// Reads a whole file; a later value of the same name wins, as in Java.
///
/// Comments start with `#` or `!`; a backslash at a line's end continues it; `=`, `:` or white space ends a
/// name; `\t \n \r \f \uXXXX` and `\` before any other character are escapes.
pub fn parse_properties(text: &str) -> Result<BTreeMap<String, String>, PropertiesError> {
    let mut properties = BTreeMap::new();
    let mut lines = text.lines().enumerate();
    while let Some((index, first)) = lines.next() {
        let first = first.trim_start_matches(is_blank);
        if first.is_empty() || first.starts_with(['#', '!']) {
            continue;
        }
        let mut logical = first.trim_end_matches('\r').to_owned();
        while ends_in_continuation(&logical) {
            logical.pop();
            let Some((_, next)) = lines.next() else { break };
            logical.push_str(next.trim_start_matches(is_blank).trim_end_matches('\r'));
        }
        let line = index + 1;
        let (name, value) = split_pair(&logical);
        let name = unescape(name, line)?;
        if name.is_empty() {
            return Err(PropertiesError { line, problem: "there is no name before the value" });
        }
        properties.insert(name, unescape(value, line)?);
    }
    Ok(properties)
}

/// Reads one `key=value` of the command line; no escapes.
pub fn parse_override(text: &str) -> Option<(String, String)> {
    let (name, value) = text.split_once('=')?;
    let name = name.trim();
    if name.is_empty() { None } else { Some((name.to_owned(), value.trim().to_owned())) }
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{c}')
}

/// An odd number of backslashes at the end; an even number is escaped backslashes.
fn ends_in_continuation(line: &str) -> bool {
    line.bytes().rev().take_while(|b| *b == b'\\').count() % 2 == 1
}

fn split_pair(line: &str) -> (&str, &str) {
    let mut escaped = false;
    for (at, c) in line.char_indices() {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == '=' || c == ':' || is_blank(c) {
            let rest = line[at..].trim_start_matches(is_blank);
            let value = rest.strip_prefix(['=', ':']).unwrap_or(rest);
            return (&line[..at], value.trim_start_matches(is_blank));
        }
    }
    (line, "")
}

fn unescape(text: &str, line: usize) -> Result<String, PropertiesError> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('t') => out.push('\t'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('f') => out.push('\u{c}'),
            Some('u') => {
                let digits: String = chars.by_ref().take(4).collect();
                let code = u32::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 4);
                out.push(code.and_then(char::from_u32).ok_or(PropertiesError {
                    line,
                    problem: "\\u needs four hexadecimal digits of one character",
                })?);
            }
            Some(other) => out.push(other),
            None => {}
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, String)> {
        parse_properties(text).expect("it reads").into_iter().collect()
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn comments_and_blank_lines_are_skipped() {
        assert_eq!(read("# a\n\n  ! b\n a = 1 \n"), [pair("a", "1 ")]);
    }

    #[test]
    fn names_end_at_equals_colon_or_blank() {
        assert_eq!(
            read("a=1\nb: 2\nc 3\nd\n"),
            [pair("a", "1"), pair("b", "2"), pair("c", "3"), pair("d", "")]
        );
        assert_eq!(read("listeners=A://h:1,B://h:2"), [pair("listeners", "A://h:1,B://h:2")]);
    }

    #[test]
    fn a_backslash_joins_lines_and_two_do_not() {
        assert_eq!(
            read("a=1,\\\n   2\nb=c\\\\\nd=e\r\n"),
            [pair("a", "1,2"), pair("b", "c\\"), pair("d", "e")]
        );
        assert_eq!(read("a=1\\"), [pair("a", "1")]);
    }

    #[test]
    fn escapes_are_resolved() {
        assert_eq!(read("a\\=b=c\\u0041\\td\\:"), [pair("a=b", "cA\td:")]);
        assert!(parse_properties("a=\\u12").is_err());
    }

    #[test]
    fn a_later_value_wins() {
        assert_eq!(read("a=1\na=2"), [pair("a", "2")]);
    }

    #[test]
    fn a_value_without_a_name_is_refused_with_its_line() {
        assert_eq!(parse_properties("a=1\n=2").map_err(|e| e.line), Err(2));
    }

    #[test]
    fn overrides_split_at_the_first_equals() {
        assert_eq!(parse_override("a=b=c"), Some(pair("a", "b=c")));
        assert_eq!(parse_override("=c"), None);
        assert_eq!(parse_override("c"), None);
    }
}
