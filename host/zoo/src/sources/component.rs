//! Checking the component of a source without compiling it.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use modelzoo_sandbox::ComponentInfo;

use super::Registry;
use super::snapshot::Snapshot;
use crate::error::Error;
use crate::store::files::{hash_file, read_capped};
use crate::store::snapshot::component_file;

/// How a component begins.
const MAGIC: &[u8] = b"\0asm";

impl Registry<'_> {
    /// Checks every component against its manifest and against what the sandbox supports. Returns
    /// their digests.
    pub(crate) fn check_components(&self, snapshot: &Snapshot) -> Result<Vec<String>, Error> {
        let mut digests = Vec::new();
        for (dir, manifest) in &snapshot.manifests {
            let Some((name, path)) = component_file(&snapshot.root.join(dir), manifest) else {
                continue;
            };
            let expected = manifest.component.as_ref().and_then(|c| c.sha256.clone());
            let info = self.check_component(name, &path, expected)?;
            digests.push(info.sha256);
        }
        Ok(digests)
    }

    /// Checks a component against the digest that its manifest declares, and against what the
    /// sandbox supports.
    pub(crate) fn check_component(
        &self,
        file: String,
        path: &Path,
        declared: Option<String>,
    ) -> Result<ComponentInfo, Error> {
        let limits = &self.context.config.limits;
        let refused = |file, source| Error::Component { file, source };
        let size = std::fs::metadata(path)
            .map_err(|e| Error::io("read", path, e))?
            .len();
        if size > limits.component_bytes {
            let limit = limits.component_bytes;
            let too_large = modelzoo_sandbox::Error::TooLarge { size, limit };
            return Err(refused(file, too_large));
        }
        if let Some(expected) = declared {
            let (_, actual) = hash_file(path)?;
            if !actual.eq_ignore_ascii_case(&expected) {
                return Err(Error::ComponentDigest {
                    file,
                    expected,
                    actual,
                });
            }
        }
        let bytes = read_capped(path, limits.component_bytes)?;
        modelzoo_sandbox::inspect(&bytes, limits).map_err(|source| refused(file, source))
    }
}

/// Whether a path is a component rather than an archive.
pub(super) fn is_component(path: &Path) -> Result<bool, Error> {
    if !path.is_file() {
        return Ok(false);
    }
    if path
        .extension()
        .is_some_and(|e| e.eq_ignore_ascii_case("wasm"))
    {
        return Ok(true);
    }
    let mut start = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAGIC.len() as u64).read_to_end(&mut start))
        .map_err(|e| Error::io("read", path, e))?;
    Ok(start == MAGIC)
}
