use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;
use indicatif::{BinaryBytes, DecimalBytes};
use modelzoo::sources::{
    ImportAnswer, InspectedComponent, InspectedManifest, InspectedModel, Inspection,
};
use modelzoo::{LimitInForce, Remedy};
use serde_json::Value;

use super::list_sources::{FROM_BUNDLE, ago};
use crate::console::{Console, shown};
use crate::failure::Failure;
use crate::hints::Hint;
use crate::table;

const EXAMPLES: &str = "\
Nothing of the source runs, and a source that is not registered is not kept.

Examples:
  modelzoo inspect acme/digits
  modelzoo inspect https://example.org/source.zip --json
  modelzoo inspect ./target/wasm32-wasip2/release/source.wasm";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct InspectArgs {
    /// A registered source, a reference to any other, or a component
    source: String,
}

pub(crate) async fn run(args: &InspectArgs, console: &Console) -> Result<ExitCode, Failure> {
    let inspection = console.zoo()?.inspect(&args.source).await?;
    if console.json() {
        console.print_json(&inspection)?;
    } else {
        let mut out = console.stdout();
        print(&mut out, &inspection)?;
        out.flush()?;
    }
    if let Some((component, refused)) = inspection.refused().next() {
        // Most reasons name the file.
        let message = match refused.reason.contains(&component.file) {
            true => refused.reason.clone(),
            false => format!("{}: {}", component.file, refused.reason),
        };
        return Err(Failure::Plain {
            message,
            hint: refused.remedy.clone().map(Hint::from),
        });
    }
    match inspection.problems.first() {
        Some(problem) => Err(Failure::hinted(
            problem,
            match inspection.unreachable {
                true => Remedy::AllowUnreachableCommit {
                    reference: inspection.reference.clone(),
                },
                false => Remedy::RegisterAgain {
                    source_id: inspection.id.as_ref().map(ToString::to_string),
                },
            },
        )),
        None => Ok(ExitCode::SUCCESS),
    }
}

/// One line: a key and its value; nothing for an empty value.
fn row(out: &mut impl Write, key: &str, value: &str) -> io::Result<()> {
    match value {
        "" => Ok(()),
        value => writeln!(out, "{key:<14}{}", shown(value)),
    }
}

/// A list, with the key before its first line; `none` in the place of an empty one.
fn rows<T: ToString>(
    out: &mut impl Write,
    key: &str,
    values: impl IntoIterator<Item = T>,
    none: &str,
) -> io::Result<()> {
    let mut key = key;
    for value in values {
        writeln!(out, "{key:<14}{}", shown(&value.to_string()))?;
        key = "";
    }
    match key {
        "" => Ok(()),
        key => row(out, key, none),
    }
}

fn print(out: &mut impl Write, inspection: &Inspection) -> io::Result<()> {
    let id = inspection.id.as_ref();
    row(
        out,
        "source",
        id.map_or(&inspection.reference, |id| id.as_ref()),
    )?;
    if id.is_some_and(|id| id.as_ref() != inspection.reference) {
        row(out, "reference", &inspection.reference)?;
    }
    row(
        out,
        "commit",
        inspection.commit.as_deref().unwrap_or_default(),
    )?;
    row(out, "directory", &inspection.subdir)?;
    row(out, "tree", inspection.tree.as_deref().unwrap_or_default())?;
    if id.is_some() {
        let registered = inspection.registered.as_deref().unwrap_or("no");
        row(out, "registered", registered)?;
    }
    if inspection.imported {
        row(out, "imported", FROM_BUNDLE)?;
    }
    if let Some(checked) = &inspection.checked {
        row(out, "checked", &format!("{checked} ({})", ago(checked)))?;
    }
    if id.is_some() {
        rows(out, "asks for", inspection.asked.iter(), "no host")?;
        rows(out, "granted", inspection.granted.iter(), "no host")?;
        rows(out, "not granted", &inspection.not_granted, "")?;
    }
    rows(out, "problem", &inspection.problems, "")?;
    for manifest in &inspection.manifests {
        print_manifest(out, inspection, manifest)?;
    }
    writeln!(out)?;
    let limits: Vec<_> = inspection.limits.iter().map(limit).collect();
    table::print(out, ["limit", "value", "what is limited", "from"], &limits)
}

fn print_manifest(
    out: &mut impl Write,
    inspection: &Inspection,
    manifest: &InspectedManifest,
) -> io::Result<()> {
    writeln!(out)?;
    row(out, "name", &manifest.name)?;
    row(out, "url", manifest.url.as_deref().unwrap_or_default())?;
    if inspection.manifests.len() > 1 {
        row(out, "manifest", &format!("{}/manifest.json", manifest.dir))?;
        rows(out, "asks for", manifest.network.iter(), "no host")?;
    }
    if inspection.id.is_some() {
        let cap = match manifest.max_download_bytes {
            Some(bytes) => format!("at most {} per model", DecimalBytes(bytes)),
            None => "not declared; the limits hold".to_owned(),
        };
        row(out, "download cap", &cap)?;
    }
    match &manifest.component {
        Some(component) => print_component(out, component, inspection.id.is_some())?,
        None => row(out, "component", "none: it has no hooks")?,
    }
    rows(out, "warning", &manifest.warnings, "")?;
    if !manifest.models.is_empty() {
        writeln!(out)?;
        let header = ["model", "version", "size", "license", "by", "downloaded"];
        let models: Vec<_> = manifest.models.iter().map(model).collect();
        table::print(out, header, &models)?;
        print_urls(out, &manifest.models)?;
        print_files(out, &manifest.models)?;
    }
    Ok(())
}

fn print_component(
    out: &mut impl Write,
    component: &InspectedComponent,
    in_source: bool,
) -> io::Result<()> {
    row(out, "component", &component.file)?;
    row(out, "size", &DecimalBytes(component.size).to_string())?;
    let declared = match &component.declared_sha256 {
        _ if !in_source => String::new(),
        None => " (the manifest names none)".to_owned(),
        Some(declared) if declared.eq_ignore_ascii_case(&component.sha256) => {
            " (as the manifest says)".to_owned()
        }
        Some(declared) => format!(" (the manifest says {declared})"),
    };
    row(out, "sha256", &format!("{}{declared}", component.sha256))?;
    if let Some(refused) = &component.refused {
        return row(out, "refused", &refused.reason);
    }
    let version = component.wit_version.as_deref().unwrap_or("none");
    row(out, "WIT", &format!("modelzoo:source {version}"))?;
    let hooks = [
        ("download_model", component.hooks.download),
        ("load_model", component.hooks.load),
    ];
    let hooks = hooks.iter().filter(|(_, has)| *has).map(|(name, _)| *name);
    row(out, "hooks", &hooks.collect::<Vec<_>>().join(", "))?;
    let width = component.imports.iter().map(|i| i.name.len()).max();
    let imports = component.imports.iter().map(|import| {
        let answer = match import.answer {
            ImportAnswer::Host => "the host answers",
            ImportAnswer::DownloadOnly => "the host answers download_model; a trap for load_model",
            ImportAnswer::Trap => "a trap: a call ends the hook",
        };
        format!("{:<1$}  {answer}", import.name, width.unwrap_or_default())
    });
    rows(out, "imports", imports, "nothing")?;
    rows(out, "exports", &component.exports, "nothing")
}

fn model(model: &InspectedModel) -> [String; 6] {
    let size = model
        .size_bytes
        .map(|bytes| DecimalBytes(bytes).to_string());
    [
        model.name.clone(),
        model.version.clone().unwrap_or_default(),
        size.unwrap_or_default(),
        model.license.clone().unwrap_or_default(),
        model.downloaded_by.to_owned(),
        if model.downloaded { "yes" } else { "no" }.to_owned(),
    ]
}

/// What the host itself fetches, and what it cannot.
fn print_urls(out: &mut impl Write, models: &[InspectedModel]) -> io::Result<()> {
    let mut urls = Vec::new();
    for model in models {
        let of_model = model.urls.iter();
        urls.extend(of_model.map(|url| [model.name.clone(), url.clone()]));
    }
    if !urls.is_empty() {
        writeln!(out)?;
        table::print(out, ["model", "fetched without a hook"], &urls)?;
    }
    let problems = models.iter().filter_map(|model| model.problem.as_ref());
    rows(out, "problem", problems, "")
}

/// The digests of artifacts, with where they are from.
fn print_files(out: &mut impl Write, models: &[InspectedModel]) -> io::Result<()> {
    let mut files = Vec::new();
    for model in models {
        for file in &model.files {
            let mut digests: Vec<(&String, Vec<&str>)> = Vec::new();
            for (digest, by) in [
                (&file.declared, "manifest"),
                (&file.pinned, "lock"),
                (&file.received, "receipt"),
            ] {
                let Some(digest) = digest else { continue };
                match digests.iter_mut().find(|(known, _)| *known == digest) {
                    Some((_, who)) => who.push(by),
                    None => digests.push((digest, vec![by])),
                }
            }
            let name = format!("{} {}", model.name, file.name);
            files.extend(
                digests
                    .into_iter()
                    .map(|(digest, who)| [name.clone(), digest.clone(), who.join(", ")]),
            );
        }
    }
    if files.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    table::print(out, ["artifact", "sha256", "known by"], &files)
}

fn limit(limit: &LimitInForce) -> [String; 4] {
    [
        limit.name.to_owned(),
        in_units(&limit.value, limit.unit),
        format!("{} {}", limit.unit, limit.what),
        limit.from.to_string(),
    ]
}

/// A limit's value in readable units.
fn in_units(value: &Value, unit: &str) -> String {
    match (unit, value.as_u64()) {
        ("bytes", Some(bytes)) => BinaryBytes(bytes).to_string(),
        ("seconds", Some(s)) if s >= 3600 && s % 3600 == 0 => format!("{} h", s / 3600),
        ("seconds", Some(s)) if s >= 120 && s % 60 == 0 => format!("{} min", s / 60),
        ("seconds", _) => format!("{value} s"),
        _ => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::in_units;

    #[test]
    fn values_have_units() {
        for (value, unit, text) in [
            (json!(1_u64 << 30), "bytes", "1.00 GiB"),
            (json!(60), "seconds", "60 s"),
            (json!(1.5), "seconds", "1.5 s"),
            (json!(120), "seconds", "2 min"),
            (json!(86_400), "seconds", "24 h"),
            (json!(1000), "requests", "1000"),
        ] {
            assert_eq!(in_units(&value, unit), text);
        }
    }
}
