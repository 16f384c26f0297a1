//! Checking the component of a source without compiling it.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

use modelzoo_sandbox::{ComponentInfo, Limits};
use sha2::{Digest as _, Sha256};

use super::registry::Registry;
use super::snapshot::Snapshot;
use crate::error::Error;
use crate::store::files::{hash_file, read_capped};

/// How a component begins.
const MAGIC: &[u8] = b"\0asm";

impl Registry<'_> {
    /// Checks every component against its manifest and against what the sandbox supports. Returns
    /// their digests.
    pub(super) fn check_components(&self, snapshot: &Snapshot) -> Result<Vec<String>, Error> {
        let limits = &self.context.config.limits;
        let mut digests = Vec::new();
        for (dir, manifest) in &snapshot.manifests {
            let Some((name, path, (size, sha256))) = snapshot.component(dir, manifest) else {
                continue;
            };
            let bytes = match *size <= limits.component_bytes {
                true => Some(read_capped(&path, limits.component_bytes)?),
                false => None,
            };
            let file = ComponentFile {
                name,
                size: *size,
                sha256: sha256.clone(),
                bytes,
            };
            let declared = manifest
                .component
                .as_ref()
                .and_then(|c| c.sha256.as_deref());
            digests.push(file.check(declared, limits)?.sha256);
        }
        Ok(digests)
    }
}

/// A component that was read.
pub(super) struct ComponentFile {
    /// Relative to the manifest.
    pub(super) name: String,
    /// Bytes.
    pub(super) size: u64,
    /// 64 hexadecimal digits.
    pub(super) sha256: String,
    /// `None` if there are more than the sandbox accepts.
    bytes: Option<Vec<u8>>,
}

impl ComponentFile {
    /// Reads a component once.
    pub(super) fn read(name: String, path: &Path, limits: &Limits) -> Result<Self, Error> {
        let meta = fs::metadata(path).map_err(|e| Error::io("read", path, e))?;
        if meta.len() > limits.component_bytes {
            let (size, sha256) = hash_file(path)?;
            return Ok(Self {
                name,
                size,
                sha256,
                bytes: None,
            });
        }
        let bytes = read_capped(path, limits.component_bytes)?;
        Ok(Self {
            name,
            size: bytes.len() as u64,
            sha256: hex::encode(Sha256::digest(&bytes)),
            bytes: Some(bytes),
        })
    }

    /// Checks the component against the digest that its manifest declares, and against what the
    /// sandbox supports.
    pub(super) fn check(
        &self,
        declared: Option<&str>,
        limits: &Limits,
    ) -> Result<ComponentInfo, Error> {
        let refused = |source| Error::Component {
            file: self.name.clone(),
            source,
        };
        let Some(bytes) = &self.bytes else {
            return Err(refused(modelzoo_sandbox::Error::TooLarge {
                size: self.size,
                limit: limits.component_bytes,
            }));
        };
        match declared.filter(|declared| !self.sha256.eq_ignore_ascii_case(declared)) {
            Some(expected) => Err(Error::ComponentDigest {
                file: self.name.clone(),
                expected: expected.to_owned(),
                actual: self.sha256.clone(),
            }),
            None => modelzoo_sandbox::inspect(bytes, limits).map_err(refused),
        }
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
