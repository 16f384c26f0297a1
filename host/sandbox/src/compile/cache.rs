//! Compiled components, kept between runs.
//!
//! Loading compiled code means trusting it entirely. The cache therefore uses an entry only if it
//! carries the right HMAC-SHA256 under a random key that lies beside the entries and that only
//! this user can read. On Unix the directory, the key and the entries must belong to this user, be
//! writable by nobody else, and not be links. An entry that fails any check counts as missing, and
//! the component is compiled again; if the directory fails one, there is no cache. None of this is
//! an error for the caller.
//!
//! An entry is the code that wasmtime wrote, then the MAC (32 bytes), then [`MAGIC`].

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit, Mac};
use modelzoo_base::file::{Access, AtomicFile, open_nofollow};
use sha2::Sha256;
use wasmtime::component::Component;

/// The wasmtime whose code this is; part of the directory's name.
const WASMTIME: &str = "48.0.8";
/// The layout of the directory and its entries.
const LAYOUT: &str = "components-v1";
/// The end of every entry.
const MAGIC: &[u8; 8] = b"mzcache1";
/// Length of the key and of a MAC in bytes.
const MAC_BYTES: usize = 32;
/// Length of what follows the code in an entry.
const TRAILER_BYTES: u64 = (MAC_BYTES + MAGIC.len()) as u64;
/// A larger entry is not one that this crate wrote.
const MAX_ENTRY_BYTES: u64 = 4 << 30;

/// A directory of compiled components that only this user can have written.
#[derive(Debug)]
pub(crate) struct Cache {
    dir: PathBuf,
    key: [u8; MAC_BYTES],
}

impl Cache {
    /// Opens the cache below `cache_dir`, creating it if necessary. `None` if that is impossible or
    /// another user could write to it.
    pub(crate) fn open(cache_dir: &Path) -> Option<Self> {
        let dir = cache_dir.join(format!("{LAYOUT}-{WASMTIME}"));
        match make_private_dir(&dir).and_then(|()| read_or_make_key(&dir.join("key"))) {
            Ok(key) => Some(Self { dir, key }),
            Err(e) => {
                tracing::debug!(dir = %dir.display(), "no cache of compiled components: {e}");
                None
            }
        }
    }

    /// The component with this digest as compiled for `engine`, if this user's cache has it.
    pub(crate) fn get(&self, engine: &wasmtime::Engine, digest: &str) -> Option<Component> {
        let path = self.entry(engine, digest);
        match self.check(&path, digest) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => return None,
            Err(e) => {
                tracing::debug!(entry = %path.display(), "compiling again: {e}");
                return None;
            }
        }
        // SAFETY: the file ends with a MAC, made with a key that only this user can read, over
        // exactly these bytes, this digest and this wasmtime; so `put` wrote it, from what
        // `Engine::precompile_component` returned. It is replaced by renaming only, never
        // written in place, so the mapping does not change while it is in use. Between the check
        // and the mapping, only this user could put another file in its place.
        match unsafe { Component::deserialize_file(engine, &path) } {
            Ok(component) => Some(component),
            Err(e) => {
                tracing::debug!(entry = %path.display(), "compiling again: {e:#}");
                None
            }
        }
    }

    /// Keeps `code`, which `Engine::precompile_component` of `engine` returned for the component
    /// with this digest.
    pub(crate) fn put(&self, engine: &wasmtime::Engine, digest: &str, code: &[u8]) {
        let path = self.entry(engine, digest);
        if let Err(e) = self.write(&path, digest, code) {
            tracing::debug!(entry = %path.display(), "compiled code is not kept: {e}");
        }
    }

    /// Settings and processor are part of the name: machines that share a home directory have an
    /// entry each.
    fn entry(&self, engine: &wasmtime::Engine, digest: &str) -> PathBuf {
        let mut settings = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut settings);
        self.dir
            .join(format!("{digest}-{:016x}.cwasm", settings.finish()))
    }

    fn mac(&self, digest: &str, code_bytes: u64) -> io::Result<Hmac<Sha256>> {
        let mut mac =
            <Hmac<Sha256> as KeyInit>::new_from_slice(&self.key).map_err(io::Error::other)?;
        mac.update(format!("{LAYOUT} {WASMTIME} {digest} {code_bytes}\n").as_bytes());
        Ok(mac)
    }

    /// Checks that the file at `path` is an entry that this user's modelzoo wrote for this digest.
    fn check(&self, path: &Path, digest: &str) -> io::Result<()> {
        let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let mut file = open_own(path)?;
        let size = file.metadata()?.len();
        let code_bytes = size
            .checked_sub(TRAILER_BYTES)
            .ok_or_else(|| bad("too short"))?;
        if size > MAX_ENTRY_BYTES {
            return Err(bad("too long"));
        }
        let mut mac = self.mac(digest, code_bytes)?;
        let mut code = (&mut file).take(code_bytes);
        let mut buffer = vec![0; 256 << 10];
        loop {
            match code.read(&mut buffer)? {
                0 => break,
                n => mac.update(buffer.get(..n).unwrap_or_default()),
            }
        }
        if code.limit() != 0 {
            return Err(bad("cut off"));
        }
        let mut sum = [0; MAC_BYTES];
        let mut magic = [0; MAGIC.len()];
        file.read_exact(&mut sum)?;
        file.read_exact(&mut magic)?;
        if &magic != MAGIC {
            return Err(bad("not an entry"));
        }
        mac.verify_slice(&sum)
            .map_err(|_| bad("not written by this user's modelzoo"))
    }

    fn write(&self, path: &Path, digest: &str, code: &[u8]) -> io::Result<()> {
        let mut mac = self.mac(digest, code.len() as u64)?;
        mac.update(code);
        let mut file = AtomicFile::create(path, Access::Private)?;
        file.write_all(code)?;
        file.write_all(&mac.finalize().into_bytes())?;
        file.write_all(MAGIC)?;
        file.replace()
    }
}

/// The key in the file at `path`; a new one if there is none that can be trusted.
fn read_or_make_key(path: &Path) -> io::Result<[u8; MAC_BYTES]> {
    match read_key(path) {
        Ok(key) => return Ok(key),
        Err(e) => tracing::debug!("creating a new key for compiled components: {e}"),
    }
    let mut key = [0; MAC_BYTES];
    getrandom::fill(&mut key).map_err(io::Error::other)?;
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(&key)?;
    match file.persist_noclobber(path) {
        Ok(_) => Ok(key),
        // Either another process was faster, and its key is as good, or the old one is invalid.
        Err(e) => read_key(path).or_else(|_| {
            e.file.persist(path)?;
            Ok(key)
        }),
    }
}

fn read_key(path: &Path) -> io::Result<[u8; MAC_BYTES]> {
    let mut file = open_own(path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        if file.metadata()?.permissions().mode() & 0o077 != 0 {
            return Err(io::Error::other("others can read the key"));
        }
    }
    let mut key = [0; MAC_BYTES];
    file.read_exact(&mut key)?;
    match file.read(&mut [0])? {
        0 => Ok(key),
        _ => Err(io::Error::other("the key is too long")),
    }
}

/// Opens a regular file that belongs to this user and that nobody else can write.
fn open_own(path: &Path) -> io::Result<File> {
    let file = open_nofollow(path, fs::OpenOptions::new().read(true))?;
    check_owner(&file.metadata()?)?;
    Ok(file)
}

/// Creates a directory that only this user can use, or checks that an existing one is.
fn make_private_dir(dir: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o755);
    if let Some(parent) = dir.parent() {
        builder.create(parent)?;
    }
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.recursive(false).create(dir) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
        _ => {}
    }
    let metadata = fs::symlink_metadata(dir)?;
    if !metadata.is_dir() {
        return Err(io::Error::other("not a directory"));
    }
    check_owner(&metadata)
}

/// Checks that a file belongs to this user and that nobody else can write to it.
#[cfg(unix)]
fn check_owner(metadata: &fs::Metadata) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(io::Error::other("it belongs to another user"));
    }
    if metadata.mode() & 0o022 != 0 {
        return Err(io::Error::other("other users can write to it"));
    }
    Ok(())
}

/// On other systems the user's directories are private by default.
#[cfg(not(unix))]
fn check_owner(_: &fs::Metadata) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directory_is_named_for_the_locked_wasmtime() {
        let lock = include_str!("../../../../Cargo.lock");
        assert!(
            lock.replace("\r\n", "\n")
                .contains(&format!("name = \"wasmtime\"\nversion = \"{WASMTIME}\"\n")),
            "set WASMTIME to the version of wasmtime in Cargo.lock"
        );
    }

    #[test]
    fn second_open_reuses_the_key() {
        let dir = tempfile::tempdir().unwrap();
        let first = Cache::open(dir.path()).unwrap();
        let second = Cache::open(dir.path()).unwrap();
        assert_eq!(first.key, second.key);
        assert_ne!(first.key, [0; MAC_BYTES]);
    }

    #[test]
    fn unusable_directory_disables_the_cache() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(Cache::open(&file).is_none());
    }

    #[cfg(unix)]
    #[test]
    fn links_and_loose_permissions_are_rejected() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path()).unwrap();

        // A key that others can read is replaced.
        fs::set_permissions(cache.dir.join("key"), fs::Permissions::from_mode(0o644)).unwrap();
        let again = Cache::open(dir.path()).unwrap();
        assert_ne!(cache.key, again.key);
        let mode = fs::metadata(cache.dir.join("key")).unwrap().permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);

        // A key that is a link is replaced, and not what it points to.
        let target = dir.path().join("target");
        fs::write(&target, [7; MAC_BYTES]).unwrap();
        fs::set_permissions(&target, fs::Permissions::from_mode(0o600)).unwrap();
        fs::remove_file(cache.dir.join("key")).unwrap();
        symlink(&target, cache.dir.join("key")).unwrap();
        assert_ne!(Cache::open(dir.path()).unwrap().key, [7; MAC_BYTES]);
        assert_eq!(fs::read(&target).unwrap(), [7; MAC_BYTES]);

        // A directory that others can write to, or that is a link, is not used.
        fs::set_permissions(&cache.dir, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(Cache::open(dir.path()).is_none());
        fs::set_permissions(&cache.dir, fs::Permissions::from_mode(0o700)).unwrap();
        let other = tempfile::tempdir().unwrap();
        symlink(
            &cache.dir,
            other.path().join(cache.dir.file_name().unwrap()),
        )
        .unwrap();
        assert!(Cache::open(other.path()).is_none());
    }
}
