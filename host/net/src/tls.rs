//! TLS: rustls with the system's certificate authorities and those of the user's bundle.
//! Verification cannot be turned off.

use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls_platform_verifier::Verifier;

use crate::error::Error;

/// Reads the certificates of a PEM file.
pub(crate) fn read_bundle(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let bad = |reason: String| Error::Setting {
        setting: "ca_bundle",
        reason: format!("{}: {reason}", path.display()),
    };
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| match error {
            rustls::pki_types::pem::Error::Io(source) => bad(source.to_string()),
            other => bad(format!("not a PEM file: {other}")),
        })?;
    if certificates.is_empty() {
        return Err(bad("it holds no certificate".to_owned()));
    }
    Ok(certificates)
}

/// The configuration for `https`. Reads the system's certificates, so it takes some milliseconds.
pub(crate) fn verifying(extra: Vec<CertificateDer<'static>>) -> Result<ClientConfig, Error> {
    let bad = |error: rustls::Error| Error::Setting {
        setting: "ca_bundle",
        reason: format!("the certificate authorities cannot be used: {error}"),
    };
    let provider = provider();
    let verifier = Verifier::new_with_extra_roots(extra, Arc::clone(&provider)).map_err(bad)?;
    // "Dangerous" is any verifier that rustls did not make; this one asks the platform.
    let mut config = builder(provider)
        .map_err(bad)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// A configuration that trusts no authority, for clients that only ever speak plain `http`.
pub(crate) fn trusting_nobody() -> Result<ClientConfig, Error> {
    let config = builder(provider()).map_err(|error| Error::Setting {
        setting: "tls",
        reason: error.to_string(),
    })?;
    Ok(config
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth())
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn builder(
    provider: Arc<CryptoProvider>,
) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, rustls::Error> {
    ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()
}
