//! Tables for the terminal.

use std::io::{self, Write};

use modelzoo::text::shorten;
use unicode_width::UnicodeWidthStr as _;

/// The longest cell, in bytes: a row stays a row, whatever a manifest says.
const MAX_CELL: usize = 1024;

/// Prints rows below a header, in columns. Cells are escaped, since they can be untrusted input.
pub(crate) fn print<const N: usize>(
    out: &mut impl Write,
    header: [&str; N],
    rows: &[[String; N]],
) -> io::Result<()> {
    let escaped: Vec<[String; N]> = rows
        .iter()
        .map(|row| row.each_ref().map(|cell| shorten(cell, MAX_CELL)))
        .collect();
    let mut widths = header.map(str::width);
    for row in &escaped {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.width());
        }
    }
    line(out, &header, &widths)?;
    let rule = widths.map(|w| "-".repeat(w));
    line(out, &rule.each_ref().map(String::as_str), &widths)?;
    for row in &escaped {
        line(out, &row.each_ref().map(String::as_str), &widths)?;
    }
    Ok(())
}

fn line<const N: usize>(
    out: &mut impl Write,
    cells: &[&str; N],
    widths: &[usize; N],
) -> io::Result<()> {
    let mut text = String::new();
    for (cell, width) in cells.iter().zip(widths) {
        text.push_str(cell);
        text.push_str(&" ".repeat(width - cell.width() + 2));
    }
    writeln!(out, "{}", text.trim_end())
}
