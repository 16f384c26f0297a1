//! The number of FiftyOne's models that run: reads its manifest and prints one line per entry.
//!
//! ```console
//! $ cargo run -p modelzoo --example scoreboard -- manifest-torch.json tests/parity/fixtures
//! ```
//!
//! An entry *runs* when its configuration translates into a plan, and the parity suite has a case of
//! its architecture: the reference implementation's outputs for random weights, which ours match. It
//! *translates* when only the first is so. The last line of the output is the totals, as JSON.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::path::Path;

use modelzoo::manifest::Deployment;
use modelzoo::translate;
use modelzoo_archive::RelPath;
use modelzoo_runtime::{Device, Model};
use serde_json::{Map, Value, json};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The `model_type` in a repository's `config.json`, by the beginning of its name: the repositories
/// themselves are not asked.
const REPOSITORIES: [(&str, &str); 16] = [
    ("PekingU/rtdetr_v2_", "rt_detr_v2"),
    ("depth-anything/Depth-Anything-V2-", "depth_anything"),
    ("facebook/convnext-", "convnext"),
    ("facebook/dinov3-vit", "dinov3_vit"),
    ("flaviagiammarino/pubmed-clip-vit-base-patch32", "clip"),
    ("google/efficientnet-", "efficientnet"),
    ("google/medsiglip-448", "siglip"),
    ("google/siglip2-base-patch16-224", "siglip"),
    ("google/siglip-", "siglip"),
    ("google/vit-", "vit"),
    ("hustvl/yolos-", "yolos"),
    ("microsoft/swinv2-", "swinv2"),
    ("nvidia/segformer-", "segformer"),
    ("openai/clip-", "clip"),
    ("suinleelab/monet", "clip"),
    ("ustc-community/dfine-", "d_fine"),
];

enum Verdict {
    Runs(String),
    Translates(String),
    No(String),
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [manifest, fixtures] = arguments.as_slice() else {
        return Err("usage: scoreboard MANIFEST FIXTURES".into());
    };
    let manifest: Value = serde_json::from_slice(&std::fs::read(manifest)?)?;
    let models = manifest.get("models").and_then(Value::as_array);
    let models = models.ok_or("the manifest has no models")?;
    let cases = cases(Path::new(fixtures))?;
    let (mut runs, mut translates) = (0, 0);
    for model in models {
        let name = model
            .get("base_name")
            .and_then(Value::as_str)
            .unwrap_or("?");
        let verdict = judge(model, &cases)?;
        let line = match verdict {
            Verdict::Runs(case) => {
                runs += 1;
                format!("runs        {name} ({case})")
            }
            Verdict::Translates(architecture) => {
                translates += 1;
                format!("translates  {name}: no parity case of `{architecture}`")
            }
            Verdict::No(reason) => format!("-           {name}: {reason}"),
        };
        print(&line);
    }
    let totals = json!({ "entries": models.len(), "runs": runs, "translates": translates });
    print(&totals.to_string());
    Ok(())
}

#[allow(clippy::print_stdout, reason = "this is what the program is for")]
fn print(line: &str) {
    println!("{line}");
}

/// The parity cases of each architecture, by name.
type Cases = BTreeMap<String, BTreeSet<String>>;

fn cases(fixtures: &Path) -> Result<Cases> {
    let mut cases = Cases::new();
    for entry in std::fs::read_dir(fixtures)? {
        let entry = entry?;
        let file = entry.path().join("architecture.json");
        if !file.is_file() || !entry.path().join("outputs.safetensors").is_file() {
            continue;
        }
        let architecture: Value = serde_json::from_slice(&std::fs::read(file)?)?;
        let name = architecture.get("name").and_then(Value::as_str);
        let name = name.ok_or("a case has no architecture")?;
        let case = entry.file_name().to_string_lossy().into_owned();
        cases.entry(name.to_owned()).or_default().insert(case);
    }
    Ok(cases)
}

/// The case that shows that an entry runs. The versions and heads of `yolo` are networks of their
/// own, so a case has to be of the same ones: `yolo-v8-seg` for `yolov8n-seg-coco.pt`.
fn case_of<'a>(cases: &'a Cases, architecture: &str, file: Option<&RelPath>) -> Option<&'a String> {
    let cases = cases.get(architecture)?;
    if architecture != "yolo" {
        return cases.first();
    }
    let name = file?.as_ref().strip_prefix("yolo")?.split_once('.')?.0;
    let (network, rest) = name.split_once('-').unwrap_or((name, ""));
    // The others say what the network was trained with.
    let mut parts = rest.split('-');
    let head = parts.find(|part| ["seg", "pose", "obb", "cls"].contains(part));
    let head = head.unwrap_or_default();
    let version = network.trim_end_matches(|c: char| c.is_ascii_lowercase());
    let wanted = format!("yolo-{version}");
    cases.iter().find(|case| {
        let rest = case.strip_prefix(&wanted);
        rest.is_some_and(|rest| match rest.split_once('-') {
            Some((size, own)) => own == head && !size.starts_with(|c: char| c.is_ascii_digit()),
            None => head.is_empty() && !rest.starts_with(|c: char| c.is_ascii_digit()),
        })
    })
}

fn judge(model: &Value, cases: &Cases) -> Result<Verdict> {
    let Some(described) = model.get("default_deployment_config_dict") else {
        return Ok(Verdict::No("it has no configuration".to_owned()));
    };
    let kind = described
        .get("type")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let config = described.get("config").and_then(Value::as_object).cloned();
    let deployment = Deployment {
        kind: kind.to_owned(),
        config: config.unwrap_or_default(),
    };
    let fetches = match translate::fetches(&deployment) {
        Ok(fetches) => fetches,
        Err(error) => return Ok(Verdict::No(error.to_string())),
    };
    let dir = tempfile::tempdir()?;
    if let Some(repository) = fetches.iter().find_map(|fetch| repository(&fetch.url)) {
        let found = REPOSITORIES
            .iter()
            .find(|(begin, _)| repository.starts_with(begin));
        let Some((_, model_type)) = found else {
            return Ok(Verdict::No(format!(
                "the kind of {repository} is not known here"
            )));
        };
        write_repository(dir.path(), model_type)?;
    }
    // The arguments of a user who loads such a model.
    let classes = ("classes".to_owned(), json!(["cat", "dog"]));
    let kwargs: Map<String, Value> = [classes].into_iter().collect();
    let file = model.get("base_filename").and_then(Value::as_str);
    let file = file.map(RelPath::parse).transpose()?;
    let plan = match translate::translate(&deployment, &kwargs, file.as_ref(), dir.path()) {
        Ok(translated) => translated.plan,
        Err(error) => return Ok(Verdict::No(error.to_string())),
    };
    // The configuration is checked before the weights, which are not there.
    if let Err(
        error @ (modelzoo_runtime::Error::UnknownArchitecture { .. }
        | modelzoo_runtime::Error::BadConfig { .. }
        | modelzoo_runtime::Error::BadPlan { .. }
        | modelzoo_runtime::Error::ClassCount { .. }),
    ) = Model::build(&plan, dir.path(), &Device::cpu())
    {
        return Ok(Verdict::No(error.to_string()));
    }
    let architecture = plan.architecture.name;
    Ok(match case_of(cases, &architecture, file.as_ref()) {
        Some(case) => Verdict::Runs(case.clone()),
        None => Verdict::Translates(architecture),
    })
}

/// The repository, `user/name`, of an address.
fn repository(url: &str) -> Option<&str> {
    let (repository, _) = url
        .strip_prefix("https://huggingface.co/")?
        .split_once("/resolve/")?;
    Some(repository)
}

fn insert(config: &mut Value, field: &str, value: Value) {
    if let Some(config) = config.as_object_mut() {
        config.insert(field.to_owned(), value);
    }
}

/// The files of a repository of this kind that a plan depends on.
fn write_repository(dir: &Path, model_type: &str) -> Result<()> {
    let mut config = json!({ "model_type": model_type, "id2label": {"0": "a", "1": "b"} });
    match model_type {
        "depth_anything" => {
            let backbone = json!({ "hidden_size": 384, "num_attention_heads": 6, "patch_size": 14, "out_indices": [3, 6, 9, 12] });
            insert(&mut config, "backbone_config", backbone);
        }
        "rt_detr_v2" | "d_fine" => insert(
            &mut config,
            "backbone_config",
            json!({ "out_indices": [2, 3, 4] }),
        ),
        _ => {}
    }
    let processor = json!({
        "image_processor_type": "ViTImageProcessor",
        "size": {"height": 224, "width": 224},
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
    });
    std::fs::write(dir.join("config.json"), config.to_string())?;
    std::fs::write(dir.join("preprocessor_config.json"), processor.to_string())?;
    std::fs::write(dir.join("model.safetensors"), "")?;
    Ok(())
}
