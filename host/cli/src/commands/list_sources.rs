use std::io::Write as _;
use std::process::ExitCode;

use crate::console::Console;
use crate::failure::Failure;
use crate::hints;
use crate::names::verb;
use crate::table;

/// What is said of what came with a bundle.
pub(super) const FROM_BUNDLE: &str = "from a bundle, and not compared with its origin";

pub(crate) fn run(console: &Console) -> Result<ExitCode, Failure> {
    let sources = console.zoo()?.list_sources()?;
    if console.json() {
        console.print_json(&sources)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<_> = sources
        .iter()
        .map(|s| {
            let short = |text: &str| text.chars().take(12).collect::<String>();
            [
                s.locked.id.to_string(),
                s.locked.commit.as_deref().map(short).unwrap_or_default(),
                s.problem
                    .as_ref()
                    .map_or_else(|| s.models.len().to_string(), |_| "unreadable".into()),
                s.locked
                    .granted
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(" "),
                s.locked.registered.clone(),
                match &s.checked {
                    Some(checked) => ago(checked),
                    None => "never: imported".to_owned(),
                },
            ]
        })
        .collect();
    let mut out = console.stdout();
    table::print(
        &mut out,
        [
            "source",
            "commit",
            "models",
            "granted",
            "registered",
            "checked",
        ],
        &rows,
    )?;
    out.flush()?;
    if sources.is_empty() {
        console.note(&format!(
            "no sources; {} registers one",
            hints::command(&[verb::REGISTER_SOURCE, "SOURCE"])
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// How long ago a time was, in days.
pub(super) fn ago(time: &str) -> String {
    match modelzoo::store::age_of(time).map(|age| age.as_secs() / (24 * 3600)) {
        None => "never".to_owned(),
        Some(0) => "today".to_owned(),
        Some(1) => "1 day ago".to_owned(),
        Some(days) => format!("{days} days ago"),
    }
}
