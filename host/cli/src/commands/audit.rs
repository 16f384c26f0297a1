use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;
use indicatif::DecimalBytes;
use modelzoo::sources::AuditOptions;
use modelzoo::store::{AuditReport, OriginUse, Since, SourceAudit};

use crate::console::{Console, shown};
use crate::failure::Failure;

/// How many denials and failures of a source are printed; JSON has all.
const SHOWN: usize = 20;

const EXAMPLES: &str = "\
The proposed permissions are the least that the recorded runs of hooks needed. A run that was not
recorded may need others.

Examples:
  modelzoo audit
  modelzoo audit acme/digits --since 2026-01-31
  modelzoo audit acme/digits --json";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct AuditArgs {
    /// The source, registered or not; without one, all sources
    source: Option<String>,
    /// Read only records of this day (UTC), or of this time (RFC 3339), and later ones
    #[arg(long, value_name = "DATE")]
    since: Option<Since>,
}

pub(crate) fn run(args: &AuditArgs, console: &Console) -> Result<ExitCode, Failure> {
    let report = console.zoo()?.audit(&AuditOptions {
        source: args.source.clone(),
        since: args.since,
    })?;
    if console.json() {
        console.print_json(&report)?;
    } else {
        let mut out = console.stdout();
        for (index, source) in report.sources.iter().enumerate() {
            if index > 0 {
                writeln!(out)?;
            }
            print(&mut out, source)?;
        }
        out.flush()?;
        notes(&report, console);
    }
    Ok(ExitCode::SUCCESS)
}

fn notes(report: &AuditReport, console: &Console) {
    if report.torn > 0 {
        console.warn(&format!(
            "lines of the audit log that cannot be read in full: {}",
            report.torn
        ));
    }
    if report.unknown > 0 {
        console.warn(&format!(
            "records of a kind that this version does not know: {}",
            report.unknown
        ));
    }
    if report.sources.is_empty() {
        console.note("no records");
    }
}

fn print(out: &mut impl Write, source: &SourceAudit) -> io::Result<()> {
    let state = match source.registered {
        true => "registered",
        false => "not registered now",
    };
    writeln!(out, "{} ({state})", shown(&source.id))?;
    let records: u64 = source.events.values().sum();
    let span = format!("{records} from {} to {}", source.first, source.last);
    row(out, "records", &span)?;
    for reached in &source.reached {
        row(out, "reached", &describe(reached))?;
    }
    for reached in &source.reached_by_host {
        row(out, "by the host", &describe(reached))?;
    }
    if source.files > 0 {
        let size = DecimalBytes(source.file_bytes);
        row(out, "files", &format!("{}, {size}", source.files))?;
    }
    print_denials(out, source)?;
    for permission in source.granted.iter() {
        row(out, "granted", &permission.to_string())?;
    }
    print_proposal(out, source)
}

fn row(out: &mut impl Write, key: &str, value: &str) -> io::Result<()> {
    writeln!(out, "  {key:<13} {}", shown(value))
}

fn describe(reached: &OriginUse) -> String {
    format!(
        "{} ({}, {})",
        reached.origin,
        times(reached.requests, "request"),
        DecimalBytes(reached.bytes)
    )
}

/// What was denied, and what did not succeed.
fn print_denials(out: &mut impl Write, source: &SourceAudit) -> io::Result<()> {
    for denied in source.denied.iter().take(SHOWN) {
        let count = times(denied.times, "time");
        row(out, "denied", &format!("{} ({count})", denied.reason))?;
    }
    more(out, source.denied.len())?;
    if source.offline > 0 {
        let count = times(source.offline, "request");
        row(out, "offline", &format!("{count} not made"))?;
    }
    for permission in &source.withheld {
        row(out, "withheld", permission)?;
    }
    if source.left_out > 0 {
        let text = format!(
            "{} records or parts of them, to bound the log",
            source.left_out
        );
        row(out, "left out", &text)?;
    }
    for failed in source.failures.iter().take(SHOWN) {
        let what = failed.hook.as_ref().map_or("refused", |_| "failed");
        let count = times(failed.times, "time");
        row(out, what, &format!("{} ({count})", failed.reason))?;
    }
    more(out, source.failures.len())
}

fn more(out: &mut impl Write, all: usize) -> io::Result<()> {
    match all.saturating_sub(SHOWN) {
        0 => Ok(()),
        hidden => row(out, "", &format!("and {hidden} more; `--json` shows all")),
    }
}

/// The least permissions, to be put into a manifest, and how they differ from what is granted.
fn print_proposal(out: &mut impl Write, source: &SourceAudit) -> io::Result<()> {
    for permission in &source.unused {
        let text = format!("{permission}: granted, but never used");
        row(out, "unused", &text)?;
    }
    for narrower in &source.narrower {
        let used: Vec<_> = narrower.used.iter().map(ToString::to_string).collect();
        let used = used.join(", ");
        let text = format!("{}: granted, but only {used} used", narrower.granted);
        row(out, "too wide", &text)?;
    }
    for permission in &source.not_granted {
        let text = format!("{permission}: used, but not granted now");
        row(out, "not granted", &text)?;
    }
    row(out, "least", "the permissions that these runs needed:")?;
    let needed = serde_json::to_string_pretty(&source.needed)?;
    let snippet = format!("\"permissions\": {needed}");
    for line in snippet.lines() {
        writeln!(out, "    {}", shown(line))?;
    }
    Ok(())
}

fn times(n: u64, what: &str) -> String {
    match n {
        1 => format!("1 {what}"),
        n => format!("{n} {what}s"),
    }
}
