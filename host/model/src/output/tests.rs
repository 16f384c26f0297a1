use super::*;

const BAD: [f32; 3] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];

#[test]
fn scores_are_finite_and_at_least_one() {
    assert_eq!(Scores::new(vec![1.0, 2.0]).unwrap().values(), [1.0, 2.0]);
    assert!(Scores::new(Vec::new()).is_err());
    for bad in BAD {
        assert_eq!(Scores::new(vec![0.0, bad]), Err(OutputError::NotFinite));
    }
}

#[test]
fn parts_of_boxes_agree() {
    let two = || Boxes::new(vec![[0.0; 4]; 2], vec![0.5; 2], vec![0, 1]).unwrap();
    assert!(Boxes::new(vec![[0.0; 4]; 2], vec![0.5], vec![0, 1]).is_err());
    assert!(Boxes::new(vec![[0.0; 4]; 2], vec![0.5; 2], vec![0]).is_err());
    for bad in BAD {
        let boxes = Boxes::new(vec![[0.0, 0.0, bad, 0.0]], vec![0.5], vec![0]);
        assert_eq!(boxes, Err(OutputError::NotFinite));
        let boxes = Boxes::new(vec![[0.0; 4]], vec![bad], vec![0]);
        assert_eq!(boxes, Err(OutputError::NotFinite));
    }
    let masks = |count: usize| Masks::new(Map::new([count, 2, 3], vec![0.0; count * 6]).unwrap());
    assert_eq!(
        two().with_masks(masks(2)).unwrap().masks().unwrap().len(),
        2
    );
    assert!(two().with_masks(masks(1)).is_err());
    assert!(two().with_angles(vec![0.0]).is_err());
    assert!(two().with_angles(vec![0.0, f32::NAN]).is_err());
    let turned = two().with_angles(vec![0.5, 1.0]).unwrap();
    assert_eq!(turned.angles(), Some([0.5, 1.0].as_slice()));
    let points = |count: usize| Points::new(3, vec![[0.0; 2]; 3 * count], vec![1.0; 3 * count]);
    let with = two().with_points(points(2).unwrap()).unwrap();
    assert_eq!(with.points().unwrap().groups().count(), 2);
    assert!(two().with_points(points(3).unwrap()).is_err());
}

#[test]
fn values_fill_their_shape() {
    let map = Map::new([2, 1, 2], vec![1.0, 2.0, 3.0, 4.0]).unwrap();
    let channels: Vec<_> = map.channels().collect();
    assert_eq!(channels, [[1.0, 2.0], [3.0, 4.0]]);
    assert!(Map::new([2, 1, 2], vec![0.0; 3]).is_err());
    assert!(Map::new([usize::MAX, 2, 2], Vec::new()).is_err());
    assert_eq!(
        Map::new([0, 0, 5], Vec::new()).unwrap().channels().count(),
        0
    );
    assert!(Points::new(2, vec![[0.0; 2]; 3], vec![0.0; 3]).is_err());
    assert!(Points::new(0, Vec::new(), Vec::new()).unwrap().is_empty());
    let vectors = Vectors::new(2, vec![1.0, 2.0, 3.0, 4.0]).unwrap();
    assert_eq!(vectors.rows().count(), 2);
    assert!(Vectors::new(2, vec![0.0; 3]).is_err());
    for bad in BAD {
        assert_eq!(Map::new([1, 1, 1], vec![bad]), Err(OutputError::NotFinite));
        assert_eq!(Vectors::new(1, vec![bad]), Err(OutputError::NotFinite));
        assert_eq!(
            Points::new(1, vec![[0.0, bad]], vec![0.0]),
            Err(OutputError::NotFinite)
        );
    }
}

#[test]
fn masks_are_sums_of_prototypes() {
    let prototypes = || Map::new([2, 1, 2], vec![1.0, 2.0, 3.0, 4.0]).unwrap();
    let masks = Masks::from_prototypes(prototypes(), vec![1.0, 0.0, 2.0, -1.0]).unwrap();
    assert_eq!((masks.len(), masks.values()), (2, MaskValues::Logits));
    assert_eq!(masks.mask(0), Some(vec![1.0, 2.0]));
    assert_eq!(masks.mask(1), Some(vec![-1.0, 0.0]));
    assert_eq!(masks.mask(2), None);
    assert!(Masks::from_prototypes(prototypes(), vec![1.0; 3]).is_err());
    assert!(Masks::from_prototypes(prototypes(), vec![f32::NAN; 2]).is_err());
    let none = Masks::from_prototypes(prototypes(), Vec::new()).unwrap();
    assert!(none.is_empty());
}
