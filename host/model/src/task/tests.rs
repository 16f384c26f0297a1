use super::classes::{MAX_BYTES, MAX_CLASSES};
use super::*;

/// What is wrong with a task, as `field: reason`.
fn refused(task: impl Into<Head>) -> String {
    task.into().validate().unwrap_err().to_string()
}

impl From<Classification> for Head {
    fn from(task: Classification) -> Self {
        Self::Classification(task)
    }
}

impl From<MultiLabel> for Head {
    fn from(task: MultiLabel) -> Self {
        Self::MultiLabel(task)
    }
}

fn classification() -> Classification {
    Classification {
        classes: vec!["cat".to_owned(), "dog".to_owned()],
        ..Classification::default()
    }
}

#[test]
fn thresholds_are_0_to_1() {
    for threshold in [f32::NAN, 1.5, -0.1] {
        let task = Classification {
            confidence_thresh: Some(threshold),
            ..classification()
        };
        let error = refused(task);
        assert!(
            error.starts_with("`classification.confidence_thresh`"),
            "{error}"
        );
        let error = refused(MultiLabel {
            classes: vec!["a".to_owned()],
            confidence_thresh: threshold,
            filter_classes: Vec::new(),
        });
        assert!(error.contains("0 to 1"), "{error}");
    }
}

#[test]
fn classes_are_bounded() {
    let many = vec![String::new(); MAX_CLASSES + 1];
    let error = refused(Classification {
        classes: many.clone(),
        ..Classification::default()
    });
    assert_eq!(
        error,
        "`classification.classes`: has 1000001 names; at most 1000000 are allowed"
    );
    let error = refused(Classification {
        filter_classes: many,
        ..classification()
    });
    assert!(error.contains("filter_classes"), "{error}");
    let error = refused(Classification {
        classes: vec!["x".repeat(MAX_BYTES + 1)],
        ..Classification::default()
    });
    assert!(error.contains("bytes"), "{error}");
    let error = refused(Classification {
        filter_classes: vec!["cow".to_owned()],
        ..classification()
    });
    assert!(error.contains("`cow` is not one of the classes"), "{error}");
}

#[test]
fn prompts_are_bounded() {
    let zero_shot = |classes: usize, prompts: usize| {
        Head::ZeroShot(ZeroShot {
            classes: vec!["a".to_owned(); classes],
            prompts: vec!["a".to_owned(); prompts],
            ..ZeroShot::default()
        })
    };
    zero_shot(32_768, 32_768).validate().unwrap();
    assert_eq!(
        refused(zero_shot(32_769, 1)),
        "`zero_shot.classes`: has 32769 names; at most 32768 are allowed"
    );
    assert_eq!(
        refused(zero_shot(1, 32_769)),
        "`zero_shot.prompts`: has 32769 texts; at most 32768 are allowed"
    );
    assert_eq!(
        refused(zero_shot(2, 1)),
        "`zero_shot.prompts`: has 1 texts for 2 classes"
    );
}
