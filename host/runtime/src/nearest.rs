//! "Did you mean": the known names nearest to one that is not known.

use std::collections::BinaryHeap;

/// How many names a suggestion lists at most.
const SHOWN: usize = 3;
/// How many names are looked at, and how long they may be: a weights file can hold any number.
const LOOKED_AT: usize = 10_000;
const LONGEST: usize = 256;

/// The few names of `known` that are most like `name`, best first; empty when none is near.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    if name.len() > LONGEST {
        return Vec::new();
    }
    let longest = name.chars().count().max(1);
    // A heap of the best few: a weights file may hold thousands of names.
    let mut best: BinaryHeap<(usize, &str)> = BinaryHeap::new();
    for candidate in known
        .into_iter()
        .filter(|name| name.len() <= LONGEST)
        .take(LOOKED_AT)
    {
        let distance = strsim::damerau_levenshtein(name, candidate);
        let allowed = longest.max(candidate.chars().count()).div_ceil(3);
        let related = distance <= allowed || shares_ending(name, candidate);
        if related {
            best.push((distance, candidate));
            if best.len() > SHOWN {
                best.pop();
            }
        }
    }
    best.into_sorted_vec()
        .into_iter()
        .map(|(_, candidate)| candidate.to_owned())
        .collect()
}

/// Whether one dotted name is the other with a prefix (`module.conv1.weight`, `conv1.weight`).
fn shares_ending(name: &str, candidate: &str) -> bool {
    let ends = |long: &str, short: &str| {
        !short.is_empty()
            && long
                .strip_suffix(short)
                .is_some_and(|prefix| prefix.ends_with('.'))
    };
    ends(name, candidate) || ends(candidate, name)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn typing_errors_find_their_name() {
        assert_eq!(nearest("resent", ["resnet", "sequential"]), ["resnet"]);
        assert_eq!(
            nearest("zzz", ["resnet", "sequential"]),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_prefixed_name_is_near() {
        let known = ["module.conv1.weight", "module.bn1.bias"];
        assert_eq!(nearest("conv1.weight", known), ["module.conv1.weight"]);
    }

    #[test]
    fn the_best_come_first_and_are_few() {
        let known = ["fc.bias", "fc1.bias", "fc.weight", "fc2.bias", "fc3.bias"];
        let found = nearest("fc.bia", known);
        assert_eq!(found.len(), 3);
        assert_eq!(found[0], "fc.bias");
    }
}
