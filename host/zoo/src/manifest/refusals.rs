//! What is refused in a manifest, where the error says that it is, and what is bounded.

use serde_json::{Value, json};

use super::tests::{parse, with_model, with_models};
use super::{Manifest, ManifestError};

#[test]
fn errors_name_their_place() {
    let sha = "0".repeat(64);
    let artifact = |value: Value| with_model(json!({"base_name": "m", "artifacts": [value]}));
    for (value, expected) in [
        (json!([]), "the manifest is not an object"),
        (json!({"models": []}), "name is missing"),
        (json!({"name": 1, "models": []}), "name is not a string"),
        (json!({"name": "a/b"}), "models is missing"),
        (json!({"name": "a/b", "models": {}}), "models is not a list"),
        (
            json!({"name": "a", "models": [1]}),
            "models[0] is not an object",
        ),
        (with_model(json!({})), "models[0].base_name is missing"),
        (
            with_model(json!({"base_name": null})),
            "models[0].base_name is missing",
        ),
        (
            with_model(json!({"base_name": "a/../b"})),
            "models[0].base_name: `a/../b` is not a name",
        ),
        (
            with_model(json!({"base_name": "a", "version": "1/2"})),
            "models[0].version: `a@1/2` is not a name",
        ),
        (
            with_model(json!({"base_name": "a", "base_filename": 1})),
            "models[0].base_filename is not a string",
        ),
        (
            json!({"name": "a", "models": [], "component": "x"}),
            "component is not an object",
        ),
        (
            json!({"name": "a", "models": [], "component": {}}),
            "component.path is missing",
        ),
        (
            json!({"name": "a", "models": [], "component": {"path": "/x"}}),
            "component.path: `/x` is not a safe path",
        ),
        (
            json!({"name": "a", "models": [], "component": {"path": "x", "sha256": "1"}}),
            "component.sha256 is not 64",
        ),
        (
            json!({"name": "a", "models": [], "component": {"path": "x", "files": ["a", "../b"]}}),
            "component.files[1]: `../b` is not a safe path",
        ),
        (
            json!({"name": "a", "models": [], "permissions": []}),
            "permissions is not an object",
        ),
        (
            json!({"name": "a", "models": [], "permissions": {"network": ["https://a.example", "*"]}}),
            "permissions.network[1] is refused: `*`",
        ),
        (
            json!({"name": "a", "models": [], "permissions": {"max_download_bytes": -1}}),
            "permissions.max_download_bytes is not a number",
        ),
        (
            artifact(json!({"url": "https://x"})),
            "artifacts[0].path is missing",
        ),
        (
            artifact(json!({"path": "../x", "url": "https://x"})),
            "artifacts[0].path: `../x` is not a safe path",
        ),
        (
            artifact(json!({"path": "x"})),
            "artifacts[0].url names no address",
        ),
        (
            artifact(json!({"path": "x", "url": []})),
            "artifacts[0].url names no address",
        ),
        (
            artifact(json!({"path": "x", "url": ["https://x", "file:///etc/passwd"]})),
            "artifacts[0].url[1] is refused",
        ),
        (
            artifact(json!({"path": "x", "url": "https://x@y"})),
            "artifacts[0].url is refused",
        ),
        (
            artifact(json!({"path": "x", "url": "https://x", "sha256": "1"})),
            "artifacts[0].sha256 is not",
        ),
        (
            artifact(json!({"path": "x", "url": "https://x", "sha256": sha, "unpack": 1})),
            "artifacts[0].unpack is",
        ),
    ] {
        let error = parse(&value).unwrap_err().to_string();
        assert!(
            error.starts_with("manifest.json, line 1, column ") && error.contains(expected),
            "{error} / {expected}"
        );
    }
}

#[test]
fn errors_have_lines_and_columns() {
    for (text, expected) in [
        (&b"{\n  \"name\": }"[..], "manifest.json, line 2, column 11, in name: expected value"),
        (b"", "manifest.json, line 1, column 0: EOF while parsing a value"),
        (b"{\"name\": \"a\", \"models\": [{}, {\"tags\": [1 2]}]}", "column 42, in models[1].tags[0]: expected `,` or `]`"),
        (b"{\"name\": \"a\", \"models\": [NaN]}", "in models[0]: expected value"),
        (b"{\"name\": \"\xff\"}", "in name: invalid unicode code point"),
        (
            b"{\n  \"name\": \"a\",\n  \"models\": [\n    {\"base_name\": \"a\"},\n    {\"base_name\": \"..\"}\n  ]\n}",
            "manifest.json, line 5, column 19: models[1].base_name:",
        ),
        (b"\xef\xbb\xbf{\n  \"models\": []\n}", "manifest.json, line 1, column 1: name is missing"),
    ] {
        let error = Manifest::parse(text).unwrap_err();
        assert!(error.to_string().contains(expected), "{error} / {expected}");
    }
    let hidden = Manifest::parse(b"{\"\\u001b]0;x\": }")
        .unwrap_err()
        .to_string();
    assert!(!hidden.contains('\u{1b}'), "{hidden:?}");
}

/// C03.
#[test]
fn bad_source_names_are_refused() {
    for name in [
        "..",
        ".",
        "",
        "a/../../b",
        "CON",
        "a/NUL.txt",
        "\u{1f600}",
        "a\0b",
        &"a".repeat(4096),
        "a/b/c/d/e",
    ] {
        match parse(&json!({"name": name, "models": []})) {
            Err(ManifestError::Name { field, .. }) => assert_eq!(field, "name"),
            other => panic!("{name:?}: {other:?}"),
        }
    }
}

/// C04, V7.
#[test]
fn paths_stay_below_the_model_directory() {
    for path in [
        "/etc/passwd",
        "../x",
        "a/../../x",
        "..\\x",
        "C:\\x",
        "a\0b",
        "NUL",
        "a//b",
        "x.",
        "a/./b",
        "\\\\server\\x",
        "a:b",
    ] {
        match parse(&with_model(
            json!({"base_name": "m", "base_filename": path}),
        )) {
            Err(ManifestError::BadPath { field, .. }) => {
                assert_eq!(field, "models[0].base_filename")
            }
            other => panic!("{path:?}: {other:?}"),
        }
    }
    // V8: the model's directory is its own, so that these names are as good as any.
    for path in [
        "manifest.json",
        "__init__.py",
        "source.wasm",
        "dir/sub/",
        "a.zip",
    ] {
        assert!(
            parse(&with_model(
                json!({"base_name": "m", "base_filename": path})
            ))
            .is_ok(),
            "{path}"
        );
    }
}

/// C06, V6.
#[test]
fn models_must_be_distinct() {
    let model = |name: &str, version: Option<&str>| json!({"base_name": name, "version": version});
    for (models, second) in [
        (
            vec![model("a/m", None), model("A/m", None)],
            "models[1] (A/m) cannot be told from models[0] (a/m)",
        ),
        (
            vec![model("m", Some("1")), model("m", Some("1"))],
            "models[1] (m@1) cannot be told from models[0] (m@1)",
        ),
        (
            vec![
                model("m", Some("1a")),
                model("x", None),
                model("m", Some("1A")),
            ],
            "models[2] (m@1A) cannot be told from models[0] (m@1a)",
        ),
        (
            vec![model("m", Some("1")), model("m", None)],
            "models[1] (m) cannot be told from models[0] (m@1)",
        ),
        (
            vec![model("m", None), model("M", Some("1"))],
            "models[1] (M@1) cannot be told from models[0] (m)",
        ),
    ] {
        let error = parse(&with_models(&models)).unwrap_err();
        assert!(
            matches!(error, ManifestError::Duplicate { .. }) && error.to_string().contains(second),
            "{error}"
        );
    }
    let versions = [
        model("m", Some("1.0")),
        model("m", Some("v1.0")),
        model("m", Some("1.0a")),
        model("n", None),
    ];
    assert_eq!(parse(&with_models(&versions)).unwrap().models.len(), 4);
}

/// C10: what a source says is intact for those who ask for JSON.
#[test]
fn strings_are_kept_as_written() {
    let text = "\u{1b}]52;c;x\u{7} \u{202e}abc";
    let manifest = parse(&with_model(
        json!({"base_name": "m", "description": text, "tags": [text]}),
    ))
    .unwrap();
    assert_eq!(manifest.models[0].description.as_deref(), Some(text));
    assert_eq!(manifest.models[0].raw()["tags"][0], text);
}

#[test]
fn size_and_depth_are_bounded() {
    let nested = |open: &str, close: &str| {
        format!(
            "{{\"name\":\"a\",\"models\":[],\"x\":{}{}}}",
            open.repeat(100_000),
            close.repeat(100_000)
        )
    };
    for text in [nested("[", "]"), nested("{\"a\":", "}")] {
        assert!(matches!(
            Manifest::parse(text.as_bytes()),
            Err(ManifestError::Syntax { .. })
        ));
    }
    let long = format!("{{\"name\":\"a\",\"models\":[]{}}}", " ".repeat(16 << 20));
    assert!(matches!(
        Manifest::parse(long.as_bytes()),
        Err(ManifestError::TooLarge { .. })
    ));
    let many: Vec<Value> = (0..1000)
        .map(|i| json!({"base_name": format!("m{i}"), "author": 1}))
        .collect();
    assert_eq!(parse(&with_models(&many)).unwrap().warnings.len(), 201);
}
