//! Permissions: what a source asks for, and what it gets.

use modelzoo_net::policy::{Permission, Permissions};
use serde::Serialize;

use crate::Zoo;
use crate::acquire::Snapshot;
use crate::audit::Event;
use crate::error::Error;
use crate::manifest::Manifest;
use crate::reference::SourceId;
use crate::register::SourceInfo;

/// Who decides what a source may reach.
pub enum Grant<'a> {
    /// Only what it has been granted before.
    Nothing,
    /// All that its manifest declares.
    All,
    /// These of the declared permissions, and no others.
    Only(Permissions),
    /// A person, who is shown what is asked for.
    Ask(&'a mut (dyn FnMut(&PermissionRequest) -> bool + Send)),
}

/// What a person decides about.
#[derive(Debug, Clone, Serialize)]
pub struct PermissionRequest {
    /// The source.
    pub source: SourceId,
    /// The hosts that it wants to reach and may not reach yet.
    pub network: Permissions,
    /// The most bytes that it means to download a model, where it says.
    pub max_download_bytes: Option<u64>,
}

impl Zoo {
    /// What a source gets of what it asks for; the audit log hears of it.
    pub(crate) fn decide(
        &self,
        id: &SourceId,
        snapshot: &Snapshot,
        before: Option<&SourceInfo>,
        grant: Grant<'_>,
    ) -> Result<Permissions, Error> {
        let texts = |p: &Permissions| p.iter().map(ToString::to_string).collect::<Vec<_>>();
        let audit = self.audit_of(id, None);
        let manifests = &snapshot.manifests;
        let bytes = manifests
            .iter()
            .filter_map(|(_, m)| m.permissions.max_download_bytes)
            .max();
        let granted = choose(id, &asked(manifests), before, grant, bytes).inspect_err(|error| {
            if let Error::PermissionNeeded { missing, .. } = error {
                audit.record(&Event::Withheld {
                    permissions: &texts(missing),
                });
            }
        })?;
        if before.is_none_or(|b| b.locked.granted != granted) && !granted.is_empty() {
            audit.record(&Event::Granted {
                permissions: &texts(&granted),
            });
        }
        Ok(granted)
    }
}

/// What of the permissions asked for the source gets.
fn choose(
    id: &SourceId,
    asked: &Permissions,
    before: Option<&SourceInfo>,
    grant: Grant<'_>,
    max_download_bytes: Option<u64>,
) -> Result<Permissions, Error> {
    // A source that was registered with less than it asked for keeps to that: what counts as new
    // is what its earlier manifests did not ask for.
    let known = before.map(|b| b.asked.clone()).unwrap_or_default();
    let kept = before.map(|b| b.locked.granted.clone()).unwrap_or_default();
    let still_asked = |p: &&Permission| asked.iter().any(|a| a == *p);
    let kept: Permissions = kept.iter().filter(still_asked).cloned().collect();
    let missing: Permissions = asked.missing_from(&known).into_iter().collect();
    match grant {
        Grant::All => Ok(asked.clone()),
        Grant::Only(chosen) => {
            let stray = chosen
                .iter()
                .find(|p| !still_asked(p))
                .map(ToString::to_string);
            stray.map_or(Ok(chosen), |permission| {
                Err(Error::GrantNotAsked {
                    source_id: id.clone(),
                    permission,
                    asked: asked.clone(),
                })
            })
        }
        Grant::Nothing | Grant::Ask(_) if missing.is_empty() => Ok(kept),
        Grant::Ask(ask) => {
            let request = PermissionRequest {
                source: id.clone(),
                network: missing.clone(),
                max_download_bytes,
            };
            if ask(&request) {
                Ok(kept.iter().chain(missing.iter()).cloned().collect())
            } else {
                Err(Error::PermissionNeeded {
                    source_id: id.clone(),
                    missing,
                })
            }
        }
        Grant::Nothing => Err(Error::PermissionNeeded {
            source_id: id.clone(),
            missing,
        }),
    }
}

/// All hosts that the manifests of a source ask for.
pub(crate) fn asked(manifests: &[(String, Manifest)]) -> Permissions {
    manifests
        .iter()
        .flat_map(|(_, manifest)| manifest.permissions.network.iter().cloned())
        .collect()
}
