//! Every hint, and whether what it suggests can be typed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::mem::discriminant;

use clap::Parser as _;
use modelzoo::Remedy;

use super::Hint;
use crate::args::Cli;

const APPLY: &str = "modelzoo apply m d f";
const EMBED: &str = "modelzoo embed m d f";
const DOWNLOAD: &str = "modelzoo download m";
const REGISTER: &str = "modelzoo register-source s";

/// The command lines that can fail with a hint; flags that it suggests are added to each.
fn failed(hint: &Hint) -> &'static [&'static str] {
    let remedy = match hint {
        Hint::Remedy(remedy) => remedy,
        Hint::ReplaceDamaged => return &["modelzoo verify"],
        Hint::ListAsOneValue => return &[APPLY, EMBED],
        Hint::AgreeBeforehand => return &["modelzoo delete m", "modelzoo delete-source s"],
        Hint::FormsOfPermissions => return &[REGISTER],
    };
    match remedy {
        Remedy::Advice(_) | Remedy::DidYouMean(_) | Remedy::NameSource { .. } => &[],
        Remedy::GoOnline | Remedy::Unlock => &[REGISTER, DOWNLOAD, APPLY],
        Remedy::Unfreeze | Remedy::MakeRoom | Remedy::Diagnose => &[DOWNLOAD, APPLY, EMBED],
        Remedy::Grant(_) | Remedy::DeclareAndGrant(_) | Remedy::GrantNothing => {
            &[REGISTER, DOWNLOAD, APPLY, "modelzoo update-source s"]
        }
        Remedy::RegisterSource | Remedy::ListModels => &["modelzoo info m"],
        Remedy::RegisterAgain { .. } | Remedy::ListSources => &[REGISTER],
        Remedy::ListAudited => &["modelzoo audit s"],
        Remedy::AllowRollback { .. } => &["modelzoo update-source s"],
        Remedy::AcceptChanges { .. } => &[DOWNLOAD, APPLY],
        Remedy::AcceptBundle => &["modelzoo bundle import b"],
        Remedy::AcceptLock => &["modelzoo list"],
        Remedy::AllowUnreachableCommit { .. } => &[REGISTER, DOWNLOAD, APPLY],
        Remedy::NameModel => &[DOWNLOAD, APPLY, EMBED],
        Remedy::Download { .. } => &["modelzoo find m"],
        Remedy::DownloadAgain { .. } | Remedy::Repair { .. } => &[APPLY],
        Remedy::OtherBundlePath => &["modelzoo bundle export s"],
        Remedy::RefreshOrOmit { .. } => &["modelzoo bundle export s --output b"],
        Remedy::ExportBundle | Remedy::ReplaceByBundle => &["modelzoo bundle import b"],
        Remedy::GiveArguments | Remedy::GiveArgument { .. } | Remedy::CorrectArgument => {
            &[APPLY, EMBED]
        }
        Remedy::Embed { .. } => &[APPLY],
        Remedy::IgnoreRequirement => &["modelzoo requirements m --ensure", APPLY, EMBED],
        Remedy::OtherDevice { .. }
        | Remedy::OtherDeviceOrLevel
        | Remedy::FullPrecision
        | Remedy::FullPrecisionOrGpu => &[APPLY, EMBED],
        Remedy::OtherLayer => &[EMBED],
        Remedy::TextColumn(_)
        | Remedy::AllowOutside
        | Remedy::WriteElsewhere { .. }
        | Remedy::OtherField => &[APPLY, EMBED],
        Remedy::ReplaceOutput => &["modelzoo apply m d f --output o"],
    }
}

/// One hint of every kind, and of every way to write it.
fn all() -> Vec<Hint> {
    let model = || "acme/digits-cnn@1.0".to_owned();
    let source_id = || "gh:acme/digits".to_owned();
    let remedies = [
        Remedy::advice("check it"),
        Remedy::DidYouMean(vec!["a".to_owned(), "b".to_owned()]),
        Remedy::GoOnline,
        Remedy::Grant(vec![
            "https://a.org".to_owned(),
            "https://*.b.org".to_owned(),
        ]),
        Remedy::DeclareAndGrant("https://a.org:8443".to_owned()),
        Remedy::GrantNothing,
        Remedy::RegisterSource,
        Remedy::RegisterAgain { source_id: None },
        Remedy::RegisterAgain {
            source_id: Some(source_id()),
        },
        Remedy::ListSources,
        Remedy::ListModels,
        Remedy::ListAudited,
        Remedy::AcceptChanges {
            model: model(),
            source_id: source_id(),
        },
        Remedy::AcceptChanges {
            model: model(),
            source_id: "file:/a directory/of mine".to_owned(),
        },
        Remedy::AcceptBundle,
        Remedy::AcceptLock,
        Remedy::AllowUnreachableCommit {
            reference: "acme/digits/1234567".to_owned(),
        },
        Remedy::AllowRollback {
            source_id: source_id(),
        },
        Remedy::Unlock,
        Remedy::Unfreeze,
        Remedy::NameSource {
            example: "gh:acme/digits:acme/digits-cnn".to_owned(),
        },
        Remedy::NameModel,
        Remedy::Download { model: model() },
        Remedy::DownloadAgain { model: None },
        Remedy::DownloadAgain {
            model: Some(model()),
        },
        Remedy::Repair { model: model() },
        Remedy::MakeRoom,
        Remedy::Diagnose,
        Remedy::OtherBundlePath,
        Remedy::ExportBundle,
        Remedy::ReplaceByBundle,
        Remedy::RefreshOrOmit { model: model() },
        Remedy::GiveArguments,
        Remedy::GiveArgument {
            name: "classes",
            value: r#"["cat","dog"]"#,
        },
        Remedy::CorrectArgument,
        Remedy::Embed { model: None },
        Remedy::Embed {
            model: Some(model()),
        },
        Remedy::OtherDevice { feature: None },
        Remedy::OtherDevice {
            feature: Some("cuda"),
        },
        Remedy::OtherDeviceOrLevel,
        Remedy::IgnoreRequirement,
        Remedy::FullPrecision,
        Remedy::FullPrecisionOrGpu,
        Remedy::OtherLayer,
        Remedy::TextColumn(vec!["text".to_owned()]),
        Remedy::AllowOutside,
        Remedy::WriteElsewhere {
            endings: &[".jsonl", ".npy", ".parquet"],
        },
        Remedy::OtherField,
        Remedy::ReplaceOutput,
    ];
    let mut hints: Vec<_> = remedies.into_iter().map(Hint::Remedy).collect();
    hints.extend([
        Hint::ReplaceDamaged,
        Hint::ListAsOneValue,
        Hint::AgreeBeforehand,
        Hint::FormsOfPermissions,
    ]);
    hints
}

/// What is in backticks and can be typed.
fn spans(text: &str) -> Vec<&str> {
    assert_eq!(text.matches('`').count() % 2, 0, "{text}");
    text.split('`')
        .skip(1)
        .step_by(2)
        .filter(|span| span.starts_with("modelzoo ") || span.starts_with("--"))
        .collect()
}

/// Splits a command line as a shell does, as far as quotes of one kind go.
pub(crate) fn words(line: &str) -> Vec<String> {
    line.split('\'')
        .enumerate()
        .flat_map(|(n, part)| match n % 2 {
            1 => vec![part.to_owned()],
            _ => part.split_whitespace().map(str::to_owned).collect(),
        })
        .collect()
}

/// Whether a hint is about leaving a flag out, or naming it without its value.
fn parses(line: &str) -> Result<(), String> {
    use clap::error::ErrorKind;
    match Cli::try_parse_from(words(line)) {
        Ok(_) => Ok(()),
        // The value is the user's to choose: the flag is known, and that is all to be checked.
        Err(error)
            if error.kind() == ErrorKind::InvalidValue
                && error.to_string().contains("a value is required") =>
        {
            Ok(())
        }
        Err(error) => Err(format!("{line}: {error}")),
    }
}

#[test]
fn every_suggested_command_line_parses() {
    for hint in all() {
        let text = hint.text();
        for span in spans(&text) {
            if span.starts_with("modelzoo ") {
                parses(span).unwrap();
                continue;
            }
            let lines = failed(&hint);
            assert!(!lines.is_empty(), "{text}");
            for line in lines {
                parses(&format!("{line} {span}")).unwrap();
            }
        }
    }
}

#[test]
fn flags_and_verbs_are_in_backticks() {
    for hint in all() {
        let text = hint.text();
        let outside: String = text.split('`').step_by(2).collect();
        assert!(!outside.contains("--"), "{text}");
        assert!(!outside.contains("modelzoo register"), "{text}");
    }
}

#[test]
fn library_text_names_no_flags_or_verbs() {
    for hint in all() {
        if let Hint::Remedy(remedy) = hint {
            let text = remedy.to_string();
            assert!(
                !text.contains("--") && !text.contains("`modelzoo"),
                "{text}"
            );
        }
    }
}

#[test]
fn no_remedy_is_listed_without_a_text_of_its_own() {
    let texts: Vec<_> = all()
        .iter()
        .map(|hint| (discriminant(hint), hint.text()))
        .collect();
    for (at, (_, text)) in texts.iter().enumerate() {
        assert!(!text.is_empty());
        assert!(
            texts.iter().skip(at + 1).all(|(_, other)| other != text),
            "{text}"
        );
    }
}
