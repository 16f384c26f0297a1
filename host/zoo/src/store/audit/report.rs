//! Reading the log: what each source did, and what it needed for that.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::files;
use super::record::Record;
use super::tally::{SourceAudit, Tally};
use crate::error::Error;
use crate::store::layout::Store;

/// A moment: a day, from its beginning in UTC (`2026-01-31`), or a time (RFC 3339).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Since(Timestamp);

/// A text is not a [`Since`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("neither a day such as 2026-01-31 nor a time such as 2026-01-31T12:00:00Z")]
pub struct BadDate;

impl FromStr for Since {
    type Err = BadDate;

    fn from_str(text: &str) -> Result<Self, BadDate> {
        if let Ok(time) = text.parse::<Timestamp>() {
            return Ok(Self(time));
        }
        let day: Date = text.parse().map_err(|_| BadDate)?;
        let start = day.to_zoned(TimeZone::UTC).map_err(|_| BadDate)?;
        Ok(Self(start.timestamp()))
    }
}

/// What the audit log says.
#[derive(Debug, Clone, Serialize)]
pub struct AuditReport {
    /// What it says of each source, sorted by id.
    pub sources: Vec<SourceAudit>,
    /// How many records were read.
    pub records: u64,
    /// Lines of the log that cannot be read, or not in full.
    pub torn: u64,
    /// Records of kinds that this version of modelzoo does not know.
    pub unknown: u64,
}

impl Store {
    /// Reads the audit log. `wanted` keeps to the records of these sources, `since` to those of
    /// then or later.
    pub(crate) fn audit_report(
        &self,
        wanted: Option<&BTreeSet<String>>,
        since: Option<Since>,
    ) -> Result<AuditReport, Error> {
        let lock = self.lock()?;
        let mut report = AuditReport {
            sources: Vec::new(),
            records: 0,
            torn: 0,
            unknown: 0,
        };
        let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
        let mut add = |line: Option<&[u8]>| {
            let Some(line) = line else {
                report.torn += 1;
                return;
            };
            let read = Record::read(line);
            report.torn += u64::from(read.torn);
            let chosen = read.record.filter(|record| {
                since.is_none_or(|since| record.time >= since.0)
                    && wanted.is_none_or(|ids| ids.contains(&record.source))
            });
            if let Some(record) = chosen {
                report.records += 1;
                let tally = tallies.entry(record.source.clone()).or_default();
                report.unknown += u64::from(!tally.add(&record));
            }
        };
        let path = self.audit_path();
        for (path, file) in files::open(&path).map_err(|e| Error::io("read", &path, e))? {
            files::for_each_line(file, &mut add).map_err(|e| Error::io("read", &path, e))?;
        }
        report.sources = tallies
            .into_iter()
            .map(|(id, tally)| {
                let locked = lock.sources().iter().find(|s| s.id.as_str() == id);
                tally.finish(id, locked)
            })
            .collect();
        Ok(report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_times_are_parsed() {
        let time = |text: &str| text.parse::<Since>().map(|since| since.0.to_string());
        assert_eq!(time("2026-01-31").unwrap(), "2026-01-31T00:00:00Z");
        assert_eq!(
            time("2026-01-31T12:00:00+02:00").unwrap(),
            "2026-01-31T10:00:00Z"
        );
        for text in ["", "yesterday", "2026-02-30", "31.1.2026"] {
            assert_eq!(time(text), Err(BadDate), "{text}");
        }
    }
}
