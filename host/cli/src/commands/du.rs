use std::io::Write as _;
use std::process::ExitCode;

use indicatif::DecimalBytes;

use crate::console::Console;
use crate::failure::Failure;
use crate::table;

pub(crate) fn run(console: &Console) -> Result<ExitCode, Failure> {
    let usage = console.zoo()?.usage()?;
    if console.json() {
        console.print_json(&usage)?;
        return Ok(ExitCode::SUCCESS);
    }
    let total = usage.iter().map(|u| u.bytes).sum();
    let mut rows: Vec<_> = usage
        .iter()
        .map(|u| {
            [
                DecimalBytes(u.bytes).to_string(),
                u.kind.to_owned(),
                u.name.clone(),
            ]
        })
        .collect();
    rows.push([
        DecimalBytes(total).to_string(),
        "total".into(),
        String::new(),
    ]);
    let mut out = console.stdout();
    table::print(&mut out, ["size", "kind", "name"], &rows)?;
    Ok(out.flush().map(|()| ExitCode::SUCCESS)?)
}
