//! Which proxy a URL goes through.

use std::error::Error as StdError;
use std::ffi::OsString;
use std::sync::LazyLock;

use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use url::{Host, Url};

use crate::config::Proxy;
use crate::error::{Error, ProxyFault};
use crate::no_proxy::NoProxy;

/// An environment: the value of a variable, if it is set.
pub(crate) type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// The variables that name proxies for one scheme or for all, and the exceptions. The first that
/// is set and not empty counts.
const HTTPS: [&str; 2] = ["HTTPS_PROXY", "https_proxy"];
const HTTP: [&str; 2] = ["HTTP_PROXY", "http_proxy"];
const HTTP_IN_A_SERVER: [&str; 1] = ["http_proxy"];
const ALL: [&str; 2] = ["ALL_PROXY", "all_proxy"];
const EXCEPT: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// How a setting is named that the program gives, and not the environment.
const PROGRAM: &str = "proxy";

/// The rules, read once.
#[derive(Default)]
pub(crate) struct Proxies {
    https: Option<Setting>,
    http: Option<Setting>,
    except: NoProxy,
    /// The settings of the operating system, where the environment has none.
    system: Option<LazyLock<Matcher>>,
}

/// A proxy, and which setting names it.
#[derive(Clone)]
struct Setting {
    name: &'static str,
    proxy: Intercept,
}

/// A proxy that was chosen.
pub(crate) struct ChosenProxy {
    pub(crate) proxy: reqwest::Proxy,
    /// Its host, as the resolver will be asked for it.
    pub(crate) host: String,
    /// Its address, without user name and password.
    address: String,
    /// The setting that names it.
    setting: &'static str,
    /// Whether a user name is sent to it.
    login: bool,
}

impl Proxies {
    pub(crate) fn new(setting: &Proxy) -> Result<Self, Error> {
        match setting {
            Proxy::Never => Ok(Self::default()),
            Proxy::FromEnvironment => Self::from_environment(&|name| std::env::var_os(name)),
            Proxy::Always { url, except } => {
                let url = url.expose();
                if !url.contains("://") {
                    return Err(bad(PROGRAM, NOT_A_PROXY));
                }
                let proxy = Setting::parse(PROGRAM, url)?;
                Ok(Self {
                    https: Some(proxy.clone()),
                    http: Some(proxy),
                    except: NoProxy::parse(except).map_err(|reason| bad(PROGRAM, &reason))?,
                    system: None,
                })
            }
        }
    }

    /// The settings of an environment.
    ///
    /// # Errors
    /// A variable that cannot be used; silence would mean a connection that the user does not want.
    pub(crate) fn from_environment(env: Environment<'_>) -> Result<Self, Error> {
        // A web server passes the field `Proxy` of a request on as HTTP_PROXY.
        let http = match env("REQUEST_METHOD") {
            Some(_) => HTTP_IN_A_SERVER.as_slice(),
            None => HTTP.as_slice(),
        };
        let all = Setting::read(env, &ALL)?;
        let https = Setting::read(env, &HTTPS)?.or_else(|| all.clone());
        let http = Setting::read(env, http)?.or(all);
        let except = match value(env, &EXCEPT)? {
            Some((name, list)) => NoProxy::parse(&list).map_err(|reason| bad(name, &reason))?,
            None => NoProxy::default(),
        };
        let own = https.is_some() || http.is_some();
        // Asked when the first connection is made, because not every command makes one.
        let system: fn() -> Matcher = Matcher::from_system;
        Ok(Self {
            https,
            http,
            except,
            system: (!own).then(|| LazyLock::new(system)),
        })
    }

    /// The proxy for `url`; never one for a loopback host.
    pub(crate) fn choose(&self, url: &Url) -> Result<Option<ChosenProxy>, Error> {
        if is_loopback(url) || self.except.contains(url) {
            return Ok(None);
        }
        let own = match url.scheme() {
            "https" => self.https.as_ref(),
            _ => self.http.as_ref(),
        };
        if let Some(own) = own {
            return own.chosen().map(Some);
        }
        let Some(system) = &self.system else {
            return Ok(None);
        };
        let uri = url
            .as_str()
            .parse()
            .map_err(|_| bad(PROGRAM, "the address does not suit a proxy"))?;
        let found = system.intercept(&uri).map(|proxy| Setting {
            name: "the system's proxy",
            proxy,
        });
        found.map(|found| found.chosen()).transpose()
    }
}

impl Setting {
    /// The first of these variables that is set.
    fn read(env: Environment<'_>, names: &[&'static str]) -> Result<Option<Self>, Error> {
        let found = value(env, names)?;
        found
            .map(|(name, text)| Self::parse(name, &text))
            .transpose()
    }

    /// Reads `[scheme://][user:password@]host[:port]`. The text may hold a password, so errors do
    /// not repeat it.
    fn parse(name: &'static str, text: &str) -> Result<Self, Error> {
        let whole = match text.contains("://") {
            true => text.to_owned(),
            false => format!("http://{text}"),
        };
        let url =
            Url::parse(&whole).map_err(|error| bad(name, &format!("{NOT_A_PROXY}: {error}")))?;
        let plain =
            matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
        let socks = match url.scheme() {
            "http" | "https" => false,
            "socks4" | "socks4a" | "socks5" | "socks5h" => true,
            other => return Err(bad(name, &format!("no proxy speaks `{other}`"))),
        };
        if !url.has_host() || !plain {
            return Err(bad(name, NOT_A_PROXY));
        }
        if socks && url.port().is_none() {
            return Err(bad(name, "a socks proxy needs a port"));
        }
        // What it would be used for: the parser that decides at last has to agree.
        let target = "https://host.invalid/".parse().ok();
        let matcher = Matcher::builder().all(url.as_str().to_owned()).build();
        let proxy = target.and_then(|target| matcher.intercept(&target));
        let agrees = |proxy: &Intercept| {
            let hosts = proxy.uri().host().zip(url.host_str());
            hosts.is_some_and(|(one, other)| one.eq_ignore_ascii_case(other))
        };
        match proxy.filter(agrees) {
            Some(proxy) => Ok(Self { name, proxy }),
            None => Err(bad(name, NOT_A_PROXY)),
        }
    }

    fn chosen(&self) -> Result<ChosenProxy, Error> {
        let uri = self.proxy.uri();
        let mut proxy = reqwest::Proxy::all(uri.to_string())
            .map_err(|error| bad(self.name, &error.without_url().to_string()))?;
        if let Some(value) = self.proxy.basic_auth() {
            proxy = proxy.custom_http_auth(value.clone());
        }
        if let Some((user, password)) = self.proxy.raw_auth() {
            proxy = proxy.basic_auth(user, password);
        }
        Ok(ChosenProxy {
            proxy,
            host: uri.host().unwrap_or_default().to_owned(),
            address: uri.to_string().trim_end_matches('/').to_owned(),
            setting: self.name,
            login: self.proxy.basic_auth().is_some() || self.proxy.raw_auth().is_some(),
        })
    }
}

impl ChosenProxy {
    /// The error for a request to `origin` that this proxy did not carry out.
    pub(crate) fn error(&self, origin: String, fault: ProxyFault) -> Error {
        Error::Proxy {
            origin,
            proxy: self.address.clone(),
            setting: self.setting,
            fault,
        }
    }

    /// The proxy wants a user name and password, or others than it got.
    pub(crate) fn login_fault(&self) -> ProxyFault {
        match self.login {
            true => ProxyFault::LoginRefused,
            false => ProxyFault::LoginWanted,
        }
    }

    /// What went wrong at the proxy, from the texts of a chain of errors; `None` if nothing says
    /// that it was there. The types of these errors are private to the client's libraries.
    pub(crate) fn fault<'a>(
        &self,
        chain: impl Iterator<Item = &'a (dyn StdError + 'static)>,
    ) -> Option<ProxyFault> {
        let texts: Vec<String> = chain.map(ToString::to_string).collect();
        let innermost = texts.last().cloned().unwrap_or_default();
        let at = |prefix: &str| texts.iter().find_map(|text| text.strip_prefix(prefix));
        if let Some(step) = at("tunnel error: ") {
            return Some(match step {
                "proxy authorization required" => self.login_fault(),
                "unsuccessful" => ProxyFault::Refused,
                "failed to create underlying connection" | "io error establishing tunnel" => {
                    ProxyFault::Unreachable(innermost)
                }
                other => ProxyFault::Unreachable(format!("it answers wrongly ({other})")),
            });
        }
        let step = at("SOCKS error: ")?;
        Some(match step {
            "credentials not accepted" => self.login_fault(),
            "server does not support user/pass authentication" => ProxyFault::LoginRefused,
            other => ProxyFault::Unreachable(other.to_owned()),
        })
    }
}

const NOT_A_PROXY: &str = "it is not the address of an http or socks proxy";

/// The first of these variables that is set and not empty, without the space around it.
fn value(
    env: Environment<'_>,
    names: &[&'static str],
) -> Result<Option<(&'static str, String)>, Error> {
    for name in names {
        let Some(value) = env(name) else { continue };
        let Some(text) = value.to_str() else {
            return Err(bad(name, "it is not Unicode"));
        };
        if !text.trim().is_empty() {
            return Ok(Some((name, text.trim().to_owned())));
        }
    }
    Ok(None)
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(v4)) => v4.is_loopback(),
        Some(Host::Ipv6(v6)) => v6.is_loopback(),
        None => false,
    }
}

fn bad(setting: &'static str, reason: &str) -> Error {
    Error::Setting {
        setting,
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Proxies, Error> {
        Proxies::from_environment(&|name| {
            let found = variables.iter().find(|(own, _)| *own == name);
            found.map(|(_, value)| value.into())
        })
    }

    fn chosen(variables: &[(&str, &str)], url: &str) -> Option<(String, &'static str)> {
        let proxies = read(variables).unwrap();
        let chosen = proxies.choose(&Url::parse(url).unwrap()).unwrap();
        chosen.map(|chosen| (chosen.address, chosen.setting))
    }

    #[test]
    fn proxy_of_the_scheme_comes_first() {
        let both = [
            ("HTTPS_PROXY", "http://a:1"),
            ("all_proxy", "socks5h://b:2"),
        ];
        let found = |address: &str, setting| Some((address.to_owned(), setting));
        assert_eq!(
            chosen(&both, "https://x.test/"),
            found("http://a:1", "HTTPS_PROXY")
        );
        assert_eq!(
            chosen(&both, "http://x.test/"),
            found("socks5h://b:2", "all_proxy")
        );
        assert_eq!(chosen(&both, "https://localhost/"), None);
        let capital = [("HTTPS_PROXY", "socks5h://Proxy.LAN:1080")];
        assert!(chosen(&capital, "https://x.test/").is_some());
        // An empty variable is not set.
        let lower = [("HTTPS_PROXY", " "), ("https_proxy", "c:3\n")];
        assert_eq!(
            chosen(&lower, "https://x.test/"),
            found("http://c:3", "https_proxy")
        );
        let except = [("HTTPS_PROXY", "http://a:1"), ("no_proxy", "*.x.test")];
        assert_eq!(chosen(&except, "https://y.x.test/"), None);
        // A web server would let its clients choose this one.
        let cgi = [("HTTP_PROXY", "http://a:1"), ("REQUEST_METHOD", "GET")];
        assert_eq!(chosen(&cgi, "http://x.test/"), None);
    }

    #[test]
    fn password_is_not_in_the_address() {
        for value in ["http://user:p%40ss@a.test:1", "http://user:p@ss@a.test:1"] {
            let (address, _) = chosen(&[("HTTPS_PROXY", value)], "https://x.test/").unwrap();
            assert_eq!(address, "http://a.test:1");
        }
    }

    #[test]
    fn unusable_variable_is_named_without_its_value() {
        for value in [
            "ftp://proxy:1",
            "htp://secret@proxy:3128",
            "http//proxy:3128",
            "http:/proxy:3128",
            "http://proxy:99999",
            "http://proxy:port",
            "http://",
            "http://user:secret/word@proxy:1",
            "http://proxy:3128/path",
            "http://[::1",
            "not a proxy",
            "://",
            "socks5://proxy",
        ] {
            for name in [
                "HTTPS_PROXY",
                "https_proxy",
                "HTTP_PROXY",
                "ALL_PROXY",
                "all_proxy",
            ] {
                let error = read(&[(name, value)]).err().unwrap().to_string();
                assert!(error.contains(&format!("`{name}`")), "{value}: {error}");
                assert!(!error.contains("secret"), "{error}");
            }
        }
        let error = read(&[("NO_PROXY", "a.test,10.0.0.0/99")]).err().unwrap();
        assert!(error.to_string().contains("`NO_PROXY`"), "{error}");
        assert!(error.to_string().contains("10.0.0.0/99"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn variable_that_is_not_unicode_is_refused() {
        use std::os::unix::ffi::OsStringExt as _;
        for name in ["HTTPS_PROXY", "http_proxy", "ALL_PROXY", "NO_PROXY"] {
            let env = |asked: &str| (asked == name).then(|| OsString::from_vec(vec![b'a', 0xff]));
            let error = Proxies::from_environment(&env).err().unwrap().to_string();
            assert!(
                error.contains(name) && error.contains("not Unicode"),
                "{error}"
            );
        }
    }
}
