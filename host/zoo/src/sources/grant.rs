//! Permissions: what a source asks for, and what it is granted.

use modelzoo_net::policy::{Permission, Permissions};
use serde::Serialize;

use super::info::{SourceInfo, asked};
use super::registry::Registry;
use crate::error::Error;
use crate::manifest::Manifest;
use crate::reference::SourceId;
use crate::store::audit::Event;
use crate::store::locked::LockedSource;

/// Who decides what a source may reach.
#[derive(Default)]
pub enum Grant<'a> {
    /// Only what was granted before.
    #[default]
    Nothing,
    /// All that its manifest declares.
    All,
    /// These of the declared permissions, and what it has been granted before.
    Only(Permissions),
    /// The user, who is shown what the source asks for.
    Ask(&'a mut (dyn FnMut(&PermissionRequest) -> bool + Send)),
}

/// What the user decides about.
#[derive(Debug, Clone, Serialize)]
pub struct PermissionRequest {
    /// The source.
    pub source: SourceId,
    /// The hosts that it asks to reach and may not reach yet.
    pub network: Permissions,
    /// The most bytes that it downloads for a model, if the manifest says so.
    pub max_download_bytes: Option<u64>,
}

impl Grant<'_> {
    /// Whether the decision is made already, without asking.
    pub(crate) fn is_explicit(&self) -> bool {
        matches!(self, Self::All | Self::Only(_))
    }
}

impl Registry<'_> {
    /// What a source is granted of what it asks for; a refusal is recorded in the audit log.
    pub(crate) fn decide(
        &self,
        id: &SourceId,
        manifests: &[(String, Manifest)],
        before: Option<&SourceInfo>,
        grant: Grant<'_>,
    ) -> Result<Permissions, Error> {
        let bytes = manifests
            .iter()
            .filter_map(|(_, m)| m.permissions.max_download_bytes)
            .max();
        choose(id, &asked(manifests), before, grant, bytes).inspect_err(|error| {
            if let Error::PermissionNeeded { missing, .. } = error {
                self.context
                    .store
                    .audit_log(id, None)
                    .record(&Event::Withheld {
                        permissions: &texts(missing),
                    });
            }
        })
    }

    /// Records what a source was granted in the audit log, if that is new.
    pub(crate) fn record_grant(&self, before: Option<&Permissions>, source: &LockedSource) {
        if before.is_none_or(|before| *before != source.granted) && !source.granted.is_empty() {
            self.context
                .store
                .audit_log(&source.id, None)
                .record(&Event::Granted {
                    permissions: &texts(&source.granted),
                });
        }
    }
}

fn texts(permissions: &Permissions) -> Vec<String> {
    permissions.iter().map(ToString::to_string).collect()
}

/// Which of the permissions that are asked for the source is granted.
fn choose(
    id: &SourceId,
    asked: &Permissions,
    before: Option<&SourceInfo>,
    grant: Grant<'_>,
    max_download_bytes: Option<u64>,
) -> Result<Permissions, Error> {
    // A source that was registered with fewer permissions than it asked for keeps those: only
    // what its earlier manifests did not ask for is new.
    let known = before.map(|b| b.asked.clone()).unwrap_or_default();
    let kept = before.map(|b| b.locked.granted.clone()).unwrap_or_default();
    let still_asked = |p: &&Permission| asked.contains(p);
    let kept: Permissions = kept.iter().filter(still_asked).cloned().collect();
    let missing: Permissions = asked.missing_from(&known).into_iter().collect();
    match grant {
        Grant::All => Ok(asked.clone()),
        Grant::Only(chosen) => {
            let stray = chosen
                .iter()
                .find(|p| !still_asked(p))
                .map(ToString::to_string);
            match stray {
                Some(permission) => Err(Error::GrantNotAsked {
                    source_id: id.clone(),
                    permission,
                    asked: asked.clone(),
                }),
                // What was granted before stays granted.
                None => Ok(kept.iter().chain(chosen.iter()).cloned().collect()),
            }
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
