//! Tables for people.

use crate::failure::printable;

/// Columns as wide as their widest cell.
pub(super) fn table(head: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    let rows: Vec<Vec<String>> = rows.map(|row| row.iter().map(|cell| printable(cell)).collect()).collect();
    let head: Vec<String> = head.iter().map(|cell| (*cell).to_owned()).collect();
    let width = |column: usize| {
        [&head].into_iter().chain(&rows).filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    for row in [&head].into_iter().chain(&rows) {
        let cells = row.iter().enumerate().map(|(column, cell)| format!("{cell:<0$}", width(column).unwrap_or(0)));
        println!("{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
}

/// A table without the columns in which nobody has anything, so that it fits a terminal.
pub(super) fn brief_table(head: &[&str], rows: Vec<Vec<String>>) {
    let says = |cell: &String| cell != NOTHING && cell != ANY;
    let is_shown = |column: &usize| rows.is_empty() || rows.iter().any(|row| row.get(*column).is_some_and(says));
    let shown: Vec<usize> = (0..head.len()).filter(is_shown).collect();
    let head: Vec<&str> = shown.iter().filter_map(|column| head.get(*column).copied()).collect();
    let cells = |row: &Vec<String>| shown.iter().filter_map(|column| row.get(*column).cloned()).collect();
    table(&head, rows.iter().map(cells));
}

/// Nothing that is worth a column by itself.
pub(super) const NOTHING: &str = "-";
/// What a gateway may speak for, where nothing limits it.
pub(super) const ANY: &str = "any";
