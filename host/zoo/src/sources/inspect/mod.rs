//! Inspecting a source without running, compiling or keeping anything of it.

mod component;
mod describe;

use modelzoo_base::Remedy;
use modelzoo_net::policy::{Permission, Permissions};
use modelzoo_sandbox::Hooks;
pub use modelzoo_sandbox::{Import as InspectedImport, ImportAnswer};
use serde::Serialize;

use crate::limits::LimitInForce;
use crate::reference::SourceId;

/// What a source is and asks for.
#[derive(Debug, Clone, Serialize)]
pub struct Inspection {
    /// What was inspected.
    pub kind: InspectedKind,
    /// Its id; a component has none.
    pub id: Option<SourceId>,
    /// Its reference.
    pub reference: String,
    /// The commit, if it has one.
    pub commit: Option<String>,
    /// The directory of the repository that it is; empty for its root.
    pub subdir: String,
    /// The digest of its files; a component has none.
    pub tree: Option<String>,
    /// When it was registered or last updated (RFC 3339, UTC), if it is registered.
    pub registered: Option<String>,
    /// Whether its commit is on no branch or tag of the repository that was looked at.
    pub unreachable: bool,
    /// Whether it came with a bundle and was not compared with its origin since.
    pub imported: bool,
    /// When it was last checked for changes; `None` if it never was.
    pub checked: Option<String>,
    /// What its manifests ask for.
    pub asked: Permissions,
    /// What it was granted; nothing if it is not registered.
    pub granted: Permissions,
    /// What it asks for and was not granted.
    pub not_granted: Vec<Permission>,
    /// Its manifests, with their components and models.
    pub manifests: Vec<InspectedManifest>,
    /// The limits that its hooks have here.
    pub limits: Vec<LimitInForce>,
    /// What is wrong with it, except for refused components.
    pub problems: Vec<String>,
}

/// What was inspected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum InspectedKind {
    /// A source that is registered.
    Registered,
    /// A source that is not; it was fetched, and is not kept.
    Fetched,
    /// A component alone.
    Component,
}

/// A manifest of a source. Strings are as written: escape them before printing.
#[derive(Debug, Clone, Serialize)]
pub struct InspectedManifest {
    /// The directory of the source that holds it; `.` for its root.
    pub dir: String,
    /// The name that the source gives itself; empty for a component alone.
    pub name: String,
    /// The URL that it gives.
    pub url: Option<String>,
    /// The hosts that its hooks ask for.
    pub network: Permissions,
    /// The most bytes that they may download for a model; `None` if only the limits apply.
    pub max_download_bytes: Option<u64>,
    /// Its component.
    pub component: Option<InspectedComponent>,
    /// Its models, in the manifest's order.
    pub models: Vec<InspectedModel>,
    /// Warnings about it.
    pub warnings: Vec<String>,
}

/// A component.
#[derive(Debug, Clone, Serialize)]
pub struct InspectedComponent {
    /// Where it is, relative to the manifest.
    pub file: String,
    /// Bytes.
    pub size: u64,
    /// Of its bytes, as 64 hexadecimal digits.
    pub sha256: String,
    /// The digest that the manifest says it has, if it says so.
    pub declared_sha256: Option<String>,
    /// The version of `modelzoo:source` that it uses.
    pub wit_version: Option<String>,
    /// The hooks that it exports.
    pub hooks: Hooks,
    /// What it imports, in the file's order.
    pub imports: Vec<InspectedImport>,
    /// What it exports.
    pub exports: Vec<String>,
    /// Why it is refused; hooks, imports and exports are then not shown.
    pub refused: Option<RefusedComponent>,
}

/// Why a component is refused.
#[derive(Debug, Clone, Serialize)]
pub struct RefusedComponent {
    /// The reason.
    pub reason: String,
    /// What would fix it, if known.
    #[serde(rename = "hint")]
    pub remedy: Option<Remedy>,
}

/// A model. Strings are as written: escape them before printing.
#[derive(Debug, Clone, Serialize)]
pub struct InspectedModel {
    /// The name with its version.
    pub name: String,
    /// As the manifest has it.
    pub version: Option<String>,
    /// As the manifest has it.
    pub license: Option<String>,
    /// Bytes, as the manifest has it.
    pub size_bytes: Option<u64>,
    /// What downloads it: the hook, `download_model`; or the host, as the manifest's `artifacts`,
    /// `manager` or, by what it implies, `configuration` says; or `nobody`.
    pub downloaded_by: &'static str,
    /// The addresses that the host itself may fetch for it, in order. They may lead elsewhere.
    pub urls: Vec<String>,
    /// Why it cannot be downloaded, if known.
    pub problem: Option<String>,
    /// Whether it is downloaded.
    pub downloaded: bool,
    /// Its files, as far as they are known, sorted by name.
    pub files: Vec<InspectedFile>,
}

/// A file of a model, with its digest (64 hexadecimal digits) from each record of it.
#[derive(Debug, Clone, Serialize)]
pub struct InspectedFile {
    /// Where it is, relative to the model's files.
    pub name: String,
    /// From the manifest.
    pub declared: Option<String>,
    /// From the lock: the pinned digest.
    pub pinned: Option<String>,
    /// From the receipt: the downloaded file.
    pub received: Option<String>,
}

impl Inspection {
    /// The components that are refused, with the reason.
    pub fn refused(&self) -> impl Iterator<Item = (&InspectedComponent, &RefusedComponent)> {
        let components = self.manifests.iter().filter_map(|m| m.component.as_ref());
        components.filter_map(|component| Some((component, component.refused.as_ref()?)))
    }
}
