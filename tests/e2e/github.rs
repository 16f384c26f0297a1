//! GitHub repositories, by the routes of GitHub's API.

use serde_json::json;

use crate::main_path::whole_path;
use crate::server::{Request, Response, Server};
use crate::source::Source;
use crate::world::{CANARY, World};

pub(crate) const MAIN: &str = "1111111111111111111111111111111111111111";
pub(crate) const FEATURE: &str = "2222222222222222222222222222222222222222";
pub(crate) const TAGGED: &str = "3333333333333333333333333333333333333333";
/// A commit in the history of `main`.
pub(crate) const EARLIER: &str = "5555555555555555555555555555555555555555";
/// A commit of somebody's fork: GitHub serves it under this repository's name too.
pub(crate) const FORK: &str = "6666666666666666666666666666666666666666";
const TAG_OBJECT: &str = "4444444444444444444444444444444444444444";

/// A GitHub with the one repository `acme/digits`: its API, and the host that archives come from.
pub(crate) struct GitHub {
    api: Server,
    codeload: Server,
}

impl GitHub {
    pub(crate) fn start() -> Self {
        Self::with(|_| None)
    }

    /// A GitHub whose repository is an archive at every commit.
    pub(crate) fn serving(archive: Vec<u8>) -> Self {
        Self::of(|_| None, move |_| archive.clone())
    }

    /// `first` may answer a request to the API before the repository does.
    pub(crate) fn with(
        first: impl Fn(&Request) -> Option<Response> + Send + Sync + 'static,
    ) -> Self {
        Self::of(first, |commit| {
            Source::digits().zip(&format!("acme-digits-{}/", &commit[..7]))
        })
    }

    fn of(
        first: impl Fn(&Request) -> Option<Response> + Send + Sync + 'static,
        archive: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        let codeload = Server::start(move |request| {
            match request.path.strip_prefix("/acme/digits/legacy.zip/") {
                Some(commit) => {
                    Response::ok(archive(commit)).with("content-type", "application/zip")
                }
                None => Response::status(404),
            }
        });
        let archives = codeload.url("/acme/digits/legacy.zip/");
        let api = Server::start(move |request| {
            first(request).unwrap_or_else(|| answer(request, &archives))
        })
        .trusted();
        Self { api, codeload }
    }

    pub(crate) fn world(&self) -> World {
        World::reaching(&[&self.api, &self.codeload]).env("GITHUB_API_URL", &self.api.url(""))
    }

    /// The requests to the API.
    pub(crate) fn asked(&self) -> Vec<Request> {
        self.api.seen()
    }

    /// The number of fetched archives.
    pub(crate) fn archives(&self) -> usize {
        self.codeload.seen().len()
    }
}

fn answer(request: &Request, archives: &str) -> Response {
    let Some(route) = request.path.strip_prefix("/repos/acme/digits/") else {
        return Response::status(404);
    };
    let object = |sha: &str, kind: &str| {
        Response::ok(json!({ "object": { "sha": sha, "type": kind } }).to_string())
    };
    let tips = |tips: &[(&str, &str)]| {
        let tip = |(name, sha): &(&str, &str)| json!({ "name": name, "commit": { "sha": sha } });
        Response::ok(json!(tips.iter().map(tip).collect::<Vec<_>>()).to_string())
    };
    let route = route.split('?').next().unwrap_or_default();
    if let Some((base, head)) = route
        .strip_prefix("compare/")
        .and_then(|commits| commits.split_once("..."))
    {
        let status = match (base, head) {
            (MAIN, EARLIER) => "behind",
            (base, head) if base == head => "identical",
            // Two histories without a common commit.
            (TAGGED, FORK) => return Response::status(404),
            _ => "diverged",
        };
        return Response::ok(json!({ "status": status, "commits": [] }).to_string());
    }
    match route {
        "branches" => tips(&[("main", MAIN), ("feature/x", FEATURE), ("both", MAIN)]),
        "tags" => tips(&[("both", FEATURE), ("v1.0", TAGGED)]),
        "git/ref/heads/main" => object(MAIN, "commit"),
        "git/ref/heads/feature/x" => object(FEATURE, "commit"),
        "git/ref/heads/both" => object(MAIN, "commit"),
        "git/ref/tags/both" => object(FEATURE, "commit"),
        "git/ref/tags/v1.0" => object(TAG_OBJECT, "tag"),
        "commits/HEAD" => Response::ok(MAIN),
        "commits/tags/v1.0" => Response::ok(TAGGED),
        _ => match (
            route.strip_prefix("commits/"),
            route.strip_prefix("zipball/"),
        ) {
            (Some(sha), _) if [MAIN, FEATURE, TAGGED, EARLIER, FORK].contains(&sha) => {
                Response::ok(sha)
            }
            (_, Some(sha)) if sha.len() == 40 => Response::redirect(format!("{archives}{sha}")),
            _ => Response::status(404),
        },
    }
}

fn commit_of(world: &World) -> String {
    world.json(&["list-sources"])[0]["commit"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn repository_is_registered_downloaded_and_applied() {
    let github = GitHub::start();
    let world = github.world();
    assert!(whole_path(&world, "acme/digits") >= 0.98);
    assert_eq!(commit_of(&world), MAIN);
    let lock = std::fs::read_to_string(world.home().join("modelzoo.lock")).unwrap();
    assert!(lock.contains(MAIN) && lock.contains("tree = "), "{lock}");

    // The token goes to the API, and not to where the API redirects.
    let bearer = format!("Bearer {CANARY}");
    let api = github.api.seen();
    assert!(
        !api.is_empty()
            && api
                .iter()
                .all(|r| r.header("authorization") == Some(&bearer))
    );
    let archives = github.codeload.seen();
    assert_eq!(archives.len(), 1);
    assert_eq!(archives[0].header("authorization"), None);
}

#[test]
fn branches_tags_and_commits_are_resolved() {
    let github = GitHub::start();
    for (reference, commit) in [
        ("acme/digits/main", MAIN),
        ("acme/digits/feature/x", FEATURE),
        ("acme/digits/v1.0", TAGGED),
        ("https://github.com/acme/digits", MAIN),
        ("https://github.com/acme/digits/tree/feature/x", FEATURE),
        ("https://github.com/acme/digits/releases/tag/v1.0", TAGGED),
        (
            "https://github.com/acme/digits/commit/2222222222222222222222222222222222222222",
            FEATURE,
        ),
        (
            "acme/digits/3333333333333333333333333333333333333333",
            TAGGED,
        ),
        ("git@github.com:acme/digits.git", MAIN),
    ] {
        let world = github.world();
        world.ok(&["register-source", reference]);
        assert_eq!(commit_of(&world), commit, "{reference}");
    }
}

#[test]
fn spellings_of_one_repository_are_one_source() {
    let github = GitHub::start();
    let world = github.world();
    world.ok(&["register-source", "acme/digits"]);
    let before = world.visible();
    for spelling in [
        "https://github.com/Acme/Digits/",
        "https://www.github.com/acme/digits.git",
        "ACME/digits",
    ] {
        let again = world.json(&["register-source", spelling]);
        assert_eq!(
            again["outcome"]["outcome"], "already_registered",
            "{spelling}"
        );
    }
    assert_eq!(world.visible(), before);
    let run = world.ok(&["delete-source", "https://github.com/acme/digits", "-y"]);
    assert!(run.stderr.contains("deleted"), "{}", run.stderr);
    assert_eq!(world.json(&["list-sources"]), json!([]));
}

#[test]
fn branch_and_tag_of_one_name_are_ambiguous() {
    let github = GitHub::start();
    let world = github.world();
    let error = world.refused(1, &["register-source", "acme/digits/both"]);
    assert!(error.contains(MAIN) && error.contains(FEATURE), "{error}");
}

#[test]
fn missing_repository_or_ref_is_named() {
    let github = GitHub::start();
    let world = github.world();
    let error = world.refused(1, &["register-source", "acme/digits/no-such-branch"]);
    assert!(error.contains("no-such-branch"), "{error}");
    let error = world.refused(1, &["register-source", "acme/other"]);
    assert!(
        error.contains("acme/other") && error.contains("GITHUB_TOKEN"),
        "{error}"
    );
    assert_eq!(github.codeload.seen().len(), 0);
}

#[test]
fn refused_token_does_not_stop_a_public_repository() {
    let github = GitHub::with(|request| {
        request
            .header("authorization")
            .map(|_| Response::status(401))
    });
    let world = github.world();
    let run = world.ok(&["register-source", "acme/digits"]);
    assert!(run.stderr.contains("GITHUB_TOKEN"), "{}", run.stderr);
}

#[test]
fn rate_limit_is_explained() {
    let github = GitHub::with(|_| {
        let limited = Response::status(403).with("x-ratelimit-remaining", "0");
        Some(limited.with("x-ratelimit-reset", "4102444800"))
    });
    let error = github
        .world()
        .refused(1, &["register-source", "acme/digits"]);
    assert!(
        error.contains("quota") && error.contains("2100-01-01"),
        "{error}"
    );
}

/// GitHub serves the commits of all forks under the name of each.
#[test]
fn commit_of_a_fork_needs_consent() {
    let pull = |request: &Request| {
        (request.path == "/repos/acme/digits/git/ref/pull/7/head").then(|| {
            Response::ok(json!({ "object": { "sha": FORK, "type": "commit" } }).to_string())
        })
    };
    for reference in [
        format!("acme/digits/{FORK}"),
        format!("acme/digits/{}", &FORK[..7]),
        format!("https://github.com/acme/digits/commit/{FORK}"),
        format!("https://github.com/acme/digits/tree/{FORK}"),
        "https://github.com/acme/digits/pull/7".to_owned(),
    ] {
        let github = GitHub::with(move |request| {
            let short = request.path == format!("/repos/acme/digits/commits/{}", &FORK[..7]);
            short.then(|| Response::ok(FORK)).or_else(|| pull(request))
        });
        let world = github.world();
        let error = world.refused(1, &["register-source", &reference]);
        for part in [FORK, "acme/digits", "no branch or tag"] {
            assert!(error.contains(part), "{reference}: {error}");
        }
        assert_eq!(github.archives(), 0, "nothing of it is fetched");
        let download = ["download", &reference, "-n", "modelzoo/digits-cnn"];
        world.refused(1, &download);
        // It can be looked at, and then it is said too.
        let shown = world.run(&["inspect", &reference]);
        assert!(shown.stdout.contains("no branch or tag"), "{shown:?}");
        world.hinted(&error);
        assert_eq!(commit_of(&world), FORK);
        // What is registered was accepted.
        world.ok(&["update-source"]);
        world.ok(&["register-source", &reference, "--overwrite"]);
        world.ok(&download);
    }
}

#[test]
fn commit_in_the_history_of_a_branch_or_tag_needs_no_consent() {
    let github = GitHub::start();
    for commit in [MAIN, EARLIER, FEATURE, TAGGED] {
        let world = github.world();
        world.ok(&["register-source", &format!("acme/digits/{commit}")]);
        assert_eq!(commit_of(&world), commit);
    }
}

#[test]
fn commit_whose_branches_cannot_be_asked_for_is_not_registered() {
    for broken in ["compare", "branches", "tags"] {
        let github = GitHub::with(move |request| {
            let path = request.path.strip_prefix("/repos/acme/digits/")?;
            path.starts_with(broken)
                .then(|| Response::ok("<html>no JSON</html>"))
        });
        let error = github
            .world()
            .refused(1, &["register-source", &format!("acme/digits/{FORK}")]);
        assert!(
            error.contains("did not answer as GitHub"),
            "{broken}: {error}"
        );
        assert_eq!(github.archives(), 0);
    }
}

#[test]
fn answer_with_another_commit_is_refused() {
    let short = &FEATURE[..9];
    for asked in [FEATURE, short] {
        let github = GitHub::with(|request| {
            let path = &request.path;
            let commit = path.starts_with("/repos/acme/digits/commits/2222222");
            commit.then(|| Response::ok(MAIN))
        });
        let world = github.world();
        let error = world.refused(1, &["register-source", &format!("acme/digits/{asked}")]);
        assert!(
            error.contains(MAIN) && error.contains(asked) && error.contains("hint:"),
            "{error}"
        );
        assert_eq!(github.archives(), 0);
    }
    // A ref that was not asked for.
    let github = GitHub::with(|request| {
        (request.path == "/repos/acme/digits/git/ref/heads/main").then(|| {
            let object = json!({ "sha": FEATURE, "type": "commit" });
            let answer = json!({ "ref": "refs/heads/mainly", "object": object });
            Response::ok(answer.to_string())
        })
    });
    let error = github
        .world()
        .refused(1, &["register-source", "acme/digits/main"]);
    assert!(error.contains("did not answer as GitHub"), "{error}");
}

/// `git archive` writes the commit into the comment of a zip.
#[test]
fn archive_of_another_commit_is_refused() {
    for (commented, fits) in [(MAIN, true), (FEATURE, false)] {
        let mut zip = Source::digits().zip("acme-digits-1111111/");
        let end = zip.len();
        assert_eq!(&zip[end - 22..end - 18], b"PK\x05\x06");
        zip[end - 2] = 40;
        zip.extend_from_slice(commented.as_bytes());
        let github = GitHub::serving(zip);
        let world = github.world();
        if fits {
            world.ok(&["register-source", "acme/digits"]);
            continue;
        }
        let error = world.refused(1, &["register-source", "acme/digits"]);
        assert!(error.contains(MAIN) && error.contains(FEATURE), "{error}");
    }
}
