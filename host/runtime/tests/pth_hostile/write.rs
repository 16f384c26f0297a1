//! Writing checkpoints by hand: containers, and pickles instruction by instruction.

use std::io::{Cursor, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// A zip archive with these entries, in this order.
pub(crate) fn zip(entries: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in entries {
        let options = SimpleFileOptions::default().compression_method(method);
        zip.start_file(*name, options).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

pub(crate) fn stored(entries: &[(&str, &[u8])]) -> Vec<u8> {
    zip(entries, CompressionMethod::Stored)
}

/// A checkpoint with this pickle and one storage, `0`, of 24 bytes: the floats 0 to 5.
pub(crate) fn archive(pickle: &[u8]) -> Vec<u8> {
    stored(&[
        ("m/data.pkl", pickle),
        ("m/byteorder", b"little"),
        ("m/data/0", &floats()),
    ])
}

pub(crate) fn script(pickle: &[u8]) -> Vec<u8> {
    stored(&[
        ("m/data.pkl", pickle),
        ("m/constants.pkl", b"\x80\x02)."),
        ("m/data/0", &floats()),
    ])
}

pub(crate) fn legacy(pickle: &[u8]) -> Vec<u8> {
    let mut file = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.".to_vec();
    file.extend(b"\x80\x02}X\x0d\0\0\0little_endian\x88s.");
    file.extend(pickle);
    file.extend(b"\x80\x02]X\x01\0\0\x000a.\x06\0\0\0\0\0\0\0");
    file.extend(floats());
    file
}

pub(crate) fn floats() -> Vec<u8> {
    (0..6_u8).flat_map(|i| f32::from(i).to_le_bytes()).collect()
}

/// `X`: a text.
pub(crate) fn text(value: &str) -> Vec<u8> {
    let mut code = vec![b'X'];
    code.extend((value.len() as u32).to_le_bytes());
    code.extend(value.as_bytes());
    code
}

/// `LONG1`: a number of eight bytes.
pub(crate) fn number(value: i64) -> Vec<u8> {
    let mut code = b"\x8a\x08".to_vec();
    code.extend(value.to_le_bytes());
    code
}

pub(crate) fn tuple(values: &[Vec<u8>]) -> Vec<u8> {
    [b"(".to_vec(), values.concat(), b"t".to_vec()].concat()
}

pub(crate) fn numbers(values: &[i64]) -> Vec<u8> {
    let values: Vec<_> = values.iter().map(|&value| number(value)).collect();
    tuple(&values)
}

pub(crate) fn storage_of(kind: &str, key: &str, count: i64) -> Vec<u8> {
    let class = format!("ctorch\n{kind}\n").into_bytes();
    let id = [
        text("storage"),
        class,
        text(key),
        text("cpu"),
        number(count),
    ];
    [tuple(&id), b"Q".to_vec()].concat()
}

pub(crate) fn rebuilt(storage: Vec<u8>, offset: i64, shape: &[i64], strides: &[i64]) -> Vec<u8> {
    let hooks = b"ccollections\nOrderedDict\n)R".to_vec();
    let arguments = [
        storage,
        number(offset),
        numbers(shape),
        numbers(strides),
        b"\x89".to_vec(),
        hooks,
    ];
    [
        b"ctorch._utils\n_rebuild_tensor_v2\n".to_vec(),
        tuple(&arguments),
        b"R".to_vec(),
    ]
    .concat()
}

/// A state dict of one tensor, `w`.
pub(crate) fn dict(tensor: Vec<u8>) -> Vec<u8> {
    [b"\x80\x02}".to_vec(), text("w"), tensor, b"s.".to_vec()].concat()
}

pub(crate) fn tensor(offset: i64, shape: &[i64], strides: &[i64]) -> Vec<u8> {
    dict(rebuilt(
        storage_of("FloatStorage", "0", 6),
        offset,
        shape,
        strides,
    ))
}

pub(crate) fn code(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}
