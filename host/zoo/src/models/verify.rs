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

    /// As [`Models::verify`]; downloads a model with a problem again. All are tried; the error is
    /// the first one.
    pub(crate) async fn repair(&self, names: &[String]) -> Result<Vec<Verified>, Error> {
        let mut results = self.verify(names)?;
        let mut failure = None;
        for result in &mut results {
            if result.kind == VerifiedKind::Model && !result.problems.is_empty() {
                match self.repair_one(result).await {
                    Ok(()) => result.repaired = true,
                    Err(error) => _ = failure.get_or_insert(error),
                }
            }
        }
        failure.map_or(Ok(results), Err)
    }

    async fn repair_one(&self, damaged: &Verified) -> Result<(), Error> {
        let record = self.find(&damaged.name, Some(damaged.source.as_str()))?;
        self.download_record(record, Refetch::Same).await?;
        Ok(())
    }
}
