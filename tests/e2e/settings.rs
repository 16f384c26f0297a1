//! Settings that cannot be used: each is named, before anything is done.

use crate::github::GitHub;
use crate::server::{Response, Server};
use crate::source::Source;
use crate::world::{CANARY, Run, World};

/// Runs a command that must fail over a setting, and must not have made or sent anything.
fn names(world: &World, args: &[&str], setting: &str) {
    let run = world.run(args);
    assert_eq!(run.code, Some(1), "{setting}: {run:#?}");
    assert_eq!(run.stdout, "", "{setting}");
    assert!(run.stderr.starts_with("error: "), "{}", run.stderr);
    assert!(run.stderr.contains(setting), "{setting}: {}", run.stderr);
    assert!(!run.stderr.contains(r"\n"), "{}", run.stderr);
    assert!(!world.home().join("staging").exists(), "{setting}");
    assert!(!world.home().join("modelzoo.lock").exists(), "{setting}");
}

#[test]
fn unusable_variables_are_named_before_anything_is_done() {
    let server = Server::files([("/digits.zip", Source::digits().zip(""))]);
    let empty = World::new().path("ca.pem");
    for (name, value) in [
        ("HTTPS_PROXY", "not a proxy"),
        ("HTTPS_PROXY", "htp://proxy.invalid:3128"),
        ("https_proxy", "http://proxy.invalid:99999"),
        ("HTTP_PROXY", "http//proxy.invalid:3128"),
        ("ALL_PROXY", "socks5://"),
        ("all_proxy", "ftp://proxy.invalid"),
        ("NO_PROXY", "10.0.0.0/99"),
        ("MODELZOO_OFFLINE", "maybe"),
        ("MODELZOO_ALLOW_PRIVATE", "http://host"),
        ("MODELZOO_CA_BUNDLE", "/nowhere/ca.pem"),
        ("MODELZOO_HOME", ""),
        ("MODELZOO_HOME", "~/zoo"),
        ("GITHUB_API_URL", "not a url"),
        ("GITHUB_TOKEN", "two words"),
        ("RAYON_NUM_THREADS", "many"),
        #[cfg(target_os = "linux")]
        ("SSL_CERT_FILE", empty.to_str().unwrap()),
    ] {
        let world = World::reaching(&[&server]).env(name, value);
        names(
            &world,
            &["register-source", &server.url("/digits.zip")],
            name,
        );
        names(&world, &["list"], name);
    }
    assert_eq!(server.seen().len(), 0);
}

#[cfg(target_os = "linux")]
#[test]
fn variables_that_are_not_unicode_are_named() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    let value = OsStr::from_bytes(b"http://a\xff:1");
    for name in [
        "MODELZOO_HOME",
        "MODELZOO_OFFLINE",
        "MODELZOO_ALLOW_PRIVATE",
        "MODELZOO_CA_BUNDLE",
        "GITHUB_TOKEN",
        "GITHUB_API_URL",
        "HTTPS_PROXY",
        "NO_PROXY",
        "RAYON_NUM_THREADS",
    ] {
        let world = World::new();
        Source::digits().write(&world.path("source"));
        let mut command = world.command(&["register-source", "./source"]);
        command.env("HOME", world.path("user")).env(name, value);
        let run = Run::from(command.output().unwrap());
        assert_eq!(run.code, Some(1), "{name}: {run:#?}");
        assert!(run.stderr.contains(name), "{name}: {}", run.stderr);
        // Neither the store that is meant nor the default one.
        assert!(
            !world.home().exists() && !world.path("user").exists(),
            "{name}"
        );
    }
}

#[test]
fn errors_of_the_file_are_one_line() {
    let world = World::new();
    std::fs::create_dir(world.home()).unwrap();
    for (text, says) in [
        (
            "offline = true\nofflin = true\n",
            "line 2: unknown field `offlin`",
        ),
        ("offline = [", "line 1: "),
        (
            "[mirrors]\n\"https://a.test\" = \"file:///x\"\n",
            "mirrors.\"https://a.test\"",
        ),
        (
            "ca_bundle = \"/nowhere\"\n",
            "ca_bundle: /nowhere: No such file",
        ),
    ] {
        std::fs::write(world.home().join("config.toml"), text).unwrap();
        names(&world, &["list"], says);
    }
}

#[test]
fn token_may_end_with_a_line_end() {
    let github = GitHub::start();
    let world = github.world().env("GITHUB_TOKEN", &format!("{CANARY}\r\n"));
    world.ok(&["register-source", "acme/digits"]);
    let bearer = format!("Bearer {CANARY}");
    let asked = github.asked();
    let sent = asked
        .first()
        .and_then(|request| request.header("authorization"));
    assert_eq!(sent, Some(bearer.as_str()));
}

#[test]
fn proxy_that_does_not_connect_is_named_with_its_variable() {
    for (status, says, hints) in [
        (
            407,
            "does not accept the user name and the password",
            "user:password@",
        ),
        (403, "refuses the connection", "NO_PROXY"),
    ] {
        let proxy = Server::start(move |_| Response::status(status));
        let address = format!("http://user:pr0xy5ecret@{}", proxy.authority());
        let world = World::new().env("https_proxy", &address);
        let error = world.refused(1, &["register-source", "https://far.invalid/x.zip"]);
        assert!(
            error.contains(&format!("http://{}", proxy.authority())),
            "{error}"
        );
        assert!(error.contains(says) && error.contains(hints), "{error}");
        assert!(error.contains("https_proxy"), "{error}");
        assert!(!error.contains("pr0xy5ecret"), "{error}");
        assert_eq!(proxy.seen().len(), 1, "asked once");
    }
}
