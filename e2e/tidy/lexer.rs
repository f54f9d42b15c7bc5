//! Just enough of Rust's lexical rules to tell code from words.

/// The source with every comment and every text literal blanked; lines and columns stay where they are.
pub(crate) fn code_only(source: &str) -> String {
    let bytes = source.as_bytes();
    let mut code = source.as_bytes().to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'/' if bytes.get(at + 1) == Some(&b'/') => line_end(bytes, at),
            b'/' if bytes.get(at + 1) == Some(&b'*') => comment_end(bytes, at),
            b'"' => quoted_end(bytes, at + 1, b'"'),
            b'r' if starts_literal(bytes, at) => match raw_end(bytes, at) {
                Some(end) => end,
                None => skip(&mut at),
            },
            b'\'' => match char_end(bytes, at) {
                Some(end) => end,
                None => skip(&mut at),
            },
            _ => skip(&mut at),
        };
        for byte in &mut code[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = at.max(end);
    }
    String::from_utf8(code).expect("whole characters were replaced by spaces")
}

/// Steps over one byte of code; the empty range that is left to blank.
fn skip(at: &mut usize) -> usize {
    *at += 1;
    *at
}

fn is_word(bytes: &[u8], at: usize) -> bool {
    bytes.get(at).is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_')
}

/// Whether the `r` at `at` is no letter of a longer word; `br` and `cr` open literals, too.
fn starts_literal(bytes: &[u8], at: usize) -> bool {
    let prefixed = at > 0 && matches!(bytes[at - 1], b'b' | b'c');
    !is_word(bytes, at.wrapping_sub(1 + usize::from(prefixed)))
}

fn line_end(bytes: &[u8], from: usize) -> usize {
    bytes[from..].iter().position(|b| *b == b'\n').map_or(bytes.len(), |n| from + n)
}

fn comment_end(bytes: &[u8], from: usize) -> usize {
    let (mut at, mut depth) = (from, 0usize);
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    bytes.len()
}

fn quoted_end(bytes: &[u8], from: usize, quote: u8) -> usize {
    let mut at = from;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b if b == quote => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// The end of a raw string that starts at `from`; none where the `r` is part of something else.
fn raw_end(bytes: &[u8], from: usize) -> Option<usize> {
    let hashes = bytes[from + 1..].iter().take_while(|b| **b == b'#').count();
    let open = from + 1 + hashes;
    if bytes.get(open) != Some(&b'"') {
        return None;
    }
    let close = [b"\"".as_slice(), &vec![b'#'; hashes]].concat();
    let length = bytes[open + 1..].windows(close.len()).position(|window| window == close.as_slice());
    Some(length.map_or(bytes.len(), |n| open + 1 + n + close.len()))
}

/// The end of a character literal that starts at `from`; none where the quote opens a lifetime.
fn char_end(bytes: &[u8], from: usize) -> Option<usize> {
    if bytes.get(from + 1) == Some(&b'\\') {
        return Some(quoted_end(bytes, from + 1, b'\''));
    }
    // One character, of up to four bytes, and the closing quote.
    (from + 2..from + 6)
        .find(|at| bytes.get(*at) == Some(&b'\''))
        .filter(|at| std::str::from_utf8(&bytes[from + 1..*at]).is_ok_and(|inner| inner.chars().count() == 1))
        .map(|at| at + 1)
}

/// Where the bracket that opens at `open` closes; the end of the text where it does not.
pub(crate) fn closing(code: &str, open: usize) -> usize {
    let mut depth = 0usize;
    for (at, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at;
                }
            }
            _ => {}
        }
    }
    code.len()
}

/// Where `word` stands in `code` as a whole word.
pub(crate) fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let bytes = code.as_bytes();
    code.match_indices(word)
        .map(|(at, _)| at)
        .filter(move |at| !is_word(bytes, at.wrapping_sub(1)) && !is_word(bytes, at + word.len()))
}

/// The number of the line that holds the byte `at`, from one.
pub(crate) fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blanked(source: &str) -> String {
        code_only(source).split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn comments_and_texts_are_blanked() {
        assert_eq!(blanked("a // b\n/* c /* d */ e */ f \"g // h\" i"), "a f i");
    }

    #[test]
    fn raw_texts_end_at_their_own_hashes() {
        assert_eq!(blanked(r##"a r#"b " c"# d br"e" for f"##), "a d b for f");
    }

    #[test]
    fn a_lifetime_is_no_character() {
        assert_eq!(blanked(r"fn f<'a>(x: &'a str) { '{'; '\''; 'é' }"), "fn f<'a>(x: &'a str) { ; ; }");
    }

    #[test]
    fn lines_stay_where_they_are() {
        let code = code_only("\"two\nlines\" x\n// é\ny");
        assert_eq!(line_of(&code, code.find('x').expect("x is code")), 2);
        assert_eq!(line_of(&code, code.find('y').expect("y is code")), 4);
    }

    #[test]
    fn brackets_close_where_their_kind_does() {
        assert_eq!(closing("f(a, [b], {c}) d", 1), 13);
    }
}
