//! Proxies that do not do what is asked: each is named, and asked once.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod support;

use std::net::{Ipv4Addr, TcpListener};

use modelzoo_net::{Client, Config, Error, Proxy, ProxyFault, Request, Secret};
use support::*;

const FAR: &str = "https://far.test/a";

/// What becomes of a request through a proxy.
async fn through(proxy: &str, url: &str) -> Error {
    let names = Names::new(&[("proxy.test", &["127.0.0.1"])]);
    let config = Config {
        private: vec!["far.test".parse().unwrap()],
        proxy: Proxy::Always {
            url: Secret::new(proxy),
            except: String::new(),
        },
        ..config()
    };
    let client = Client::with_resolver(config, names).unwrap();
    let log = Log::default();
    let error = client
        .get(&Request::new(url), &user(&log), 1024)
        .await
        .unwrap_err();
    assert!(!error.to_string().contains("s3cret"), "{error}");
    assert!(error.remedy().is_some(), "{error}");
    error
}

fn fault(error: &Error) -> &ProxyFault {
    match error {
        Error::Proxy {
            proxy,
            setting,
            fault,
            ..
        } => {
            assert!(proxy.starts_with("http://proxy.test:") || proxy.starts_with("socks"));
            assert_eq!(*setting, "proxy");
            fault
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn proxy_that_wants_a_login_is_named_and_asked_once() {
    for url in [FAR, "http://far.test/a"] {
        let proxy = Server::start(|_, wire| {
            let wants = [("proxy-authenticate", "Basic realm=\"x\"")];
            reply(wire, "407 Proxy Authentication Required", &wants, b"");
        });
        let error = through(&proxy.url_as("proxy.test", ""), url).await;
        assert_eq!(fault(&error), &ProxyFault::LoginWanted, "{url}");
        assert_eq!(proxy.seen().len(), 1, "{url}");
        let error = through(&proxy.url_as("user:s3cret@proxy.test", ""), url).await;
        assert_eq!(fault(&error), &ProxyFault::LoginRefused, "{url}");
        assert_eq!(proxy.seen().len(), 2, "{url}");
    }
}

#[tokio::test]
async fn proxy_that_refuses_is_named_and_asked_once() {
    for status in ["403 Forbidden", "502 Bad Gateway", "302 Found"] {
        let proxy = Server::start(move |_, wire| reply(wire, status, &[], b"no"));
        let error = through(&proxy.url_as("proxy.test", ""), FAR).await;
        assert_eq!(fault(&error), &ProxyFault::Refused, "{status}");
        assert_eq!(proxy.seen().len(), 1, "{status}");
        assert!(error.to_string().contains("https://far.test"), "{error}");
    }
}

#[tokio::test]
async fn proxy_that_cannot_be_reached_is_named() {
    // Bound and given back: nobody listens there.
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    for (proxy, url) in [
        (format!("http://proxy.test:{port}"), FAR),
        (format!("http://proxy.test:{port}"), "http://far.test/a"),
        (format!("socks5h://127.0.0.1:{port}"), FAR),
    ] {
        let error = through(&proxy, url).await;
        assert!(
            matches!(fault(&error), ProxyFault::Unreachable(_)),
            "{error}"
        );
    }
    let error = through("http://nowhere.test:3128", FAR).await;
    assert!(
        matches!(&error, Error::Proxy { proxy, .. } if proxy == "http://nowhere.test:3128"),
        "{error:?}"
    );
    assert!(error.to_string().contains("it has no address"), "{error}");
}
