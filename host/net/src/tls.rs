//! TLS: rustls with the system's certificate authorities and those of the user's bundle.
//! Verification cannot be turned off.

use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;

use modelzoo_base::file::open_regular;
use modelzoo_base::text::escape_path;
use rustls::ClientConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls_platform_verifier::Verifier;

use crate::error::Error;
use crate::proxy::Environment;

/// The most bytes of a file of certificates.
const MAX_BUNDLE: u64 = 16 << 20;

/// Reads the certificates of a PEM file.
pub(crate) fn read_bundle(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let bad = |reason: String| Error::Setting {
        setting: "ca_bundle",
        reason: format!("{}: {reason}", escape_path(path)),
    };
    let text = read(path).map_err(|error| bad(error.to_string()))?;
    let certificates = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| bad(format!("not a PEM file: {error}")))?;
    if certificates.is_empty() {
        return Err(bad("it holds no certificate".to_owned()));
    }
    Ok(certificates)
}

/// Checks the variables that replace the system's certificates. Without this, a file that is not
/// there would mean that nobody is trusted, and the error would be about the server.
#[cfg(all(unix, not(target_vendor = "apple"), not(target_os = "android")))]
pub(crate) fn check_environment(env: Environment<'_>) -> Result<(), Error> {
    /// How a certificate begins in a PEM file.
    const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
    let bad = |setting, path: &Path, reason: &str| Error::Setting {
        setting,
        reason: match path.as_os_str().is_empty() {
            true => "it is empty".to_owned(),
            false => format!("{}: {reason}", escape_path(path)),
        },
    };
    if let Some(file) = env("SSL_CERT_FILE") {
        let file = Path::new(&file);
        let text = read(file).map_err(|error| bad("SSL_CERT_FILE", file, &error.to_string()))?;
        if !text.windows(BEGIN.len()).any(|part| part == BEGIN) {
            return Err(bad("SSL_CERT_FILE", file, "it holds no certificate"));
        }
    }
    if let Some(list) = env("SSL_CERT_DIR")
        && !std::env::split_paths(&list).any(|directory| directory.is_dir())
    {
        return Err(bad("SSL_CERT_DIR", Path::new(&list), "not a directory"));
    }
    Ok(())
}

/// The platform's certificates are not named by variables.
#[cfg(not(all(unix, not(target_vendor = "apple"), not(target_os = "android"))))]
#[allow(clippy::unnecessary_wraps, reason = "elsewhere there is a failure")]
pub(crate) fn check_environment(_: Environment<'_>) -> Result<(), Error> {
    Ok(())
}

/// The bytes of a file of certificates.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let file = open_regular(path)?;
    file.take(MAX_BUNDLE.saturating_add(1))
        .read_to_end(&mut text)?;
    match text.len() as u64 > MAX_BUNDLE {
        true => Err(io::Error::other(format!(
            "it is larger than {MAX_BUNDLE} bytes"
        ))),
        false => Ok(text),
    }
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
