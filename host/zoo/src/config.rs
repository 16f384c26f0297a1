//! The settings: `config.toml` in the store's directory, and the environment.
//!
//! Every environment variable that modelzoo reads is named in this file, in [`ENVIRONMENT`].

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use modelzoo_base::file::open_regular;
use modelzoo_base::text::excerpt;
use modelzoo_net::policy::{Origin, ParseExceptionError, ParseOriginError, PrivateException};
use modelzoo_net::{Mirror, Secret};
use modelzoo_sandbox::{Compiler, Limits};
use serde::Deserialize;
use url::Url;

use crate::error::Error;
use crate::store::Exposure;

/// The name of the file of settings, in the store's directory.
const FILE: &str = "config.toml";
/// The most bytes of that file.
const MAX_FILE: u64 = 1 << 20;
/// The longest value of a setting that an error repeats, in bytes.
const SHOWN: usize = 120;
/// The most threads that can be asked for.
const MAX_THREADS: usize = 4096;

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
        "SSL_CERT_FILE",
        "a PEM file in place of the system's certificate authorities (Linux)",
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
            github_api: api_url("GITHUB_API_URL", GITHUB_API)?,
            github_token: None,
            limits: Limits::default(),
            limits_set: BTreeSet::new(),
            compiler: Compiler::InProcess,
        })
    }

    /// Reads the environment and the `config.toml` of the store that it names. The environment
    /// wins over the file. A variable that is set and empty is as one that is not set, except for
    /// `MODELZOO_HOME`.
    ///
    /// # Errors
    /// [`Error::Config`] and [`Error::Net`] with the name of a setting that cannot be used: none is
    /// ignored. [`Error::ForeignConfig`] when another user can change the file, [`Error::NoHome`]
    /// when neither `MODELZOO_HOME` nor the platform names a directory.
    pub fn from_env() -> Result<Self, Error> {
        Self::from_lookup(&|name| std::env::var_os(name))
    }

    /// As [`Config::from_env`], with the environment given as a function.
    ///
    /// # Errors
    /// As [`Config::from_env`].
    pub fn from_lookup(env: &dyn Fn(&str) -> Option<OsString>) -> Result<Self, Error> {
        let home = home(env)?;
        let path = home.join(FILE);
        let file = read_file(&path)?;
        let mut config = Self::new(home)?;

        config.offline = match variable(env, "MODELZOO_OFFLINE")? {
            Some(text) => parse_bool("MODELZOO_OFFLINE", &text)?,
            None => file.offline.unwrap_or(false),
        };
        config.private = match variable(env, "MODELZOO_ALLOW_PRIVATE")? {
            Some(list) => private("MODELZOO_ALLOW_PRIVATE", list.split(','))?,
            None => private(
                "allow_private",
                file.allow_private.iter().map(String::as_str),
            )?,
        };
        config.ca_bundle = match variable(env, "MODELZOO_CA_BUNDLE")? {
            Some(path) => Some(ca_bundle("MODELZOO_CA_BUNDLE", path.into())?),
            None => file
                .ca_bundle
                .map(|p| ca_bundle("ca_bundle", p))
                .transpose()?,
        };
        if let Some(api) = variable(env, "GITHUB_API_URL")? {
            config.github_api = api_url("GITHUB_API_URL", &api)?;
        } else if let Some(api) = file.github.api_url {
            config.github_api = api_url("github.api_url", &api)?;
        }
        config.github_token = variable(env, "GITHUB_TOKEN")?.map(token).transpose()?;
        config.mirrors = mirrors(&file.mirrors)?;
        crate::limits::check(&file.limits)?;
        config.limits = file.limits;
        config.limits_set = file.limits_set;
        threads(variable(env, "RAYON_NUM_THREADS")?)?;
        modelzoo_net::check_environment(env)?;
        Ok(config)
    }
}

/// An error about a setting. `reason` may repeat its value.
fn bad(setting: impl Into<String>, reason: impl Into<String>) -> Error {
    Error::Config {
        setting: setting.into(),
        reason: reason.into(),
    }
}

/// A variable of the environment, without the space around it; `None` if it is empty.
fn variable(
    env: &dyn Fn(&str) -> Option<OsString>,
    name: &'static str,
) -> Result<Option<String>, Error> {
    let Some(value) = env(name) else {
        return Ok(None);
    };
    let text = value
        .to_str()
        .ok_or_else(|| bad(name, "it is not Unicode"))?;
    let text = text.trim();
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

/// The store's directory: what `MODELZOO_HOME` says, and nothing else if it says something.
fn home(env: &dyn Fn(&str) -> Option<OsString>) -> Result<PathBuf, Error> {
    const NAME: &str = "MODELZOO_HOME";
    let home = match env(NAME) {
        Some(value) => {
            let text = value
                .to_str()
                .ok_or_else(|| bad(NAME, "it is not Unicode"))?;
            if text.trim().is_empty() {
                return Err(bad(NAME, "it is empty"));
            }
            if text == "~" || text.starts_with("~/") {
                let shown = excerpt(text, SHOWN);
                return Err(bad(
                    NAME,
                    format!("`{shown}` begins with `~`, which only a shell expands"),
                ));
            }
            PathBuf::from(text)
        }
        None => platform_home()?,
    };
    let home = std::path::absolute(&home).map_err(|e| Error::io("resolve", &home, e))?;
    if home.to_str().is_none() {
        return Err(bad(NAME, "the path of the store is not Unicode"));
    }
    match std::fs::metadata(&home) {
        Ok(found) if !found.is_dir() => {
            Err(bad(NAME, format!("{} is not a directory", home.display())))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => Err(bad(
            NAME,
            format!("a part of {} is not a directory", home.display()),
        )),
        // What cannot be looked at is reported by what needs it.
        Ok(_) | Err(_) => Ok(home),
    }
}

fn private<'a>(
    setting: &str,
    list: impl Iterator<Item = &'a str>,
) -> Result<Vec<PrivateException>, Error> {
    list.map(str::trim)
        .filter(|entry| !entry.is_empty())
        .map(|entry| {
            let parsed = entry.parse();
            parsed.map_err(|e: ParseExceptionError| bad(setting, e.to_string()))
        })
        .collect()
}

/// A file of certificates that can be used.
fn ca_bundle(setting: &str, path: PathBuf) -> Result<PathBuf, Error> {
    match modelzoo_net::check_ca_bundle(&path) {
        Ok(()) => Ok(path),
        Err(modelzoo_net::Error::Setting { reason, .. }) => Err(bad(setting, reason)),
        Err(other) => Err(other.into()),
    }
}

/// A token for the field `authorization`. Errors do not repeat it.
fn token(text: String) -> Result<Secret, Error> {
    match text.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(Secret::new(text)),
        false => Err(bad(
            "GITHUB_TOKEN",
            "it holds a character that no token has: white space, a control character, or one beyond ASCII",
        )),
    }
}

/// Checks how many threads are to compute. The pool reads the variable itself, and ignores what it
/// does not understand.
fn threads(value: Option<String>) -> Result<(), Error> {
    let Some(text) = value else { return Ok(()) };
    match text.parse::<usize>() {
        Ok(0..=MAX_THREADS) => Ok(()),
        Ok(_) | Err(_) => Err(bad(
            "RAYON_NUM_THREADS",
            format!(
                "`{}` is not a number from 0 to {MAX_THREADS}",
                excerpt(&text, SHOWN)
            ),
        )),
    }
}

fn mirrors(table: &BTreeMap<String, String>) -> Result<Vec<Mirror>, Error> {
    let mut mirrors: Vec<Mirror> = Vec::new();
    for (from, to) in table {
        let name = || format!("mirrors.\"{}\"", excerpt(from, SHOWN));
        let origin: Origin = from.parse().map_err(|e: ParseOriginError| {
            bad(
                name(),
                format!("not an origin such as https://example.org: {}", e.reason),
            )
        })?;
        if mirrors.iter().any(|other| other.from == origin) {
            return Err(bad(name(), "another key names the same origin"));
        }
        let url = web_url(to).map_err(|reason| bad(name(), reason))?;
        if url.query().is_some() || url.fragment().is_some() {
            let shown = excerpt(to, SHOWN);
            return Err(bad(
                name(),
                format!("{shown}: a mirror has no query and no fragment"),
            ));
        }
        mirrors.push(Mirror {
            from: origin,
            to: url,
        });
    }
    Ok(mirrors)
}

/// An http(s) address, or what is wrong with it.
fn web_url(text: &str) -> Result<Url, String> {
    let shown = excerpt(text, SHOWN);
    let url = Url::parse(text).map_err(|e| format!("{shown}: {e}"))?;
    if url.host_str().is_none() || !matches!(url.scheme(), "https" | "http") {
        return Err(format!("{shown}: not an http(s) address"));
    }
    Ok(url)
}

fn read_file(path: &Path) -> Result<File, Error> {
    let failed = |e| Error::io("read", path, e);
    let file = match open_regular(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(File::default()),
        Err(e) => return Err(failed(e)),
    };
    let meta = file.metadata().map_err(failed)?;
    if let Some(Exposure { path, reason }) = Exposure::of(path, &meta) {
        return Err(Error::ForeignConfig { path, reason });
    }
    let mut text = String::new();
    let size = file
        .take(MAX_FILE + 1)
        .read_to_string(&mut text)
        .map_err(failed)?;
    if size as u64 > MAX_FILE {
        return Err(failed(std::io::Error::other(format!(
            "it is larger than {MAX_FILE} bytes"
        ))));
    }
    parse_file(&text).map_err(|e| bad(path.display().to_string(), toml_reason(&e, &text)))
}

/// What is wrong with a TOML text, and in which line: one line, where the error's own text shows
/// the line with a marker below it.
pub(crate) fn toml_reason(error: &toml::de::Error, text: &str) -> String {
    let reason = error.message().replace('\n', ", ");
    let before = error.span().and_then(|span| text.get(..span.start));
    match before {
        Some(before) => format!("line {}: {reason}", before.matches('\n').count() + 1),
        None => reason,
    }
}

fn parse_file(text: &str) -> Result<File, toml::de::Error> {
    let mut file: File = toml::from_str(text)?;
    let table: toml::Table = toml::from_str(text)?;
    if let Some(limits) = table.get("limits").and_then(toml::Value::as_table) {
        file.limits_set = limits.keys().cloned().collect();
    }
    Ok(file)
}

fn api_url(setting: &str, text: &str) -> Result<Url, Error> {
    let url = Url::parse(text);
    let login = |url: &Url| !url.username().is_empty() || url.password().is_some();
    if url.as_ref().is_ok_and(login) {
        return Err(bad(
            setting,
            "it must not hold a user name or password; set GITHUB_TOKEN",
        ));
    }
    let mut url = web_url(text).map_err(|reason| bad(setting, reason))?;
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
        _ => Err(bad(
            setting,
            format!("`{}` is neither true nor false", excerpt(text, SHOWN)),
        )),
    }
}

fn platform_home() -> Result<PathBuf, Error> {
    use etcetera::BaseStrategy as _;
    etcetera::base_strategy::choose_native_strategy()
        .map(|dirs| dirs.data_dir().join("modelzoo"))
        .map_err(|_| Error::NoHome)
}

#[cfg(test)]
mod tests;
