//! Licences as manifests write them, made comparable.
//!
//! The field is free text: `Apache 2.0`, `Apache-2.0` and `Apache License, Version 2.0` are one
//! licence, `Apache 2.0, BSD 3-Clause` are two. Here each gets its SPDX identifier where that is
//! certain, and stays as it is written where it is not.

use std::collections::HashMap;
use std::sync::LazyLock;

use spdx::License;
use spdx::flags::IS_DEPRECATED;
use spdx::identifiers::LICENSES;

/// The longest text that is taken for a list of licences, in bytes: each name takes many times its
/// own.
const MAX_SPLIT: usize = 4 << 10;

/// Spellings, in the form that [`fold`] makes, of licences for which SPDX's list has neither that
/// identifier nor that name.
const SPELLINGS: &[(&str, &str)] = &[
    ("agpl-3", "AGPL-3.0-only"),
    ("agplv3", "AGPL-3.0-only"),
    ("gnu-agplv3", "AGPL-3.0-only"),
    ("gnu-agpl-3.0", "AGPL-3.0-only"),
    ("agpl-3.0+", "AGPL-3.0-or-later"),
    ("agpl-3+", "AGPL-3.0-or-later"),
    ("apache", "Apache-2.0"),
    ("apache-2", "Apache-2.0"),
    ("apache2", "Apache-2.0"),
    ("apache2.0", "Apache-2.0"),
    ("asl-2.0", "Apache-2.0"),
    ("asl2", "Apache-2.0"),
    ("bsd-2", "BSD-2-Clause"),
    ("bsd2", "BSD-2-Clause"),
    ("simplified-bsd", "BSD-2-Clause"),
    ("freebsd", "BSD-2-Clause"),
    ("bsd-3", "BSD-3-Clause"),
    ("bsd3", "BSD-3-Clause"),
    ("new-bsd", "BSD-3-Clause"),
    ("modified-bsd", "BSD-3-Clause"),
    ("revised-bsd", "BSD-3-Clause"),
    ("boost", "BSL-1.0"),
    ("cc-by-4", "CC-BY-4.0"),
    ("creative-commons-attribution-4.0", "CC-BY-4.0"),
    ("cc-by-nc-4", "CC-BY-NC-4.0"),
    (
        "creative-commons-attribution-noncommercial-4.0",
        "CC-BY-NC-4.0",
    ),
    (
        "creative-commons-attribution-noncommercial-4.0-international",
        "CC-BY-NC-4.0",
    ),
    ("cc-by-nc-nd-4", "CC-BY-NC-ND-4.0"),
    ("cc-by-nc-sa-4", "CC-BY-NC-SA-4.0"),
    ("cc-by-nd-4", "CC-BY-ND-4.0"),
    ("cc-by-sa-4", "CC-BY-SA-4.0"),
    ("cc0", "CC0-1.0"),
    ("cc-0-1.0", "CC0-1.0"),
    ("cc0-1.0-universal", "CC0-1.0"),
    ("gpl-2", "GPL-2.0-only"),
    ("gpl2", "GPL-2.0-only"),
    ("gplv2", "GPL-2.0-only"),
    ("gnu-gplv2", "GPL-2.0-only"),
    ("gnu-gpl-2.0", "GPL-2.0-only"),
    ("gnu-general-public-2.0", "GPL-2.0-only"),
    ("gpl-2+", "GPL-2.0-or-later"),
    ("gpl-3", "GPL-3.0-only"),
    ("gpl3", "GPL-3.0-only"),
    ("gplv3", "GPL-3.0-only"),
    ("gnu-gplv3", "GPL-3.0-only"),
    ("gnu-gpl-3.0", "GPL-3.0-only"),
    ("gnu-general-public-3.0", "GPL-3.0-only"),
    ("gpl-3+", "GPL-3.0-or-later"),
    ("gnu-lgpl-2.1", "LGPL-2.1-only"),
    ("lgpl-3", "LGPL-3.0-only"),
    ("lgplv3", "LGPL-3.0-only"),
    ("gnu-lgpl-3.0", "LGPL-3.0-only"),
    ("lgpl-3+", "LGPL-3.0-or-later"),
    ("expat", "MIT"),
    ("mpl-2", "MPL-2.0"),
    ("mpl2", "MPL-2.0"),
    ("odbl", "ODbL-1.0"),
    ("pddl", "PDDL-1.0"),
];

/// The identifiers of SPDX's list by everything that means them, in the form that [`fold`] makes:
/// identifiers before names, and names before other spellings.
static IDENTIFIERS: LazyLock<HashMap<String, &str>> = LazyLock::new(|| {
    let mut known = HashMap::new();
    for license in LICENSES {
        known.insert(fold(license.name), current(license));
    }
    for license in LICENSES {
        known
            .entry(fold(license.full_name))
            .or_insert(current(license));
    }
    for (spelling, id) in SPELLINGS {
        known.entry((*spelling).to_owned()).or_insert(id);
    }
    known
});

/// The identifier of a licence; where SPDX has given up one of GNU's, what has taken its place.
fn current(license: &License) -> &'static str {
    if license.flags & IS_DEPRECATED == 0 {
        return license.name;
    }
    let name = match license.name.strip_suffix('+') {
        Some(base) => format!("{base}-or-later"),
        None => format!("{}-only", license.name),
    };
    spdx::license_id(&name).map_or(license.name, |id| id.name)
}

/// Splits a manifest's `license` into the licences that it names, each as [`normalize`] gives it.
///
/// Commas and semicolons separate, except inside parentheses and before a version; so do `AND`,
/// `OR`, `and`, `or`, `&` and `/` where only known licences stand around them.
///
/// A text of more than 4 KiB is one name.
#[must_use]
pub fn split(license: &str) -> Vec<String> {
    if license.len() > MAX_SPLIT {
        return vec![license.trim().to_owned()];
    }
    if let Some(known) = identifier(license) {
        return vec![known.to_owned()];
    }
    let mut names = Vec::new();
    for part in parts(license) {
        match alternatives(&part) {
            Some(known) => names.extend(known.into_iter().map(str::to_owned)),
            None => names.push(normalize(&part)),
        }
    }
    names
}

/// The SPDX identifier of one licence where it is known, else the text, trimmed.
#[must_use]
pub fn normalize(license: &str) -> String {
    identifier(license).unwrap_or(license.trim()).to_owned()
}

/// Whether a manifest's `license` names one of the licences that are wanted, in any spelling.
#[must_use]
pub fn matches(license: &str, wanted: &[String]) -> bool {
    let named: Vec<String> = split(license).iter().map(|name| fold(name)).collect();
    wanted
        .iter()
        .flat_map(|wanted| split(wanted))
        .any(|wanted| named.contains(&fold(&wanted)))
}

fn identifier(license: &str) -> Option<&'static str> {
    IDENTIFIERS.get(&fold(license)).copied()
}

/// Lower-case words and numbers with `-` between them, without the words that all licences have:
/// `The Apache License, Version 2.0` is `apache-2.0`.
fn fold(text: &str) -> String {
    const NOISE: [&str; 8] = [
        "the", "license", "licence", "licenses", "version", "v", "software", "clauses",
    ];
    let lower = text.to_lowercase();
    let words = lower
        .split(|c: char| !c.is_alphanumeric() && c != '.' && c != '+')
        .map(|word| word.trim_matches('.'))
        .map(|word| {
            let number = word
                .strip_prefix('v')
                .filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
            number.unwrap_or(word)
        })
        .filter(|word| !word.is_empty() && !NOISE.contains(word));
    let words: Vec<&str> = words.collect();
    if words.is_empty() {
        // Nothing but noise: the noise is the name.
        return lower.split_whitespace().collect::<Vec<_>>().join("-");
    }
    words.join("-")
}

/// The parts between commas and semicolons, trimmed, none empty.
fn parts(license: &str) -> Vec<String> {
    let mut parts: Vec<String> = vec![String::new()];
    let mut depth = 0_usize;
    for c in license.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' | ';' if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(last) = parts.last_mut() {
            last.push(c);
        }
    }
    let mut joined: Vec<String> = Vec::new();
    for part in parts
        .iter()
        .map(|part| part.trim())
        .filter(|part| !part.is_empty())
    {
        match joined.last_mut() {
            Some(last) if continues(part) => {
                last.push_str(", ");
                last.push_str(part);
            }
            _ => joined.push(part.to_owned()),
        }
    }
    joined
}

/// Whether a part is the version of the licence before it.
fn continues(part: &str) -> bool {
    let lower = part.to_lowercase();
    let number = ["version ", "version", "v.", "v"]
        .iter()
        .find_map(|word| lower.strip_prefix(word));
    number
        .unwrap_or(&lower)
        .trim()
        .starts_with(|c: char| c.is_ascii_digit())
        && identifier(part).is_none()
}

/// The licences of an expression, if all that it names are known.
fn alternatives(part: &str) -> Option<Vec<&'static str>> {
    let bare = part
        .strip_prefix('(')
        .and_then(|p| p.strip_suffix(')'))
        .unwrap_or(part);
    let mut spaced = format!(" {bare} ").replace(['/', '&'], " or ");
    for word in [" AND ", " OR ", " and ", " And ", " Or "] {
        spaced = spaced.replace(word, " or ");
    }
    spaced.split(" or ").map(identifier).collect()
}

#[cfg(test)]
mod tests {
    use super::{IDENTIFIERS, LICENSES, SPELLINGS, current, fold, matches, normalize, split};

    #[test]
    fn text_that_is_too_long_is_one_name() {
        let list = |count: usize| "MIT,".repeat(count);
        assert_eq!(split(&list(1000)).len(), 1000);
        assert_eq!(split(&list(2000)), [list(2000)]);
        assert!(!matches(&list(2000), &["mit".to_owned()]));
    }

    #[test]
    fn spellings_have_one_identifier() {
        for (spdx, spellings) in [
            (
                "Apache-2.0",
                &[
                    "Apache 2.0",
                    "apache-2.0",
                    "Apache License 2.0",
                    "Apache License, Version 2.0",
                    "The Apache License, v2.0",
                    "apache2",
                    "Apache v2",
                ][..],
            ),
            ("MIT", &["MIT", "mit", "MIT License", "The MIT License"]),
            (
                "BSD-3-Clause",
                &[
                    "BSD 3-Clause",
                    "BSD-3-Clause",
                    "BSD 3-Clause License",
                    "New BSD",
                    "BSD-3",
                ],
            ),
            ("BSD-2-Clause", &["BSD 2-Clause", "Simplified BSD License"]),
            (
                "AGPL-3.0-only",
                &["AGPL-3.0", "AGPLv3", "GNU AGPL v3.0", "AGPL-3.0-only"],
            ),
            (
                "GPL-3.0-only",
                &["GPL-3.0", "GPLv3", "GNU General Public License v3.0"],
            ),
            ("GPL-3.0-or-later", &["GPL-3.0+", "GPL-3.0-or-later"]),
            (
                "CC-BY-NC-4.0",
                &["CC BY-NC 4.0", "cc-by-nc-4.0", "CC-BY-NC 4.0 License"],
            ),
            (
                "CC-BY-4.0",
                &[
                    "CC-BY-4.0",
                    "CC BY 4.0",
                    "Creative Commons Attribution 4.0 International",
                ],
            ),
            ("CC0-1.0", &["CC0", "CC0 1.0"]),
            ("Unlicense", &["Unlicense", "The Unlicense"]),
        ] {
            for spelling in spellings {
                assert_eq!(normalize(spelling), spdx, "{spelling}");
                assert_eq!(split(spelling), [spdx], "{spelling}");
            }
        }
    }

    #[test]
    fn what_is_not_known_stays_as_it_is() {
        for text in [
            "SAM License",
            "DINOv3 License",
            "Custom (HAI-DEF gated on Hugging Face)",
            "https://www.example.com/legal/tos",
            "Research and Non-Commercial",
            "Apple Sample Code License",
            "Other (see a, b and c)",
        ] {
            assert_eq!(split(text), [text]);
        }
        assert_eq!(normalize("  SAM License "), "SAM License");
    }

    #[test]
    fn lists_are_split_and_trimmed() {
        for (text, names) in [
            (
                "Apache 2.0, BSD 3-Clause",
                &["Apache-2.0", "BSD-3-Clause"][..],
            ),
            ("Apache 2.0,BSD 3-Clause", &["Apache-2.0", "BSD-3-Clause"]),
            ("Apache License, Version 2.0, MIT", &["Apache-2.0", "MIT"]),
            ("MIT License and Apache", &["MIT", "Apache-2.0"]),
            ("MIT OR Apache-2.0", &["MIT", "Apache-2.0"]),
            ("(MIT AND BSD-3-Clause)", &["MIT", "BSD-3-Clause"]),
            ("MIT/Apache-2.0", &["MIT", "Apache-2.0"]),
            (
                "MIT & BSD 2-Clause; CC0",
                &["MIT", "BSD-2-Clause", "CC0-1.0"],
            ),
            ("MIT, SAM License", &["MIT", "SAM License"]),
            (" ,; ", &[]),
            ("", &[]),
        ] {
            assert_eq!(split(text), names, "{text}");
        }
    }

    #[test]
    fn filters_take_any_spelling() {
        let wanted = |w: &str| [w.to_owned()];
        for (license, asked) in [
            ("Apache 2.0", "apache-2.0"),
            ("Apache 2.0, BSD 3-Clause", "bsd-3-clause"),
            ("Apache 2.0, BSD 3-Clause", "BSD 3-Clause"),
            ("AGPL-3.0", "AGPL-3.0"),
            ("SAM License", "sam"),
            ("License", "license"),
            ("MIT", "GPL-3.0, MIT"),
        ] {
            assert!(matches(license, &wanted(asked)), "{license} {asked}");
        }
        for (license, asked) in [
            ("Apache 2.0", "MIT"),
            ("", "MIT"),
            ("MIT", ""),
            ("GPL-3.0", "LGPL-3.0"),
            ("MIT-0", "MIT"),
        ] {
            assert!(!matches(license, &wanted(asked)), "{license} {asked}");
        }
    }

    #[test]
    fn every_license_of_the_list_is_known_by_its_identifier_and_name() {
        for license in LICENSES {
            assert_eq!(normalize(license.name), current(license));
            // Some share their full name: the variants of GFDL.
            let named = normalize(license.full_name);
            let same = |other: &&super::License| other.full_name == license.full_name;
            assert!(
                LICENSES
                    .iter()
                    .filter(same)
                    .any(|same| current(same) == named),
                "{named}"
            );
        }
        assert_eq!(normalize("Mulan PSL v2"), "Mulan PSL v2");
        assert_eq!(normalize("MulanPSL-2.0"), "MulanPSL-2.0");
    }

    #[test]
    fn every_spelling_means_one_license_of_the_list() {
        for (spelling, id) in SPELLINGS {
            assert_eq!(fold(spelling), *spelling, "a spelling must be folded");
            assert_eq!(IDENTIFIERS.get(*spelling), Some(id), "{spelling}");
            assert!(spdx::license_id(id).is_some(), "{id}");
        }
        let mut spellings: Vec<_> = SPELLINGS.iter().map(|(spelling, _)| spelling).collect();
        spellings.sort_unstable();
        spellings.dedup();
        assert_eq!(spellings.len(), SPELLINGS.len());
    }
}
