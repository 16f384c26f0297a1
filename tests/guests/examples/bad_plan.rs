//! Returns an invalid or far too large plan; the kwarg `case` says which.

use modelzoo_guest::bindings::load::exports::modelzoo::source::loader;
use modelzoo_guest::bindings::modelzoo::source::{deployment as wit, types};
use modelzoo_guest::prelude::*;
use serde::Deserialize;
use test_guests::{tiny_plan, unknown_case};

/// Implements the trait of the bindings, since the SDK's builders rule out some of the cases.
struct Guest;

#[derive(Deserialize)]
struct Options {
    case: String,
}

impl loader::Guest for Guest {
    fn load_model(
        _: String,
        model_path: String,
        kwargs: String,
    ) -> std::result::Result<loader::LoadedModel, types::Error> {
        let Options { case } = Kwargs::from_json(&kwargs)?.parse()?;
        let artifact = model_path.trim_start_matches("/model/");
        let mut plan = tiny_plan(&ModelPath::new("/model", artifact))?.into();
        spoil(&mut plan, &case)?;
        Ok(loader::LoadedModel::Deployment(plan))
    }
}

fn spoil(plan: &mut wit::Plan, case: &str) -> Result<()> {
    let normalize = |mean: f32, std: f32| {
        Some(wit::Normalization {
            mean: vec![mean],
            std: vec![std],
        })
    };
    let square = |side| wit::Size {
        height: side,
        width: side,
    };
    let (Some(wit::Head::Classification(head)), Some(preprocessing)) =
        (&mut plan.head, &mut plan.preprocessing)
    else {
        return Err(unknown_case("a plan without a head"));
    };
    let steps = &mut preprocessing.steps;
    match case {
        "none" => {}
        "nan_mean" => preprocessing.normalize = normalize(f32::NAN, 1.0),
        "infinite_mean" => preprocessing.normalize = normalize(f32::INFINITY, 1.0),
        "zero_std" => preprocessing.normalize = normalize(0.0, 0.0),
        "nan_std" => preprocessing.normalize = normalize(0.0, f32::NAN),
        "other_channels" => {
            preprocessing.normalize = Some(wit::Normalization {
                mean: vec![0.0; 3],
                std: vec![1.0; 2],
            });
        }
        "nan_confidence" => head.confidence_thresh = Some(f32::NAN),
        "large_confidence" => head.confidence_thresh = Some(1.5),
        "zero_size" => steps.push(wit::Step::CenterCrop(square(0))),
        "huge_size" => steps.push(wit::Step::CenterCrop(square(u32::MAX))),
        "huge_shortest" => steps.push(wit::Step::ResizeShortest(wit::ResizeShortest {
            to: u32::MAX,
            resampling: wit::Resampling::Lanczos,
        })),
        "many_steps" => steps.resize_with(1_000_000, || wit::Step::CenterCrop(square(2))),
        "no_classes" => head.classes.clear(),
        "many_classes" => head.classes = vec![String::new(); 10_000_000],
        "long_class" => head.classes = vec!["c".repeat(64 << 20), "d".to_owned()],
        "class_controls" => {
            head.classes = vec!["\u{1b}[2J\u{202e}a\n".to_owned(), "b\0".to_owned()];
        }
        "class_formulas" => {
            head.classes = [
                "=HYPERLINK(\"http://evil.example\")",
                "@SUM(1+1)*cmd|' /C calc'!A0",
            ]
            .map(str::to_owned)
            .to_vec();
        }
        "no_weights" => plan.weights.clear(),
        "missing_weights" => plan.weights = vec!["not-there.safetensors".to_owned()],
        "escaping_weights" => plan.weights = vec!["../../x".to_owned()],
        "absolute_weights" => plan.weights = vec!["/etc/passwd".to_owned()],
        "many_weights" => plan
            .weights
            .resize(1_000_000, "weights.safetensors".to_owned()),
        "long_name" => plan.architecture.name = "r".repeat(64 << 20),
        "config_no_json" => plan.architecture.config = "{\"layers\": ".to_owned(),
        "config_array" => plan.architecture.config = "[]".to_owned(),
        "config_deep" => plan.architecture.config = deep(100_000),
        "config_long" => {
            plan.architecture.config = format!("{{\"x\": \"{}\"}}", "y".repeat(64 << 20));
        }
        "config_unknown_field" => plan.architecture.config = r#"{"layerz": []}"#.to_owned(),
        other => return Err(unknown_case(other)),
    }
    Ok(())
}

/// Nested objects.
fn deep(levels: usize) -> String {
    format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels))
}

test_guests::export_raw_load!(Guest);
