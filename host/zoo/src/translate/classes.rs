//! Class names, and the heads that have them.

use modelzoo_model::task::{Classification, Scoring, Task, ZeroShot};

use super::error::TranslateError as Error;
use super::settings::Settings;

/// The lists that manifests name, one class per line, by the ends of their paths.
const LISTS: [(&str, &str); 3] = [
    (
        "imagenet-labels-no-background.txt",
        include_str!("labels/imagenet-labels-no-background.txt"),
    ),
    ("voc-labels.txt", include_str!("labels/voc-labels.txt")),
    (
        "ms-coco-labels.txt",
        include_str!("labels/ms-coco-labels.txt"),
    ),
];

/// What stands before a list's name: a directory of FiftyOne, never opened here.
const RESOURCES: &str = "{{eta-resources}}/";

/// The output processors that the heads of classifiers replace, by the ends of their names.
const CLASSIFIERS: [&str; 2] = [
    "ClassifierOutputProcessor",
    "TransformersClassifierOutputProcessor",
];

/// The class names that a configuration says: `classes`, `labels_string` or `labels_path`, in
/// this order.
pub(super) fn classes(settings: &Settings) -> Result<Option<Vec<String>>, Error> {
    let listed = settings.texts("classes")?;
    let joined = settings.text("labels_string")?;
    let path = settings.text("labels_path")?;
    if listed.is_some() {
        return Ok(listed);
    }
    if let Some(joined) = joined {
        return Ok(Some(
            joined
                .split(',')
                .map(|class| class.trim().to_owned())
                .collect(),
        ));
    }
    path.map(|path| listed_in("labels_path", path)).transpose()
}

/// The class names of a segmenter: as [`classes`], or those of `mask_targets_path`.
pub(super) fn mask_classes(settings: &Settings) -> Result<Option<Vec<String>>, Error> {
    let path = settings.text("mask_targets_path")?;
    if let Some(classes) = classes(settings)? {
        return Ok(Some(classes));
    }
    path.map(|path| listed_in("mask_targets_path", path))
        .transpose()
}

/// The lines of the list that a field names by its path.
fn listed_in(field: &str, path: &str) -> Result<Vec<String>, Error> {
    let name = path.strip_prefix(RESOURCES).unwrap_or(path);
    match LISTS.iter().find(|(list, _)| *list == name) {
        Some((_, list)) => Ok(list.lines().map(str::to_owned).collect()),
        None => {
            let known: Vec<_> = LISTS
                .iter()
                .map(|(list, _)| format!("{RESOURCES}{list}"))
                .collect();
            let reason = format!("is not one of {}", known.join(", "));
            Err(Error::bad(field, reason))
        }
    }
}

/// The head of a classifier with these classes.
pub(super) fn classification(settings: &Settings, classes: Vec<String>) -> Result<Task, Error> {
    check_processor(settings, &CLASSIFIERS)?;
    Ok(Task::Classification(Classification {
        classes,
        confidence_thresh: settings.confidence("confidence_thresh")?,
        filter_classes: settings.texts("filter_classes")?.unwrap_or_default(),
    }))
}

/// The head of a model that compares images with a prompt for each of these classes.
pub(super) fn zero_shot(
    settings: &Settings,
    classes: Vec<String>,
    scoring: Scoring,
) -> Result<Task, Error> {
    check_processor(settings, &CLASSIFIERS)?;
    let prefix = settings.text("text_prompt")?.unwrap_or_default();
    let given = settings.get("class_prompts");
    let mut prompts = Vec::with_capacity(classes.len());
    for class in &classes {
        let own = given.and_then(|given| given.get(class));
        prompts.push(match own {
            None => format!("{prefix} {class}").trim().to_owned(),
            Some(own) => own
                .as_str()
                .ok_or_else(|| Error::bad("class_prompts", "is not a text for each class"))?
                .to_owned(),
        });
    }
    Ok(Task::ZeroShot(ZeroShot {
        classes,
        prompts,
        scoring,
        confidence_thresh: settings.confidence("confidence_thresh")?,
        filter_classes: settings.texts("filter_classes")?.unwrap_or_default(),
    }))
}

/// An unknown processor of outputs would give other labels than the heads do.
pub(super) fn check_processor(settings: &Settings, known: &[&str]) -> Result<(), Error> {
    let Some(name) = settings.text("output_processor_cls")? else {
        return Ok(());
    };
    let class = name.rsplit('.').next().unwrap_or(name);
    if known.contains(&class) {
        return Ok(());
    }
    let reason = format!(
        "`{name}` is not known, only such as `fiftyone.utils.torch.{}`",
        known.first().unwrap_or(&"")
    );
    Err(Error::unknown("output_processor_cls", reason))
}
