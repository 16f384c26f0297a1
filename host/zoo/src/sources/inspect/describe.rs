//! Describing a source.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use modelzoo_net::policy::Permissions;

use super::component;
use super::{InspectedFile, InspectedKind, InspectedManifest, InspectedModel, Inspection};
use crate::error::Error;
use crate::limits::in_force;
use crate::manifest::{Downloader, Manifest, ModelEntry};
use crate::reference::{SourceId, SourceRef};
use crate::sources::component::{ComponentFile, is_component};
use crate::sources::fetch_list::FetchList;
use crate::sources::info::asked;
use crate::sources::registry::Registry;
use crate::sources::snapshot::Snapshot;
use crate::store::snapshot::component_file;
use crate::store::{LockedSource, ModelRecord, Receipt};

impl Registry<'_> {
    /// Describes a source, registered or not, or a component.
    pub(crate) async fn inspect(&self, source: &str) -> Result<Inspection, Error> {
        if let Ok(locked) = self.locked(source) {
            return self.inspect_registered(locked).await;
        }
        let reference = self.parse_reference(source)?;
        if let SourceRef::Local(path) = &reference
            && is_component(path)?
        {
            return self.inspect_component(path);
        }
        self.check_not_locked(&reference.id())?;
        let snapshot = self.acquire_to_inspect(&reference).await?;
        let unreachable = snapshot.check_reachable(&reference);
        let mut inspection = self.new_inspection(InspectedKind::Fetched, reference.to_string());
        inspection.id = Some(reference.id());
        self.describe_snapshot(&mut inspection, &snapshot);
        inspection.unreachable = unreachable.is_err();
        inspection
            .problems
            .extend(unreachable.err().map(|e| e.to_string()));
        inspection.not_granted = inspection.asked.iter().cloned().collect();
        Ok(inspection)
    }

    async fn inspect_registered(&self, locked: LockedSource) -> Result<Inspection, Error> {
        let mut inspection =
            self.new_inspection(InspectedKind::Registered, locked.reference.clone());
        inspection.id = Some(locked.id.clone());
        inspection.commit = locked.commit.clone();
        inspection.subdir = locked.subdir.clone();
        inspection.tree = Some(locked.tree.clone());
        inspection.registered = Some(locked.registered.clone());
        inspection.imported = locked.imported;
        inspection.checked = self.context.store.last_check(&locked);
        inspection.granted = locked.granted.clone();
        let root = self.context.store.snapshot_dir(&locked);
        if root.is_dir() {
            if !self.context.store.is_intact(&locked) {
                let changed = Error::SnapshotChanged {
                    source_id: locked.id.clone(),
                };
                inspection.problems.push(changed.to_string());
            }
            match self.context.store.manifests(&locked) {
                Ok(manifests) => self.describe(&mut inspection, &root, &manifests, Some(&locked)),
                Err(error) => inspection.problems.push(error.to_string()),
            }
        } else {
            // The lock comes from another machine.
            let snapshot = self.acquire_locked(&locked).await?;
            self.describe(
                &mut inspection,
                &snapshot.root,
                &snapshot.manifests,
                Some(&locked),
            );
        }
        inspection.not_granted = inspection.asked.missing_from(&locked.granted);
        Ok(inspection)
    }

    fn inspect_component(&self, path: &Path) -> Result<Inspection, Error> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let limits = &self.context.config.limits;
        let file = ComponentFile::read(name.into_owned(), path, limits)?;
        let mut inspection =
            self.new_inspection(InspectedKind::Component, path.display().to_string());
        inspection.manifests.push(InspectedManifest {
            dir: ".".into(),
            name: String::new(),
            url: None,
            network: Permissions::none(),
            max_download_bytes: None,
            component: Some(component::describe(&file, None, limits)),
            models: Vec::new(),
            warnings: Vec::new(),
        });
        Ok(inspection)
    }

    fn new_inspection(&self, kind: InspectedKind, reference: String) -> Inspection {
        Inspection {
            kind,
            id: None,
            reference,
            commit: None,
            subdir: String::new(),
            tree: None,
            registered: None,
            unreachable: false,
            imported: false,
            checked: None,
            asked: Permissions::none(),
            granted: Permissions::none(),
            not_granted: Vec::new(),
            manifests: Vec::new(),
            limits: in_force(&self.context.config.limits, &self.context.config.limits_set),
            problems: Vec::new(),
        }
    }

    fn describe_snapshot(&self, inspection: &mut Inspection, snapshot: &Snapshot) {
        inspection.commit = snapshot.commit.clone();
        inspection.subdir = snapshot.subdir.clone();
        inspection.tree = Some(snapshot.tree.clone());
        self.describe(inspection, &snapshot.root, &snapshot.manifests, None);
    }

    /// Describes what manifests declare.
    fn describe(
        &self,
        inspection: &mut Inspection,
        root: &Path,
        manifests: &[(String, Manifest)],
        locked: Option<&LockedSource>,
    ) {
        inspection.asked = asked(manifests);
        let id = inspection.id.clone();
        let limits = &self.context.config.limits;
        let downloaded = locked.map(|locked| self.downloaded(locked));
        let downloaded = downloaded.unwrap_or_default();
        for (dir, manifest) in manifests {
            let declared = manifest.component.as_ref();
            let declared = declared.and_then(|c| c.sha256.as_deref());
            let component = component_file(&root.join(dir), manifest);
            let has_component = component.is_some();
            let read = component.map(|(name, path)| ComponentFile::read(name, &path, limits));
            let component = match read.transpose() {
                Ok(file) => file.map(|file| component::describe(&file, declared, limits)),
                Err(error) => {
                    inspection.problems.push(error.to_string());
                    None
                }
            };
            inspection.manifests.push(InspectedManifest {
                dir: dir.clone(),
                name: manifest.name.clone(),
                url: manifest.url.clone(),
                network: manifest.permissions.network.clone(),
                max_download_bytes: manifest.permissions.max_download_bytes,
                component,
                models: manifest
                    .models
                    .iter()
                    .map(|entry| {
                        let id = id.as_ref();
                        self.describe_model(entry, has_component, id, locked, &downloaded)
                    })
                    .collect(),
                warnings: manifest.warnings.iter().map(ToString::to_string).collect(),
            });
        }
    }

    /// The names of the models of a source that are downloaded.
    fn downloaded(&self, locked: &LockedSource) -> BTreeSet<String> {
        let records = self.context.store.models_of(locked).unwrap_or_default();
        let complete = records.iter().filter(|record| record.receipt().is_some());
        complete.map(ModelRecord::name).collect()
    }

    fn describe_model(
        &self,
        entry: &ModelEntry,
        has_component: bool,
        id: Option<&SourceId>,
        locked: Option<&LockedSource>,
        downloaded: &BTreeSet<String>,
    ) -> InspectedModel {
        let name = entry.name().to_string();
        let dir = locked.map(|locked| self.context.store.model_dir(&locked.id, entry));
        let received = dir.as_deref().and_then(Receipt::read);
        let downloader = Downloader::of(entry, has_component);
        let fetched = id.map(|id| FetchList::of(entry, has_component, id));
        let (fetched, problem) = match fetched.transpose() {
            Ok(list) => (list.flatten(), None),
            Err(error) => (None, Some(error.to_string())),
        };
        InspectedModel {
            version: entry.version.clone(),
            license: entry.license.clone(),
            size_bytes: entry.size_bytes,
            downloaded_by: match downloader {
                Downloader::Artifacts => "artifacts",
                Downloader::Manager => "manager",
                Downloader::Configuration => "configuration",
                Downloader::Hook => "download_model",
                Downloader::Nobody => "nobody",
            },
            urls: fetched.map(|list| list.addresses()).unwrap_or_default(),
            problem,
            downloaded: downloaded.contains(&name),
            files: files(entry, locked, &name, received.as_ref()),
            name,
        }
    }
}

/// What is known of a model's files.
fn files(
    entry: &ModelEntry,
    locked: Option<&LockedSource>,
    model: &str,
    receipt: Option<&Receipt>,
) -> Vec<InspectedFile> {
    // The first one of a name counts.
    let declared = entry.artifacts.iter().rev().filter(|a| !a.unpack);
    let declared: BTreeMap<&str, _> = declared.map(|a| (a.path.as_ref(), a)).collect();
    let pinned = locked.and_then(|locked| locked.artifacts.get(model));
    let received = receipt.map(Receipt::digests).unwrap_or_default();
    let mut names: Vec<String> = declared.keys().map(|name| (*name).to_owned()).collect();
    names.extend(pinned.into_iter().flat_map(|files| files.keys().cloned()));
    names.extend(received.keys().cloned());
    names.sort();
    names.dedup();
    let file = |name: String| InspectedFile {
        declared: declared
            .get(name.as_str())
            .and_then(|artifact| artifact.sha256.clone()),
        pinned: pinned.and_then(|files| files.get(&name).cloned()),
        received: received.get(&name).cloned(),
        name,
    };
    names.into_iter().map(file).collect()
}
