//! Guests that fetch without permission.

use modelzoo_sandbox::GuestErrorKind;

use super::world::{MODEL_FILE, guest};
use crate::server::Server;

#[test]
pub(crate) fn bad_host() {
    let server = Server::serving(b"secret".to_vec());
    for url in [
        server.url("/"),
        "https://example.org/".to_owned(),
        "https://127.0.0.1/".to_owned(),
        "https://[::ffff:7f00:1]/".to_owned(),
        "https://2130706433/".to_owned(),
        "https://allowed.example.evil.example/".to_owned(),
    ] {
        let run = guest(test_artifacts::BAD_HOST)
            .granting("https://allowed.example")
            .file("url.txt", &url)
            .download();
        assert_eq!(run.model_dir.path().read_dir().unwrap().count(), 0, "{url}");
        let (kind, message) = run.guest_error();
        assert_eq!(kind, GuestErrorKind::Denied, "{url}: {message}");
    }
    assert_eq!(server.requests(), 0);
}

#[test]
pub(crate) fn bad_redirect() {
    let elsewhere = Server::serving(b"secret".to_vec());
    let target = elsewhere.url("/secret");
    for location in [
        target.as_str(),
        "http://169.254.169.254/latest/",
        "https://example.org/",
    ] {
        let header = format!("location: {location}\r\n");
        let server = Server::start(move |_| ("302 Found", header.clone(), Vec::new()));
        let redirected = |case: &str| {
            guest(test_artifacts::BAD_REDIRECT)
                .case(case)
                .granting(server.origin())
                .file("url.txt", server.url("/"))
                .download()
        };
        let (kind, message) = redirected("denied").guest_error();
        assert_eq!(kind, GuestErrorKind::Denied, "{location}: {message}");
        assert_eq!(redirected("stubborn").names(), [MODEL_FILE], "{location}");
    }
    assert_eq!(elsewhere.requests(), 0);
}
