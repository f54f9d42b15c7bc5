//! The table: one line a figure, as Markdown with columns that line up.

use ottla_e2e::markdown_table;

/// Figures of several rounds, shown as their median and range.
#[derive(Clone, Debug, Default)]
pub struct Figures(pub Vec<f64>);

impl Figures {
    /// The median; none without figures.
    pub fn median(&self) -> Option<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let upper = *sorted.get(sorted.len() / 2)?;
        let lower = *sorted.get(sorted.len().checked_sub(1)? / 2)?;
        Some(f64::midpoint(lower, upper))
    }

    /// How many times the figures of `floor` these are, round by round.
    pub fn over(&self, floor: &Figures) -> Figures {
        Figures(self.0.iter().zip(&floor.0).map(|(own, floor)| own / floor).collect())
    }

    fn text(&self, decimals: usize) -> String {
        let Some(median) = self.median() else { return "–".to_owned() };
        let least = self.0.iter().copied().fold(f64::INFINITY, f64::min);
        let most = self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if self.0.len() == 1 {
            return format!("{median:.decimals$}");
        }
        format!("{median:.decimals$} ({least:.decimals$}–{most:.decimals$})")
    }
}

/// The table as it grows.
#[derive(Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with its heads.
    pub fn new() -> Table {
        let heads = ["figure", "Ottla", "aim", "floor", "Ottla / floor", "Apache Kafka"];
        Table { rows: vec![heads.map(str::to_owned).into()] }
    }

    /// Adds a line; `floor` gives the ratio, `kafka` is empty where it takes no part.
    pub fn row(
        &mut self,
        what: &str,
        decimals: usize,
        own: &Figures,
        aim: &str,
        floor: &Figures,
        kafka: &Figures,
    ) {
        let cells = [
            what.to_owned(),
            own.text(decimals),
            if aim.is_empty() { "–".to_owned() } else { aim.to_owned() },
            floor.text(decimals),
            own.over(floor).text(2),
            kafka.text(decimals),
        ];
        self.rows.push(cells.into());
    }

    /// The text.
    pub fn text(&self) -> String {
        markdown_table(&self.rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_count_lies_between_the_middle_two() {
        assert_eq!(Figures(vec![4.0, 1.0, 3.0, 2.0]).median(), Some(2.5));
        assert_eq!(Figures(vec![9.0, 1.0, 2.0]).median(), Some(2.0));
        assert_eq!(Figures::default().median(), None);
    }

    #[test]
    fn ratios_compare_figures_of_the_same_round() {
        let own = Figures(vec![2.0, 30.0]);
        assert_eq!(own.over(&Figures(vec![1.0, 10.0])).0, [2.0, 3.0]);
    }
}
