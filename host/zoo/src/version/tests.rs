use std::cmp::Ordering;

use super::Version;

fn assert_ascending(versions: &[&str]) {
    for (at, earlier) in versions.iter().enumerate() {
        for later in &versions[at + 1..] {
            assert!(
                Version::new(earlier) < Version::new(later),
                "{earlier} < {later}"
            );
            assert!(
                Version::new(later) > Version::new(earlier),
                "{later} > {earlier}"
            );
        }
    }
}

/// The example of PEP 440, "Summary of permitted suffixes and relative ordering".
#[test]
fn pep_440() {
    assert_ascending(&[
        "1.dev0",
        "1.0.dev456",
        "1.0a1",
        "1.0a2.dev456",
        "1.0a12.dev456",
        "1.0a12",
        "1.0b1.dev456",
        "1.0b2",
        "1.0b2.post345.dev456",
        "1.0b2.post345",
        "1.0rc1.dev456",
        "1.0rc1",
        "1.0",
        "1.0+abc.5",
        "1.0+abc.7",
        "1.0+5",
        "1.0.post456.dev34",
        "1.0.post456",
        "1.0.15",
        "1.1.dev1",
    ]);
    // Its alternative spellings.
    for (a, b) in [
        ("1.1RC1", "1.1rc1"),
        ("1.1-alpha_1", "1.1a1"),
        ("1.1.preview1", "1.1rc1"),
        ("1.1c1", "1.1rc1"),
        ("1.2a", "1.2a0"),
        ("1.2-post2", "1.2.post2"),
        ("1.2-r4", "1.2.post4"),
        ("1.2.3-rev4", "1.2.3.post4"),
        ("1.0-1", "1.0.post1"),
        ("1.2-dev", "1.2.dev0"),
        ("v1.0", "1.0"),
        ("1.0.0", "1"),
        ("01.00", "1.0"),
    ] {
        assert_eq!(Version::new(a).tokens, Version::new(b).tokens, "{a} {b}");
    }
}

/// The examples of SemVer 2.0.0, section 11.
#[test]
fn semver() {
    assert_ascending(&["1.0.0", "2.0.0", "2.1.0", "2.1.1"]);
    assert_ascending(&[
        "1.0.0-1",
        "1.0.0-2",
        "1.0.0-11",
        "1.0.0-alpha",
        "1.0.0-alpha.1",
        "1.0.0-alpha.2",
        "1.0.0-alpha.10",
        "1.0.0-alpha.beta",
        "1.0.0-beta",
        "1.0.0-beta.2",
        "1.0.0-beta.11",
        "1.0.0-nightly.7",
        "1.0.0-rc.1",
        "1.0.0-x.7.z.92",
        "1.0.0",
        "1.0.0+20130313144700",
        "1.0.1-alpha",
        "1.0.1",
    ]);
}

#[test]
fn anything_else() {
    assert_ascending(&[
        "1.0rc1",
        "1.0",
        "1.0-turbo",
        "1.0.1",
        "1.2",
        "1.10",
        "2024-01-05",
        "2024-01-12",
        "20240112",
    ]);
    assert_ascending(&["base", "large", "1", "7b", "13b", "70b"]);
    assert_ascending(&[
        "0.9",
        "1.0a",
        "1.0",
        "1.0.1",
        "9",
        "10",
        "99999999999999999999999999",
        "100000000000000000000000000",
    ]);
    assert_ascending(&["alpha", "beta", "beta-2", "", "base"]);
}

#[test]
fn spellings_of_one_version_are_neighbours() {
    for spelling in ["1", "v1.0", "1.0.0", "V1", "1.0+build.7"] {
        let version = Version::new(spelling);
        assert!(
            Version::new("1.0rc1") < version && version < Version::new("1.0.post1"),
            "{spelling}"
        );
    }
    assert_ne!(
        Version::new("1.0").cmp(&Version::new("v1.0")),
        Ordering::Equal
    );
}

#[test]
fn announcements() {
    for text in [
        "1.0rc1",
        "2.0-beta",
        "1.0a",
        "0.1.dev3",
        "1.0-RC.1",
        "1.0.0-1",
        "1.0.0-x",
        "alpha",
        "beta-2",
        "1a1",
        "1.0b2.post1",
    ] {
        assert!(Version::new(text).is_prerelease(), "{text}");
    }
    for text in [
        "1.0",
        "v2",
        "1.0.post1",
        "2024-01-05",
        "abc",
        "",
        "1.0+rc1",
        "7b",
        "1.0-1",
        "2.0-large",
        "model-b",
        "alphabet",
    ] {
        assert!(!Version::new(text).is_prerelease(), "{text}");
    }
}

/// Texts from pieces that matter to some rule, by a fixed sequence of pseudo-random numbers
/// (Knuth's linear congruential generator).
fn generated(count: usize) -> Vec<Version> {
    const PIECES: [&str; 27] = [
        "0", "1", "01", "2", "10", "00", ".", ".", ".", "-", "-", "_", "+", "a", "b", "rc",
        "alpha", "beta", "dev", "post", "r", "v", "x", "pre", "é", "1.0.0-", "1.0",
    ];
    let mut state: u64 = 1;
    let mut next = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    (0..count)
        .map(|_| {
            let length = next(7);
            let text: String = (0..length).map(|_| PIECES[next(PIECES.len())]).collect();
            Version::new(&text)
        })
        .collect()
}

#[test]
fn the_order_is_total() {
    let versions = generated(300);
    for a in &versions {
        for b in &versions {
            assert_eq!(a.cmp(b), b.cmp(a).reverse(), "{a:?} {b:?}");
            assert_eq!(a.cmp(b) == Ordering::Equal, a == b, "{a:?} {b:?}");
            assert_eq!(a == b, a.text == b.text, "{a:?} {b:?}");
        }
    }
    for a in &versions {
        for b in versions.iter().filter(|b| a <= *b) {
            for c in versions.iter().filter(|c| b <= *c) {
                assert!(a <= c, "{a:?} {b:?} {c:?}");
            }
        }
    }
}

#[test]
fn numbers_have_any_length() {
    let (nines, ones) = ("9".repeat(99_999), "1".repeat(100_000));
    assert!(Version::new(&nines) < Version::new(&ones));
    assert!(Version::new(&"1.".repeat(100_000)) > Version::new("1.1.1"));
}
