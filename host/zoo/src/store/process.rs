//! Which process made something, so that another one can tell whether it still runs.
//!
//! The system releases the locks of a process that ends, so a lock is the better witness. This is
//! the one where locks do nothing.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// A process, as a later one can recognise it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    pid: u32,
    /// When it was started, in ticks since the start of the machine.
    started: Option<u64>,
    /// The start of the machine; different on every machine.
    boot: Option<String>,
    /// What its number counts in: containers count for themselves.
    namespace: Option<String>,
    /// The name of the machine.
    host: Option<String>,
}

/// Whether a process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Liveness {
    /// It does.
    Running,
    /// It does not any more.
    Ended,
    /// It belongs to another machine or container, or the system does not tell.
    Unknown,
}

impl Process {
    /// This process.
    pub(crate) fn this() -> Self {
        let pid = std::process::id();
        let line = |path: &str| {
            let text = fs::read_to_string(path).ok()?;
            Some(text.trim().to_owned())
        };
        Self {
            pid,
            started: started(pid),
            boot: line("/proc/sys/kernel/random/boot_id"),
            namespace: fs::read_link("/proc/self/ns/pid")
                .ok()
                .map(|link| link.to_string_lossy().into_owned()),
            host: line("/proc/sys/kernel/hostname"),
        }
    }

    /// Whether it runs.
    pub(crate) fn liveness(&self) -> Liveness {
        let this = Self::this();
        let known = self.boot.is_some() && self.namespace.is_some() && self.started.is_some();
        if !known || self.boot != this.boot || self.namespace != this.namespace {
            return Liveness::Unknown;
        }
        match started(self.pid) == self.started {
            true => Liveness::Running,
            false => Liveness::Ended,
        }
    }

    /// Whether it belongs to this machine, now or before its last start. A lock that this machine
    /// gives says something about such a process.
    pub(crate) fn is_local(&self) -> bool {
        let this = Self::this();
        let same = |a: &Option<String>, b: &Option<String>| a == b && a.is_some();
        same(&self.boot, &this.boot) || same(&self.host, &this.host) || this.boot.is_none()
    }

    /// Reads what [`Process::to_text`] wrote.
    pub(crate) fn read(path: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(path).ok()?).ok()
    }

    pub(crate) fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// When a process was started; `None` if it does not run, or the system does not tell.
fn started(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, can hold anything.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    // A process that was not waited for yet has a number, and does nothing any more.
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn this_process_runs_and_an_ended_one_does_not() {
        let this = Process::this();
        assert_eq!(this.liveness(), Liveness::Running);
        assert!(this.is_local());
        let later = Process {
            started: this.started.map(|ticks| ticks + 1),
            ..this.clone()
        };
        assert_eq!(
            later.liveness(),
            Liveness::Ended,
            "its number is used again"
        );

        let mut child = std::process::Command::new("sleep")
            .arg("100")
            .spawn()
            .unwrap();
        let other = Process {
            pid: child.id(),
            started: started(child.id()),
            ..this.clone()
        };
        assert_eq!(other.liveness(), Liveness::Running);
        child.kill().unwrap();
        // It is ended before it is waited for.
        while other.liveness() == Liveness::Running {
            std::thread::yield_now();
        }
        assert_eq!(other.liveness(), Liveness::Ended);
        child.wait().unwrap();
        assert_eq!(other.liveness(), Liveness::Ended);
    }

    #[test]
    fn processes_of_other_machines_and_containers_are_unknown() {
        let this = Process::this();
        let other = || Some("other".to_owned());
        let container = Process {
            namespace: other(),
            ..this.clone()
        };
        assert_eq!(container.liveness(), Liveness::Unknown);
        assert!(container.is_local());
        let machine = Process {
            boot: other(),
            host: other(),
            ..this.clone()
        };
        assert_eq!(machine.liveness(), Liveness::Unknown);
        assert!(!machine.is_local());
        let before = Process {
            boot: other(),
            ..this
        };
        assert_eq!(before.liveness(), Liveness::Unknown);
        assert!(before.is_local());
    }

    #[test]
    fn text_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("owner");
        let this = Process::this();
        fs::write(&path, this.to_text()).unwrap();
        assert_eq!(Process::read(&path), Some(this));
        fs::write(&path, "").unwrap();
        assert_eq!(Process::read(&path), None);
    }
}
