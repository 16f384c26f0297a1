//! Malformed pickles.

use crate::Want::{self, Malformed};
use crate::refuse;
use crate::write::{archive, code, dict, legacy, rebuilt, script, storage_of, tensor, text};

#[test]
fn malformed_pickles_are_refused() {
    let v2 = b"ctorch._utils\n_rebuild_tensor_v2\n";
    let storage = storage_of("FloatStorage", "0", 6);
    let long = |length: u8| {
        code(&[
            b"\x80\x02\x8a",
            &[length],
            &vec![0x7f; usize::from(length)],
            b".",
        ])
    };
    let cases: Vec<(&str, Vec<u8>, Want)> = vec![
        ("nothing", Vec::new(), Malformed("cut off")),
        ("no end", b"\x80\x02}".to_vec(), Malformed("cut off")),
        (
            "end at once",
            b"\x80\x02.".to_vec(),
            Malformed("middle of a value"),
        ),
        (
            "two values",
            b"\x80\x02NN.".to_vec(),
            Malformed("middle of a value"),
        ),
        (
            "a mark left",
            b"\x80\x02}(.".to_vec(),
            Malformed("middle of a value"),
        ),
        (
            "from below the mark",
            b"\x80\x02N(0.".to_vec(),
            Malformed("empty stack"),
        ),
        (
            "pop of nothing",
            b"\x80\x020.".to_vec(),
            Malformed("empty stack"),
        ),
        (
            "tuple of nothing",
            b"\x80\x02N\x87.".to_vec(),
            Malformed("empty stack"),
        ),
        ("no mark", b"\x80\x02Nt.".to_vec(), Malformed("empty stack")),
        (
            "append to a number",
            b"\x80\x02K\x01Na.".to_vec(),
            Malformed("not a collection"),
        ),
        (
            "append to a dictionary",
            b"\x80\x02}Na.".to_vec(),
            Malformed("not a list"),
        ),
        (
            "items of a list",
            b"\x80\x02]NNs.".to_vec(),
            Malformed("has none"),
        ),
        (
            "a key alone",
            b"\x80\x02}(Nu.".to_vec(),
            Malformed("no value"),
        ),
        (
            "a key alone at once",
            b"\x80\x02(Nd.".to_vec(),
            Malformed("no value"),
        ),
        (
            "memo without it",
            b"\x80\x02h\x05.".to_vec(),
            Malformed("recalls value 5"),
        ),
        (
            "memo far out",
            b"\x80\x02Nr\xff\xff\xff\xffj\xfe\xff\xff\xff.".to_vec(),
            Malformed("recalls"),
        ),
        (
            "protocol 9",
            b"\x80\x09N.".to_vec(),
            Malformed("protocol 9"),
        ),
        (
            "unknown instruction",
            b"\x80\x02\xee.".to_vec(),
            Malformed("0xee"),
        ),
        (
            "text instruction",
            b"\x80\x02I01\n.".to_vec(),
            Malformed("0x49"),
        ),
        ("long integer", long(255), Malformed("255 bytes")),
        (
            "long integer cut off",
            b"\x80\x02\x8a\xff\x01.".to_vec(),
            Malformed("cut off"),
        ),
        (
            "text of 4 GiB",
            b"\x80\x02X\xff\xff\xff\xff.".to_vec(),
            Malformed("cut off"),
        ),
        (
            "text of 16 EiB",
            b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\xff.".to_vec(),
            Malformed("cut off"),
        ),
        (
            "bytes of 4 GiB",
            b"\x80\x03B\xff\xff\xff\xff.".to_vec(),
            Malformed("cut off"),
        ),
        (
            "no UTF-8",
            b"\x80\x02X\x01\0\0\0\xff.".to_vec(),
            Malformed("malformed text"),
        ),
        (
            "a name without end",
            code(&[b"\x80\x02c", &b"a".repeat(2000), b"\nb\n."]),
            Malformed("does not end"),
        ),
        (
            "a name of numbers",
            b"\x80\x04K\x01K\x02\x93.".to_vec(),
            Malformed("not a text"),
        ),
        (
            "call of a number",
            b"\x80\x02K\x01)R.".to_vec(),
            Malformed("not callable"),
        ),
        (
            "call with a number",
            b"\x80\x02ccollections\nOrderedDict\nK\x01R.".to_vec(),
            Malformed("not a tuple of arguments"),
        ),
        (
            "ordered dictionary of numbers",
            b"\x80\x02ccollections\nOrderedDict\n]K\x01a\x85R.".to_vec(),
            Malformed("list of pairs"),
        ),
        (
            "attributes of a number",
            b"\x80\x02K\x01}b.".to_vec(),
            Malformed("not a collection"),
        ),
        (
            "attributes of a list",
            b"\x80\x02]}b.".to_vec(),
            Malformed("attributes"),
        ),
        (
            "attributes of a tensor",
            dict(code(&[&rebuilt(storage.clone(), 0, &[6], &[1]), b"}b"])),
            Malformed("attributes"),
        ),
        (
            "no dictionary",
            b"\x80\x02]K\x01a.".to_vec(),
            Malformed("neither a dictionary"),
        ),
        (
            "only a number",
            b"\x80\x02K\x01.".to_vec(),
            Malformed("neither a dictionary"),
        ),
        (
            "a tensor alone",
            code(&[b"\x80\x02", &rebuilt(storage.clone(), 0, &[6], &[1]), b"."]),
            Malformed("single tensor"),
        ),
        (
            "no tensors",
            b"\x80\x02}.".to_vec(),
            Malformed("no named tensors"),
        ),
        (
            "rebuild of nothing",
            dict(code(&[v2, b")R"])),
            Malformed("wrong arguments"),
        ),
        (
            "short arguments",
            dict(code(&[v2, b"(", &storage, b"K\0tR"])),
            Malformed("wrong arguments"),
        ),
        (
            "long arguments",
            dict(code(&[v2, b"(", &storage, &b"N".repeat(9), b"tR"])),
            Malformed("wrong arguments"),
        ),
        (
            "arguments of a list",
            dict(code(&[v2, b"]R"])),
            Malformed("not a tuple of arguments"),
        ),
        (
            "no storage",
            dict(code(&[v2, b"(K\0K\0))\x89NtR"])),
            Malformed("without a storage"),
        ),
        (
            "shape of a number",
            dict(code(&[v2, b"(", &storage, b"K\0K\x06K\x01\x89NtR"])),
            Malformed("without a shape"),
        ),
        (
            "shape of texts",
            dict(code(&[
                v2,
                b"(",
                &storage,
                b"K\0X\0\0\0\0\x85K\x01\x85\x89NtR",
            ])),
            Malformed("not a number"),
        ),
        (
            "storage id of a number",
            dict(b"K\x01Q".to_vec()),
            Malformed("reference to a storage"),
        ),
        (
            "storage id too short",
            dict(b"X\x07\0\0\0storage\x85Q".to_vec()),
            Malformed("reference to a storage"),
        ),
        (
            "module as a storage",
            dict(code(&[
                b"(",
                &text("module"),
                b"ctorch\nFloatStorage\n",
                &text("0"),
                &text("cpu"),
                b"K\x06tQ",
            ])),
            Malformed("reference to a storage"),
        ),
        (
            "storage of a negative length",
            dict(storage_of("FloatStorage", "0", -6)),
            Malformed("-6"),
        ),
        (
            "a key of a tuple",
            code(&[
                b"\x80\x02}(",
                &text("w"),
                &rebuilt(storage.clone(), 0, &[6], &[1]),
                b")Nu.",
            ]),
            Malformed("neither a text nor a number"),
        ),
        (
            "a parameter of nothing",
            dict(b"ctorch._utils\n_rebuild_parameter\n(N\x89NtR".to_vec()),
            Malformed("not a tensor"),
        ),
        (
            "a name twice",
            code(&[
                b"\x80\x02}(",
                &text("w"),
                &rebuilt(storage.clone(), 0, &[6], &[1]),
                &text("w"),
                &rebuilt(storage.clone(), 0, &[6], &[1]),
                b"u.",
            ]),
            Malformed("twice"),
        ),
        (
            "a long name",
            code(&[
                b"\x80\x02}",
                &text(&"n".repeat(5000)),
                &rebuilt(storage, 0, &[6], &[1]),
                b"s.",
            ]),
            Malformed("1024 bytes"),
        ),
        (
            "more than one pickle",
            code(&[&tensor(0, &[6], &[1]), b"N."]),
            Malformed("after its pickle"),
        ),
    ];
    for (case, pickle, want) in &cases {
        refuse(case, &archive(pickle), want);
        refuse(case, &script(pickle), want);
    }
}

#[test]
fn very_deep_or_long_pickles_are_refused() {
    let million = |code: &[u8]| code.repeat(1_000_000);
    let thousand = |code: &[u8]| code.repeat(400_000);
    let cases = [
        (
            "lists",
            code(&[b"\x80\x02", &million(b"]"), &million(b"a"), b"."]),
            "more than 500000 values",
        ),
        (
            "marks",
            code(&[b"\x80\x02", &million(b"("), &million(b"t"), b"."]),
            "more than 500000 values",
        ),
        (
            "marks alone",
            code(&[b"\x80\x02", &million(b"(")]),
            "cut off",
        ),
        (
            "lists in lists",
            code(&[b"\x80\x02", &thousand(b"]"), &thousand(b"a")[1..], b"."]),
            "neither a dictionary",
        ),
        (
            "dictionaries",
            code(&[b"\x80\x02", &thousand(b"}K\0"), b"}", &thousand(b"s"), b"."]),
            "64 deep",
        ),
        (
            "wrappers",
            code(&[
                b"\x80\x02",
                &thousand(b"}\x8c\x03net"),
                b"}",
                &thousand(b"s"),
                b".",
            ]),
            "64 deep",
        ),
        (
            "steps",
            code(&[b"\x80\x02", &million(b"N0N0N0")]),
            "more than 4000000 steps",
        ),
        (
            "memos",
            code(&[b"\x80\x04N", &million(b"\x94")]),
            "memoizes more than 500000",
        ),
        (
            "a list of itself",
            b"\x80\x02}q\0(K\0h\0u.".to_vec(),
            "64 deep",
        ),
        (
            "a wrapper of itself",
            b"\x80\x02}q\0\x8c\x05modelh\0s.".to_vec(),
            "64 deep",
        ),
        (
            "a list in itself",
            b"\x80\x02}K\0]q\0h\0as.".to_vec(),
            "64 deep",
        ),
        (
            "an ordered dictionary again and again",
            again(),
            "more than 4000000 steps",
        ),
        ("doubling", doubling(), "more than 1000000 values"),
    ];
    for (case, pickle, want) in &cases {
        refuse(case, &archive(pickle), &Malformed(want));
        // There, the storages may be refused first.
        refuse(case, &legacy(pickle), &Malformed(""));
    }
}

/// A list of a thousand pairs, made into a dictionary ten thousand times.
fn again() -> Vec<u8> {
    let pairs = b"NN\x86".repeat(1000);
    let list = code(&[b"\x80\x02](", &pairs, b"e\x85q\0"]);
    code(&[
        &list,
        &b"ccollections\nOrderedDict\nh\0R0".repeat(10_000),
        b".",
    ])
}

/// Dictionaries that hold the one before twice: 2^60 of the innermost.
fn doubling() -> Vec<u8> {
    let mut pickle = b"\x80\x04}\x94".to_vec();
    for level in 0..60 {
        pickle.extend([
            b'}', b'(', b'K', 0, b'h', level, b'K', 1, b'h', level, b'u', b'\x94', b'0',
        ]);
    }
    pickle.extend(b"0h\x3c.");
    pickle
}
