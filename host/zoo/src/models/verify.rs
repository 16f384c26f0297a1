//! Checking downloaded models, and repairing them.

use super::catalog::Models;
use super::download::Refetch;
use crate::error::Error;
use crate::store::{Verified, VerifiedKind};

impl Models<'_> {
    /// Checks the files of the named models, or of all sources and models, against what was
    /// recorded.
    pub(crate) fn verify(&self, names: &[String]) -> Result<Vec<Verified>, Error> {
        if names.is_empty() {
            return self.context.store.verify();
        }
        let verify = |name: &String| {
            let record = self.find(name, None)?;
            record.verify().ok_or_else(|| Error::NotDownloaded {
                model: record.name(),
            })
        };
        names.iter().map(verify).collect()
    }

    /// As [`Models::verify`]; downloads a model with a problem again.
    pub(crate) async fn repair(&self, names: &[String]) -> Result<Vec<Verified>, Error> {
        let mut results = self.verify(names)?;
        for result in &mut results {
            if result.kind == VerifiedKind::Model && !result.problems.is_empty() {
                let record = self.find(&result.name, Some(result.source.as_str()))?;
                self.download_record(record, Refetch::Same).await?;
                result.repaired = true;
            }
        }
        Ok(results)
    }
}
