//! The size of a record.

use std::io;

use serde_json::Value;

/// The longest record, in bytes.
pub(super) const MAX_RECORD: usize = 16 << 10;

/// What a record is cut to: the longest string in bytes, the longest string within a list or an
/// object, and the most items of a list. Each is tried in turn. Error messages are shorter than the
/// first, and origins of URLs shorter than the second.
const CUTS: &[(usize, usize, usize)] = &[
    (4 << 10, 320, 64),
    (2 << 10, 320, 24),
    (1 << 10, 320, 8),
    (256, 128, 2),
];

/// The text of a record, with what is too long cut. Items of lists that are left out are counted in
/// its field `cut`.
pub(super) fn bounded(mut record: Value) -> io::Result<String> {
    let mut left_out = 0;
    let mut text = String::new();
    for cut in CUTS {
        left_out += shorten(&mut record, *cut);
        if let (Value::Object(fields), true) = (&mut record, left_out > 0) {
            fields.insert("cut".to_owned(), left_out.into());
        }
        text = serde_json::to_string(&record)?;
        if text.len() <= MAX_RECORD {
            break;
        }
    }
    Ok(text)
}

/// Cuts strings and lists; answers how many items are left out.
fn shorten(record: &mut Value, (text, inner_text, items): (usize, usize, usize)) -> u64 {
    fn cut(value: &mut Value, text: usize, inner_text: usize, items: usize) -> u64 {
        let within = |value: &mut Value| cut(value, inner_text, inner_text, items);
        match value {
            Value::String(string) if string.len() > text => {
                string.truncate(string.floor_char_boundary(text));
                string.push('…');
                0
            }
            Value::Array(list) => {
                let left_out = list.len().saturating_sub(items);
                list.truncate(items);
                left_out as u64 + list.iter_mut().map(within).sum::<u64>()
            }
            Value::Object(fields) => fields.values_mut().map(within).sum(),
            Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        }
    }
    match record {
        Value::Object(fields) => fields
            .values_mut()
            .map(|value| cut(value, text, inner_text, items))
            .sum(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(record: Value) -> Value {
        let text = bounded(record).unwrap();
        assert!(text.len() <= MAX_RECORD, "{}", text.len());
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn long_strings_are_cut_and_origins_kept() {
        let url = format!("https://{}.example/{}", "a".repeat(200), "ä".repeat(5000));
        let record = read(json!({
            "reason": "ä".repeat(5000),
            "hops": [{ "url": url, "status": 200 }],
            "bytes": 7,
        }));
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        assert_eq!(text(&record["reason"]).len(), (4 << 10) + '…'.len_utf8());
        let url = text(&record["hops"][0]["url"]);
        assert!(url.contains(".example/") && url.len() < 520, "{url}");
        assert_eq!(record["bytes"], 7);
        assert_eq!(record.get("cut"), None);
    }

    #[test]
    fn items_that_are_left_out_are_counted() {
        let hosts: Vec<_> = (0..500_000)
            .map(|n| format!("https://{n}.example"))
            .collect();
        let record = read(json!({ "event": "withheld", "permissions": hosts }));
        let kept = record["permissions"].as_array().unwrap();
        assert_eq!(kept.first().unwrap(), "https://0.example");
        assert_eq!(record["cut"], 500_000 - kept.len());
        // Long items, in several lists and within objects.
        let hosts: Vec<_> = (0..300)
            .map(|n| format!("{n}{}", "x".repeat(1000)))
            .collect();
        let hop = json!({ "url": "https://a.example", "list": hosts });
        let record = read(json!({ "a": hosts, "b": hosts, "hops": vec![hop; 3] }));
        let kept = |list: &Value| list.as_array().unwrap().len();
        let hops = record["hops"].as_array().unwrap();
        let nested: usize = hops.iter().map(|hop| kept(&hop["list"])).sum();
        assert!(
            record["cut"].as_u64().unwrap()
                >= 2 * 300 - (kept(&record["a"]) + kept(&record["b"])) as u64
        );
        assert!(nested > 0);
    }

    #[test]
    fn strings_that_grow_when_they_are_written_are_bounded_too() {
        let nul = "\0".repeat(5000);
        let fields = ["source", "model", "url", "reason", "name", "bundle"];
        let record: serde_json::Map<_, _> = fields
            .iter()
            .map(|name| ((*name).to_owned(), nul.clone().into()))
            .collect();
        read(record.into());
    }
}
