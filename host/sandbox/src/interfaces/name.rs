//! The names of interfaces: `package/interface@version`.

/// The versions of the WIT package `modelzoo:source` that this host runs, newest first.
pub const SUPPORTED: &[&str] = &["0.1.0"];

/// The name of modelzoo's WIT package.
pub(crate) const PACKAGE: &str = "modelzoo:source";

/// What the names of WASI's packages start with.
const WASI: &str = "wasi:";
/// What the versions of WASI start with that are linked.
const WASI_VERSION: &str = "0.2.";

/// The name of an import or an export, split into its parts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InterfaceName<'a> {
    /// `package/interface`.
    pub(crate) path: &'a str,
    /// `modelzoo:source`.
    pub(crate) package: &'a str,
    /// `log`.
    pub(crate) interface: &'a str,
    /// `0.1.0`.
    pub(crate) version: Option<&'a str>,
}

impl<'a> InterfaceName<'a> {
    /// `None` for the names of functions and of everything else that is not an interface.
    pub(crate) fn parse(name: &'a str) -> Option<Self> {
        let (path, version) = match name.split_once('@') {
            Some((path, version)) => (path, Some(version)),
            None => (name, None),
        };
        let (package, interface) = path.split_once('/')?;
        package.contains(':').then_some(Self {
            path,
            package,
            interface,
            version,
        })
    }

    /// Whether it belongs to modelzoo's package, in whatever version.
    pub(crate) fn is_ours(&self) -> bool {
        self.package == PACKAGE
    }

    /// Whether it belongs to a package of WASI, in whatever version.
    pub(crate) fn is_wasi(&self) -> bool {
        self.package.starts_with(WASI)
    }

    /// Whether the host links this version of the package.
    pub(crate) fn is_supported(&self) -> bool {
        self.version.is_some_and(|version| {
            (self.is_ours() && SUPPORTED.contains(&version))
                || (self.is_wasi() && version.starts_with(WASI_VERSION))
        })
    }
}
