//! Which predicted boxes are which of the true ones.

use modelzoo_model::label::{Detection, Detections};

/// The most objects of a sample that are compared, the first ones: as many as a model may give.
const MAX_OBJECTS: usize = 10_000;
/// The least intersection over union of a pair.
const MIN_IOU: f64 = 0.5;

/// Pairs boxes whatever their classes are: the most confident prediction first, each with the true
/// box that it overlaps most. Who has no partner comes with [`None`].
pub(crate) fn pairs<'a>(
    truth: &'a Detections,
    predicted: &'a Detections,
) -> Vec<(Option<&'a Detection>, Option<&'a Detection>)> {
    let mut free: Vec<Option<&Detection>> = truth
        .detections
        .iter()
        .take(MAX_OBJECTS)
        .map(Some)
        .collect();
    let mut order: Vec<&Detection> = predicted.detections.iter().take(MAX_OBJECTS).collect();
    let confidence = |label: &Detection| label.confidence.unwrap_or(1.0);
    order.sort_by(|a, b| confidence(b).total_cmp(&confidence(a)));
    let mut pairs = Vec::with_capacity(order.len());
    for prediction in order {
        let mut best = MIN_IOU;
        let mut partner = None;
        for slot in &mut free {
            let overlap = slot.map_or(0.0, |object| iou(object, prediction));
            if overlap >= best && slot.is_some() {
                best = overlap;
                partner = Some(slot);
            }
        }
        pairs.push((partner.and_then(Option::take), Some(prediction)));
    }
    pairs.extend(
        free.into_iter()
            .flatten()
            .map(|object| (Some(object), None)),
    );
    pairs
}

/// Intersection over union of two boxes; 0 where one is absent.
fn iou(a: &Detection, b: &Detection) -> f64 {
    let (Some(a), Some(b)) = (a.bounding_box, b.bounding_box) else {
        return 0.0;
    };
    let along = |axis: usize| {
        let at = |b: &[f64; 4]| {
            let start = b.get(axis).copied().unwrap_or_default();
            (start, start + b.get(axis + 2).copied().unwrap_or_default())
        };
        let ((s, e), (t, f)) = (at(&a), at(&b));
        (e.min(f) - s.max(t)).max(0.0)
    };
    let shared = along(0) * along(1);
    let area = |[_, _, w, h]: [f64; 4]| w * h;
    let all = area(a) + area(b) - shared;
    if all > 0.0 { shared / all } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(label: &str, bounds: [f64; 4], confidence: f64) -> Detection {
        Detection {
            label: Some(label.to_owned()),
            bounding_box: Some(bounds),
            confidence: Some(confidence),
            ..Detection::default()
        }
    }

    #[test]
    fn most_confident_prediction_takes_the_box() {
        let truth = Detections {
            detections: vec![
                object("cat", [0.0, 0.0, 0.5, 0.5], 1.0),
                object("dog", [0.5, 0.5, 0.5, 0.5], 1.0),
            ],
            ..Detections::default()
        };
        let predicted = Detections {
            detections: vec![
                object("low", [0.0, 0.0, 0.5, 0.5], 0.3),
                object("high", [0.0, 0.0, 0.5, 0.4], 0.9),
            ],
            ..Detections::default()
        };
        let name = |label: Option<&Detection>| label.and_then(|l| l.label.clone());
        let pairs: Vec<_> = pairs(&truth, &predicted)
            .into_iter()
            .map(|(a, b)| (name(a), name(b)))
            .collect();
        let text = |s: &str| Some(s.to_owned());
        assert_eq!(
            pairs,
            [
                (text("cat"), text("high")),
                (None, text("low")),
                (text("dog"), None)
            ]
        );
    }
}
