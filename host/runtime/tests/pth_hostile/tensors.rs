//! Tensors with false places.

use crate::Want::Malformed;
use crate::write::{
    archive, code, dict, floats, legacy, number, numbers, rebuilt, script, storage_of, stored,
    tensor, text, tuple,
};
use crate::{refuse, try_open};

#[test]
fn unchanged_cases_are_read() {
    let good = tensor(1, &[2, 2], &[2, 1]);
    for content in [archive(&good), script(&good), legacy(&good)] {
        let weights = try_open(&content).unwrap();
        assert_eq!(weights.values("w").unwrap(), [1.0, 2.0, 3.0, 4.0]);
    }
}

#[test]
fn views_inside_of_their_storage_are_read() {
    let read = |pickle: &[u8]| try_open(&archive(pickle)).unwrap().values("w").unwrap();
    assert_eq!(read(&tensor(5, &[1], &[1])), [5.0]);
    assert_eq!(
        read(&tensor(0, &[3, 2], &[1, 3])),
        [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]
    );
    assert_eq!(
        read(&tensor(0, &[2, 3], &[0, 2])),
        [0.0, 2.0, 4.0, 0.0, 2.0, 4.0]
    );
    // A dimension of one element may have any stride.
    assert_eq!(read(&tensor(4, &[1, 2], &[i64::MAX, 1])), [4.0, 5.0]);
    assert!(read(&tensor(6, &[0, 3], &[3, 1])).is_empty());
    assert_eq!(read(&tensor(2, &[], &[])), [2.0]);
}

#[test]
fn views_outside_of_their_storage_are_refused() {
    let far = i64::MAX;
    let cases = [
        (
            "one too many",
            tensor(0, &[7], &[1]),
            "outside of its storage",
        ),
        (
            "one too far",
            tensor(1, &[6], &[1]),
            "outside of its storage",
        ),
        ("strided", tensor(0, &[4], &[2]), "outside of its storage"),
        ("offset", tensor(6, &[], &[]), "outside of its storage"),
        (
            "far offset",
            tensor(far, &[1], &[1]),
            "outside of its storage",
        ),
        (
            "far offset of nothing",
            tensor(far, &[0], &[1]),
            "outside of its storage",
        ),
        (
            "far stride",
            tensor(0, &[2], &[far]),
            "outside of its storage",
        ),
        (
            "strides that add up",
            tensor(0, &[2, 2, 2], &[far, far, far]),
            "outside of its storage",
        ),
        (
            "offset and stride that add up",
            tensor(far, &[2], &[far]),
            "outside of its storage",
        ),
        (
            "huge shape",
            tensor(0, &[far, far], &[0, 0]),
            "product is too large",
        ),
        (
            "huge shape of nothing",
            tensor(0, &[0, far, 3], &[0, 0, 0]),
            "product is too large",
        ),
        (
            "one element many times",
            tensor(0, &[1 << 40], &[0]),
            "more elements than its storage",
        ),
        (
            "one element a few times",
            tensor(0, &[7], &[0]),
            "more elements than its storage",
        ),
        ("negative stride", tensor(5, &[6], &[-1]), "-1"),
        ("negative offset", tensor(-1, &[1], &[1]), "-1"),
        ("negative shape", tensor(0, &[-6], &[1]), "-6"),
        (
            "strides too few",
            tensor(0, &[2, 3], &[1]),
            "differ in length",
        ),
        (
            "many dimensions",
            tensor(0, &[1; 17], &[1; 17]),
            "16 dimensions",
        ),
    ];
    for (case, pickle, want) in &cases {
        for content in [archive(pickle), legacy(pickle), script(pickle)] {
            refuse(case, &content, &Malformed(want));
        }
    }
}

#[test]
fn storages_of_wrong_length_are_refused() {
    let of = |storage: Vec<u8>| dict(rebuilt(storage, 0, &[1], &[1]));
    let cases = [
        ("longer", of(storage_of("FloatStorage", "0", 7)), "storage"),
        ("shorter", of(storage_of("FloatStorage", "0", 5)), "storage"),
        (
            "other type",
            of(storage_of("DoubleStorage", "0", 6)),
            "storage",
        ),
        (
            "too long for any memory",
            of(storage_of("DoubleStorage", "0", i64::MAX)),
            "storage",
        ),
        ("missing", of(storage_of("FloatStorage", "1", 6)), "storage"),
        (
            "a path",
            of(storage_of("FloatStorage", "../data/0", 6)),
            "storage",
        ),
        (
            "elsewhere",
            of(storage_of("FloatStorage", "/etc/passwd", 6)),
            "storage",
        ),
    ];
    for (case, pickle, want) in &cases {
        for content in [archive(pickle), legacy(pickle)] {
            refuse(case, &content, &Malformed(want));
        }
    }
    // Two types for the same bytes are allowed if they have the same size.
    let two = [
        b"\x80\x02}(".to_vec(),
        text("w"),
        rebuilt(storage_of("FloatStorage", "0", 6), 0, &[1], &[1]),
        text("v"),
        rebuilt(storage_of("HalfStorage", "0", 12), 0, &[1], &[1]),
        b"u.".to_vec(),
    ];
    assert_eq!(
        try_open(&archive(&two.concat())).unwrap().tensors().count(),
        2
    );
}

/// A storage of bytes, with a tensor of a separate type (`_rebuild_tensor_v3`).
fn typed(count: i64, dtype: &str, offset: i64, shape: &[i64]) -> Vec<u8> {
    let class = b"ctorch.storage\nUntypedStorage\n".to_vec();
    let id = [
        text("storage"),
        class,
        text("0"),
        text("cpu"),
        number(count),
    ];
    let strides = vec![1; shape.len()];
    let arguments = [
        [tuple(&id), b"Q".to_vec()].concat(),
        number(offset),
        numbers(shape),
        numbers(&strides),
        b"\x89".to_vec(),
        b"N".to_vec(),
        format!("ctorch\n{dtype}\n").into_bytes(),
    ];
    dict(code(&[
        b"ctorch._utils\n_rebuild_tensor_v3\n",
        &tuple(&arguments),
        b"R",
    ]))
}

#[test]
fn separate_dtype_is_checked() {
    let weights = try_open(&archive(&typed(24, "float32", 2, &[4]))).unwrap();
    assert_eq!(weights.values("w").unwrap(), [2.0, 3.0, 4.0, 5.0]);
    refuse(
        "too far",
        &archive(&typed(24, "float32", 3, &[4])),
        &Malformed("outside of its storage"),
    );
    refuse(
        "too wide",
        &archive(&typed(24, "float64", 0, &[4])),
        &Malformed("outside of its storage"),
    );
    refuse(
        "no type",
        &archive(&typed(24, "Size", 0, &[4])),
        &Malformed("wrong arguments"),
    );
    let untyped = [
        text("storage"),
        b"ctorch.storage\nUntypedStorage\n".to_vec(),
        text("0"),
        text("cpu"),
        number(24),
    ];
    let pickle = dict(rebuilt(
        [tuple(&untyped), b"Q".to_vec()].concat(),
        0,
        &[4],
        &[1],
    ));
    refuse(
        "never a type",
        &archive(&pickle),
        &Malformed("without a type"),
    );
}

/// A part of a storage, as PyTorch wrote them before version 0.4.
fn part(start: i64, length: i64, offset: i64, shape: &[i64]) -> Vec<u8> {
    let class = b"ctorch\nFloatStorage\n".to_vec();
    let view = tuple(&[text("view"), number(start), number(length)]);
    let id = [
        text("storage"),
        class,
        text("0"),
        text("cpu"),
        number(6),
        view,
    ];
    dict(rebuilt(
        [tuple(&id), b"Q".to_vec()].concat(),
        offset,
        shape,
        &[1],
    ))
}

#[test]
fn partial_storage_is_checked() {
    let weights = try_open(&legacy(&part(2, 3, 1, &[2]))).unwrap();
    assert_eq!(weights.values("w").unwrap(), [3.0, 4.0]);
    refuse(
        "longer",
        &legacy(&part(2, 3, 1, &[3])),
        &Malformed("outside of its storage"),
    );
    refuse(
        "beyond",
        &legacy(&part(2, 5, 0, &[1])),
        &Malformed("reaches beyond"),
    );
    refuse(
        "far",
        &legacy(&part(i64::MAX, i64::MAX, 0, &[1])),
        &Malformed("reaches beyond"),
    );
}

#[test]
fn tensors_that_reuse_the_file_too_often_are_refused() {
    let elements = vec![0; 1 << 16];
    let mut pickle = b"\x80\x02}(".to_vec();
    for i in 0..40 {
        pickle.extend(text(&i.to_string()));
        pickle.extend(rebuilt(
            storage_of("ByteStorage", "0", 1 << 16),
            0,
            &[1 << 16],
            &[1],
        ));
    }
    pickle.extend(b"u.");
    let content = stored(&[("m/data.pkl", &pickle), ("m/data/0", &elements)]);
    refuse("sharing", &content, &Malformed("16 times over"));
    assert_eq!(floats().len(), 24);
}
