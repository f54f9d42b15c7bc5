//! What is written to standard output: a table that is drawn anew on a terminal, lines elsewhere.

use std::collections::VecDeque;
use std::io::{IsTerminal, Write};

use super::table;
use super::view::{View, changes};

/// Lines of news that are remembered; a terminal shows no more.
const NEWS_MAX: usize = 200;
/// The size of a terminal that does not tell.
const SIZE_DEFAULT: (usize, usize) = (80, 24);

/// Standard output.
#[derive(Debug)]
pub(super) struct Screen {
    terminal: bool,
    shown: View,
    drawn: Vec<String>,
    news: VecDeque<String>,
}

impl Screen {
    /// The screen of this process.
    pub(super) fn new() -> Screen {
        let terminal = std::io::stdout().is_terminal();
        Screen { terminal, shown: View::default(), drawn: vec![], news: VecDeque::new() }
    }

    /// Tells something that happened.
    pub(super) fn tell(&mut self, line: impl Into<String>) {
        let line = line.into();
        // Before the first view there is no table to tell it in.
        if !self.terminal || self.shown.cluster.is_empty() {
            return write(&format!("{line}\n"));
        }
        if self.news.len() == NEWS_MAX {
            self.news.pop_front();
        }
        self.news.push_back(line);
        self.draw();
    }

    /// Shows a view.
    pub(super) fn show(&mut self, view: View) {
        let lines = changes(&self.shown, &view);
        self.shown = view;
        if self.terminal {
            return self.draw();
        }
        for line in lines {
            write(&format!("{line}\n"));
        }
    }

    /// Ends the table: what is told from now on stands below it.
    pub(super) fn leave(&mut self) {
        self.terminal = false;
    }

    fn draw(&mut self) {
        let (width, height) = size();
        let news: Vec<String> = self.news.iter().cloned().collect();
        let lines = table::render(&self.shown, &news, width, height);
        if lines == self.drawn {
            return;
        }
        // Back to the first line of the former table, and everything below it cleared; in one write it does not flicker.
        let mut text = match self.drawn.len() {
            0 => String::new(),
            former => format!("\u{1b}[{former}A\r"),
        };
        text.push_str("\u{1b}[J");
        for line in &lines {
            text.push_str(line);
            text.push('\n');
        }
        write(&text);
        self.drawn = lines;
    }
}

/// Columns and rows of the terminal.
fn size() -> (usize, usize) {
    match rustix::termios::tcgetwinsize(std::io::stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 1 => {
            // The line below the last one belongs to the cursor.
            (usize::from(size.ws_col), usize::from(size.ws_row) - 1)
        }
        _ => SIZE_DEFAULT,
    }
}

fn write(text: &str) {
    let mut out = std::io::stdout().lock();
    // Whoever reads may have gone; the cluster goes on.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
