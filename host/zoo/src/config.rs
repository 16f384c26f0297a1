//! The settings: `config.toml` in the store's directory, and the environment.
//!
//! Every environment variable that modelzoo reads is named in this file, in [`ENVIRONMENT`].

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use modelzoo_net::policy::{Origin, PrivateException};
use modelzoo_net::{Mirror, Secret};
use modelzoo_sandbox::{Compiler, Limits};
use serde::Deserialize;
use url::Url;

use crate::error::Error;
use crate::store::Exposure;

/// GitHub's own API.
const GITHUB_API: &str = "https://api.github.com";

/// The environment variables that modelzoo reads, each with what it does.
pub const ENVIRONMENT: &[(&str, &str)] = &[
    (
        "MODELZOO_HOME",
        "the store: sources, models, caches and config.toml",
    ),
    ("MODELZOO_OFFLINE", "`1` or `true`: open no socket"),
    (
        "MODELZOO_ALLOW_PRIVATE",
        "private hosts, addresses or networks that may be reached, also by http",
    ),
    (
        "MODELZOO_CA_BUNDLE",
        "a PEM file with further certificate authorities",
    ),
    ("GITHUB_TOKEN", "sent to GitHub's API, and to nothing else"),
    (
        "GITHUB_API_URL",
        "another API endpoint, such as a GitHub Enterprise server's",
    ),
    (
        "HTTPS_PROXY, NO_PROXY",
        "the proxy for requests, and who is reached without it",
    ),
    (
        "RAYON_NUM_THREADS",
        "how many threads compute; all cores without it",
    ),
];

/// The settings of a [`Zoo`](crate::Zoo).
#[derive(Debug, Clone)]
pub struct Config {
    /// The store's directory.
    pub home: PathBuf,
    /// Open no socket.
    pub offline: bool,
    /// Use the sources that the lock names, exactly as it pins them, and no others.
    pub locked: bool,
    /// Download only what was downloaded before, with the same digests.
    pub frozen: bool,
    /// Private hosts that may be reached.
    pub private: Vec<PrivateException>,
    /// A PEM file with further certificate authorities.
    pub ca_bundle: Option<PathBuf>,
    /// Mirrors of origins.
    pub mirrors: Vec<Mirror>,
    /// The root of GitHub's API.
    pub github_api: Url,
    /// The token for that API.
    pub github_token: Option<Secret>,
    /// The limits of hooks.
    pub limits: Limits,
    /// The names of the limits that `config.toml` sets.
    pub(crate) limits_set: BTreeSet<String>,
    /// Where components are compiled: in this process by default. In a child process, compiling is
    /// limited, and a crash of the compiler does no harm.
    pub compiler: Compiler,
}

/// `config.toml`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    offline: Option<bool>,
    #[serde(default)]
    allow_private: Vec<String>,
    ca_bundle: Option<PathBuf>,
    #[serde(default)]
    github: GitHubFile,
    #[serde(default)]
    mirrors: BTreeMap<String, String>,
    #[serde(default)]
    limits: Limits,
    #[serde(skip)]
    limits_set: BTreeSet<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct GitHubFile {
    api_url: Option<String>,
}

impl Config {
    /// Settings for a store in `home`, with no file and no environment.
    ///
    /// # Errors
    /// None in practice: the built-in address of GitHub's API always parses.
    pub fn new(home: impl Into<PathBuf>) -> Result<Self, Error> {
        Ok(Self {
            home: home.into(),
            offline: false,
            locked: false,
            frozen: false,
            private: Vec::new(),
            ca_bundle: None,
            mirrors: Vec::new(),
            github_api: api_url(GITHUB_API)?,
            github_token: None,
            limits: Limits::default(),
            limits_set: BTreeSet::new(),
            compiler: Compiler::InProcess,
        })
    }

    /// Reads the environment and the `config.toml` of the store that it names. The environment
    /// wins over the file.
    ///
    /// # Errors
    /// [`Error::Config`] when a setting cannot be understood, [`Error::ForeignConfig`] when another
    /// user can change the file, [`Error::NoHome`] when neither `MODELZOO_HOME` nor the platform
    /// names a directory.
    pub fn from_env() -> Result<Self, Error> {
        Self::from_lookup(&|name| std::env::var(name).ok().filter(|v| !v.is_empty()))
    }

    /// As [`Config::from_env`], with the environment given as a function.
    ///
    /// # Errors
    /// As [`Config::from_env`].
    pub fn from_lookup(env: &dyn Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let home = match env("MODELZOO_HOME") {
            Some(home) => PathBuf::from(home),
            None => platform_home()?,
        };
        let home = std::path::absolute(&home).map_err(|e| Error::io("resolve", &home, e))?;
        let file = read_file(&home.join("config.toml"))?;
        let mut config = Self::new(home)?;

        config.offline = match env("MODELZOO_OFFLINE") {
            Some(text) => parse_bool("MODELZOO_OFFLINE", &text)?,
            None => file.offline.unwrap_or(false),
        };
        let private = match env("MODELZOO_ALLOW_PRIVATE") {
            Some(list) => list.split(',').map(|s| s.trim().to_owned()).collect(),
            None => file.allow_private,
        };
        for entry in private.iter().filter(|s| !s.is_empty()) {
            config
                .private
                .push(entry.parse().map_err(|e| Error::Config {
                    setting: "allow_private".into(),
                    reason: format!("{entry}: {e}"),
                })?);
        }
        config.ca_bundle = env("MODELZOO_CA_BUNDLE")
            .map(PathBuf::from)
            .or(file.ca_bundle);
        if let Some(api) = env("GITHUB_API_URL").or(file.github.api_url) {
            config.github_api = api_url(&api)?;
        }
        config.github_token = env("GITHUB_TOKEN").map(Secret::new);
        config.mirrors = mirrors(&file.mirrors)?;
        crate::limits::check(&file.limits)?;
        config.limits = file.limits;
        config.limits_set = file.limits_set;
        Ok(config)
    }
}

fn mirrors(table: &BTreeMap<String, String>) -> Result<Vec<Mirror>, Error> {
    let bad = |from: &str, reason: String| Error::Config {
        setting: format!("mirrors.\"{from}\""),
        reason,
    };
    table
        .iter()
        .map(|(from, to)| {
            let to = Url::parse(to).map_err(|e| bad(from, format!("{to}: {e}")))?;
            let origin: Origin = from.parse().map_err(|e| bad(from, format!("{e}")))?;
            Ok(Mirror { from: origin, to })
        })
        .collect()
}

fn read_file(path: &Path) -> Result<File, Error> {
    let failed = |e| Error::io("read", path, e);
    let mut file = match modelzoo_base::file::open_regular(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(File::default()),
        Err(e) => return Err(failed(e)),
    };
    let meta = file.metadata().map_err(failed)?;
    if let Some(Exposure { path, reason }) = Exposure::of(path, &meta) {
        return Err(Error::ForeignConfig { path, reason });
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(failed)?;
    parse_file(&text).map_err(|e| Error::Config {
        setting: path.display().to_string(),
        reason: e.to_string().trim_end().to_owned(),
    })
}

fn parse_file(text: &str) -> Result<File, toml::de::Error> {
    let mut file: File = toml::from_str(text)?;
    let table: toml::Table = toml::from_str(text)?;
    if let Some(limits) = table.get("limits").and_then(toml::Value::as_table) {
        file.limits_set = limits.keys().cloned().collect();
    }
    Ok(file)
}

fn api_url(text: &str) -> Result<Url, Error> {
    let bad = |reason: String| Error::Config {
        setting: "GITHUB_API_URL".into(),
        reason,
    };
    let mut url = Url::parse(text).map_err(|e| bad(format!("{text}: {e}")))?;
    if url.host_str().is_none() || !matches!(url.scheme(), "https" | "http") {
        return Err(bad(format!("{text}: not an http(s) address")));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad(
            "it must not hold a user name or password; set GITHUB_TOKEN".into(),
        ));
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    url.set_query(None);
    url.set_fragment(None);
    Ok(url)
}

fn parse_bool(setting: &str, text: &str) -> Result<bool, Error> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => Err(Error::Config {
            setting: setting.to_owned(),
            reason: format!("`{text}` is neither true nor false"),
        }),
    }
}

fn platform_home() -> Result<PathBuf, Error> {
    use etcetera::BaseStrategy as _;
    etcetera::base_strategy::choose_native_strategy()
        .map(|dirs| dirs.data_dir().join("modelzoo"))
        .map_err(|_| Error::NoHome)
}
