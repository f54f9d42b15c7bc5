//! Tables as Markdown with columns that line up, for the documents that benchmarks write.

use std::fmt::Write;

/// Rows of cells as a table whose first row is its head.
pub fn markdown_table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        text.push('|');
        for (cell, width) in row.iter().zip(&widths) {
            // Writing to a String does not fail.
            let _ = write!(text, " {cell:width$} |");
        }
        text.push('\n');
        if number == 0 {
            text.push('|');
            text.extend(widths.iter().map(|width| format!("{}|", "-".repeat(width + 2))));
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_in_characters() {
        let rows = [["a", "≤ 1"], ["long", "2"]].map(|row| row.map(str::to_owned).into());
        assert_eq!(markdown_table(&rows), "| a    | ≤ 1 |\n|------|-----|\n| long | 2   |\n");
    }
}
