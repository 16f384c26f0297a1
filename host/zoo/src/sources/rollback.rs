//! Whether an update is a rollback.
//!
//! An attacker who controls the responses of a host can serve an older version of a source with
//! known faults. An archive does not say that it is older, but the manifests do: a model that was
//! declared is gone, or its latest version is lower than before.

use std::collections::BTreeMap;

use super::info::SourceInfo;
use crate::store::LockedSource;
use crate::version::Version;

/// The models that an update would remove or lower, in words; none if it is not a rollback.
pub(crate) fn steps_back(before: &SourceInfo, after: &SourceInfo) -> Vec<String> {
    // Downloaded models are in the lock, even if the manifest cannot be read any more.
    let LockedSource { artifacts, .. } = &before.locked;
    let before = latest(before.models.iter().chain(artifacts.keys()));
    let after = latest(after.models.iter());
    let step = |(base, was): (&str, Latest<'_>)| match after.get(base) {
        None => Some(format!("{base} is gone")),
        Some(is) if *is < was => Some(format!(
            "{base} goes from {} to {}",
            spelled(&was),
            spelled(is)
        )),
        Some(_) => None,
    };
    before.into_iter().filter_map(step).collect()
}

/// A version with its text; a missing version is the lowest.
type Latest<'a> = Option<(Version, &'a str)>;

/// The latest version of each model, by its base name.
fn latest<'a>(names: impl Iterator<Item = &'a String>) -> BTreeMap<&'a str, Latest<'a>> {
    let mut latest: BTreeMap<&str, Latest<'_>> = BTreeMap::new();
    for name in names {
        let (base, version) = match name.split_once('@') {
            Some((base, version)) => (base, Some((Version::new(version), version))),
            None => (name.as_str(), None),
        };
        let known = latest.entry(base).or_default();
        if version > *known {
            *known = version;
        }
    }
    latest
}

fn spelled<'a>(version: &Latest<'a>) -> &'a str {
    version.as_ref().map_or("no version", |(_, text)| text)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn source(models: &[&str], pinned: &[&str]) -> SourceInfo {
        let locked = LockedSource {
            id: "file:/s".parse().unwrap(),
            reference: "/s".into(),
            commit: None,
            subdir: String::new(),
            tree: String::new(),
            manifests: Vec::new(),
            granted: modelzoo_net::policy::Permissions::none(),
            registered: String::new(),
            imported: false,
            imported_models: BTreeSet::new(),
            digests: BTreeMap::new(),
            receipts: BTreeMap::new(),
            artifacts: pinned
                .iter()
                .map(|name| ((*name).to_owned(), BTreeMap::new()))
                .collect(),
        };
        let mut info = SourceInfo::new(locked, &[]);
        info.models = models.iter().map(|name| (*name).to_owned()).collect();
        info
    }

    #[test]
    fn removed_or_lower_model_is_a_rollback() {
        let cases: &[(&[&str], &[&str], &[&str])] = &[
            (&["a/m@1.0"], &["a/m@1.0"], &[]),
            (&["a/m@1.0"], &["a/m@1.1"], &[]),
            (&["a/m@1.9"], &["a/m@1.10"], &[]),
            (&["a/m@1.0", "a/m@2.0"], &["a/m@2.0", "b/m"], &[]),
            (&["a/m"], &["a/m@1.0"], &[]),
            (&["a/m@1.10"], &["a/m@1.9"], &["a/m goes from 1.10 to 1.9"]),
            (
                &["a/m@1.0", "a/m@2.0"],
                &["a/m@1.0"],
                &["a/m goes from 2.0 to 1.0"],
            ),
            (&["a/m@1.0"], &["a/m"], &["a/m goes from 1.0 to no version"]),
            (
                &["a/m@2.0"],
                &["a/m@2.0rc1"],
                &["a/m goes from 2.0 to 2.0rc1"],
            ),
            (&["a/m@1", "b/m"], &["b/m"], &["a/m is gone"]),
        ];
        for (before, after, steps) in cases {
            let back = steps_back(&source(before, &[]), &source(after, &[]));
            assert_eq!(back, *steps, "{before:?} {after:?}");
        }
    }

    #[test]
    fn pinned_models_count_if_the_manifest_cannot_be_read() {
        let back = steps_back(&source(&[], &["a/m@1.0"]), &source(&[], &[]));
        assert_eq!(back, ["a/m is gone"]);
    }
}
