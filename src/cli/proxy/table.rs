//! Tables for people: columns as wide as they must be.

/// Rows under headings.
#[derive(Clone, Debug, Default)]
pub(in crate::cli) struct Table {
    rows: Vec<Vec<String>>,
}

// === impl Table ===

impl Table {
    /// A table without rows.
    pub(in crate::cli) fn new(headings: &[&str]) -> Self {
        Self { rows: vec![headings.iter().map(|heading| (*heading).to_owned()).collect()] }
    }

    /// Adds a row; what is empty is shown as `-`.
    pub(in crate::cli) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let shown = |cell: String| if cell.is_empty() { "-".to_owned() } else { crate::cli::terminal::harmless(&cell) };
        self.rows.push(cells.into_iter().map(shown).collect());
    }

    /// The rows below the headings, in their order, without repetitions.
    pub(in crate::cli) fn sorted(mut self) -> Self {
        if let Some(rows) = self.rows.get_mut(1..) {
            rows.sort();
        }
        self.rows.dedup();
        self
    }

    /// The text.
    pub(in crate::cli) fn shown(&self) -> String {
        let columns = self.rows.first().map_or(0, Vec::len);
        let width = |column: usize| self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let line = |row: &Vec<String>| {
            let padded: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            format!("{}\n", padded.join("  ").trim_end())
        };
        self.rows.iter().map(line).collect()
    }
}
