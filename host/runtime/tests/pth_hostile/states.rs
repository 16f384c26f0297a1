//! Which part of a checkpoint is the network's state.

use crate::write::{archive, number, rebuilt, storage_of, text};
use crate::{Weights, try_open};

/// A tensor of one element, of this value.
fn tensor(value: i64) -> Vec<u8> {
    rebuilt(storage_of("FloatStorage", "0", 6), value, &[1], &[1])
}

/// A dictionary.
fn dict(pairs: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let pairs = pairs
        .iter()
        .map(|(key, value)| [text(key), value.clone()].concat());
    [
        b"}(".to_vec(),
        pairs.collect::<Vec<_>>().concat(),
        b"u".to_vec(),
    ]
    .concat()
}

fn open(root: Vec<u8>) -> Weights {
    try_open(&archive(
        &[b"\x80\x02".to_vec(), root, b".".to_vec()].concat(),
    ))
    .unwrap()
}

fn values(weights: &Weights) -> Vec<(String, f32)> {
    let names = weights.tensors().map(|(name, ..)| name.to_owned());
    names
        .map(|name| (name.clone(), weights.values(&name).unwrap()[0]))
        .collect()
}

#[test]
fn tensors_beside_a_state_dict_are_left_out() {
    for key in ["state_dict", "model_state_dict"] {
        let optimizer = dict(&[("state", dict(&[("exp_avg", tensor(5))]))]);
        let root = dict(&[
            ("epoch", number(7)),
            ("best_loss", tensor(4)),
            (key, dict(&[("a.weight", tensor(1)), ("a.bias", tensor(2))])),
            ("optimizer", optimizer),
        ]);
        let want = [("a.bias".to_owned(), 2.0), ("a.weight".to_owned(), 1.0)];
        assert_eq!(values(&open(root)), want, "{key}");
    }
}

#[test]
fn dictionary_with_the_name_of_a_part_is_not_a_wrapper_beside_tensors() {
    let root = dict(&[
        ("model", dict(&[("weight", tensor(1))])),
        ("scale", tensor(2)),
    ]);
    let want = [("model.weight".to_owned(), 1.0), ("scale".to_owned(), 2.0)];
    assert_eq!(values(&open(root)), want);
    let root = dict(&[
        ("model", dict(&[("weight", tensor(1))])),
        ("epoch", number(2)),
    ]);
    assert_eq!(values(&open(root)), [("weight".to_owned(), 1.0)]);
}

#[test]
fn tensor_named_state_dict_is_a_tensor() {
    let root = dict(&[("state_dict", tensor(3))]);
    assert_eq!(values(&open(root)), [("state_dict".to_owned(), 3.0)]);
}

#[test]
fn prefix_that_all_tensors_share_is_not_needed() {
    let state = |names: [&str; 2]| {
        open(dict(&[(
            "state_dict",
            dict(&names.map(|name| (name, tensor(2)))),
        )]))
    };
    for prefix in ["module.", "_orig_mod.", "model.", "module._orig_mod."] {
        let weights = state([&format!("{prefix}a.weight"), &format!("{prefix}a.bias")]);
        assert_eq!(weights.values("a.weight").unwrap(), [2.0], "{prefix}");
        assert_eq!(weights.values(&format!("{prefix}a.bias")).unwrap(), [2.0]);
        assert!(weights.values("weight").is_err());
    }
    let weights = state(["module.a.weight", "a.bias"]);
    assert!(weights.values("a.weight").is_err());
    assert_eq!(weights.values("a.bias").unwrap(), [2.0]);
}
