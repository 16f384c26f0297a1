//! Pickled modules, which are read as inert records.

use crate::Want::{Malformed, Unsafe};
use crate::write::{archive, number, rebuilt, storage_of, text};
use crate::{refuse, try_open};

fn tensor(value: i64) -> Vec<u8> {
    rebuilt(storage_of("FloatStorage", "0", 6), value, &[1], &[1])
}

fn dict(pairs: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let pairs = pairs
        .iter()
        .map(|(key, value)| [text(key), value.clone()].concat());
    let pairs: Vec<_> = pairs.collect();
    [b"}(".to_vec(), pairs.concat(), b"u".to_vec()].concat()
}

/// An object of a class, with these attributes.
fn module(class: &str, attributes: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let made = format!("c{class}\n)").into_bytes();
    [made, b"\x81".to_vec(), dict(attributes), b"b".to_vec()].concat()
}

fn conv(value: i64) -> Vec<u8> {
    let parameters = dict(&[("weight", tensor(value))]);
    module(
        "torch.nn.modules.conv\nConv2d",
        &[("_parameters", parameters)],
    )
}

fn pickle(root: Vec<u8>) -> Vec<u8> {
    archive(&[b"\x80\x02".to_vec(), root, b".".to_vec()].concat())
}

#[test]
fn tensors_of_modules_have_their_place_in_the_tree() {
    let sequential = "torch.nn.modules.container\nSequential";
    let parts = dict(&[("0", conv(1)), ("1", conv(2))]);
    let norm = dict(&[("running_mean", tensor(3))]);
    let network = module(
        "ultralytics.nn.tasks\nDetectionModel",
        &[
            ("training", b"\x89".to_vec()),
            // A plain attribute is not a part.
            ("stride", tensor(5)),
            (
                "criterion",
                module(
                    "ultralytics.utils.loss\nv8DetectionLoss",
                    &[("proj", tensor(5))],
                ),
            ),
            ("_buffers", norm),
            (
                "_modules",
                dict(&[("model", module(sequential, &[("_modules", parts)]))]),
            ),
            (
                "_non_persistent_buffers_set",
                b"c__builtin__\nset\n]\x85R".to_vec(),
            ),
        ],
    );
    let root = dict(&[
        ("epoch", number(-1)),
        ("ema", network),
        ("model", conv(4)),
        (
            "best_fitness",
            b"cnumpy.core.multiarray\nscalar\n)R".to_vec(),
        ),
    ]);
    let weights = try_open(&pickle(root)).unwrap();
    let names: Vec<_> = weights.tensors().map(|(name, ..)| name).collect();
    assert_eq!(names, ["model.0.weight", "model.1.weight", "running_mean"]);
    assert_eq!(weights.values("model.1.weight").unwrap(), [2.0]);
}

#[test]
fn modules_of_unknown_classes_are_refused() {
    for (class, name) in [
        (
            "ultralytics.nn.tasks\nattempt_load_weights",
            "ultralytics.nn.tasks.attempt_load_weights",
        ),
        ("torch.nn.modules.conv\nos", "torch.nn.modules.conv.os"),
        ("models.yolo\nModel", "models.yolo.Model"),
        ("torch.hub\nload", "torch.hub.load"),
    ] {
        let root = dict(&[("model", module(class, &[]))]);
        refuse(class, &pickle(root), &Unsafe(name));
    }
    // A class that is known is not called.
    let called = b"ctorch.nn.modules.conv\nConv2d\n)R.".to_vec();
    let called = archive(&[b"\x80\x02".to_vec(), called].concat());
    refuse("called", &called, &Malformed("wrong arguments"));
}

#[test]
fn modules_that_lead_nowhere_are_refused() {
    // A module that is a part of itself.
    let mut own = b"ctorch.nn.modules.container\nSequential\n)\x81q\x00}".to_vec();
    own.extend(text("_modules"));
    own.extend(b"}");
    own.extend(text("0"));
    own.extend(b"h\x00ssb");
    refuse(
        "itself",
        &pickle(own),
        &Malformed("nested more than 64 deep"),
    );
    let empty = module("torch.nn.modules.container\nSequential", &[]);
    refuse("empty", &pickle(empty), &Malformed("no named tensors"));
    let odd = module(
        "torch.nn.modules.container\nSequential",
        &[("_modules", number(7)), ("_parameters", text("weight"))],
    );
    refuse("odd", &pickle(odd), &Malformed("no named tensors"));
}

#[test]
fn descriptions_that_are_too_large_are_refused() {
    let with = |yaml: Vec<u8>| {
        let parameters = dict(&[("weight", tensor(1))]);
        let attributes = [("_parameters", parameters), ("yaml", yaml)];
        pickle(module("ultralytics.nn.tasks\nDetectionModel", &attributes))
    };
    let deep = [b"]".repeat(20), b"a".repeat(19)].concat();
    refuse("deep", &with(deep), &Malformed("nested more than 16 deep"));
    // A list that is a part of itself.
    let own = b"]q\x01h\x01a".to_vec();
    refuse("itself", &with(own), &Malformed("nested more than 16 deep"));
    // Lists whose parts are the same list, so that there are 10 million of them.
    let mut many = b"]q\x01".to_vec();
    for at in 2..=7_u8 {
        many.extend([b']', b'q', at, b'(']);
        for _ in 0..15 {
            many.extend([b'h', at - 1]);
        }
        many.push(b'e');
    }
    // A list of all of them.
    many = [b"(".to_vec(), many, b"l".to_vec()].concat();
    refuse("many", &with(many), &Malformed("too large"));
}
