//! Masks and maps, made small.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use modelzoo_model::label::{Array, Element, Heatmap};
use serde_json::{Value, json};

use crate::thumbnail::covered;

/// The most classes that a segmentation of one thumbnail tells apart.
const MAX_CLASSES: usize = 255;

/// A mask of an instance at the size that its box has on the thumbnail: one byte per pixel, 1 where
/// most of what it covers is the object.
pub(crate) fn instance(mask: &Array, size: [u32; 2]) -> Option<Value> {
    let (shape, values) = plane(mask)?;
    let size = fitted(size, shape);
    Some(raster(
        size,
        &cells(&values, shape, size, |cell| {
            let inside = cell.iter().filter(|&&value| value > 0.0).count();
            u8::from(inside * 2 > cell.len())
        }),
    ))
}

/// The classes of a segmentation, each cell that of its first pixel, and the numbers of the classes.
pub(crate) fn classes(mask: &Array, size: [u32; 2]) -> Option<(Value, Vec<Value>)> {
    let (shape, values) = plane(mask)?;
    let size = fitted(size, shape);
    let mut names: Vec<u64> = vec![0];
    let bytes = cells(&values, shape, size, |cell| {
        let class = cell.first().copied().unwrap_or_default() as u64;
        match names.iter().position(|&name| name == class) {
            Some(index) => index as u8,
            None if names.len() <= MAX_CLASSES => {
                names.push(class);
                (names.len() - 1) as u8
            }
            None => 0,
        }
    });
    Some((
        raster(size, &bytes),
        names.into_iter().map(Value::from).collect(),
    ))
}

/// A heat map, scaled from its range to 0 to 255.
pub(crate) fn heat(label: &Heatmap, size: [u32; 2]) -> Option<Value> {
    let map = label.map.as_ref()?;
    let [least, most] = label.range.unwrap_or(match map.element() {
        Element::F16 | Element::F32 | Element::F64 | Element::Bool => [0.0, 1.0],
        Element::I8
        | Element::U8
        | Element::I16
        | Element::U16
        | Element::I32
        | Element::U32
        | Element::I64
        | Element::U64 => [0.0, 255.0],
    });
    let (shape, values) = plane(map)?;
    let size = fitted(size, shape);
    let span = if most > least { most - least } else { 1.0 };
    Some(raster(
        size,
        &cells(&values, shape, size, |cell| {
            let mean = cell.iter().sum::<f64>() / cell.len().max(1) as f64;
            // The conversion saturates, and makes NaN 0.
            ((mean - least) / span * 255.0).round() as u8
        }),
    ))
}

/// Height, width and numbers of a two-dimensional array.
fn plane(array: &Array) -> Option<([u32; 2], Vec<f64>)> {
    let &[height, width] = array.shape() else {
        return None;
    };
    let shape = [u32::try_from(height).ok()?, u32::try_from(width).ok()?];
    (height > 0 && width > 0).then(|| (shape, array.numbers().collect()))
}

/// The width and height of a raster: at most those of the thumbnail and those of the array.
fn fitted([width, height]: [u32; 2], [rows, columns]: [u32; 2]) -> [u32; 2] {
    [width.clamp(1, columns), height.clamp(1, rows)]
}

/// One byte for each cell of a raster, from the numbers of the array that it covers.
fn cells(
    values: &[f64],
    [rows, columns]: [u32; 2],
    [width, height]: [u32; 2],
    mut byte: impl FnMut(&[f64]) -> u8,
) -> Vec<u8> {
    let mut bytes = Vec::with_capacity((width * height) as usize);
    let mut cell = Vec::new();
    for y in 0..height {
        for x in 0..width {
            let across = covered(x, width, columns);
            cell.clear();
            for row in covered(y, height, rows) {
                let start = row as usize * columns as usize;
                let places = start + across.start as usize..start + across.end as usize;
                cell.extend_from_slice(values.get(places).unwrap_or_default());
            }
            bytes.push(byte(&cell));
        }
    }
    bytes
}

fn raster([width, height]: [u32; 2], bytes: &[u8]) -> Value {
    json!({ "w": width, "h": height, "d": STANDARD.encode(bytes) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(raster: &Value) -> (u64, u64, Vec<u8>) {
        let data = raster["d"].as_str().unwrap();
        (
            raster["w"].as_u64().unwrap(),
            raster["h"].as_u64().unwrap(),
            STANDARD.decode(data).unwrap(),
        )
    }

    #[test]
    fn instance_mask_is_the_majority_of_each_cell() {
        let mask = Array::from_bool(
            vec![2, 4],
            &[true, true, false, true, true, false, false, false],
        );
        let small = instance(&mask.unwrap(), [2, 1]).unwrap();
        assert_eq!(decoded(&small), (2, 1, vec![1, 0]));
    }

    #[test]
    fn classes_keep_their_numbers() {
        let mask = Array::from_u8(vec![1, 4], vec![0, 7, 7, 200]).unwrap();
        let (small, names) = classes(&mask, [9, 9]).unwrap();
        assert_eq!(decoded(&small), (4, 1, vec![0, 1, 1, 2]));
        assert_eq!(names, [0, 7, 200]);
    }

    #[test]
    fn heat_is_scaled_from_its_range() {
        let map = Array::from_f32(vec![1, 3], &[-1.0, 1.0, f32::NAN]).unwrap();
        let label = Heatmap {
            map: Some(map),
            range: Some([-1.0, 1.0]),
            ..Heatmap::default()
        };
        let small = heat(&label, [3, 1]).unwrap();
        assert_eq!(decoded(&small).2, [0, 255, 0]);
    }
}
