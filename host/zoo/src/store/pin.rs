//! What the lock pins of a downloaded model, and how other files differ from it.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::lock::Pinning;
use super::locked::LockedSource;
use super::receipt::Receipt;
use crate::error::Error;

/// The longest list of changed files in a message.
const MAX_SHOWN: usize = 5;

/// What the lock pins of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pin {
    /// The SHA-256 of the receipt.
    pub(crate) receipt: String,
    /// The SHA-256 of each file, by its name.
    pub(crate) files: BTreeMap<String, String>,
    /// Whether the files came with a bundle, and were never fetched from where they are from.
    pub(crate) imported: bool,
}

impl Pin {
    /// The pin of a downloaded model.
    pub(crate) fn of(receipt: &Receipt) -> Self {
        Self {
            receipt: receipt.sha256.clone(),
            files: receipt.digests(),
            imported: false,
        }
    }
}

/// How a file of a model differs from the pinned one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileChange {
    /// Where it is, relative to the model's files.
    pub name: String,
    /// The pinned SHA-256; `None` if no such file is pinned.
    pub before: Option<String>,
    /// The SHA-256 that it has now; `None` if there is no such file any more.
    pub after: Option<String>,
}

impl fmt::Display for FileChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = |digest: &str| digest.chars().take(12).collect::<String>();
        match (&self.before, &self.after) {
            (Some(before), Some(after)) => write!(
                f,
                "{} (sha256 {} before, {} now)",
                self.name,
                short(before),
                short(after)
            ),
            (None, _) => write!(f, "{} (new)", self.name),
            (_, None) => write!(f, "{} (gone)", self.name),
        }
    }
}

/// The files that differ between two pins, by name.
pub(crate) fn changes(
    before: &BTreeMap<String, String>,
    after: &BTreeMap<String, String>,
) -> Vec<FileChange> {
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort();
    names.dedup();
    names
        .into_iter()
        .filter(|name| before.get(*name) != after.get(*name))
        .map(|name| FileChange {
            name: name.clone(),
            before: before.get(name).cloned(),
            after: after.get(name).cloned(),
        })
        .collect()
}

/// Changed files in one line, of which the first are named.
pub(crate) fn listed(changes: &[FileChange]) -> String {
    let shown = changes.iter().take(MAX_SHOWN).map(ToString::to_string);
    let mut parts: Vec<String> = shown.collect();
    match changes.len().saturating_sub(MAX_SHOWN) {
        0 => {}
        more => parts.push(format!("and {more} more")),
    }
    parts.join(", ")
}

impl LockedSource {
    /// What is pinned of a model.
    pub(crate) fn pin(&self, model: &str) -> Option<Pin> {
        Some(Pin {
            receipt: self.receipts.get(model).cloned().unwrap_or_default(),
            files: self.artifacts.get(model)?.clone(),
            imported: self.imported_models.contains(model),
        })
    }

    /// Pins a model, in place of what was pinned of it before.
    pub(crate) fn set_pin(&mut self, model: &str, pin: Pin) {
        self.remove_pin(model);
        self.artifacts.insert(model.to_owned(), pin.files);
        self.receipts.insert(model.to_owned(), pin.receipt);
        if pin.imported {
            self.imported_models.insert(model.to_owned());
        }
    }

    pub(crate) fn remove_pin(&mut self, model: &str) {
        self.artifacts.remove(model);
        self.receipts.remove(model);
        self.imported_models.remove(model);
    }

    /// Removes the pins of all models but those that are wanted.
    pub(crate) fn retain_pins(&mut self, wanted: impl Fn(&str) -> bool) {
        let models: Vec<String> = self.artifacts.keys().cloned().collect();
        for model in models.iter().filter(|model| !wanted(model)) {
            self.remove_pin(model);
        }
    }

    /// Adds the pins of an earlier entry of the same source. Where a pin of this entry differs, it
    /// stays if that is accepted.
    ///
    /// # Errors
    /// [`Error::ArtifactChanged`] if it is not.
    pub(crate) fn keep_pins(&mut self, earlier: &Self, pinning: Pinning) -> Result<(), Error> {
        for model in earlier.artifacts.keys() {
            let Some(pin) = earlier.pin(model) else {
                continue;
            };
            if let Some(own) = self.pin(model) {
                let changes = changes(&pin.files, &own.files);
                if !changes.is_empty() && pinning == Pinning::Accept {
                    continue;
                }
                if !changes.is_empty() {
                    return Err(Error::ArtifactChanged {
                        model: model.clone(),
                        source_id: self.id.clone(),
                        changes,
                    });
                }
            }
            self.set_pin(model, pin);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{changes, listed};

    fn files(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let owned = pairs
            .iter()
            .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()));
        owned.collect()
    }

    #[test]
    fn changed_new_and_missing_files_are_told_apart() {
        let before = files(&[("a", "1"), ("b", "2"), ("c", "3")]);
        let after = files(&[("a", "1"), ("b", "4"), ("d", "5")]);
        let changes = changes(&before, &after);
        assert_eq!(
            listed(&changes),
            "b (sha256 2 before, 4 now), c (gone), d (new)"
        );
        assert!(super::changes(&before, &before).is_empty());
    }

    #[test]
    fn long_lists_are_cut() {
        let names: Vec<String> = (0..9).map(|n| format!("f{n}")).collect();
        let after = names.iter().map(|n| (n.clone(), String::new())).collect();
        let text = listed(&changes(&BTreeMap::new(), &after));
        assert!(text.ends_with("f4 (new), and 4 more"), "{text}");
    }
}
