//! Tables for people.

use crate::failure::printable;

/// Columns as wide as their widest cell.
pub(super) fn table(head: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    print(head, &harmless(rows));
}

/// A table as wide as its reader's terminal: the first columns, `always` many, and in their order those of the others in
/// which anybody has something and for which there is room. The last line names the ones for which there is none, which
/// `--wide` has to show.
pub(super) fn fitting_table(head: &[&'static str], always: usize, rows: impl Iterator<Item = Vec<String>>) {
    let (head, rows, left_out) = narrow(head, always, harmless(rows), terminal_width());
    print(&head, &rows);
    if !left_out.is_empty() {
        println!("\n--wide shows {} too", left_out.join(", "));
    }
}

fn harmless(rows: impl Iterator<Item = Vec<String>>) -> Vec<Vec<String>> {
    rows.map(|row| row.iter().map(|cell| printable(cell)).collect()).collect()
}

fn print(head: &[&str], rows: &[Vec<String>]) {
    lines(head, rows).iter().for_each(|line| println!("{line}"));
}

fn lines(head: &[&str], rows: &[Vec<String>]) -> Vec<String> {
    let head: Vec<String> = head.iter().map(|cell| (*cell).to_owned()).collect();
    let widths: Vec<usize> = head.iter().enumerate().map(|(column, name)| column_width(name, column, rows)).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join(BETWEEN).trim_end().to_owned()
    };
    [&head].into_iter().chain(rows).map(line).collect()
}

/// The width of the widest cell in characters.
fn column_width(name: &str, column: usize, rows: &[Vec<String>]) -> usize {
    let cells = rows.iter().filter_map(|row| row.get(column)).map(String::as_str);
    cells.chain([name]).map(|cell| cell.chars().count()).max().unwrap_or(0)
}

/// Head and rows of what [`fitting_table`] shows in `width` characters, and the heads of what it has no room for.
fn narrow<'h>(
    head: &[&'h str],
    always: usize,
    rows: Vec<Vec<String>>,
    width: usize,
) -> (Vec<&'h str>, Vec<Vec<String>>, Vec<&'h str>) {
    let (mut shown, mut left_out, mut used) = (Vec::new(), Vec::new(), 0);
    for (column, name) in head.iter().enumerate() {
        let wanted = used + column_width(name, column, &rows) + if column == 0 { 0 } else { BETWEEN.len() };
        if column < always || (is_used(column, &rows) && wanted <= width) {
            shown.push(column);
            used = wanted;
        } else if is_used(column, &rows) {
            left_out.push(*name);
        }
    }
    let head = shown.iter().filter_map(|column| head.get(*column).copied()).collect();
    let chosen = |row: &Vec<String>| shown.iter().filter_map(|column| row.get(*column).cloned()).collect();
    (head, rows.iter().map(chosen).collect(), left_out)
}

/// Whether anybody has something in a column.
fn is_used(column: usize, rows: &[Vec<String>]) -> bool {
    rows.iter().filter_map(|row| row.get(column)).any(|cell| cell != NOTHING && cell != ANY)
}

/// In characters.
fn terminal_width() -> usize {
    // A terminal that does not know its width says 0.
    let columns = rustix::termios::tcgetwinsize(std::io::stdout()).map_or(0, |size| size.ws_col);
    if columns == 0 { NO_TERMINAL_WIDTH } else { columns.into() }
}

/// A table without the columns in which nobody has anything.
pub(super) fn brief_table(head: &[&str], rows: Vec<Vec<String>>) {
    let always = if rows.is_empty() { head.len() } else { 0 };
    let (head, rows, _) = narrow(head, always, harmless(rows.into_iter()), usize::MAX);
    print(&head, &rows);
}

/// Nothing that is worth a column by itself.
pub(super) const NOTHING: &str = "-";
/// What a gateway may speak for, where nothing limits it.
pub(super) const ANY: &str = "any";
/// Between two columns.
const BETWEEN: &str = "  ";
/// In characters, where standard output is no terminal: what a mail or a ticket shows without wrapping.
const NO_TERMINAL_WIDTH: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    /// Three columns that are always there, of 12 characters with what is between them, and three more.
    fn narrowed(width: usize) -> (Vec<String>, Vec<&'static str>) {
        let row = ["a.lab", "up", "-", "4711 waiting", "-", "7"].map(str::to_owned).to_vec();
        let (head, rows, left_out) = narrow(&["A", "B", "C", "QUEUE", "EMPTY", "D"], 3, vec![row], width);
        assert_eq!(head.len(), rows[0].len());
        (lines(&head, &rows), left_out)
    }

    #[test]
    fn what_has_no_room_is_left_out_and_named_and_what_is_empty_is_left_out() {
        for (width, expected, left_out) in [
            (0, "a.lab  up  -", &["QUEUE", "D"][..]),
            (14, "a.lab  up  -", &["QUEUE", "D"]),
            (15, "a.lab  up  -  7", &["QUEUE"]),
            (26, "a.lab  up  -  4711 waiting", &["D"]),
            (29, "a.lab  up  -  4711 waiting  7", &[]),
            (500, "a.lab  up  -  4711 waiting  7", &[]),
        ] {
            let (lines, not_shown) = narrowed(width);
            assert_eq!((lines[1].as_str(), not_shown.as_slice()), (expected, left_out), "{width}");
        }
    }

    #[test]
    fn a_table_of_nobody_has_its_first_columns() {
        let (head, rows, left_out) = narrow(&["NAME", "STATE", "QUEUE"], 2, Vec::new(), 100);
        assert_eq!((lines(&head, &rows), left_out), (vec!["NAME  STATE".to_owned()], Vec::new()));
    }
}
