//! Certificates: only those that verify, and no way around it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use modelzoo_net::policy::Permissions;
use modelzoo_net::{Client, Config, Error, Mirror, Refusal, Request};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256,
    date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use support::*;

/// A certificate authority of the test's own.
struct Authority(CertifiedIssuer<'static, KeyPair>);

fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, key()).unwrap())
    }

    /// Writes the authority's certificate where a `ca_bundle` can name it.
    fn bundle(&self, dir: &Path) -> PathBuf {
        let path = dir.join("ca.pem");
        std::fs::write(&path, self.0.pem()).unwrap();
        path
    }

    /// The settings of a server that is `names`, by a certificate that `change` may spoil.
    fn server(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> ServerConfig {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let key = key();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        server(certificate.der().clone(), &key)
    }
}

fn server(certificate: rustls::pki_types::CertificateDer<'static>, key: &KeyPair) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate],
            PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        )
        .unwrap()
}

fn start(tls: ServerConfig) -> Server {
    Server::start_tls(tls, |_, wire| reply(wire, "200 OK", &[], b"secure"))
}

async fn get(config: Config, url: &str) -> Result<Vec<u8>, Error> {
    let names = Names::new(&[
        ("good.test", &["127.0.0.1"]),
        ("other.test", &["127.0.0.1"]),
    ]);
    let config = Config {
        private: ["127.0.0.1", "::1"]
            .iter()
            .map(|e| e.parse().unwrap())
            .collect(),
        ..config
    };
    let log = Log::default();
    let client = Client::with_resolver(config, names)?;
    let response = client.get(&Request::new(url), &user(&log), 1024).await?;
    Ok(response.body.to_vec())
}

#[tokio::test]
async fn configured_authorities_are_trusted() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let server = start(authority.server(&["good.test", "127.0.0.1"], |_| {}));
    let config = Config {
        ca_bundle: Some(authority.bundle(dir.path())),
        ..config()
    };
    for host in ["good.test", "127.0.0.1"] {
        let body = get(config.clone(), &server.url_as(host, "/"))
            .await
            .unwrap();
        assert_eq!(body, b"secure");
    }
}

#[tokio::test]
async fn bad_certificates_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let config = Config {
        ca_bundle: Some(authority.bundle(dir.path())),
        ..config()
    };
    let own = key();
    let self_signed = CertificateParams::new(vec!["good.test".to_owned()])
        .unwrap()
        .self_signed(&own)
        .unwrap();
    for (what, tls) in [
        ("another name", authority.server(&["other.test"], |_| {})),
        (
            "expired",
            authority.server(&["good.test"], |params| {
                params.not_after = date_time_ymd(2001, 1, 1)
            }),
        ),
        (
            "not yet valid",
            authority.server(&["good.test"], |params| {
                params.not_before = date_time_ymd(2999, 1, 1)
            }),
        ),
        (
            "another authority",
            Authority::new().server(&["good.test"], |_| {}),
        ),
        ("self-signed", server(self_signed.der().clone(), &own)),
    ] {
        let server = start(tls);
        let error = get(config.clone(), &server.url_as("good.test", "/"))
            .await
            .unwrap_err();
        assert!(
            matches!(&error, Error::Tls { origin, .. } if origin.contains("good.test")),
            "{what}: {error:?}"
        );
        assert!(error.remedy().unwrap().to_string().contains("ca_bundle"));
        // It was not tried again, and no request was sent.
        assert_eq!(
            (server.seen().len(), server.connections()),
            (0, 1),
            "{what}"
        );
    }
}

#[tokio::test]
async fn unknown_authority_is_refused() {
    let server = start(Authority::new().server(&["good.test"], |_| {}));
    let error = get(config(), &server.url_as("good.test", "/"))
        .await
        .unwrap_err();
    // A machine without any authority says so instead.
    assert!(
        matches!(
            error,
            Error::Tls { .. }
                | Error::Setting {
                    setting: "ca_bundle",
                    ..
                }
        ),
        "{error:?}"
    );
    assert_eq!(server.seen().len(), 0);
}

#[tokio::test]
async fn redirect_from_https_to_http_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let canary = Server::canary();
    let target = canary.url("/a?token=canary");
    let tls = authority.server(&["127.0.0.1"], |_| {});
    let server = Server::start_tls(tls, move |_, wire| redirect(wire, &target));
    let config = Config {
        ca_bundle: Some(authority.bundle(dir.path())),
        ..config()
    };
    let error = get(config, &server.url("/")).await.unwrap_err();
    assert!(!error.to_string().contains("canary"), "{error}");
    assert!(
        matches!(error, Error::Refused(Refusal::Downgrade { .. })),
        "{error}"
    );
    assert_eq!(canary.connections(), 0);
}

/// A private host that the user excepted is for the user to name: a server that anybody may have
/// cannot send us there.
#[tokio::test]
async fn public_redirects_do_not_reach_private_hosts() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let inside = start(authority.server(&["127.0.0.1"], |_| {}));
    let target = inside.url("/a?token=canary");
    let tls = authority.server(&["good.test", "127.0.0.1"], |_| {});
    let server = Server::start_tls(tls, move |_, wire| redirect(wire, &target));
    let config = || Config {
        ca_bundle: Some(authority.bundle(dir.path())),
        ..config()
    };
    // By a name that no exception spells, as a stranger's server has.
    let error = get(config(), &server.url_as("good.test", "/"))
        .await
        .unwrap_err();
    assert!(!error.to_string().contains("canary"), "{error}");
    assert!(
        matches!(error, Error::Refused(Refusal::Inward { .. })),
        "{error}"
    );
    assert_eq!(inside.connections(), 0);
    // One that the user named may.
    let body = get(config(), &server.url("/")).await.unwrap();
    assert_eq!(body, b"secure");
}

#[test]
fn bad_certificate_bundle_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let empty = dir.path().join("empty.pem");
    std::fs::write(&empty, "no certificate here").unwrap();
    let broken = dir.path().join("broken.pem");
    std::fs::write(
        &broken,
        "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n",
    )
    .unwrap();
    for path in [empty, broken, dir.path().join("missing.pem")] {
        let error = Client::new(Config {
            ca_bundle: Some(path.clone()),
            ..config()
        })
        .unwrap_err();
        assert!(
            matches!(
                error,
                Error::Setting {
                    setting: "ca_bundle",
                    ..
                }
            ),
            "{error}"
        );
        assert!(
            error.to_string().contains(path.to_str().unwrap()),
            "{error}"
        );
    }
}

#[test]
fn https_without_plain_mirror_needs_certificates() {
    let permissions = |list: &[&str]| -> Permissions {
        let mut permissions = Permissions::none();
        for permission in list {
            permissions.insert(permission.parse().unwrap());
        }
        permissions
    };
    let mirror = |to: &str| Mirror {
        from: "https://a.example".parse().unwrap(),
        to: to.parse().unwrap(),
    };
    let needs = |mirrors: &[Mirror], list: &[&str]| {
        let client = Client::new(Config {
            mirrors: mirrors.to_vec(),
            ..config()
        });
        client.unwrap().needs_certificates(&permissions(list))
    };
    let plain = [mirror("http://mirror.example/a")];
    assert!(!needs(&[], &[]));
    assert!(!needs(&[], &["http://a.example"]));
    assert!(needs(&[], &["http://a.example", "https://a.example"]));
    assert!(!needs(&plain, &["https://a.example"]));
    assert!(needs(
        &[mirror("https://b.example")],
        &["https://a.example"]
    ));
    for other in [
        "https://b.example",
        "https://a.example:444",
        "https://*.a.example",
    ] {
        assert!(needs(&plain, &["https://a.example", other]), "{other}");
    }
    let offline = Client::new(Config {
        offline: true,
        ..config()
    });
    let asked = permissions(&["https://a.example"]);
    assert!(!offline.unwrap().needs_certificates(&asked));
}
