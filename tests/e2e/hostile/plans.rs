//! Hooks whose answers make no sense, or far too much of it.

use super::arena::Arena;

#[test]
fn an_architecture_that_nobody_has() {
    let arena = Arena::new();
    let attack = arena.attack(test_artifacts::BAD_ARCHITECTURE, "model");
    attack
        .build(&[])
        .says("unknown architecture `resnett`")
        .hints("`resnet`");
}

/// Cases of `bad_plan` that are seen to be wrong at once, with what is said of each.
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
    ("no_classes", "`head.classification.classes`: is empty"),
    ("no_weights", "`weights`: names no file"),
];

#[test]
fn plans_that_make_no_sense() {
    let arena = Arena::new();
    for (case, reason) in WRONG {
        arena
            .attack(test_artifacts::BAD_PLAN, "model")
            .load(&[&format!("case={case}")])
            .says(" gave a bad answer: ")
            .says(reason)
            .hints("tell its author");
    }
}

#[test]
fn plans_of_many_megabytes() {
    let arena = Arena::new();
    for case in ["config_long", "long_name", "many_classes", "long_class"] {
        arena
            .attack(test_artifacts::BAD_PLAN, "model")
            .load(&[&format!("case={case}")])
            .says("was stopped: more than 67108864 bytes handed to the host in one call")
            .hints("limits.hostcall_bytes");
    }
}

#[test]
fn plans_that_cannot_be_built() {
    let arena = Arena::new();
    arena
        .attack(test_artifacts::BAD_PLAN, "model")
        .build(&["case=config_unknown_field"])
        .says("unknown field `layerz`");
}

#[test]
fn classes_that_a_terminal_would_obey() {
    let arena = Arena::new();
    let attack = arena.attack(test_artifacts::BAD_PLAN, "model");
    let run = attack.loads(&["case=class_controls"]);
    super::arena::assert_tame(&run.stdout);
    // In the labels they are what they are, as JSON writes it.
    let text = std::fs::read_to_string(arena.world.path("labels.jsonl")).unwrap();
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
