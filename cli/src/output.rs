//! Results as tables, JSON or YAML.

use crate::{arguments::Format, failure::Failure};
use machine_config::value_to_yaml;
use serde_json::Value;
use std::io::{self, Write as _};

/// Rows for people, and the same as a value for programs.
pub(crate) struct Table {
    /// Titles, in capitals.
    pub(crate) titles: &'static [&'static str],
    /// As many cells per row as there are titles.
    pub(crate) rows: Vec<Vec<String>>,
}

/// Where results go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    format: Format,
}

impl Output {
    /// Results in this form.
    pub(crate) const fn new(format: Format) -> Self {
        Self { format }
    }

    /// One result.
    pub(crate) fn result(
        self,
        value: &Value,
        table: impl FnOnce() -> Table,
    ) -> Result<(), Failure> {
        match self.format {
            Format::Table => write(&render(&table())),
            Format::Json => write(&format!("{value:#}\n")),
            Format::Yaml => write(&value_to_yaml(value)),
        }
    }

    /// One message of a stream.
    pub(crate) fn message(
        self,
        value: &Value,
        line: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        match self.format {
            Format::Table => write(&format!("{}\n", line())),
            Format::Json => write(&format!("{value}\n")),
            Format::Yaml => write(&format!("---\n{}", value_to_yaml(value))),
        }
    }

    /// Text that is a result as it is.
    pub(crate) fn text(self, text: &str) -> Result<(), Failure> {
        write(text)
    }

    /// Whether a person reads it.
    pub(crate) fn is_table(self) -> bool {
        self.format == Format::Table
    }
}

/// A reader that has seen enough (`| head`) is no failure: the program just ends.
fn write(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => Err(Failure::other(format!("write results: {error}"))),
    }
}

fn render(table: &Table) -> String {
    let titles: Vec<String> = table
        .titles
        .iter()
        .map(|title| (*title).to_owned())
        .collect();
    let rows: Vec<_> = std::iter::once(titles)
        .chain(table.rows.iter().cloned())
        .collect();
    aligned(&rows)
}

/// Rows with as many cells as the first, in columns.
pub(crate) fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            rows.iter()
                .map(|row| width(&row[column]))
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, wide) in row.iter().zip(&widths) {
            line.push_str(&printable(cell));
            line.extend(std::iter::repeat_n(' ', wide - width(cell) + 3));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

fn width(cell: &str) -> usize {
    printable(cell).chars().count()
}

/// What a node says must not steer the terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let table = Table {
            titles: &["NAME", "STATE"],
            rows: vec![
                vec!["a".into(), "running".into()],
                vec!["longer\u{1b}".into(), String::new()],
            ],
        };
        assert_eq!(
            render(&table),
            "NAME      STATE\na         running\nlonger\n"
        );
    }
}
