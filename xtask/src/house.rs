//! What the workspace consists of: crates and their arrows, folders, files and lines.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Deserialize;

use crate::Result;
use crate::command::{cargo, output, print_line};

/// Print the crates of the workspace and the arrows between them, the files of each folder and the
/// lines of each crate
///
/// Lines are those of `.rs` files. A crate's `tests` are the files below its `tests` folder, files
/// whose names end in tests.rs, and modules under `#[cfg(test)]` at the end of a file.
#[derive(Debug, Args)]
pub(crate) struct HouseArgs {
    /// Another checkout, to compare with
    #[arg(default_value = ".")]
    checkout: PathBuf,
    /// Print the folders of each crate too
    #[arg(long)]
    folders: bool,
}

/// The part of `cargo metadata` that is read.
#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
    targets: Vec<Target>,
}

#[derive(Debug, Deserialize)]
struct Target {
    src_path: PathBuf,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    name: String,
    /// `dev`, `build` or nothing.
    kind: Option<String>,
    /// Where it is, if it is in this workspace.
    path: Option<PathBuf>,
}

/// The files of one folder, or of all of a crate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Count {
    files: usize,
    code: usize,
    tests: usize,
    /// The lines of the longest file, and its path.
    longest: (usize, PathBuf),
}

impl Count {
    /// The same files, all of them tests.
    fn into_tests(self) -> Self {
        Self {
            code: 0,
            tests: self.code + self.tests,
            ..self
        }
    }

    fn merge(&mut self, other: &Self) {
        self.files += other.files;
        self.code += other.code;
        self.tests += other.tests;
        self.longest = other.longest.clone().max(std::mem::take(&mut self.longest));
    }

    fn row(&self, name: &str, layer: &str, rest: &str) -> String {
        let numbers = [self.files, self.code, self.tests, self.longest.0];
        let [files, code, tests, longest] = &numbers.map(|number| number.to_string());
        row([name, layer, files, code, tests, longest, rest])
    }

    fn add(&mut self, path: &Path, code: usize, tests: usize) {
        self.files += 1;
        self.code += code;
        self.tests += tests;
        self.longest = (code + tests, path.to_owned()).max(std::mem::take(&mut self.longest));
    }
}

pub(crate) fn run(args: &HouseArgs) -> Result<()> {
    let packages = packages(&args.checkout)?;
    let arrows: BTreeMap<&str, BTreeSet<&str>> = packages
        .iter()
        .map(|package| (package.name.as_str(), arrows(package)))
        .collect();
    let mut rows = vec![row([
        "crate", "layer", "files", "code", "tests", "longest", "uses",
    ])];
    let mut folders = vec![row([
        "folder", "", "files", "code", "tests", "longest", "file",
    ])];
    let mut total = Count::default();
    for package in &packages {
        let home = package.manifest_path.parent().ok_or("no directory")?;
        let home = &home.canonicalize()?;
        let mut all = Count::default();
        let mut counts = count(home)?;
        for folder in outside(package, home) {
            let tests = count(&folder)?;
            let place = folder.file_name().unwrap_or_default();
            counts.extend(tests.into_iter().map(|(inside, count)| {
                (Path::new("..").join(place).join(inside), count.into_tests())
            }));
        }
        for (folder, count) in &counts {
            all.merge(count);
            let name = format!("{}/{}", package.name, folder.display());
            folders.push(count.row(&name, "", &file_name(&count.longest.1)));
        }
        let uses = arrows
            .get(package.name.as_str())
            .cloned()
            .unwrap_or_default();
        let uses = uses.into_iter().collect::<Vec<_>>().join(" ");
        let depth = layer(&package.name, &arrows).to_string();
        rows.push(all.row(&package.name, &depth, &uses));
        total.merge(&all);
    }
    let count: usize = arrows.values().map(BTreeSet::len).sum();
    let arrows = format!("{count} arrows between {} crates", packages.len());
    rows.push(total.row("total", "", &arrows));
    print_line(rows.join("\n"));
    if args.folders {
        print_line(format_args!("\n{}", folders.join("\n")));
    }
    Ok(())
}

/// The packages of a checkout, those first that use no other.
fn packages(checkout: &Path) -> Result<Vec<Package>> {
    let mut metadata = cargo();
    metadata
        .args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
        ])
        .arg("--manifest-path")
        .arg(checkout.join("Cargo.toml"));
    let Metadata { mut packages } = serde_json::from_str(&output(&mut metadata)?)?;
    let arrows: BTreeMap<String, BTreeSet<String>> = packages
        .iter()
        .map(|package| {
            let uses = arrows(package).into_iter().map(str::to_owned);
            (package.name.clone(), uses.collect())
        })
        .collect();
    let arrows: BTreeMap<&str, BTreeSet<&str>> = arrows
        .iter()
        .map(|(name, uses)| (name.as_str(), uses.iter().map(String::as_str).collect()))
        .collect();
    packages.sort_by_cached_key(|package| {
        let layer = layer(&package.name, &arrows);
        (layer, package.manifest_path.clone())
    });
    Ok(packages)
}

/// The crates of the workspace that a package needs to be built.
fn arrows(package: &Package) -> BTreeSet<&str> {
    package
        .dependencies
        .iter()
        .filter(|dependency| dependency.path.is_some() && dependency.kind.as_deref() != Some("dev"))
        .map(|dependency| dependency.name.as_str())
        .collect()
}

/// How many crates are below a crate, one on top of the other; cargo allows no circles.
fn layer(name: &str, arrows: &BTreeMap<&str, BTreeSet<&str>>) -> usize {
    let below = arrows.get(name).into_iter().flatten();
    below
        .map(|below| layer(below, arrows) + 1)
        .max()
        .unwrap_or(0)
}

/// The folders of tests that a crate has elsewhere.
fn outside(package: &Package, home: &Path) -> BTreeSet<PathBuf> {
    let paths = package.targets.iter().map(|target| &target.src_path);
    paths
        .filter_map(|path| path.canonicalize().ok())
        .filter(|path| !path.starts_with(home))
        .filter_map(|path| path.parent().map(Path::to_owned))
        .collect()
}

/// What is in the folders of a crate.
fn count(home: &Path) -> Result<BTreeMap<PathBuf, Count>> {
    let mut counts: BTreeMap<PathBuf, Count> = BTreeMap::new();
    let mut folders = vec![home.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            // A package or a build below this one is not a part of it.
            if path.is_dir() {
                if !path.join("Cargo.toml").exists() && !path.ends_with("target") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|end| end == "rs") {
                let inside = folder.strip_prefix(home)?.to_owned();
                let text = fs::read_to_string(&path)?;
                let (code, tests) = lines(path.strip_prefix(home)?, &text);
                counts.entry(inside).or_default().add(&path, code, tests);
            }
        }
    }
    Ok(counts)
}

/// The lines of a file that are code, and those that are tests.
fn lines(path: &Path, text: &str) -> (usize, usize) {
    let all: Vec<&str> = text.lines().collect();
    let is_test =
        path.to_string_lossy().ends_with("tests.rs") || path.iter().any(|part| part == "tests");
    if is_test {
        return (0, all.len());
    }
    // A declaration of a module in a file of its own ends in `;`.
    let begins = |pair: &[&str]| matches!(pair, ["#[cfg(test)]", next] if next.ends_with('{'));
    let code = all.windows(2).position(begins).unwrap_or(all.len());
    (code, all.len() - code)
}

fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn row([name, layer, files, code, tests, longest, rest]: [&str; 7]) -> String {
    let row = format!("{name:<40}{layer:>6}{files:>7}{code:>8}{tests:>8}{longest:>9}  {rest}");
    row.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_counted_apart() {
        let text = "//! A file.\nfn a() {}\n\n#[cfg(test)]\nmod tests {\n}\n";
        assert_eq!(lines(Path::new("src/a.rs"), text), (3, 3));
        assert_eq!(lines(Path::new("src/a/tests.rs"), text), (0, 6));
        assert_eq!(lines(Path::new("src/a_tests.rs"), text), (0, 6));
        let declared = "#[cfg(test)]\nmod tests;\n\nfn a() {}\n";
        assert_eq!(lines(Path::new("src/a.rs"), declared), (4, 0));
        assert_eq!(lines(Path::new("tests/it/a.rs"), text), (0, 6));
    }

    #[test]
    fn layers_are_the_longest_ways_down() {
        let arrows = BTreeMap::from([
            ("cli", BTreeSet::from(["zoo", "base"])),
            ("zoo", BTreeSet::from(["base"])),
            ("base", BTreeSet::new()),
        ]);
        let layers = ["base", "zoo", "cli"].map(|name| layer(name, &arrows));
        assert_eq!(layers, [0, 1, 2]);
    }

    #[test]
    fn every_crate_of_the_workspace_is_found() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let packages = packages(&root).unwrap();
        let names: Vec<_> = packages
            .iter()
            .map(|package| package.name.as_str())
            .collect();
        let place = |name| names.iter().position(|other| *other == name).unwrap();
        assert!(place("modelzoo-base") < place("modelzoo"));
        assert!(place("modelzoo") < place("modelzoo-cli"));
        let counts = count(&root.join("xtask")).unwrap();
        assert!(counts[Path::new("src")].files > 10);
    }
}
