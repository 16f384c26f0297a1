//! "Did you mean": the known names that are most similar to one that is not known.

/// How many names a suggestion has at most.
const SUGGESTIONS: usize = 3;
/// How many names are compared, and how long they may be in bytes: untrusted files hold any number.
const COMPARED: usize = 10_000;
const LONGEST: usize = 256;
/// The similarity, from 0 to 1, from which a name is suggested.
const SIMILAR: f64 = 0.6;
/// The least similarity of two names one of which contains the other.
const CONTAINED: f64 = 0.75;

/// The names of `known` that are most similar to `wanted`, best first: at most three, and none
/// that is unlike it.
///
/// The comparison ignores case and, where `wanted` has none, a version (`@1.0`) and the leading
/// parts of a path (`acme/`). A name that contains `wanted` is similar to it, and so is one whose
/// last part the last part of `wanted` contains: `conv1.weight` and `module.conv1.weight`.
pub fn nearest<'a>(wanted: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    if wanted.len() > LONGEST {
        return Vec::new();
    }
    let wanted = wanted.to_lowercase();
    let mut scored: Vec<(f64, &str)> = known
        .into_iter()
        .filter(|name| name.len() <= LONGEST)
        .take(COMPARED)
        .map(|name| (similarity(&name.to_lowercase(), &wanted), name))
        .filter(|(score, _)| *score >= SIMILAR)
        .collect();
    scored.sort_by(|a, b| {
        b.0.total_cmp(&a.0)
            .then(a.1.len().cmp(&b.1.len()))
            .then(a.1.cmp(b.1))
    });
    scored.dedup_by(|a, b| a.1 == b.1);
    scored
        .into_iter()
        .take(SUGGESTIONS)
        .map(|(_, name)| name.to_owned())
        .collect()
}

/// How similar two names in lower case are, from 0 to 1.
fn similarity(name: &str, wanted: &str) -> f64 {
    let name = if wanted.contains('@') {
        name
    } else {
        without_version(name)
    };
    let last = last_part(name);
    let compared = if wanted.contains('/') { name } else { last };
    let edits = strsim::normalized_damerau_levenshtein(compared, wanted);
    let contained = wanted.len() >= 3 && name.contains(wanted)
        || last.len() >= 3 && last_part(wanted).contains(last);
    if contained {
        edits.max(CONTAINED)
    } else {
        edits
    }
}

/// The last part of a path with `/`.
fn last_part(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// `name` without what follows the last `@` of its last part.
fn without_version(name: &str) -> &str {
    match name.rsplit_once('@') {
        Some((name, version)) if !version.contains('/') => name,
        _ => name,
    }
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
    fn prefix_of_a_tensor_name_does_not_hide_it() {
        let known = ["module.conv1.weight", "module.bn1.bias"];
        assert_eq!(nearest("conv1.weight", known), ["module.conv1.weight"]);
        assert_eq!(
            nearest("module.fc.bias", ["fc.bias", "conv1.weight"]),
            ["fc.bias"]
        );
    }

    #[test]
    fn best_come_first_and_are_few() {
        let known = ["fc.bias", "fc1.bias", "fc.weight", "fc2.bias", "fc3.bias"];
        let found = nearest("fc.bia", known);
        assert_eq!(found.len(), 3);
        assert_eq!(found[0], "fc.bias");
    }

    #[test]
    fn case_and_leading_parts_do_not_count() {
        let names = ["acme/digits-cnn", "acme/other", "zebra"];
        assert_eq!(nearest("acme/digit-cnn", names), ["acme/digits-cnn"]);
        assert_eq!(nearest("digits-cn", names), ["acme/digits-cnn"]);
        assert_eq!(nearest("Digits-CNN", names), ["acme/digits-cnn"]);
        assert_eq!(nearest("other/digits-cnn", names), ["acme/digits-cnn"]);
    }

    #[test]
    fn unlike_and_overlong_names_find_nothing() {
        let names = ["acme/digits-cnn", "acme/other", "zebra"];
        assert_eq!(nearest("qqq", names), Vec::<String>::new());
        assert_eq!(nearest("", names), Vec::<String>::new());
        assert_eq!(
            nearest(&"digits".repeat(10_000), names),
            Vec::<String>::new()
        );
    }

    #[test]
    fn version_does_not_count_unless_wanted() {
        let names = [
            "wide-resnet50-2-torch",
            "resnet50-torch@1.0",
            "resnet18-torch",
            "vgg16-torch",
        ];
        assert_eq!(
            nearest("resnet50", names),
            ["resnet50-torch@1.0", "wide-resnet50-2-torch"]
        );
        assert_eq!(
            nearest("resnet50-trch", names),
            [
                "resnet50-torch@1.0",
                "resnet18-torch",
                "wide-resnet50-2-torch"
            ]
        );
        assert_eq!(
            nearest("resnet50-torch@1.1", names)[0],
            "resnet50-torch@1.0"
        );

        let ids = ["gh:acme/digits", "gh:acme/digits@main", "file:/srv/digits"];
        assert_eq!(nearest("acme/digit", ids)[0], "gh:acme/digits");
    }
}
