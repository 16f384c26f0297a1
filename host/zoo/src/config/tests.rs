//! Every setting that cannot be used is named; none is ignored.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::Path;

use super::*;

/// The settings of an environment whose store is in `home`.
fn read(home: &Path, variables: &[(&str, &str)]) -> Result<Config, Error> {
    Config::from_lookup(&|name| match name {
        "MODELZOO_HOME" => Some(home.into()),
        _ => {
            let found = variables.iter().find(|(own, _)| *own == name);
            found.map(|(_, value)| value.into())
        }
    })
}

fn refused(home: &Path, variables: &[(&str, &str)]) -> String {
    read(home, variables).unwrap_err().to_string()
}

#[test]
fn unusable_variable_is_named() {
    let home = tempfile::tempdir().unwrap();
    for (name, value) in [
        ("MODELZOO_OFFLINE", "perhaps"),
        ("MODELZOO_ALLOW_PRIVATE", "a.lan, not a host"),
        ("MODELZOO_ALLOW_PRIVATE", "10.0.0.0/99"),
        ("MODELZOO_CA_BUNDLE", "/nowhere/ca.pem"),
        ("MODELZOO_CA_BUNDLE", "/"),
        ("GITHUB_TOKEN", "two words"),
        ("GITHUB_TOKEN", "ghp_a\u{e9}"),
        ("GITHUB_TOKEN", "ghp_a\nghp_b"),
        ("GITHUB_API_URL", "github.example"),
        ("GITHUB_API_URL", "ftp://github.example"),
        ("GITHUB_API_URL", "https://user:secret@github.example"),
        ("RAYON_NUM_THREADS", "four"),
        ("RAYON_NUM_THREADS", "-1"),
        ("RAYON_NUM_THREADS", "1000000"),
        ("HTTPS_PROXY", "not a proxy"),
        ("https_proxy", "htp://proxy:1"),
        ("HTTP_PROXY", "http://proxy:99999"),
        ("ALL_PROXY", "socks9://proxy:1"),
        ("NO_PROXY", "10.0.0.0/99"),
    ] {
        let error = refused(home.path(), &[(name, value)]);
        assert!(error.contains(name), "{name}={value}: {error}");
        assert!(
            !error.contains("secret") && !error.contains("ghp_"),
            "{error}"
        );
    }
}

#[cfg(all(unix, not(target_vendor = "apple")))]
#[test]
fn missing_certificates_are_named() {
    let home = tempfile::tempdir().unwrap();
    let empty = home.path().join("empty.pem");
    fs::write(&empty, "no certificate").unwrap();
    for (name, value) in [
        ("SSL_CERT_FILE", "/nowhere/ca.pem"),
        ("SSL_CERT_FILE", ""),
        ("SSL_CERT_FILE", empty.to_str().unwrap()),
        ("SSL_CERT_DIR", "/nowhere:/nowhere/else"),
    ] {
        let error = refused(home.path(), &[(name, value)]);
        assert!(error.contains(name), "{name}={value}: {error}");
    }
    read(home.path(), &[("SSL_CERT_DIR", "/nowhere:/")]).unwrap();
}

#[cfg(unix)]
#[test]
fn variable_that_is_not_unicode_is_named() {
    use std::os::unix::ffi::OsStringExt as _;
    let home = tempfile::tempdir().unwrap();
    for name in [
        "MODELZOO_HOME",
        "MODELZOO_OFFLINE",
        "MODELZOO_ALLOW_PRIVATE",
        "MODELZOO_CA_BUNDLE",
        "GITHUB_TOKEN",
        "GITHUB_API_URL",
        "RAYON_NUM_THREADS",
        "HTTPS_PROXY",
        "NO_PROXY",
    ] {
        let error = Config::from_lookup(&|asked| match asked {
            _ if asked == name => Some(OsString::from_vec(vec![b'1', 0xff])),
            "MODELZOO_HOME" => Some(home.path().into()),
            _ => None,
        });
        let error = error.unwrap_err().to_string();
        assert!(
            error.contains(name) && error.contains("not Unicode"),
            "{error}"
        );
    }
}

#[test]
fn home_that_is_not_a_directory_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    for home in ["", " ", "~", "~/zoo", file.to_str().unwrap()] {
        let error = refused(Path::new(home), &[]);
        assert!(error.starts_with("MODELZOO_HOME: "), "{home}: {error}");
    }
    let error = refused(&file.join("below"), &[]);
    assert!(error.starts_with("MODELZOO_HOME: "), "{error}");
    let config = read(&dir.path().join("new/store"), &[]).unwrap();
    assert!(config.home.is_absolute() && !config.home.exists());
}

#[test]
fn unusable_key_of_the_file_is_named_in_one_line() {
    let home = tempfile::tempdir().unwrap();
    for (text, named) in [
        ("\nofflin = true\n", "line 2: unknown field `offlin`"),
        (
            "offline = \"yes\"\n",
            "line 1: invalid type: string \"yes\"",
        ),
        ("offline = \n", "line 1: "),
        ("allow_private = [\"not a host\"]\n", "allow_private: "),
        ("ca_bundle = \"/nowhere/ca.pem\"\n", "ca_bundle: "),
        ("[github]\napi_url = \"x\"\n", "github.api_url: "),
        (
            "[mirrors]\n\"nothing\" = \"https://x\"\n",
            "mirrors.\"nothing\": ",
        ),
        (
            "[mirrors]\n\"https://a.test\" = \"ftp://x\"\n",
            "mirrors.\"https://a.test\": ",
        ),
        (
            "[mirrors]\n\"https://a.test\" = \"https://x/?y\"\n",
            "mirrors.\"https://a.test\": ",
        ),
        (
            "[mirrors]\n\"https://a.test\" = \"https://x\"\n\"https://a.test:443\" = \"https://y\"\n",
            "mirrors.\"https://a.test:443\": ",
        ),
        ("[limits]\nwall = 99999999\n", "limits.wall"),
        ("[limits]\nmemory = 1\n", "line 2: unknown field `memory`"),
    ] {
        fs::write(home.path().join(FILE), text).unwrap();
        let error = refused(home.path(), &[]);
        assert!(error.contains(named), "{text}: {error}");
        assert!(!error.contains('\n'), "{error}");
    }
    fs::write(home.path().join(FILE), b"offline = \xff").unwrap();
    assert!(refused(home.path(), &[]).contains(FILE));
    fs::write(home.path().join(FILE), vec![b'#'; MAX_FILE as usize + 1]).unwrap();
    assert!(refused(home.path(), &[]).contains("larger"));
}

#[test]
fn usable_settings_are_read() {
    let home = tempfile::tempdir().unwrap();
    let config = read(
        home.path(),
        &[
            ("MODELZOO_OFFLINE", " Yes\n"),
            ("MODELZOO_ALLOW_PRIVATE", "a.lan, ,10.0.0.0/8,"),
            ("GITHUB_TOKEN", "ghp_a\r\n"),
            ("GITHUB_API_URL", "https://github.example/api/v3/"),
            ("RAYON_NUM_THREADS", "3"),
            ("HTTPS_PROXY", "proxy:3128"),
            ("NO_PROXY", "*.lan"),
        ],
    )
    .unwrap();
    assert!(config.offline);
    assert_eq!(config.private.len(), 2);
    assert_eq!(config.github_token.unwrap().expose(), "ghp_a");
    assert_eq!(config.github_api.as_str(), "https://github.example/api/v3");
    let empty = [
        "MODELZOO_OFFLINE",
        "GITHUB_TOKEN",
        "HTTPS_PROXY",
        "RAYON_NUM_THREADS",
    ];
    let config = read(home.path(), &empty.map(|name| (name, ""))).unwrap();
    assert!(!config.offline && config.github_token.is_none());
}
