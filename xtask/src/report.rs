//! What a model predicted, beside what is true.

use std::fmt::Write as _;

use serde_json::Value;

use crate::Result;

/// Rows of the table.
const ROWS: usize = 10;

/// A table of the first predictions of a dataset's `samples.json`, and the accuracy over all.
///
/// # Errors
/// When the text is no such document, or a sample has no ground truth or no prediction.
pub(crate) fn report(samples: &str, field: &str) -> Result<String> {
    let document: Value = serde_json::from_str(samples)?;
    let samples = document
        .get("samples")
        .and_then(Value::as_array)
        .ok_or("the dataset has no samples")?;
    let mut text = String::new();
    writeln!(
        text,
        "{:<20}{:<14}{:<14}{:<10}",
        "sample", "ground truth", "prediction", "confidence"
    )?;
    let mut right = 0;
    for (index, sample) in samples.iter().enumerate() {
        let path = sample
            .get("filepath")
            .and_then(Value::as_str)
            .unwrap_or("?");
        let label = |field: &str| sample.get(field)?.get("label")?.as_str();
        let truth = label("ground_truth").ok_or_else(|| format!("{path} has no ground truth"))?;
        let predicted = label(field).ok_or_else(|| format!("{path} has no label in {field}"))?;
        right += usize::from(truth == predicted);
        if index < ROWS {
            let confidence = sample
                .get(field)
                .and_then(|label| label.get("confidence")?.as_f64());
            let confidence = confidence.map(|c| format!("{c:.3}")).unwrap_or_default();
            let mark = if truth == predicted { "" } else { "  wrong" };
            writeln!(
                text,
                "{path:<20}{truth:<14}{predicted:<14}{confidence:<10}{mark}"
            )?;
        }
    }
    if samples.is_empty() {
        return Err("the dataset has no samples".into());
    }
    if samples.len() > ROWS {
        writeln!(text, "… and {} more", samples.len() - ROWS)?;
    }
    let total = samples.len();
    write!(
        text,
        "\naccuracy: {right} of {total} right, {}.{} %",
        right * 1000 / total / 10,
        right * 1000 / total % 10
    )?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(predictions: &[(&str, Option<&str>)]) -> String {
        let samples: Vec<Value> = predictions
            .iter()
            .map(|(truth, predicted)| {
                serde_json::json!({
                    "filepath": "data/1.png",
                    "ground_truth": { "label": truth },
                    "predictions": predicted.map(|label| serde_json::json!({ "label": label, "confidence": 0.5 })),
                })
            })
            .collect();
        serde_json::json!({ "samples": samples }).to_string()
    }

    #[test]
    fn right_and_wrong_are_counted() {
        let text = report(
            &samples(&[("1", Some("1")), ("2", Some("2")), ("3", Some("8"))]),
            "predictions",
        )
        .unwrap();
        assert!(text.ends_with("accuracy: 2 of 3 right, 66.6 %"), "{text}");
        assert_eq!(text.matches("wrong").count(), 1, "{text}");
        assert!(text.contains("0.500"), "{text}");
    }

    #[test]
    fn a_missing_prediction_is_an_error() {
        let error = report(&samples(&[("1", Some("1")), ("2", None)]), "predictions").unwrap_err();
        assert_eq!(error.to_string(), "data/1.png has no label in predictions");
        assert!(report(&samples(&[]), "predictions").is_err());
        assert!(report("{}", "predictions").is_err());
    }
}
