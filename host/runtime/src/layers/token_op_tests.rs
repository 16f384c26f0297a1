//! Operations on sequences of tokens, against their definitions.

#![allow(
    clippy::needless_range_loop,
    reason = "sums are written as their formulas"
)]

use candle_core::{Device as Candle, Tensor};

use super::tests::{assert_same, random};
use super::*;
use crate::device::Device;

const DEVICES: [fn() -> Device; 2] = [Device::cpu, Device::cpu_reference];

#[test]
fn rotary_embedding_matches_its_definition() {
    let (x, cosines, sines) = (random(&[2, 5, 21]), random(&[3, 3]), random(&[3, 3]));
    let values = x.to_vec3::<f32>().unwrap();
    let [cos, sin] = [&cosines, &sines].map(|x| x.to_vec2::<f32>().unwrap());
    let mut want = Vec::new();
    for sample in values {
        for (token, row) in sample.iter().enumerate() {
            for (column, &value) in row.iter().enumerate() {
                let (head, at) = (column / 6, column % 6);
                want.push(if head < 2 && token >= 2 {
                    let other = if at < 3 {
                        -row[column + 3]
                    } else {
                        row[column - 3]
                    };
                    value * cos[token - 2][at % 3] + other * sin[token - 2][at % 3]
                } else {
                    value
                });
            }
        }
    }
    let want = Tensor::from_vec(want, (2, 5, 21), &Candle::Cpu).unwrap();
    for device in DEVICES {
        let rotary = Rotary::new(&cosines, &sines, &device()).unwrap();
        let y = rotary
            .forward(&x, FirstHeads { count: 2, size: 6 })
            .unwrap();
        assert_same(&y, &want, &device());
        assert!(
            rotary
                .forward(&x, FirstHeads { count: 4, size: 6 })
                .is_err()
        );
    }
}

#[test]
fn embedding_takes_rows_by_id() {
    let table = random(&[10, 7]);
    let ids = [3_u32, 0, 9, 9, 1, 3];
    let rows: Vec<Tensor> = ids
        .iter()
        .map(|&id| table.narrow(0, id as usize, 1).unwrap())
        .collect();
    let want = Tensor::cat(&rows, 0).unwrap().reshape((2, 3, 7)).unwrap();
    for device in DEVICES {
        let layer = Embedding::new("words", &table, &device()).unwrap();
        assert_same(&layer.forward(&ids, 3).unwrap(), &want, &device());
        assert_same(
            &layer.first(4).unwrap(),
            &table.narrow(0, 0, 4).unwrap(),
            &device(),
        );
        let error = layer.forward(&[10], 1).unwrap_err().to_string();
        assert_eq!(error, "words: has 10 rows, and no row 10");
        assert!(layer.forward(&ids, 4).is_err() && layer.first(11).is_err());
    }
}

#[test]
fn row_operations_match_their_definitions() {
    let (x, rows, class) = (random(&[3, 4, 6]), random(&[4, 6]), random(&[2, 6]));
    for device in DEVICES {
        let device = device();
        let sum = add_rows(&x, &rows, &device).unwrap();
        assert_same(&sum, &x.broadcast_add(&rows).unwrap(), &device);
        assert!(add_rows(&x, &class, &device).is_err());

        let longer = prepend_rows(&x, &class).unwrap();
        assert_eq!(longer.dims(), [3, 6, 6]);
        for sample in 0..3 {
            let part = |from, count| {
                longer
                    .narrow(0, sample, 1)
                    .and_then(|x| x.narrow(1, from, count))
            };
            assert_same(&part(0, 2).unwrap().squeeze(0).unwrap(), &class, &device);
            assert_same(
                &part(2, 4).unwrap(),
                &x.narrow(0, sample, 1).unwrap(),
                &device,
            );
        }

        let gather = Gather::new(vec![3, 0, 0, 2, 1], &device).unwrap();
        let parts = [3, 0, 0, 2, 1].map(|at| x.narrow(1, at, 1).unwrap());
        assert_same(
            &gather.forward(&x).unwrap(),
            &Tensor::cat(&parts, 1).unwrap(),
            &device,
        );
        assert!(gather.forward(&random(&[1, 3, 6])).is_err());

        let gated = gate(&x, Activation::Silu, &device).unwrap();
        let (a, b) = (x.narrow(2, 0, 3).unwrap(), x.narrow(2, 3, 3).unwrap());
        assert_same(
            &gated,
            &(a.contiguous().unwrap().silu().unwrap() * b).unwrap(),
            &device,
        );
        assert!(gate(&random(&[2, 3]), Activation::Silu, &device).is_err());
    }
}

#[test]
fn feature_maps_convert_to_tokens_and_back() {
    let x = random(&[2, 5, 3, 4]);
    let tokens = x
        .flatten_from(2)
        .unwrap()
        .transpose(1, 2)
        .unwrap()
        .contiguous()
        .unwrap();
    for device in DEVICES {
        let device = device();
        let map = FeatureMap::from_channels_first(&x, &device).unwrap();
        let back = |map: &FeatureMap| map.to_channels_first().unwrap();
        assert_same(&map.to_tokens().unwrap(), &tokens, &device);
        let again = FeatureMap::from_tokens(&tokens, [3, 4], &device).unwrap();
        assert_same(&back(&again), &x, &device);
        assert!(FeatureMap::from_tokens(&tokens, [4, 4], &device).is_err());

        let factors = random(&[2, 5, 1, 1]);
        let scaled =
            map.scale_channels(&FeatureMap::from_channels_first(&factors, &device).unwrap());
        assert_same(
            &back(&scaled.unwrap()),
            &x.broadcast_mul(&factors).unwrap(),
            &device,
        );
        assert!(map.scale_channels(&map).is_err());

        let padded = back(&map.pad([[1, 0], [2, 3]]).unwrap());
        let want = x
            .pad_with_zeros(2, 1, 0)
            .unwrap()
            .pad_with_zeros(3, 2, 3)
            .unwrap();
        assert_same(&padded, &want, &device);
    }
}
