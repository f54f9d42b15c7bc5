//! The known name that a misspelt one was probably meant to be. No I/O.

/// Names further away than this many single-letter edits are no help.
const EDITS_MAX: usize = 4;
/// Longer input is no misspelling, and the work grows with its length.
const NAME_CHARS_MAX: usize = 128;

/// The nearest of `known` by edits, and the first by name among equals.
pub(crate) fn nearest(name: &str, known: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    if name.len() > NAME_CHARS_MAX {
        return None;
    }
    let normal = name.to_ascii_lowercase().replace(['_', '-'], ".");
    // A short name must not be turned into an unrelated one.
    let limit = EDITS_MAX.min(normal.len() / 3);
    let ranked = known.map(|candidate| (distance(&normal, candidate), candidate));
    ranked.filter(|(edits, _)| *edits <= limit).min().map(|(_, candidate)| candidate)
}

/// Levenshtein's distance over bytes; settings are ASCII.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn underscores_and_capitals_are_forgiven() {
        assert_eq!(
            nearest("Retention_MS", ["retention.bytes", "retention.ms"].into_iter()),
            Some("retention.ms")
        );
    }

    #[test]
    fn unrelated_names_get_no_suggestion() {
        assert_eq!(nearest("foo", ["retention.ms"].into_iter()), None);
    }
}
