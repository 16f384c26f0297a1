//! Inspecting sources and components: everything is shown, nothing is run or kept.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::downloads::sha256;
use crate::github::{GitHub, MAIN};
use crate::server::Server;
use crate::source::Source;
use crate::world::{Run, World};

const MODEL: &str = "modelzoo/digits-cnn";

/// Inspects something without leaving a trace. Returns the JSON.
fn inspect(world: &World, source: &str) -> Value {
    let before = world.visible();
    let inspection = world.json(&["inspect", source]);
    assert_eq!(world.visible(), before, "looking changes nothing");
    assert_eq!(world.unfinished(), Vec::<PathBuf>::new());
    inspection
}

/// Inspects something that must be refused. Returns what is shown of it.
fn refused(world: &World, source: &str) -> (Run, Value) {
    let before = world.visible();
    let run = world.run(&["inspect", source]);
    assert_eq!(run.code, Some(1), "{run:#?}");
    let shown = world.run(&["inspect", source, "--json"]);
    assert_eq!(shown.code, Some(1), "{shown:#?}");
    assert_eq!(world.visible(), before);
    (run, serde_json::from_str(&shown.stdout).unwrap())
}

fn component(inspection: &Value) -> &Value {
    &inspection["manifests"][0]["component"]
}

#[test]
fn registered_source_is_shown() {
    let world = World::new();
    let digits = Source::digits()
        .asking("https://a.example")
        .asking("https://b.example")
        .manifest(|m| m["permissions"]["max_download_bytes"] = json!(7_000_000));
    digits.write(&world.path("source"));
    let grant = [
        "register-source",
        "./source",
        "--grant",
        "https://a.example",
    ];
    world.ok(&grant);
    let before = inspect(&world, "./source");
    assert_eq!(before["kind"], "registered");
    assert_eq!(before["manifests"][0]["models"][0]["downloaded"], false);
    world.ok(&["download", MODEL]);

    let shown = inspect(&world, "./source");
    let source = &world.json(&["list-sources"])[0];
    for field in [
        "id",
        "reference",
        "tree",
        "registered",
        "checked",
        "granted",
    ] {
        assert_eq!(shown[field], source[field], "{field}");
    }
    assert_eq!(inspect(&world, source["id"].as_str().unwrap()), shown);
    assert_eq!(
        shown["asked"],
        json!(["https://a.example", "https://b.example"])
    );
    assert_eq!(shown["not_granted"], json!(["https://b.example"]));
    let manifest = &shown["manifests"][0];
    assert_eq!(manifest["max_download_bytes"], 7_000_000);

    let wasm = std::fs::read(test_artifacts::DIGITS_SOURCE).unwrap();
    let component = component(&shown);
    assert_eq!(component["file"], "source.wasm");
    assert_eq!(component["size"], wasm.len());
    assert_eq!(component["sha256"], sha256(&wasm));
    assert_eq!(component["wit_version"], "0.1.0");
    assert_eq!(
        component["hooks"],
        json!({ "download": true, "load": true })
    );
    assert_eq!(component["refused"], Value::Null);

    let model = &manifest["models"][0];
    assert_eq!(model["name"], "modelzoo/digits-cnn@1.0");
    assert_eq!(model["version"], "1.0");
    assert_eq!(model["downloaded_by"], "download_model");
    assert_eq!(model["downloaded"], true);
    let weights = digits
        .files()
        .into_iter()
        .find(|(name, _)| name == "digits-cnn.safetensors");
    let digest = sha256(&weights.unwrap().1);
    assert_eq!(
        model["files"],
        json!([{
            "name": "digits-cnn.safetensors", "declared": null, "pinned": digest, "received": digest,
        }])
    );

    let text = world.ok(&["inspect", "./source"]).stdout;
    for part in [
        "not granted   https://b.example",
        "download cap  at most 7.00 MB per model",
        "WIT           modelzoo:source 0.1.0",
        "hooks         download_model, load_model",
        "the manifest names none",
        "lock, receipt",
        "(today)",
        &digest,
    ] {
        assert!(text.contains(part), "no `{part}` in {text}");
    }
}

#[test]
fn imports_are_shown_with_their_provider() {
    let world = World::new();
    let shown = inspect(&world, test_artifacts::BAD_SOCKET);
    assert_eq!(shown["kind"], "component");
    assert_eq!(shown["id"], Value::Null);
    let imports = component(&shown)["imports"].as_array().unwrap();
    let answer = |interface: &str| {
        let named = |i: &&Value| i["name"].as_str().unwrap().starts_with(interface);
        let import = imports.iter().find(named);
        import.unwrap_or_else(|| panic!("{interface} in {imports:#?}"))["answer"].clone()
    };
    assert_eq!(answer("wasi:sockets/tcp@"), "trap");
    assert_eq!(answer("wasi:io/streams@"), "host");
    assert_eq!(answer("modelzoo:source/types@"), "host");
    // In a component with both hooks, one of them may have it.
    let shown = inspect(&world, test_artifacts::OK_FETCH);
    let imports = component(&shown)["imports"].as_array().unwrap();
    let fetch = imports
        .iter()
        .find(|i| i["name"] == "modelzoo:source/fetch@0.1.0");
    assert_eq!(fetch.unwrap()["answer"], "download_only");
    let text = world.ok(&["inspect", test_artifacts::BAD_SOCKET]).stdout;
    let line = text.lines().find(|line| line.contains("wasi:sockets/tcp@"));
    assert!(line.unwrap().contains("a trap"), "{text}");
}

#[test]
fn unregistered_source_is_fetched_and_not_kept() {
    let source = Source::digits().asking("https://a.example");
    let server = Server::files([("/digits.zip", source.zip("root/"))]);
    let world = World::reaching(&[&server]);
    source.write(&world.path("source"));
    std::fs::write(world.path("source.zip"), source.zip("")).unwrap();
    let url = server.url("/digits.zip");
    let mut trees = Vec::new();
    for reference in ["./source", "./source.zip", &url] {
        let shown = inspect(&world, reference);
        assert_eq!(shown["kind"], "fetched", "{reference}");
        assert_eq!(shown["registered"], Value::Null);
        assert_eq!(shown["granted"], json!([]));
        assert_eq!(shown["not_granted"], json!(["https://a.example"]));
        assert_eq!(shown["manifests"][0]["name"], "modelzoo/digits");
        assert_eq!(component(&shown)["wit_version"], "0.1.0");
        trees.push(shown["tree"].as_str().unwrap().to_owned());
    }
    assert!(trees.iter().all(|tree| *tree == trees[0]), "{trees:?}");
    assert_eq!(world.json(&["list-sources"]), json!([]));
    assert_eq!(world.visible().len(), 0);
    let error = world.refused(1, &["inspect", "./source", "--locked"]);
    assert!(error.contains("--locked"), "{error}");
    let error = world.refused(1, &["inspect", &url, "--offline"]);
    assert!(error.contains("offline"), "{error}");
}

#[test]
fn repository_is_shown_at_its_commit() {
    let github = GitHub::start();
    let world = github.world();
    let shown = inspect(&world, "acme/digits");
    assert_eq!(shown["kind"], "fetched");
    assert_eq!(shown["commit"], MAIN);
    assert_eq!(shown["id"], "gh:acme/digits");
    assert_eq!(world.json(&["list-sources"]), json!([]));
}

/// A component that registration refuses: its bytes and the expected reason.
fn bad_components() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let wat = |text: &str| wat::parse_str(text).unwrap();
    let good = std::fs::read(test_artifacts::DIGITS_SOURCE).unwrap();
    let mut broken = good.clone();
    // The declared length of the last section exceeds the file.
    broken.extend([0, 0xff, 0xff, 0xff, 0x0f]);
    let mut garbled = good[..8].to_vec();
    garbled.extend([0xee; 64]);
    let exports = |name: &str| format!(r#"(instance $i) (export "{name}" (instance $i))"#);
    let loader = exports("modelzoo:source/loader@0.1.0");
    let phase =
        format!(r#"(component (import "modelzoo:source/fetch@0.1.0" (instance)) {loader})"#);
    let foreign = format!(r#"(component (import "evil:host/exec@1.0.0" (instance)) {loader})"#);
    let newer = format!("(component {})", exports("modelzoo:source/loader@9.1.0"));
    let hookless = format!("(component {})", exports("acme:other/thing@1.0.0"));
    vec![
        ("empty", Vec::new(), "the file is empty"),
        ("page", b"<!DOCTYPE html>".to_vec(), "looks like a web page"),
        ("text", b"(component)".to_vec(), "WebAssembly text"),
        ("core-module", wat("(module)"), "core module"),
        ("truncated", good[..good.len() / 2].to_vec(), "cut off"),
        ("broken", broken, "cut off"),
        ("garbled", garbled, "at byte"),
        ("format", b"\0asm\x0e\0\x01\0".to_vec(), "binary format"),
        (
            "phase",
            wat(&phase),
            "`modelzoo:source/fetch@0.1.0`, which is not available",
        ),
        (
            "foreign",
            wat(&foreign),
            "`evil:host/exec@1.0.0`, which modelzoo does not have",
        ),
        (
            "newer",
            wat(&newer),
            "for modelzoo:source 9.1.0; this modelzoo supports 0.1.0",
        ),
        (
            "hookless",
            wat(&hookless),
            "it exports `acme:other/thing@1.0.0`",
        ),
    ]
}

#[test]
fn refused_component_is_shown_with_the_reason() {
    let world = World::new();
    for (name, bytes, reason) in bad_components() {
        let dir = world.path(name);
        Source::digits().write(&dir);
        std::fs::write(dir.join("source.wasm"), &bytes).unwrap();
        let reference = format!("./{name}");
        let error = world.refused(1, &["register-source", &reference]);
        assert!(error.contains(reason), "{name}: {error}");
        for inspected in [reference, format!("./{name}/source.wasm")] {
            let (run, shown) = refused(&world, &inspected);
            assert_eq!(run.stderr, error, "{name}: registering says the same");
            assert!(run.stdout.contains("refused       "), "{}", run.stdout);
            let component = component(&shown);
            assert!(
                component["refused"]["reason"]
                    .as_str()
                    .unwrap()
                    .contains(reason),
                "{component:#}"
            );
            assert_eq!(component["sha256"], sha256(&bytes));
            assert_eq!(component["size"], bytes.len());
            assert_eq!(component["imports"], json!([]));
        }
    }
    assert_eq!(world.visible().len(), 0);
}

#[test]
fn changed_or_oversized_component_is_refused() {
    let world = World::new();
    let good = std::fs::read(test_artifacts::DIGITS_SOURCE).unwrap();
    let wrong = "0".repeat(64);
    for (declared, said) in [
        (sha256(&good), "as the manifest says"),
        (wrong.clone(), "the manifest says 0000"),
    ] {
        Source::digits()
            .manifest(|m| m["component"]["sha256"] = json!(declared))
            .write(&world.path("source"));
        let run = world.run(&["inspect", "./source"]);
        assert!(run.stdout.contains(said), "{run:#?}");
        assert_eq!(
            run.code,
            Some(if declared == wrong { 1 } else { 0 }),
            "{run:#?}"
        );
    }
    let (run, _) = refused(&world, "./source");
    assert!(
        run.stderr.contains("has the digest") && run.stderr.contains("hint:"),
        "{run:#?}"
    );

    std::fs::create_dir_all(world.home()).unwrap();
    std::fs::write(
        world.home().join("config.toml"),
        "[limits]\ncomponent_bytes = 4096\n",
    )
    .unwrap();
    Source::digits().write(&world.path("large"));
    let error = world.refused(1, &["register-source", "./large"]);
    assert!(
        error.contains(&good.len().to_string()) && error.contains("limits.component_bytes"),
        "{error}"
    );
    assert_eq!(refused(&world, "./large").0.stderr, error);
}

#[test]
fn limits_are_shown_with_their_origin() {
    let world = World::new();
    std::fs::create_dir(world.home()).unwrap();
    // One is set to its default.
    let config = "[limits]\nmemory_bytes = 2097152\nrequests = 1000\nwall = 1.5\n";
    std::fs::write(world.home().join("config.toml"), config).unwrap();
    let shown = inspect(&world, test_artifacts::OK_COPY);
    let limits = shown["limits"].as_array().unwrap();
    let limit = |name: &str| limits.iter().find(|l| l["name"] == name).unwrap();
    for (name, value, from) in [
        ("memory_bytes", json!(2_097_152), "config.toml"),
        ("requests", json!(1000), "config.toml"),
        ("wall", json!(1.5), "config.toml"),
        ("staging_files", json!(10_000), "default"),
    ] {
        assert_eq!(limit(name)["value"], value, "{name}");
        assert_eq!(limit(name)["from"], from, "{name}");
    }
    // Every limit is documented.
    let page = modelzoo::configuration_page();
    for limit in limits {
        let name = limit["name"].as_str().unwrap();
        assert!(page.contains(&format!("| `{name}` |")), "{name}");
    }
    assert!(limits.len() >= 15);
    let text = world.ok(&["inspect", test_artifacts::OK_COPY]).stdout;
    let line = text
        .lines()
        .find(|l| l.starts_with("memory_bytes"))
        .unwrap();
    assert!(
        line.contains("2.00 MiB") && line.ends_with("config.toml"),
        "{line}"
    );
}

#[test]
fn download_method_and_warnings_are_shown() {
    let world = World::new();
    let weights = b"weights".to_vec();
    let server = Server::files([("/w", weights.clone())]);
    Source::digits()
        .manifest(|m| {
            let models = m["models"].as_array_mut().unwrap();
            models[0]["size_bytes"] = json!("many");
            models.push(json!({
                "base_name": "test/managed",
                "manager": {
                    "type": "fiftyone.core.models.ModelManager",
                    "config": { "url": server.url("/w") },
                },
            }));
            models.push(json!({
                "base_name": "test/listed",
                "artifacts": [{ "path": "w.bin", "url": server.url("/w"), "sha256": sha256(&weights) }],
            }));
        })
        .write(&world.path("source"));
    let shown = inspect(&world, "./source");
    let models = shown["manifests"][0]["models"].as_array().unwrap();
    let by: Vec<_> = models.iter().map(|m| m["downloaded_by"].clone()).collect();
    assert_eq!(by, ["download_model", "manager", "artifacts"]);
    assert_eq!(models[0]["urls"], json!([]));
    for model in &models[1..] {
        assert_eq!(model["urls"], json!([server.url("/w")]));
    }
    assert_eq!(models[2]["files"][0]["declared"], sha256(&weights));
    let warnings = shown["manifests"][0]["warnings"].to_string();
    assert!(warnings.contains("models[0].size_bytes"), "{warnings}");
    assert_eq!(server.seen().len(), 0, "nothing is fetched for its models");
}

#[test]
fn implied_urls_are_shown() {
    let world = World::new();
    let described = |name: &str, kind: &str, config: Value| {
        json!({
            "base_name": name,
            "default_deployment_config_dict": { "type": kind, "config": config },
        })
    };
    let transformer = "FiftyOneTransformerForImageClassification";
    let hub = json!({
        "entrypoint_fcn": "fiftyone.utils.torch.load_torch_hub_raw_model",
        "entrypoint_args": { "repo_or_dir": "facebookresearch/dinov2", "model": "dinov2_vits14" },
    });
    // What a manifest adds to a URL is untrusted too.
    let merges = "https://example.org/\u{1b}[2J\u{202e}merges.gz";
    let manifest = json!({ "name": "test/zoo", "models": [
        described("a/face", transformer, json!({ "name_or_path": "acme/vit", "revision": "v2" })),
        described("a/hub", "TorchImageModel", hub),
        described("a/clip", "TorchOpenClipModel", json!({ "tokenizer_base_url": merges })),
        described("a/odd", "TorchImageMode", json!({})),
        { "base_name": "a/bare" },
    ]});
    std::fs::create_dir(world.path("source")).unwrap();
    std::fs::write(world.path("source/manifest.json"), manifest.to_string()).unwrap();

    let shown = inspect(&world, "./source");
    let models = shown["manifests"][0]["models"].as_array().unwrap();
    let by: Vec<_> = models.iter().map(|m| m["downloaded_by"].clone()).collect();
    let configuration = "configuration";
    assert_eq!(
        by,
        [
            configuration,
            configuration,
            configuration,
            configuration,
            "nobody"
        ]
    );
    let file = |name: &str| format!("https://huggingface.co/acme/vit/resolve/v2/{name}");
    let weights = ["model.safetensors", "pytorch_model.bin"].map(file);
    let [config, processor] = ["config.json", "preprocessor_config.json"].map(file);
    assert_eq!(
        models[0]["urls"],
        json!([config, processor, weights[0], weights[1]])
    );
    let hub = "https://dl.fbaipublicfiles.com/dinov2/dinov2_vits14/dinov2_vits14_pretrain.pth";
    assert_eq!(models[1]["urls"], json!([hub]));
    assert_eq!(models[2]["urls"][0], merges);
    let clip = models[2]["urls"][1].as_str().unwrap();
    assert!(
        clip.starts_with("https://openaipublic.azureedge.net/"),
        "{clip}"
    );
    let problem = models[3]["problem"].as_str().unwrap();
    assert!(problem.contains("TorchImageMode"), "{problem}");
    assert_eq!(models[3]["urls"], json!([]));
    assert_eq!(models[0]["problem"], Value::Null);

    let text = world.ok(&["inspect", "./source"]).stdout;
    for part in [
        &weights[0],
        hub,
        clip,
        "https://example.org/\\u{1b}[2J\\u{202e}merges.gz",
        problem,
    ] {
        assert!(text.contains(part), "no `{part}` in {text}");
    }
    assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text}");
    // A hook takes precedence.
    let mut with_hook = manifest;
    with_hook["component"] = json!({ "path": "source.wasm" });
    std::fs::copy(test_artifacts::OK_COPY, world.path("source/source.wasm")).unwrap();
    std::fs::write(world.path("source/manifest.json"), with_hook.to_string()).unwrap();
    let shown = inspect(&world, "./source");
    let model = &shown["manifests"][0]["models"][0];
    assert_eq!(model["downloaded_by"], "download_model");
    assert_eq!(model["urls"], json!([]));
}

#[test]
fn untrusted_text_is_escaped() {
    let world = World::new();
    let evil = "\u{1b}]52;c;aGk=\u{7}\u{202e}txt";
    Source::digits()
        .manifest(|m| {
            m["url"] = json!(evil);
            m["models"][0]["license"] = json!(evil);
        })
        .write(&world.path("source"));
    let text = world.ok(&["inspect", "./source"]).stdout;
    assert!(
        text.contains("\\u{1b}]52") && !text.contains(['\u{1b}', '\u{7}', '\u{202e}']),
        "{text}"
    );
    assert_eq!(inspect(&world, "./source")["manifests"][0]["url"], evil);
}

#[test]
fn changed_snapshot_is_reported() {
    let world = World::new();
    Source::digits().write(&world.path("source"));
    world.ok(&["register-source", "./source"]);
    let files = world.visible().into_keys();
    let wasm = files
        .into_iter()
        .find(|path| path.ends_with("source.wasm"))
        .unwrap();
    std::fs::write(wasm, std::fs::read(test_artifacts::OK_COPY).unwrap()).unwrap();
    let run = world.run(&["inspect", "./source"]);
    assert_eq!(run.code, Some(1), "{run:#?}");
    assert!(
        run.stderr.contains("changed in the store"),
        "{}",
        run.stderr
    );
    assert!(run.stdout.contains("problem       "), "{}", run.stdout);
}

#[test]
fn foreign_lock_is_inspected_without_filling_the_store() {
    let github = GitHub::start();
    let world = github.world();
    world.ok(&["register-source", "acme/digits"]);
    let expected = inspect(&world, "acme/digits");
    std::fs::remove_dir_all(world.home().join("sources")).unwrap();
    assert_eq!(inspect(&world, "acme/digits"), expected);
    assert!(!world.home().join("sources").exists());
}
