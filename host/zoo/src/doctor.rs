//! What this machine offers, and whether anything is broken.

use std::io;
use std::path::{Path, PathBuf};

use modelzoo_runtime::{Device, DeviceSpec};
use modelzoo_sandbox::ConfinementStatus;
use serde::Serialize;

use crate::config::Config;
use crate::store::{Exposure, Store, free_bytes};

/// The environment variables that name proxies, and the hosts that are reached without one. Upper
/// and lower case mean the same.
const PROXIES: &[&str] = &["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"];

/// What [`Zoo::doctor`](crate::Zoo::doctor) finds.
#[derive(Debug, Clone, Serialize)]
pub struct Diagnosis {
    /// The version of modelzoo.
    pub version: &'static str,
    /// The store.
    pub store: StoreState,
    /// `config.toml`, if there is one.
    pub config_file: Option<PathBuf>,
    /// Whether no socket is opened.
    pub offline: bool,
    /// The names of the variables that say which proxy is used. Their values may hold
    /// credentials.
    pub proxies: Vec<String>,
    /// What the system adds to the sandbox.
    pub second_wall: ConfinementStatus,
    /// How components are compiled.
    pub compiler: CompilerState,
    /// How many threads compute.
    pub threads: usize,
    /// The instructions that computing on the CPU uses.
    pub cpu_kernels: &'static str,
    /// The devices that models can run on.
    pub devices: Vec<DeviceState>,
}

/// The store.
#[derive(Debug, Clone, Serialize)]
pub struct StoreState {
    /// Its directory.
    pub path: PathBuf,
    /// Whether the directory is writable, or can be created.
    pub writable: bool,
    /// Why not.
    pub reason: Option<String>,
    /// Whether it has registered sources that can be read. Such a store is of use also where it
    /// may only be read.
    pub readable: bool,
    /// The free bytes on its disk, if known.
    pub free_bytes: Option<u64>,
    /// What of it other users can change.
    pub exposures: Vec<Exposure>,
}

/// How components are compiled.
#[derive(Debug, Clone, Serialize)]
pub struct CompilerState {
    /// Whether in a child process, with limits of memory and time.
    pub limited: bool,
    /// Whether it works.
    pub works: bool,
    /// Why not.
    pub reason: Option<String>,
}

/// A device.
#[derive(Debug, Clone, Serialize)]
pub struct DeviceState {
    /// Its name, as device options have it.
    pub name: &'static str,
    /// Whether models can run on it.
    pub available: bool,
    /// Why not.
    pub reason: Option<String>,
}

impl Diagnosis {
    /// What has to be fixed before modelzoo can work; empty if nothing has.
    #[must_use]
    pub fn broken(&self) -> Vec<String> {
        let mut broken = Vec::new();
        if let (false, false, Some(reason)) =
            (self.store.writable, self.store.readable, &self.store.reason)
        {
            broken.push(format!(
                "the store {} cannot be written: {reason}",
                self.store.path.display()
            ));
        }
        if let (false, Some(reason)) = (self.compiler.works, &self.compiler.reason) {
            broken.push(reason.clone());
        }
        broken
    }
}

impl Diagnosis {
    /// Looks at this machine. Makes no request and leaves nothing behind.
    pub(crate) fn of(config: &Config) -> Self {
        let file = config.home.join("config.toml");
        Self {
            version: env!("CARGO_PKG_VERSION"),
            store: store(&config.home),
            config_file: file.exists().then_some(file),
            offline: config.offline,
            proxies: proxies(&|name| std::env::var_os(name).is_some_and(|v| !v.is_empty())),
            second_wall: ConfinementStatus::detect().clone(),
            compiler: compiler(config),
            threads: rayon::current_num_threads(),
            cpu_kernels: Device::cpu_kernels(),
            devices: [
                ("cpu", DeviceSpec::Cpu),
                ("cuda", DeviceSpec::Cuda(0)),
                ("metal", DeviceSpec::Metal),
            ]
            .map(|(name, spec)| device(name, spec))
            .into(),
        }
    }
}

fn compiler(config: &Config) -> CompilerState {
    // Without a cache of compiled components, which would be created.
    let engine = modelzoo_sandbox::Engine::with_compiler(
        None,
        config.limits.clone(),
        config.compiler.clone(),
    );
    let reason = engine
        .and_then(|engine| engine.check_compiler())
        .err()
        .map(|e| e.to_string());
    CompilerState {
        limited: config.compiler.is_limited(),
        works: reason.is_none(),
        reason,
    }
}

fn store(home: &Path) -> StoreState {
    let reason = try_to_write(home).err().map(|e| e.to_string());
    StoreState {
        path: home.to_owned(),
        writable: reason.is_none(),
        reason,
        readable: std::fs::File::open(Store::new(home.to_owned()).lock_path()).is_ok(),
        free_bytes: home.ancestors().find_map(free_bytes),
        exposures: Store::new(home.to_owned()).all_exposures(),
    }
}

/// Writes an unnamed file to the directory, or to the parent in which it would be created.
fn try_to_write(home: &Path) -> io::Result<()> {
    let there = home.ancestors().find(|directory| directory.exists());
    tempfile::tempfile_in(there.unwrap_or(home)).map(drop)
}

fn proxies(is_set: &dyn Fn(&str) -> bool) -> Vec<String> {
    let mut set = Vec::new();
    for upper in PROXIES {
        for name in [(*upper).to_owned(), upper.to_ascii_lowercase()] {
            if is_set(&name) {
                set.push(name);
            }
        }
    }
    set
}

fn device(name: &'static str, spec: DeviceSpec) -> DeviceState {
    let reason = spec.open().err().map(|e| e.to_string());
    DeviceState {
        name,
        available: reason.is_none(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn store_is_probed_in_its_directory_or_a_parent() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("a/b");
        assert!(store(&home).writable);
        assert!(!dir.path().join("a").exists(), "nothing is made");
        assert!(store(dir.path()).writable);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);

        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        for home in [file.clone(), file.join("below")] {
            let state = store(&home);
            assert!(!state.writable && state.reason.is_some(), "{state:?}");
        }
    }

    #[test]
    fn proxies_are_found_in_either_case() {
        let set = ["https_proxy", "NO_PROXY"];
        assert_eq!(proxies(&|name| set.contains(&name)), set);
    }
}
