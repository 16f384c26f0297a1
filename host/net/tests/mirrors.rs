//! Where the user lets requests go instead: mirrors and proxies.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod support;

use modelzoo_net::policy::Grants;
use modelzoo_net::{Client, Config, Credential, Error, Mirror, Proxy, Refusal, Request, Secret};
use support::*;

const MIB: u64 = 1024 * 1024;

async fn get(client: &Client, url: &str) -> Result<modelzoo_net::Response, Error> {
    let log = Log::default();
    client.get(&Request::new(url), &user(&log), MIB).await
}

#[tokio::test]
async fn mirror_replaces_its_origin() {
    let server = Server::start(|seen, wire| match seen.path.as_str() {
        "/hf/moved" => redirect(wire, "/hf/there"),
        "/hf/astray" => redirect(wire, "http://127.0.0.1:1/"),
        _ => reply(wire, "200 OK", &[], seen.path.as_bytes()),
    });
    let mirror = Mirror {
        from: "https://models.example".parse().unwrap(),
        to: server.url("/hf/").parse().unwrap(),
    };
    let credential = Credential::bearer(
        "https://models.example".parse().unwrap(),
        &Secret::new("canary"),
    );
    let config = Config {
        private: vec![],
        mirrors: vec![mirror],
        credentials: vec![credential],
        ..config()
    };
    let client = Client::new(config).unwrap();
    let granted = permissions(&["https://models.example"]);
    let log = Log::default();
    let access = modelzoo_net::Access {
        use_credentials: true,
        ..access(Grants::Only(&granted), &log)
    };
    let get = |url: &str| {
        let request = Request::new(url).header("x-api-key", "k");
        let (client, access) = (&client, &access);
        async move { client.get(&request, access, MIB).await }
    };
    let response = get("https://models.example/a/b?c=d").await.unwrap();
    assert_eq!(&response.body[..], b"/hf/a/b?c=d");
    assert_eq!(response.final_url.as_str(), server.url("/hf/a/b"));
    assert_eq!(
        &get("https://models.example/moved").await.unwrap().body[..],
        b"/hf/there"
    );
    // The mirror may move about within itself, and nowhere else.
    let error = get("https://models.example/astray").await.unwrap_err();
    assert!(matches!(refusal(error), Refusal::Redirect { .. }));
    // Asking for the mirror by its own name is not the user's choice.
    assert!(matches!(
        refusal(get(&server.url("/hf/a")).await.unwrap_err()),
        Refusal::Host { .. }
    ));
    for seen in server.seen() {
        assert_eq!(
            (seen.header("authorization"), seen.header("x-api-key")),
            (None, None)
        );
    }
}

#[tokio::test]
async fn proxy_is_not_used_for_loopback() {
    let proxy = Server::start(|seen, wire| reply(wire, "200 OK", &[], seen.path.as_bytes()));
    let direct = Server::start(|_, wire| reply(wire, "200 OK", &[], b"direct"));
    let names = Names::new(&[
        ("proxy.test", &["127.0.0.1"]),
        ("near.test", &["127.0.0.1"]),
    ]);
    let url = proxy.url_as("user:pass@proxy.test", "");
    let config = Config {
        private: ["far.test", "near.test", "127.0.0.1"]
            .iter()
            .map(|e| e.parse().unwrap())
            .collect(),
        proxy: Proxy::Always {
            url: Secret::new(url),
            except: "near.test".to_owned(),
        },
        ..config()
    };
    let client = Client::with_resolver(config, names.clone()).unwrap();
    let body =
        |response: modelzoo_net::Response| String::from_utf8(response.body.to_vec()).unwrap();

    assert_eq!(
        body(get(&client, "http://far.test/a").await.unwrap()),
        "http://far.test/a"
    );
    assert_eq!(
        proxy.seen()[0].header("proxy-authorization"),
        Some("Basic dXNlcjpwYXNz")
    );
    // The proxy looks the name up, so we did not.
    assert_eq!(names.asked(), ["proxy.test"]);
    assert_eq!(
        body(get(&client, &direct.url("/")).await.unwrap()),
        "direct"
    );
    assert_eq!(
        body(
            get(&client, &direct.url_as("near.test", "/"))
                .await
                .unwrap()
        ),
        "direct"
    );
    assert_eq!(direct.seen()[0].header("proxy-authorization"), None);
    // The rules about names and literal addresses hold through a proxy too.
    let error = get(&client, "https://10.0.0.1/").await.unwrap_err();
    assert!(matches!(refusal(error), Refusal::Address { .. }));
    assert_eq!(proxy.seen().len(), 1);
}

#[test]
fn bad_proxy_url_is_an_error() {
    for url in ["ftp://proxy.test", "proxy", ""] {
        let proxy = Proxy::Always {
            url: Secret::new(url),
            except: String::new(),
        };
        let error = Client::new(Config { proxy, ..config() }).unwrap_err();
        assert!(
            matches!(
                error,
                Error::Setting {
                    setting: "proxy",
                    ..
                }
            ),
            "{url}"
        );
    }
}
