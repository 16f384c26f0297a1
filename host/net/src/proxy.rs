//! Which proxy a URL goes through.

use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use url::{Host, Url};

use crate::config::Proxy;
use crate::error::Error;

/// The rules, read once.
pub(crate) struct Proxies(Option<Matcher>);

/// A proxy that was chosen.
pub(crate) struct ChosenProxy {
    pub(crate) proxy: reqwest::Proxy,
    /// Its host, as the resolver will be asked for it.
    pub(crate) host: String,
}

impl Proxies {
    pub(crate) fn new(setting: &Proxy) -> Result<Self, Error> {
        let matcher = match setting {
            Proxy::Never => None,
            Proxy::FromEnvironment => Some(Matcher::from_system()),
            Proxy::Always { url, except } => {
                if !is_proxy_url(url.expose()) {
                    return Err(bad("it is not the address of an http or socks proxy"));
                }
                let builder = Matcher::builder().all(url.expose().to_owned());
                Some(builder.no(except.clone()).build())
            }
        };
        Ok(Self(matcher))
    }

    /// The proxy for `url`; never one for a loopback host.
    pub(crate) fn choose(&self, url: &Url) -> Result<Option<ChosenProxy>, Error> {
        let Some(matcher) = self.0.as_ref().filter(|_| !is_loopback(url)) else {
            return Ok(None);
        };
        let uri = url
            .as_str()
            .parse()
            .map_err(|_| bad("the address does not suit a proxy"))?;
        matcher
            .intercept(&uri)
            .map(|found| chosen(&found))
            .transpose()
    }
}

fn chosen(intercept: &Intercept) -> Result<ChosenProxy, Error> {
    let uri = intercept.uri();
    let host = uri.host().unwrap_or_default().to_owned();
    let mut proxy = reqwest::Proxy::all(uri.to_string())
        .map_err(|error| bad(&error.without_url().to_string()))?;
    if let Some(value) = intercept.basic_auth() {
        proxy = proxy.custom_http_auth(value.clone());
    }
    if let Some((user, password)) = intercept.raw_auth() {
        proxy = proxy.basic_auth(user, password);
    }
    Ok(ChosenProxy { proxy, host })
}

fn is_proxy_url(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| {
        let known = ["http", "https", "socks4", "socks4a", "socks5", "socks5h"];
        known.contains(&url.scheme()) && url.has_host()
    })
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(v4)) => v4.is_loopback(),
        Some(Host::Ipv6(v6)) => v6.is_loopback(),
        None => false,
    }
}

fn bad(reason: &str) -> Error {
    Error::Setting {
        setting: "proxy",
        reason: reason.to_owned(),
    }
}
