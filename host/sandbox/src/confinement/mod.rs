//! The second wall: what the operating system itself refuses to a thread that runs hooks, and to
//! a process that compiles components.
//!
//! The first wall is WebAssembly and our own code around it: a guest has no call for opening a
//! file elsewhere. Should there be a hole in it, the kernel still refuses. On Linux that is
//! [Landlock](https://docs.kernel.org/userspace-api/landlock.html): a thread names the files that
//! it goes on needing and gives up all others, for itself and for every thread and process that
//! it starts, for good. What the kernel does not have is done without, and [`WallStatus`] says so.
//!
//! Threads of a process share its memory. A wall around one of them holds against code that asks
//! for the wrong file, not against machine code of an attacker's.

pub(crate) mod thread;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::OnceLock;

use serde::Serialize;

/// What the system adds to the sandbox on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
#[non_exhaustive]
pub enum WallStatus {
    /// Linux's Landlock.
    Landlock {
        /// The version of it that the kernel has, 2 or more.
        abi: u32,
    },
    /// Nothing: hooks rely on the first wall alone.
    Missing {
        /// Why.
        reason: String,
    },
}

impl WallStatus {
    /// Whether there is a second wall.
    #[must_use]
    pub fn is_there(&self) -> bool {
        !matches!(self, Self::Missing { .. })
    }

    /// What this machine offers: found out once, by raising a wall around a thread that does
    /// nothing else.
    #[must_use]
    pub fn of_this_machine() -> &'static Self {
        static STATUS: OnceLock<WallStatus> = OnceLock::new();
        STATUS.get_or_init(|| {
            let probe = std::thread::Builder::new()
                .name("modelzoo-probe".to_owned())
                .spawn(|| Wall::new().raise());
            let missing = |reason: String| Self::Missing { reason };
            match probe.map(std::thread::JoinHandle::join) {
                Ok(Ok(Ok(status))) => status,
                Ok(Ok(Err(e))) | Err(e) => missing(e.to_string()),
                Ok(Err(_)) => missing("asking for it crashed".to_owned()),
            }
        })
    }
}

impl fmt::Display for WallStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Landlock { abi } => write!(f, "Landlock, version {abi}"),
            Self::Missing { reason } => write!(f, "none: {reason}"),
        }
    }
}

/// What is left to a thread behind the wall. Nothing, to begin with: no file and no port.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wall {
    read: Vec<PathBuf>,
    read_if_there: Vec<PathBuf>,
    write: Vec<PathBuf>,
    connect: bool,
}

impl Wall {
    /// Leaves nothing.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Leaves a directory with all that is in it, or a file, to be read.
    pub(crate) fn read(mut self, path: impl Into<PathBuf>) -> Self {
        self.read.push(path.into());
        self
    }

    /// Leaves a directory with all that is in it to be read and changed. Nothing in it can be
    /// executed, and no links, devices, pipes or sockets can be made.
    pub(crate) fn write(mut self, directory: impl Into<PathBuf>) -> Self {
        self.write.push(directory.into());
        self
    }

    /// Leaves connections to other machines, and the files that it takes to look names up.
    pub(crate) fn connect(mut self) -> Self {
        self.connect = true;
        self.read_if_there.extend(NAMES.iter().map(PathBuf::from));
        self
    }

    /// Raises the wall around the calling thread and all that it starts from now on. It stays.
    ///
    /// Where the system has none the answer says so, and nothing has changed.
    ///
    /// # Errors
    ///
    /// What has to be left cannot be opened, or the system has a wall and fails to raise it.
    #[cfg(target_os = "linux")]
    pub(crate) fn raise(&self) -> io::Result<WallStatus> {
        linux::raise(self)
    }

    /// Raises the wall around the calling thread and all that it starts from now on: on this
    /// system there is none.
    ///
    /// # Errors
    ///
    /// None on this system.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn raise(&self) -> io::Result<WallStatus> {
        Ok(WallStatus::Missing {
            reason: "there is one on Linux only".to_owned(),
        })
    }
}

/// What the system's resolver reads: its settings, where they may really lie, and the libraries
/// that it loads when it is first asked. Beside them, what tells the network client whether the
/// machine was started anew since a download broke off.
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

    use super::{Wall, WallStatus};

    /// The newest version whose restrictions are asked for; older kernels get what they have.
    const NEWEST: ABI = ABI::V10;
    /// The newest version that does not refuse the sockets through which some systems look
    /// names up.
    const NEWEST_WITH_NAMES: ABI = ABI::V8;

    const READ: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile | ReadDir});
    /// Also what moving and cutting off files takes; not what makes anything but files.
    const WRITE: BitFlags<AccessFs> = make_bitflags!(AccessFs::{
        ReadFile | ReadDir | WriteFile | RemoveDir | RemoveFile | MakeDir | MakeReg | Refer
        | Truncate
    });

    pub(super) fn raise(wall: &Wall) -> io::Result<WallStatus> {
        let mut rules = rules(wall).map_err(io::Error::other)?;
        for (paths, access) in [(&wall.read, READ), (&wall.write, WRITE)] {
            for path in paths {
                rules = leave(rules, path, access)?;
            }
        }
        for path in &wall.read_if_there {
            if path.exists() {
                rules = leave(rules, path, READ)?;
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
            ) => WallStatus::Landlock {
                abi: kernel_abi
                    .and_then(|abi| u32::try_from(abi).ok())
                    .unwrap_or(effective_abi as u32),
            },
            (_, _) => missing("the kernel gives contradictory answers"),
        })
    }

    fn missing(reason: &str) -> WallStatus {
        WallStatus::Missing {
            reason: reason.to_owned(),
        }
    }

    /// Everything that is refused unless a rule leaves it.
    fn rules(wall: &Wall) -> Result<RulesetCreated, RulesetError> {
        let abi = if wall.connect {
            NEWEST_WITH_NAMES
        } else {
            NEWEST
        };
        let ports = if wall.connect {
            // To listen is never needed.
            AccessNet::BindTcp.into()
        } else {
            AccessNet::from_all(abi)
        };
        Ruleset::default()
            // The first version refuses to move a file to another directory, which the store
            // cannot do without: none at all then.
            .set_compatibility(CompatLevel::SoftRequirement)
            .handle_access(AccessFs::Refer)?
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(abi))?
            .handle_access(ports)?
            .scope(Scope::from_all(abi))?
            .create()
    }

    fn leave(
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
