//! What the kernel itself refuses to a thread that runs hooks, and to a process that compiles
//! components.
//!
//! The sandbox is WebAssembly and the host's own code around it: a guest has no function that
//! opens a file elsewhere. If there is a hole in it, the kernel still refuses. On Linux that is
//! [Landlock](https://docs.kernel.org/userspace-api/landlock.html): a thread names the files that
//! it still needs and gives up all others, for itself and for every thread and process that it
//! starts, for good. Where the kernel lacks Landlock hooks run without it, and
//! [`ConfinementStatus`] says so.
//!
//! Threads of a process share its memory. Confinement stops code that opens the wrong file; it
//! does not stop machine code of an attacker.

pub(crate) mod thread;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::OnceLock;

use serde::Serialize;

/// What the kernel adds to the sandbox on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum ConfinementStatus {
    /// Linux's Landlock.
    Landlock {
        /// The version of it that the kernel has, 2 or more.
        abi: u32,
    },
    /// Nothing: hooks rely on WebAssembly alone.
    Missing {
        /// Why.
        reason: String,
    },
}

impl ConfinementStatus {
    /// Whether hooks are confined.
    #[must_use]
    pub fn is_available(&self) -> bool {
        !matches!(self, Self::Missing { .. })
    }

    /// What this machine offers. The first call finds out, by confining a thread that does nothing
    /// else.
    #[must_use]
    pub fn detect() -> &'static Self {
        static STATUS: OnceLock<ConfinementStatus> = OnceLock::new();
        STATUS.get_or_init(|| {
            let probe = std::thread::Builder::new()
                .name("modelzoo-probe".to_owned())
                .spawn(|| Confinement::new().apply());
            let missing = |reason: String| Self::Missing { reason };
            match probe.map(std::thread::JoinHandle::join) {
                Ok(Ok(Ok(status))) => status,
                Ok(Ok(Err(e))) | Err(e) => missing(e.to_string()),
                Ok(Err(_)) => missing("the probe crashed".to_owned()),
            }
        })
    }
}

impl fmt::Display for ConfinementStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Landlock { abi } => write!(f, "Landlock, version {abi}"),
            Self::Missing { reason } => write!(f, "none: {reason}"),
        }
    }
}

/// What a confined thread may still use. A new one allows no file and no port.
#[derive(Clone, Debug, Default)]
pub(crate) struct Confinement {
    read: Vec<PathBuf>,
    read_if_present: Vec<PathBuf>,
    write: Vec<PathBuf>,
    connect: bool,
}

impl Confinement {
    /// Allows nothing.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Allows reading a directory with everything in it, or a file.
    pub(crate) fn allow_read(mut self, path: impl Into<PathBuf>) -> Self {
        self.read.push(path.into());
        self
    }

    /// Allows reading and changing a directory with everything in it. Nothing in it can be
    /// executed, and no links, devices, pipes or sockets can be made.
    pub(crate) fn allow_write(mut self, directory: impl Into<PathBuf>) -> Self {
        self.write.push(directory.into());
        self
    }

    /// Allows connections to other machines, and the files that name resolution needs.
    pub(crate) fn allow_connect(mut self) -> Self {
        self.connect = true;
        self.read_if_present.extend(NAMES.iter().map(PathBuf::from));
        self
    }

    /// Confines the calling thread and everything that it starts from now on, for good.
    ///
    /// Where the kernel lacks Landlock the status says so, and nothing has changed.
    ///
    /// # Errors
    ///
    /// An allowed path cannot be opened, or the kernel has Landlock and fails to apply it.
    #[cfg(target_os = "linux")]
    pub(crate) fn apply(&self) -> io::Result<ConfinementStatus> {
        linux::apply(self)
    }

    /// Does nothing: this system has no confinement.
    ///
    /// # Errors
    ///
    /// None on this system.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn apply(&self) -> io::Result<ConfinementStatus> {
        Ok(ConfinementStatus::Missing {
            reason: "only Linux has it".to_owned(),
        })
    }
}

/// What the system's resolver reads: its settings, the places that they may link to, and the
/// libraries that it loads on first use. Beside them, what tells the network client whether the
/// machine was started again since a download broke off.
const NAMES: &[&str] = &[
    "/etc/gai.conf",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/resolv.conf",
    "/etc/services",
    "/etc/ld.so.cache",
    "/run/NetworkManager",
    "/run/resolvconf",
    "/run/systemd/resolve",
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/proc/sys/kernel/random/boot_id",
];

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::path::Path;

    use landlock::{
        ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, LandlockStatus,
        PathBeneath, PathFd, Ruleset, RulesetAttr as _, RulesetCreated, RulesetCreatedAttr as _,
        RulesetError, RulesetStatus, Scope, make_bitflags,
    };

    use super::{Confinement, ConfinementStatus};

    /// The newest version whose restrictions are requested; older kernels apply what they have.
    const NEWEST: ABI = ABI::V10;
    /// The newest version that does not refuse the sockets through which some systems resolve
    /// names.
    const NEWEST_WITH_NAMES: ABI = ABI::V8;

    const READ: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile | ReadDir});
    /// Includes what moving and truncating files needs, and excludes creating anything but files.
    const WRITE: BitFlags<AccessFs> = make_bitflags!(AccessFs::{
        ReadFile | ReadDir | WriteFile | RemoveDir | RemoveFile | MakeDir | MakeReg | Refer
        | Truncate
    });

    pub(super) fn apply(confinement: &Confinement) -> io::Result<ConfinementStatus> {
        let mut rules = rules(confinement).map_err(io::Error::other)?;
        for (paths, access) in [(&confinement.read, READ), (&confinement.write, WRITE)] {
            for path in paths {
                rules = allow(rules, path, access)?;
            }
        }
        for path in &confinement.read_if_present {
            if path.exists() {
                rules = allow(rules, path, READ)?;
            }
        }
        let done = rules.restrict_self().map_err(io::Error::other)?;
        Ok(match (done.ruleset, done.landlock) {
            (RulesetStatus::NotEnforced, LandlockStatus::NotImplemented) => {
                missing("this kernel is built without Landlock")
            }
            (RulesetStatus::NotEnforced, LandlockStatus::NotEnabled) => {
                missing("Landlock was not turned on when this kernel was started")
            }
            (RulesetStatus::NotEnforced, LandlockStatus::Available { .. }) => {
                missing("the Landlock of this kernel is older than version 2 (Linux 5.19)")
            }
            (
                _,
                LandlockStatus::Available {
                    effective_abi,
                    kernel_abi,
                },
            ) => ConfinementStatus::Landlock {
                abi: kernel_abi
                    .and_then(|abi| u32::try_from(abi).ok())
                    .unwrap_or(effective_abi as u32),
            },
            (_, _) => missing("the kernel gives contradictory answers"),
        })
    }

    fn missing(reason: &str) -> ConfinementStatus {
        ConfinementStatus::Missing {
            reason: reason.to_owned(),
        }
    }

    /// Everything that is refused unless a rule allows it.
    fn rules(confinement: &Confinement) -> Result<RulesetCreated, RulesetError> {
        let abi = if confinement.connect {
            NEWEST_WITH_NAMES
        } else {
            NEWEST
        };
        let ports = if confinement.connect {
            // Listening is never needed.
            AccessNet::BindTcp.into()
        } else {
            AccessNet::from_all(abi)
        };
        Ruleset::default()
            // The first version refuses to move a file to another directory, which the store
            // needs: better no confinement than that.
            .set_compatibility(CompatLevel::SoftRequirement)
            .handle_access(AccessFs::Refer)?
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(abi))?
            .handle_access(ports)?
            .scope(Scope::from_all(abi))?
            .create()
    }

    fn allow(
        rules: RulesetCreated,
        path: &Path,
        access: BitFlags<AccessFs>,
    ) -> io::Result<RulesetCreated> {
        let open = PathFd::new(path).map_err(io::Error::other)?;
        let access = if path.is_dir() {
            access
        } else {
            access & AccessFs::from_file(NEWEST)
        };
        rules
            .add_rule(PathBeneath::new(open, access))
            .map_err(io::Error::other)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests;
