//! Hooks that return invalid or huge plans.

use super::testbed::Testbed;

#[test]
fn unknown_architecture_is_refused() {
    let testbed = Testbed::new();
    let attack = testbed.attack(test_artifacts::BAD_ARCHITECTURE, "model");
    attack
        .build(&[])
        .says("unknown architecture `resnett`")
        .hints("did you mean resnet?");
}

/// Cases of `bad_plan` that validation refuses, with the expected reason.
const WRONG: &[(&str, &str)] = &[
    (
        "nan_mean",
        "normalize.mean`: has a value that is not a finite number",
    ),
    (
        "infinite_mean",
        "normalize.mean`: has a value that is not a finite number",
    ),
    ("zero_std", "normalize.std`: must not contain zero"),
    (
        "nan_std",
        "normalize.std`: has a value that is not a finite number",
    ),
    (
        "other_channels",
        "normalize.mean`: has 3 values for 1 channels",
    ),
    ("nan_confidence", "confidence_thresh`: must be 0 to 1"),
    (
        "large_confidence",
        "confidence_thresh`: must be 0 to 1, and is 1.5",
    ),
    ("zero_size", "a side of 0 pixels"),
    ("huge_size", "a side of 4294967295 pixels"),
    ("huge_shortest", "a side of 4294967295 pixels"),
    ("many_steps", "`preprocessing.steps`: has 1000000 steps"),
    (
        "missing_weights",
        "there is no such artifact as `not-there.safetensors`",
    ),
    ("escaping_weights", "`weights[0]`: `../../x`"),
    (
        "absolute_weights",
        "`/etc/passwd` is not a name inside the model's directory",
    ),
    ("many_weights", "`weights`: has 1000000 files"),
    ("config_no_json", "`architecture.config`: is not JSON"),
    ("config_array", "config`: is not a JSON object"),
    ("config_deep", "config`: nests more than 64 deep"),
    ("no_weights", "`weights`: names no file"),
];

#[test]
fn invalid_plans_are_refused() {
    let testbed = Testbed::new();
    for (case, reason) in WRONG {
        testbed
            .attack(test_artifacts::BAD_PLAN, "model")
            .load(&[&format!("case={case}")])
            .says(" gave a bad answer: ")
            .says(reason)
            .hints("tell its author");
    }
}

#[test]
fn huge_plans_are_refused() {
    let testbed = Testbed::new();
    for case in ["config_long", "long_name", "many_classes", "long_class"] {
        testbed
            .attack(test_artifacts::BAD_PLAN, "model")
            .load(&[&format!("case={case}")])
            .says("was stopped: more than 67108864 bytes handed to the host in one call")
            .hints("limits.hostcall_bytes");
    }
}

#[test]
fn unknown_configuration_fields_are_refused() {
    let testbed = Testbed::new();
    testbed
        .attack(test_artifacts::BAD_PLAN, "model")
        .build(&["case=config_unknown_field"])
        .says("unknown field `layerz`");
}

/// The classes may be those that a checkpoint names, so the weights decide.
#[test]
fn plans_without_classes_are_refused() {
    let testbed = Testbed::new();
    testbed
        .attack(test_artifacts::BAD_PLAN, "model")
        .build(&["case=no_classes"])
        .says("`head.classification.classes`: is empty");
}

#[test]
fn class_names_are_escaped() {
    let testbed = Testbed::new();
    let attack = testbed.attack(test_artifacts::BAD_PLAN, "model");
    let run = attack.loads(&["case=class_controls"]);
    super::testbed::assert_terminal_safe(&run.stdout);
    // In the labels they are unchanged, as JSON escapes.
    let text = std::fs::read_to_string(testbed.world.path("labels.jsonl")).unwrap();
    assert!(!text.contains('\u{1b}'), "{text:?}");
    for line in text.lines() {
        let label: serde_json::Value = serde_json::from_str(line).unwrap();
        let class = label["p"]["label"].as_str().unwrap();
        assert!(
            ["\u{1b}[2J\u{202e}a\n", "b\0"].contains(&class),
            "{class:?}"
        );
    }
}

/// A spreadsheet formula stays a text in JSON.
#[test]
fn formulas_stay_text_in_labels() {
    let testbed = Testbed::new();
    let attack = testbed.attack(test_artifacts::BAD_PLAN, "model");
    let run = attack.loads(&["case=class_formulas"]);
    super::testbed::assert_terminal_safe(&run.stdout);
    let text = std::fs::read_to_string(testbed.world.path("labels.jsonl")).unwrap();
    assert!(!text.is_empty());
    for line in text.lines() {
        let label: serde_json::Value = serde_json::from_str(line).unwrap();
        let class = label["p"]["label"].as_str().unwrap();
        assert!(class.starts_with(['=', '@']), "{class:?}");
    }
}
