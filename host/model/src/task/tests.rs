use super::classes::{MAX_BYTES, MAX_CLASSES};
use super::*;
use crate::output::{Scores, Vectors};

/// What is wrong with a task, as `field: reason`.
fn refused(task: impl Into<Task>) -> String {
    task.into().validate().unwrap_err().to_string()
}

impl From<Classification> for Task {
    fn from(task: Classification) -> Self {
        Self::Classification(task)
    }
}

impl From<MultiLabel> for Task {
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
        Task::ZeroShot(ZeroShot {
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

fn task(classes: usize, confidence_thresh: Option<f32>) -> Task {
    Task::Classification(Classification {
        classes: (0..classes).map(|class| format!("class {class}")).collect(),
        confidence_thresh,
        filter_classes: Vec::new(),
    })
}

fn decode(task: &Task, scores: &[f32], options: &PredictOptions) -> Option<Label> {
    let output = Output::Scores(Scores::new(scores.to_vec()).unwrap());
    let decoder = task.decoder(options).unwrap();
    decoder.decode(output, &Origin::default()).unwrap()
}

/// The one label of a sample, and its confidence.
fn best(task: &Task, scores: &[f32], options: &PredictOptions) -> (Option<String>, Option<f64>) {
    match decode(task, scores, options) {
        None => (None, None),
        Some(Label::Classification(label)) => (label.label, label.confidence),
        Some(other) => panic!("{other:?}"),
    }
}

#[test]
fn softmax_is_right_and_does_not_overflow() {
    let (task, options) = (task(3, None), PredictOptions::default());
    let (label, confidence) = best(&task, &[1.0, 3.0, 2.0], &options);
    assert_eq!(label.as_deref(), Some("class 1"));
    let want = 3f64.exp() / (1f64.exp() + 2f64.exp() + 3f64.exp());
    assert!((confidence.unwrap() - want).abs() < 1e-7);
    // The plain formula gives NaN from 89 on.
    let (_, confidence) = best(&task, &[1001.0, 1003.0, 1002.0], &options);
    assert!((confidence.unwrap() - want).abs() < 1e-7);
    assert_eq!(best(&task, &[-3e38, 3e38, 0.0], &options).1, Some(1.0));
}

#[test]
fn equal_scores_go_to_the_first_class() {
    let (label, confidence) = best(&task(2, None), &[0.5, 0.5], &PredictOptions::default());
    assert_eq!((label.as_deref(), confidence), (Some("class 0"), Some(0.5)));
}

#[test]
fn below_the_threshold_there_is_no_label_but_logits_stay() {
    let task = task(2, Some(0.9));
    let with = |confidence_thresh| PredictOptions {
        confidence_thresh,
        classes: None,
        store_logits: true,
    };
    let Some(Label::Classification(label)) = decode(&task, &[0.0, 1.0], &with(None)) else {
        panic!("no logits")
    };
    assert_eq!((label.label, label.confidence), (None, None));
    assert_eq!(label.logits, Some(vec![0.0, 1.0]));
    // Without logits there is nothing left.
    assert_eq!(decode(&task, &[0.0, 1.0], &PredictOptions::default()), None);
    // The user's threshold wins, zero included.
    assert!(best(&task, &[0.0, 1.0], &with(Some(0.0))).0.is_some());
    // At the threshold there is a label.
    assert!(best(&task, &[1.0, 1.0], &with(Some(0.5))).0.is_some());
}

#[test]
fn outputs_of_another_kind_or_length_are_an_error() {
    let (task, options) = (task(2, None), PredictOptions::default());
    let decoder = task.decoder(&options).unwrap();
    let decode = |output| decoder.decode(output, &Origin::default());
    let vectors = Output::Vectors(Vectors::new(1, vec![0.0]).unwrap());
    let error = decode(vectors).unwrap_err();
    assert!(matches!(error, DecodeError::WrongOutput { .. }), "{error}");
    let error = decode(Output::Scores(Scores::new(vec![0.0; 3]).unwrap())).unwrap_err();
    let (classes, outputs) = (2, 3);
    assert_eq!(error, DecodeError::ClassCount { classes, outputs });
}

#[test]
fn classes_that_were_not_asked_for_are_not_given() {
    let task = Task::Classification(Classification {
        filter_classes: vec!["cat".to_owned()],
        ..classification()
    });
    let mut options = PredictOptions::default();
    assert_eq!(best(&task, &[0.0, 9.0], &options), (None, None));
    assert!(best(&task, &[9.0, 0.0], &options).0.is_some());
    // The user's list goes before the plan's.
    options.classes = Some(vec!["dog".to_owned()]);
    let (label, _) = best(&task, &[0.0, 9.0], &options);
    assert_eq!(label.as_deref(), Some("dog"));
    options.classes = Some(vec!["cow".to_owned()]);
    let Err(error) = task.decoder(&options) else {
        panic!("there is no such class")
    };
    assert!(error.to_string().contains("`cow`"), "{error}");
    options = PredictOptions {
        confidence_thresh: Some(1.5),
        ..PredictOptions::default()
    };
    let Err(error) = task.decoder(&options) else {
        panic!("1.5 is not a confidence")
    };
    assert_eq!(error.option, "confidence_thresh");
}

/// Searching a list for each class would take hours.
#[test]
fn many_classes_are_checked_against_as_many() {
    let classes: Vec<String> = (0..1_000_000).map(|class| class.to_string()).collect();
    let last = classes.iter().rev().cloned().collect::<Vec<_>>();
    let task = Task::MultiLabel(MultiLabel {
        classes,
        confidence_thresh: 0.5,
        filter_classes: Vec::new(),
    });
    let options = PredictOptions {
        classes: Some(last),
        ..PredictOptions::default()
    };
    let label = decode(&task, &vec![0.0; 1_000_000], &options);
    let Some(Label::Classifications(labels)) = label else {
        panic!("one label of many")
    };
    assert_eq!(labels.classifications.len(), 1_000_000);
}

#[test]
fn each_of_many_labels_has_its_own_confidence() {
    let task = Task::MultiLabel(MultiLabel {
        classes: ["a", "b", "c"].map(str::to_owned).to_vec(),
        confidence_thresh: 0.5,
        filter_classes: Vec::new(),
    });
    assert_eq!(task.label_type(), LabelType::Classifications);
    let label = decode(&task, &[0.0, -1.0, 100.0], &PredictOptions::default());
    let Some(Label::Classifications(labels)) = label else {
        panic!("one label of many")
    };
    assert_eq!(labels.logits, None);
    let labels = labels.classifications.into_iter();
    let labels: Vec<_> = labels
        .map(|label| (label.label, label.confidence))
        .collect();
    let want = [("a", 0.5), ("c", 1.0)];
    assert_eq!(
        labels,
        want.map(|(name, value)| (Some(name.to_owned()), Some(value)))
    );
}

#[test]
fn sigmoid_does_not_depend_on_the_other_classes() {
    let task = Task::ZeroShot(ZeroShot {
        classes: ["a", "b"].map(str::to_owned).to_vec(),
        scoring: Scoring::Sigmoid,
        ..ZeroShot::default()
    });
    let got = best(&task, &[-1.0, 0.0], &PredictOptions::default());
    assert_eq!(got, (Some("b".to_owned()), Some(0.5)));
}
