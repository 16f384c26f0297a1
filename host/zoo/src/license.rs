//! Licences as manifests write them, made comparable.
//!
//! The field is free text: `Apache 2.0`, `Apache-2.0` and `Apache License, Version 2.0` are one
//! licence, `Apache 2.0, BSD 3-Clause` are two. Here each gets its SPDX identifier where that is
//! certain, and stays as it is written where it is not.

/// SPDX identifiers, each with other spellings in the form that [`fold`] makes.
const LICENSES: &[(&str, &[&str])] = &[
    ("0BSD", &[]),
    ("AFL-3.0", &[]),
    (
        "AGPL-3.0-only",
        &[
            "agpl-3",
            "agplv3",
            "gnu-agplv3",
            "agpl-3.0",
            "gnu-agpl-3.0",
            "gnu-affero-general-public-3.0",
        ],
    ),
    ("AGPL-3.0-or-later", &["agpl-3.0+", "agpl-3+"]),
    (
        "Apache-2.0",
        &[
            "apache",
            "apache-2",
            "apache2",
            "apache2.0",
            "asl-2.0",
            "asl2",
        ],
    ),
    ("Artistic-2.0", &[]),
    (
        "BSD-2-Clause",
        &["bsd-2", "bsd2", "simplified-bsd", "freebsd"],
    ),
    (
        "BSD-3-Clause",
        &["bsd-3", "bsd3", "new-bsd", "modified-bsd", "revised-bsd"],
    ),
    ("BSL-1.0", &["boost-1.0", "boost"]),
    ("CC-BY-3.0", &[]),
    (
        "CC-BY-4.0",
        &[
            "cc-by-4",
            "creative-commons-attribution-4.0",
            "creative-commons-attribution-4.0-international",
        ],
    ),
    (
        "CC-BY-NC-4.0",
        &[
            "cc-by-nc-4",
            "creative-commons-attribution-noncommercial-4.0",
            "creative-commons-attribution-noncommercial-4.0-international",
        ],
    ),
    ("CC-BY-NC-ND-4.0", &["cc-by-nc-nd-4"]),
    ("CC-BY-NC-SA-4.0", &["cc-by-nc-sa-4"]),
    ("CC-BY-ND-4.0", &["cc-by-nd-4"]),
    ("CC-BY-SA-3.0", &[]),
    ("CC-BY-SA-4.0", &["cc-by-sa-4"]),
    ("CC0-1.0", &["cc0", "cc-0-1.0", "cc0-1.0-universal"]),
    ("ECL-2.0", &[]),
    ("EPL-2.0", &[]),
    ("EUPL-1.2", &[]),
    ("GFDL-1.3-only", &["gfdl-1.3"]),
    (
        "GPL-2.0-only",
        &[
            "gpl-2",
            "gpl2",
            "gplv2",
            "gnu-gplv2",
            "gpl-2.0",
            "gnu-gpl-2.0",
            "gnu-general-public-2.0",
        ],
    ),
    ("GPL-2.0-or-later", &["gpl-2.0+", "gpl-2+"]),
    (
        "GPL-3.0-only",
        &[
            "gpl-3",
            "gpl3",
            "gplv3",
            "gnu-gplv3",
            "gpl-3.0",
            "gnu-gpl-3.0",
            "gnu-general-public-3.0",
        ],
    ),
    ("GPL-3.0-or-later", &["gpl-3.0+", "gpl-3+"]),
    ("ISC", &[]),
    ("LGPL-2.1-only", &["lgpl-2.1", "gnu-lgpl-2.1"]),
    ("LGPL-2.1-or-later", &["lgpl-2.1+"]),
    (
        "LGPL-3.0-only",
        &["lgpl-3", "lgplv3", "lgpl-3.0", "gnu-lgpl-3.0"],
    ),
    ("LGPL-3.0-or-later", &["lgpl-3.0+", "lgpl-3+"]),
    ("MIT", &["expat"]),
    ("MIT-0", &[]),
    ("MPL-2.0", &["mpl-2", "mpl2", "mozilla-public-2.0"]),
    ("MS-PL", &[]),
    ("NCSA", &[]),
    ("ODbL-1.0", &["odbl"]),
    ("OFL-1.1", &[]),
    ("OSL-3.0", &[]),
    ("PDDL-1.0", &["pddl"]),
    ("PostgreSQL", &[]),
    ("Unlicense", &[]),
    ("UPL-1.0", &[]),
    ("WTFPL", &[]),
    ("Zlib", &[]),
];

/// Splits a manifest's `license` into the licences that it names, each as [`normalize`] gives it.
///
/// Commas and semicolons separate, except inside parentheses and before a version; so do `AND`,
/// `OR`, `and`, `or`, `&` and `/` where only known licences stand around them.
#[must_use]
pub fn split(license: &str) -> Vec<String> {
    if let Some(known) = spdx(license) {
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
    spdx(license).unwrap_or(license.trim()).to_owned()
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

fn spdx(license: &str) -> Option<&'static str> {
    let folded = fold(license);
    if folded.is_empty() {
        return None;
    }
    LICENSES
        .iter()
        .find(|(id, spellings)| fold(id) == folded || spellings.contains(&folded.as_str()))
        .map(|(id, _)| *id)
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
        && spdx(part).is_none()
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
    spaced.split(" or ").map(spdx).collect()
}

#[cfg(test)]
mod tests {
    use super::{LICENSES, fold, matches, normalize, split};

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
    fn no_spelling_means_two_licenses() {
        let mut seen = std::collections::BTreeMap::new();
        for (id, spellings) in LICENSES {
            for spelling in spellings.iter().map(|s| (*s).to_owned()).chain([fold(id)]) {
                assert_eq!(fold(&spelling), spelling, "{id}: a spelling must be folded");
                assert_eq!(seen.insert(spelling.clone(), id), None, "{spelling}");
            }
        }
    }
}
