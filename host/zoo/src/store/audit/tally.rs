//! What a source did, added up from its records.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use modelzoo_net::policy::{Origin, Permission, Permissions, parse_url};
use serde::Serialize;

use super::log::HOST;
use super::record::{CUT, Record};
use crate::store::locked::LockedSource;

/// What the audit log says about one source.
#[derive(Debug, Clone, Serialize)]
pub struct SourceAudit {
    /// Its id.
    pub id: String,
    /// Whether it is registered now.
    pub registered: bool,
    /// When its first record was written (RFC 3339, UTC).
    pub first: String,
    /// When its last record was written.
    pub last: String,
    /// How many records there are of each kind.
    pub events: BTreeMap<String, u64>,
    /// The origins that its hooks reached.
    pub reached: Vec<OriginUse>,
    /// The origins that the host itself reached for it: to fetch the source, and files that its
    /// manifest gives addresses of.
    pub reached_by_host: Vec<OriginUse>,
    /// Files that were written for its models.
    pub files: u64,
    /// Their bytes.
    pub file_bytes: u64,
    /// Requests that a rule forbade.
    pub denied: Vec<Denied>,
    /// Requests that were not made because modelzoo was offline.
    pub offline: u64,
    /// Permissions that it asked for and was not granted.
    pub withheld: Vec<String>,
    /// How many records, and items of records, the log does not have, so that it stays bounded.
    pub left_out: u64,
    /// What else failed: registrations, hooks, models that could not be built.
    pub failures: Vec<Failed>,
    /// What it may reach now; nothing if it is not registered.
    pub granted: Permissions,
    /// The least permissions that the recorded runs needed.
    pub needed: Needed,
    /// What is granted and no hook used.
    pub unused: Vec<Permission>,
    /// What is granted and allows more than was used.
    pub narrower: Vec<Narrower>,
    /// What the recorded runs needed and is not granted now.
    pub not_granted: Vec<Permission>,
}

/// The requests to an origin.
#[derive(Debug, Clone, Serialize)]
pub struct OriginUse {
    /// Scheme, host and port, spelled as a permission.
    pub origin: String,
    /// Requests that led there, redirects and repetitions counted one by one.
    pub requests: u64,
    /// Bytes of the answers that came from there.
    pub bytes: u64,
}

/// Requests that a rule forbade, all for the same reason.
#[derive(Debug, Clone, Serialize)]
pub struct Denied {
    /// Why.
    pub reason: String,
    /// What would have to be asked for and granted, where that is the reason.
    pub permission: Option<Permission>,
    /// How many there were.
    pub times: u64,
    /// When the last was (RFC 3339, UTC).
    pub last: String,
}

/// An operation that failed.
#[derive(Debug, Clone, Serialize)]
pub struct Failed {
    /// The hook that failed; `None` for something else.
    pub hook: Option<String>,
    /// What was said.
    pub reason: String,
    /// How often.
    pub times: u64,
    /// When last (RFC 3339, UTC).
    pub last: String,
}

/// Permissions as a manifest asks for them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Needed {
    /// Exactly the origins that were used.
    pub network: Permissions,
    /// The most bytes that a download of one model took; `None` when there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_download_bytes: Option<u64>,
}

/// A permission that allows more than was used.
#[derive(Debug, Clone, Serialize)]
pub struct Narrower {
    /// What is granted.
    pub granted: Permission,
    /// What of it was used.
    pub used: Vec<Permission>,
}

/// Adds up the records of one source.
#[derive(Debug, Default)]
pub(super) struct Tally {
    span: Option<(Timestamp, Timestamp)>,
    events: BTreeMap<String, u64>,
    hooks: BTreeMap<Origin, (u64, u64)>,
    host: BTreeMap<Origin, (u64, u64)>,
    /// The bytes that each call of a hook fetched.
    calls: BTreeMap<String, u64>,
    /// The largest answer that the host fetched for a model.
    largest: u64,
    files: u64,
    file_bytes: u64,
    denied: BTreeMap<String, (u64, Timestamp)>,
    offline: u64,
    withheld: BTreeSet<String>,
    left_out: u64,
    failures: BTreeMap<(Option<String>, String), (u64, Timestamp)>,
}

impl Tally {
    /// Adds a record. Answers whether its kind is known.
    pub(super) fn add(&mut self, record: &Record) -> bool {
        let (first, last) = self.span.unwrap_or((record.time, record.time));
        self.span = Some((first.min(record.time), last.max(record.time)));
        self.left_out = self.left_out.saturating_add(record.number("cut"));
        *self.events.entry(record.event.clone()).or_default() += 1;
        match record.event.as_str() {
            CUT => self.left_out = self.left_out.saturating_add(record.number("records")),
            "request" => self.request(record),
            "file" => {
                self.files += 1;
                self.file_bytes = self.file_bytes.saturating_add(record.number("size"));
            }
            "withheld" => {
                self.withheld
                    .extend(record.texts("permissions").map(str::to_owned));
            }
            "refused" | "hook_failed" => {
                let hook = record.text("hook").map(str::to_owned);
                let reason = record.text("reason").unwrap_or_default().to_owned();
                count(&mut self.failures, (hook, reason), record.time);
            }
            "granted" | "registered" | "imported" | "deleted" => {}
            _ => return false,
        }
        true
    }

    fn request(&mut self, record: &Record) {
        let bytes = record.number("bytes");
        // Records of earlier versions do not say who asked; for a model, most often a hook did.
        let by_host = match record.text("by") {
            Some(by) => by == HOST,
            None => record.text("model").is_none(),
        };
        let uses = match by_host {
            true => &mut self.host,
            false => &mut self.hooks,
        };
        let hops = hops(record);
        for hop in &hops {
            uses.entry(hop.clone()).or_default().0 += 1;
        }
        if let Some(of) = hops.last().and_then(|last| uses.get_mut(last)) {
            of.1 = of.1.saturating_add(bytes);
        }
        if !by_host && !hops.is_empty() {
            let call = record.text("call").or(record.text("model"));
            let fetched = self.calls.entry(call.unwrap_or_default().to_owned());
            let fetched = fetched.or_default();
            *fetched = fetched.saturating_add(bytes);
        } else if record.text("model").is_some() {
            self.largest = self.largest.max(bytes);
        }
        if record.text("outcome") == Some("denied") {
            let reason = record.text("reason").unwrap_or_default();
            match reason.ends_with(" is not fetched: offline") {
                true => self.offline += 1,
                false => count(&mut self.denied, reason.to_owned(), record.time),
            }
        }
    }

    /// What it comes to, for a source that is registered as the lock says.
    pub(super) fn finish(self, id: String, locked: Option<&LockedSource>) -> SourceAudit {
        let granted = locked.map(|l| l.granted.clone()).unwrap_or_default();
        let network: Permissions = self.hooks.keys().filter_map(permission).collect();
        let max_download_bytes = self
            .calls
            .values()
            .max()
            .map(|most| *most.max(&self.largest));
        let covered = |granted: &Permission| -> Vec<Permission> {
            network
                .iter()
                .filter(|p| granted.covers(p))
                .cloned()
                .collect()
        };
        let uses: Vec<_> = granted.iter().map(|p| (p.clone(), covered(p))).collect();
        let (first, last) = self.span.unwrap_or_default();
        SourceAudit {
            registered: locked.is_some(),
            first: first.to_string(),
            last: last.to_string(),
            events: self.events,
            reached: origins(self.hooks),
            reached_by_host: origins(self.host),
            files: self.files,
            file_bytes: self.file_bytes,
            denied: denials(self.denied),
            offline: self.offline,
            withheld: self.withheld.into_iter().collect(),
            left_out: self.left_out,
            failures: failures(self.failures),
            unused: uses
                .iter()
                .filter(|(_, used)| used.is_empty())
                .map(|(permission, _)| permission.clone())
                .collect(),
            not_granted: network.missing_from(&granted),
            narrower: uses
                .into_iter()
                .filter(|(granted, used)| !used.is_empty() && !used.contains(granted))
                .map(|(granted, used)| Narrower { granted, used })
                .collect(),
            needed: Needed {
                network,
                max_download_bytes,
            },
            granted,
            id,
        }
    }
}

/// The origins that a request led to, as they have to be granted.
fn hops(record: &Record) -> Vec<Origin> {
    let origin = |url: &str| Origin::of(&parse_url(url).ok()?);
    record.hops().filter_map(origin).collect()
}

/// An origin, spelled as the permission for it.
fn permission(origin: &Origin) -> Option<Permission> {
    origin.to_string().parse().ok()
}

fn count<K: Ord>(counts: &mut BTreeMap<K, (u64, Timestamp)>, key: K, time: Timestamp) {
    let (times, last) = counts.entry(key).or_insert((0, time));
    *times += 1;
    *last = time.max(*last);
}

fn origins(uses: BTreeMap<Origin, (u64, u64)>) -> Vec<OriginUse> {
    let of = |(origin, (requests, bytes)): (Origin, (u64, u64))| OriginUse {
        origin: origin.to_string(),
        requests,
        bytes,
    };
    uses.into_iter().map(of).collect()
}

/// The most frequent first.
fn denials(counts: BTreeMap<String, (u64, Timestamp)>) -> Vec<Denied> {
    let of = |(reason, (times, last)): (String, (u64, Timestamp))| Denied {
        permission: missing_permission(&reason),
        reason,
        times,
        last: last.to_string(),
    };
    let mut denied: Vec<_> = counts.into_iter().map(of).collect();
    denied.sort_by_key(|denied| std::cmp::Reverse(denied.times));
    denied
}

/// The latest first.
fn failures(counts: BTreeMap<(Option<String>, String), (u64, Timestamp)>) -> Vec<Failed> {
    let mut failures: Vec<_> = counts.into_iter().collect();
    failures.sort_by_key(|(_, (_, last))| std::cmp::Reverse(*last));
    let of =
        |((hook, reason), (times, last)): ((Option<String>, String), (u64, Timestamp))| Failed {
            hook,
            reason,
            times,
            last: last.to_string(),
        };
    failures.into_iter().map(of).collect()
}

/// The permission that a denial was for the lack of, from what [`modelzoo_net::Refusal`] says.
fn missing_permission(reason: &str) -> Option<Permission> {
    let what = reason.strip_suffix(" is not among the hosts that the source may reach")?;
    what.rsplit(' ').next()?.parse().ok()
}
