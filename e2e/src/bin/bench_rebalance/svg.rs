//! Plots as SVG, with no more than lines, dots and words.

use std::fmt::Write;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 60.0;
/// Height of a row of the legend.
const ROW: f64 = 18.0;
/// Told apart by people who do not see all colours, too.
const COLOURS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00"];

/// One axis.
#[derive(Clone, Debug)]
pub struct Axis {
    pub title: String,
    pub from: f64,
    pub to: f64,
    /// Equal steps are equal factors.
    pub log: bool,
}

impl Axis {
    /// Where a value lies, from 0 to 1.
    fn place(&self, value: f64) -> f64 {
        let at = |x: f64| if self.log { x.max(f64::MIN_POSITIVE).log10() } else { x };
        ((at(value) - at(self.from)) / (at(self.to) - at(self.from))).clamp(0.0, 1.0)
    }

    /// Values with a mark.
    fn marks(&self) -> Vec<f64> {
        if self.log {
            let first = self.from.log10().ceil() as i32;
            let last = self.to.log10().floor() as i32;
            return (first..=last).map(|power| 10_f64.powi(power)).collect();
        }
        (0..=5).map(|part| self.from + (self.to - self.from) * f64::from(part) / 5.0).collect()
    }
}

/// Points of one kind.
#[derive(Clone, Debug)]
pub struct Series {
    pub name: String,
    pub points: Vec<(f64, f64)>,
    /// Joined by a line; else dots.
    pub line: bool,
}

/// Draws the plot.
pub fn plot(title: &str, x: &Axis, y: &Axis, series: &[Series]) -> String {
    let mut svg = String::new();
    let (inner_width, inner_height) = (WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM);
    let at_x = |value: f64| LEFT + inner_width * x.place(value);
    let at_y = |value: f64| HEIGHT - BOTTOM - inner_height * y.place(value);
    let places = legend_places(series);
    let height = places.last().map_or(HEIGHT, |(_, top)| top + 14.0);
    // Writing to a String does not fail.
    let _ = writeln!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
         <text x=\"{LEFT}\" y=\"20\" font-size=\"14\">{}</text>",
        escape(title)
    );
    for mark in x.marks() {
        let at = at_x(mark);
        let _ = writeln!(svg, "<path d=\"M{at:.1} {TOP}V{:.1}\" stroke=\"#dddddd\"/>", HEIGHT - BOTTOM);
        text(&mut svg, (at, HEIGHT - BOTTOM + 16.0), "middle", &number(mark));
    }
    for mark in y.marks() {
        let at = at_y(mark);
        let _ = writeln!(svg, "<path d=\"M{LEFT} {at:.1}H{:.1}\" stroke=\"#dddddd\"/>", WIDTH - RIGHT);
        text(&mut svg, (LEFT - 6.0, at + 4.0), "end", &number(mark));
    }
    text(&mut svg, (LEFT + inner_width / 2.0, HEIGHT - BOTTOM + 34.0), "middle", &x.title);
    text(&mut svg, (LEFT, TOP - 6.0), "start", &y.title);
    for (series, colour) in series.iter().zip(COLOURS.iter().cycle()) {
        let places: Vec<(f64, f64)> = series.points.iter().map(|(a, b)| (at_x(*a), at_y(*b))).collect();
        if series.line {
            let path: Vec<String> = places.iter().map(|(a, b)| format!("{a:.1} {b:.1}")).collect();
            let _ = writeln!(
                svg,
                "<path d=\"M{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>",
                path.join("L")
            );
        }
        if !series.line || places.len() < 20 {
            for (a, b) in places {
                let _ = writeln!(svg, "<circle cx=\"{a:.1}\" cy=\"{b:.1}\" r=\"3\" fill=\"{colour}\"/>");
            }
        }
    }
    for ((series, colour), (at, top)) in series.iter().zip(COLOURS.iter().cycle()).zip(places) {
        let _ = writeln!(svg, "<circle cx=\"{at:.1}\" cy=\"{:.1}\" r=\"4\" fill=\"{colour}\"/>", top - 4.0);
        text(&mut svg, (at + 8.0, top), "start", &series.name);
    }
    svg.push_str("</svg>\n");
    svg
}

/// Where the name of each series stands: beside the former one, or below where there is no room.
fn legend_places(series: &[Series]) -> Vec<(f64, f64)> {
    let (mut at, mut top) = (LEFT, HEIGHT - 14.0);
    let place = |series: &Series| {
        let width = 26.0 + 6.5 * series.name.chars().count() as f64;
        if at > LEFT && at + width > WIDTH {
            (at, top) = (LEFT, top + ROW);
        }
        let place = (at, top);
        at += width;
        place
    };
    series.iter().map(place).collect()
}

fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, words: &str) {
    let _ =
        writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>", escape(words));
}

fn escape(words: &str) -> String {
    words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A number as short as it can be said.
fn number(value: f64) -> String {
    let (scaled, unit) = match value.abs() {
        large if large >= 1e6 => (value / 1e6, " M"),
        large if large >= 1e3 => (value / 1e3, " K"),
        _ => (value, ""),
    };
    let digits = if scaled.fract().abs() < 1e-9 { 0 } else { 2 };
    format!("{scaled:.digits$}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithmic_axes_place_equal_factors_at_equal_distances() {
        let axis = Axis { title: String::new(), from: 1.0, to: 100.0, log: true };
        assert!((axis.place(10.0) - 0.5).abs() < 1e-12);
        assert_eq!(axis.marks(), [1.0, 10.0, 100.0]);
    }

    #[test]
    fn names_of_many_series_stay_within_the_picture() {
        let series = |at: usize| Series { name: "a name ".repeat(at + 1), points: Vec::new(), line: false };
        let series: Vec<Series> = (0..7).map(series).collect();
        let places = legend_places(&series);
        let end = |(at, _): (f64, f64), s: &Series| at + 8.0 + 6.5 * s.name.len() as f64;
        assert!(places.iter().zip(&series).all(|(place, series)| end(*place, series) <= WIDTH), "{places:?}");
        assert!(places[6].1 > places[0].1);
    }

    #[test]
    fn words_cannot_end_an_element() {
        let axis = Axis { title: "<b>".to_owned(), from: 0.0, to: 1.0, log: false };
        assert!(!plot("a & b", &axis, &axis, &[]).contains("<b>"));
    }
}
