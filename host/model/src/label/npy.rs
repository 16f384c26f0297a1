//! Arrays in numpy's `.npy` format (numpy.lib.format): written in version 1.0, read in all of them.

use modelzoo_base::text::escape;

use super::LabelError;
use super::array::{Array, Element};

const MAGIC: &[u8] = b"\x93NUMPY";
/// The most dimensions of an array, as in numpy.
const MAX_DIMENSIONS: usize = 64;

/// What stands before the data of an array, as numpy lays it out: padded so that the data begin at
/// a multiple of 64.
#[must_use]
#[allow(
    clippy::cast_possible_truncation,
    reason = "no shape that fits into memory has 65536 digits"
)]
pub fn header(element: Element, shape: &[usize]) -> Vec<u8> {
    let shape = match shape {
        [length] => format!("({length},)"),
        sizes => {
            let sizes: Vec<_> = sizes.iter().map(usize::to_string).collect();
            format!("({})", sizes.join(", "))
        }
    };
    let descr = element.descr();
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    let prefix = MAGIC.len() + 4;
    while !(prefix + header.len() + 1).is_multiple_of(64) {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = Vec::with_capacity(prefix + header.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&[1, 0]);
    bytes.extend_from_slice(&(header.len() as u16).to_le_bytes());
    bytes.extend_from_slice(header.as_bytes());
    bytes
}

/// The bytes of `numpy.save`.
#[must_use]
pub fn encode(array: &Array) -> Vec<u8> {
    let mut bytes = header(array.element(), array.shape());
    bytes.extend_from_slice(array.bytes());
    bytes
}

/// Reads the bytes of `numpy.save`. Objects, text and records are refused: unpickling is never an
/// option.
///
/// # Errors
/// [`LabelError`] when the bytes are not such an array.
pub fn decode(bytes: &[u8]) -> Result<Array, LabelError> {
    let rest = bytes.strip_prefix(MAGIC).ok_or("not a numpy array")?;
    let (header, data) = match rest {
        [1, _, a, b, rest @ ..] => split(rest, u32::from(u16::from_le_bytes([*a, *b]))),
        [2 | 3, _, a, b, c, d, rest @ ..] => split(rest, u32::from_le_bytes([*a, *b, *c, *d])),
        _ => None,
    }
    .ok_or("a numpy array with a damaged header")?;
    let header = std::str::from_utf8(header).map_err(|_| "a numpy header that is not text")?;
    let descr = quoted(header, "descr").ok_or("a numpy header without a plain data type")?;
    let shape = shape(header)?;
    let (element, is_big) =
        Element::parse(descr).ok_or_else(|| format!("numpy data of type '{}'", escape(descr)))?;
    let count = shape
        .iter()
        .fold(1_usize, |all, &size| all.saturating_mul(size));
    if data.len() != count.saturating_mul(element.width()) {
        return Err(format!(
            "{} bytes of data for {count} numbers of type '{descr}'",
            data.len()
        )
        .into());
    }
    let mut data = data.to_vec();
    if is_big {
        data.chunks_exact_mut(element.width())
            .for_each(<[u8]>::reverse);
    }
    if after(header, "fortran_order").is_some_and(|value| value.starts_with("True")) {
        data = by_rows(&data, element.width(), &shape);
    }
    Array::new(element, shape, data).ok_or_else(|| "a numpy array of another size".into())
}

/// Elements of which the first index changes fastest, brought to the order in which the last does.
fn by_rows(data: &[u8], width: usize, shape: &[usize]) -> Vec<u8> {
    let mut ordered = Vec::with_capacity(data.len());
    let mut index = vec![0; shape.len()];
    for _ in 0..data.len() / width.max(1) {
        let at = index
            .iter()
            .zip(shape)
            .rev()
            .fold(0, |at, (index, size)| at * size + index);
        ordered.extend_from_slice(data.get(at * width..(at + 1) * width).unwrap_or_default());
        for (index, &size) in index.iter_mut().zip(shape).rev() {
            *index += 1;
            if *index < size {
                break;
            }
            *index = 0;
        }
    }
    ordered
}

fn split(rest: &[u8], header: u32) -> Option<(&[u8], &[u8])> {
    rest.split_at_checked(usize::try_from(header).ok()?)
}

/// What follows `'key':` in the header's dictionary.
fn after<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = header.split_once(&format!("'{key}'"))?;
    Some(rest.trim_start().strip_prefix(':')?.trim_start())
}

fn quoted<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    let (value, _) = after(header, key)?.strip_prefix('\'')?.split_once('\'')?;
    Some(value)
}

fn shape(header: &str) -> Result<Vec<usize>, LabelError> {
    let sizes = after(header, "shape")
        .and_then(|rest| rest.strip_prefix('(')?.split_once(')'))
        .ok_or("a numpy header without a shape")?
        .0;
    let sizes = sizes
        .split(',')
        .map(str::trim)
        .filter(|size| !size.is_empty());
    let sizes: Vec<usize> = sizes
        .take(MAX_DIMENSIONS + 1)
        .map(str::parse)
        .collect::<Result<_, _>>()
        .map_err(|_| "a numpy header with a bad shape")?;
    match sizes.len() {
        ..=MAX_DIMENSIONS => Ok(sizes),
        _ => Err(format!("a numpy array of more than {MAX_DIMENSIONS} dimensions").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lays_out_the_bytes_as_numpy_does() {
        let bytes = encode(&Array::from_f32(vec![2], &[1.0, -2.5]).unwrap());
        assert_eq!(bytes.len(), 128 + 8);
        let header = [
            b"\x93NUMPY\x01\x00\x76\x00".as_slice(),
            b"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }",
        ]
        .concat();
        assert!(bytes.starts_with(&header));
        assert_eq!(bytes.get(127), Some(&b'\n'));
        assert!(bytes.ends_with(&[0, 0, 128, 63, 0, 0, 32, 192]));
    }

    #[test]
    fn every_type_and_shape_is_read_back() {
        for element in Element::ALL {
            for shape in [
                vec![],
                vec![0],
                vec![3],
                vec![2, 3],
                vec![0, 3],
                vec![2, 2, 3],
            ] {
                let bytes = shape.iter().product::<usize>() * element.width();
                let bytes = (0..bytes).map(|n| (n % 2) as u8).collect();
                let array = Array::new(element, shape, bytes).unwrap();
                assert_eq!(decode(&encode(&array)).unwrap(), array);
            }
        }
    }

    #[test]
    fn array_of_too_many_dimensions_is_refused() {
        let of = |dimensions: usize| {
            let shape = "1,".repeat(dimensions);
            let text = format!("{{'descr': '|u1', 'fortran_order': True, 'shape': ({shape})}}\n");
            let length = text.len() as u32;
            [MAGIC, &[2, 0], &length.to_le_bytes(), text.as_bytes(), &[7]].concat()
        };
        assert_eq!(decode(&of(64)).unwrap().bytes(), [7]);
        for many in [65, 1_000_000] {
            let error = decode(&of(many)).unwrap_err().to_string();
            assert_eq!(error, "a numpy array of more than 64 dimensions");
        }
    }

    #[test]
    fn big_endian_and_column_order_are_converted() {
        let header = |descr: &str, order: &str| {
            let text =
                format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': (2, 3)}}\n");
            [
                MAGIC,
                &[1, 0],
                &(text.len() as u16).to_le_bytes(),
                text.as_bytes(),
            ]
            .concat()
        };
        let columns = [header("|u1", "True"), vec![1, 4, 2, 5, 3, 6]].concat();
        assert_eq!(decode(&columns).unwrap().bytes(), [1, 2, 3, 4, 5, 6]);
        let big = [1_u16, 2, 3, 4, 5, 6].map(u16::to_be_bytes).concat();
        let array = decode(&[header(">u2", "False"), big].concat()).unwrap();
        assert_eq!(
            array.numbers().collect::<Vec<_>>(),
            [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
        );
    }
}
