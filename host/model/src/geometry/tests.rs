use super::*;

const fn size(height: u32, width: u32) -> Size {
    Size { height, width }
}

#[test]
fn only_small_images_grow_and_only_large_ones_shrink() {
    assert_eq!(size(300, 400).at_least(size(224, 224)), size(300, 400));
    assert_eq!(size(100, 400).at_least(size(224, 224)), size(224, 896));
    assert_eq!(size(100, 50).at_least(size(200, 200)), size(400, 200));
    assert_eq!(size(300, 400).at_most(size(400, 400)), size(300, 400));
    assert_eq!(size(300, 400).at_most(size(200, 200)), size(150, 200));
    assert_eq!(size(1, 10_000).at_most(size(100, 100)), size(1, 100));
    // Halves go to the even side: 0.5 * 5 and 0.5 * 7.
    assert_eq!(size(10, 5).at_most(size(5, 9)), size(5, 2));
    assert_eq!(size(14, 7).at_most(size(7, 9)), size(7, 4));
}

#[test]
fn sides_become_multiples() {
    assert_eq!(size(30, 28).multiple(14), size(28, 28));
    assert_eq!(size(13, 43).multiple(14), size(14, 42));
}

#[test]
fn shortest_side_decides_the_longer_one() {
    assert_eq!(size(480, 640).with_shortest(256), size(256, 341));
    assert_eq!(size(640, 480).with_shortest(256), size(341, 256));
    assert_eq!(size(1, u32::MAX).with_shortest(2), size(2, u32::MAX));
}

#[test]
fn shortest_side_gives_way_to_the_longest() {
    // transformers' get_size_with_aspect_ratio(…, 800, 1333).
    assert_eq!(size(480, 640).within(800, 1333), size(800, 1066));
    assert_eq!(size(640, 480).within(800, 1333), size(1066, 800));
    assert_eq!(size(480, 1000).within(800, 1333), size(640, 1333));
    assert_eq!(size(1000, 333).within(800, 1333), size(1333, 444));
    assert_eq!(size(444, 1333).within(800, 1333), size(444, 1333));
    assert_eq!(size(1, u32::MAX).within(800, 1333).height, 1);
}

#[test]
fn side_that_changes_less_is_fitted() {
    // transformers' get_resize_output_image_size(…, 518, keep_aspect_ratio=True, multiple=14).
    assert_eq!(
        size(480, 640).near_multiple(size(518, 518), 14),
        size(518, 686)
    );
    assert_eq!(
        size(1080, 1920).near_multiple(size(518, 518), 14),
        size(518, 924)
    );
    assert_eq!(
        size(5, 1000).near_multiple(size(518, 518), 14),
        size(14, 518)
    );
}

#[test]
fn odd_margins_are_rounded_as_python_does() {
    assert_eq!(centered(5, 2), 2); // 1.5
    assert_eq!(centered(7, 2), 2); // 2.5
    assert_eq!(centered(6, 2), 2);
    assert_eq!(centered(2, 5), -1);
    assert_eq!(centered(2, 2), 0);
}

#[track_caller]
fn close<const N: usize>(got: [f64; N], want: [f64; N]) {
    for (got, want) in got.into_iter().zip(want) {
        assert!((got - want).abs() < 1e-9, "{got} is not {want}");
    }
}

#[test]
fn resize_maps_back() {
    let transform = Transform::identity(size(100, 200)).resized(size(50, 400));
    assert_eq!(transform.original(), size(100, 200));
    assert_eq!(transform.input(), size(50, 400));
    close(transform.point_to_original([400.0, 50.0]), [1.0, 1.0]);
    close(transform.point_to_original([100.0, 25.0]), [0.25, 0.5]);
    close(transform.point_to_input([50.0, 50.0]), [100.0, 25.0]);
}

#[test]
fn center_crop_maps_back() {
    // 480x640 to 256x341, of which the middle 224x224 begins at column 58 and row 16.
    let transform = Transform::identity(size(480, 640))
        .resized(size(480, 640).with_shortest(256))
        .center_cut(size(224, 224));
    close(
        transform.point_to_original([0.0, 0.0]),
        [58.0 / 341.0, 16.0 / 256.0],
    );
    let [left, top, width, height] = transform
        .box_to_original([-1000.0, 0.0, 1000.0, 224.0])
        .unwrap();
    close([left, top], [0.0, 16.0 / 256.0]);
    close([width, height], [1.0, 224.0 / 256.0]);
}

#[test]
fn letterbox_maps_back() {
    // 100x200 by one factor into 320x320: 160x320, and 80 rows of padding above and below.
    let letterbox = Letterbox::new(size(100, 200), size(320, 320), None);
    assert_eq!(letterbox.frame, size(320, 320));
    let transform = Transform::identity(size(100, 200)).letterboxed(&letterbox);
    close(transform.point_to_original([0.0, 80.0]), [0.0, 0.0]);
    close(transform.point_to_original([320.0, 240.0]), [1.0, 1.0]);
    let found = transform.box_to_original([80.0, 0.0, 160.0, 160.0]);
    close(found.unwrap(), [0.25, 0.0, 0.25, 0.5]);
    // In the padding alone, or of no area.
    assert_eq!(transform.box_to_original([0.0, 0.0, 320.0, 79.0]), None);
    assert_eq!(transform.box_to_original([9.0, 90.0, 9.0, 99.0]), None);
}

#[test]
fn letterbox_pads_to_multiples() {
    let letterbox = |image, multiple| Letterbox::new(image, size(640, 640), multiple);
    // 427 rows need 21 more to be a multiple of 32.
    let found = letterbox(size(667, 1000), Some(32));
    assert_eq!((found.image, found.frame), (size(427, 640), size(448, 640)));
    assert_eq!((found.left, found.top), (0, 10));
    let found = letterbox(size(667, 1000), None);
    assert_eq!((found.top, found.frame), (106, size(640, 640)));
    // Small images are enlarged, and none loses all of its rows.
    assert_eq!(letterbox(size(10, 20), None).image, size(320, 640));
    assert_eq!(letterbox(size(1, 10_000), Some(32)).image, size(1, 640));
}

#[test]
fn padding_maps_back() {
    let transform = Transform::identity(size(2, 2)).center_cut(size(5, 4));
    close(transform.point_to_original([1.0, 1.0]), [0.0, 0.0]);
    close(transform.point_to_original([3.0, 3.0]), [1.0, 1.0]);
}
