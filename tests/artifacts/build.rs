//! Builds every guest of `tests/guests`, and the example sources, for wasm32-wasip2, and writes
//! the constants that `src/lib.rs` includes.
//!
//! A separate cargo with its own target directory builds the guests, since they have another target
//! and another profile than the surrounding build.

use std::error::Error;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs};

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

const TARGET: &str = "wasm32-wasip2";

/// The example sources: the package, its folder, and the name of its library.
const SOURCES: &[(&str, &str, &str)] = &[
    ("digits-source", "examples/digits", "digits_source"),
    ("minilm-source", "examples/minilm", "minilm_source"),
    (
        "openai-clip-source",
        "examples/openai-clip",
        "openai_clip_source",
    ),
];

/// A change of these builds the guests again; cargo then finds out which.
const INPUTS: &[&str] = &[
    "Cargo.lock",
    "Cargo.toml",
    "guest-sdk",
    "tests/guests",
    "wit",
];

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One instruction to cargo is one line.
            for line in error.to_string().lines() {
                println!("cargo::error={line}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let out = PathBuf::from(var("OUT_DIR")?);
    let root = Path::new(&var("CARGO_MANIFEST_DIR")?)
        .ancestors()
        .nth(2)
        .ok_or("this package lies too high")?
        .to_owned();
    watch(&root);
    require_target()?;

    // <target>/<profile>/build/<package>/out: all profiles share a directory beside the profile.
    let target_dir = out
        .ancestors()
        .nth(4)
        .ok_or("OUT_DIR lies too high")?
        .join("guests");
    build(&root, &target_dir)?;

    let built = target_dir.join(TARGET).join("guest");
    let guests = guests(&root)?;
    let mut code = String::new();
    for name in &guests {
        let file = format!("{name}.wasm");
        let wasm = keep(&built.join("examples").join(&file), &out.join(&file))?;
        constant(&mut code, name, &format!("The guest `{name}`."), &wasm)?;
    }
    for (package, _, library) in SOURCES {
        let file = format!("{library}.wasm");
        let wasm = keep(&built.join(&file), &out.join(&file))?;
        constant(
            &mut code,
            library,
            &format!("The source `{package}`."),
            &wasm,
        )?;
    }
    foreach(&mut code, &guests)?;
    fs::write(out.join("artifacts.rs"), code)?;
    Ok(())
}

fn var(name: &str) -> Result<OsString> {
    env::var_os(name).ok_or_else(|| format!("cargo did not set {name}").into())
}

/// Tells cargo when to run this again. Of a directory, cargo uses the newest time.
fn watch(root: &Path) {
    println!("cargo::rerun-if-changed=build.rs");
    for input in INPUTS {
        println!("cargo::rerun-if-changed={}", root.join(input).display());
    }
    for (_, folder, _) in SOURCES {
        // Not the whole directory, which has the source's data.
        let folder = root.join(folder);
        for input in ["Cargo.toml", "src"] {
            println!("cargo::rerun-if-changed={}", folder.join(input).display());
        }
    }
}

/// Reports how to install std for the guests, before rustc fails with a less helpful message.
fn require_target() -> Result<()> {
    let rustc = var("RUSTC")?;
    let output = Command::new(&rustc)
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()
        .map_err(|error| format!("{}: {error}", rustc.display()))?;
    let libdir = PathBuf::from(String::from_utf8(output.stdout)?.trim());
    let there = fs::read_dir(&libdir).is_ok_and(|mut entries| {
        entries.any(|entry| {
            entry.is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with("libstd-"))
        })
    });
    if there {
        return Ok(());
    }
    Err(format!(
        "the test guests need Rust's standard library for {TARGET}, which is not installed\n\
         hint: run `rustup target add {TARGET}`, or `cargo xtask test`, which does what is needed"
    )
    .into())
}

fn build(root: &Path, target_dir: &Path) -> Result<()> {
    let mut cargo = Command::new(var("CARGO")?);
    cargo
        .current_dir(root)
        .args([
            "build",
            "--locked",
            "--profile",
            "guest",
            "--target",
            TARGET,
        ])
        .arg("--target-dir")
        .arg(target_dir)
        .args(["--package", "test-guests", "--lib", "--examples"]);
    for (package, ..) in SOURCES {
        cargo.args(["--package", package]);
    }
    for (name, _) in env::vars_os() {
        if is_of_the_outer_build(&name.to_string_lossy()) {
            cargo.env_remove(name);
        }
    }
    let status = cargo.status()?;
    if !status.success() {
        return Err(format!("the test guests could not be built ({status})").into());
    }
    Ok(())
}

/// Whether a variable belongs to the surrounding build and must not reach the inner one: its flags,
/// its wrappers (clippy), its profile, its features.
fn is_of_the_outer_build(name: &str) -> bool {
    const OURS: &[&str] = &[
        "DEBUG",
        "HOST",
        "NUM_JOBS",
        "OPT_LEVEL",
        "OUT_DIR",
        "PROFILE",
        "RUSTC",
        "RUSTC_BOOTSTRAP",
        "RUSTC_LINKER",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTDOC",
        "RUSTDOCFLAGS",
        "RUSTFLAGS",
        "TARGET",
    ];
    // The source of crates, how to fetch them, and the share of the processors.
    const KEPT: &[&str] = &[
        "CARGO_HOME",
        "CARGO_HTTP_",
        "CARGO_MAKEFLAGS",
        "CARGO_NET_",
        "CARGO_REGISTR",
        "CARGO_SOURCE_",
        "CARGO_TERM_",
    ];
    OURS.contains(&name)
        || (name.starts_with("CARGO_") && !KEPT.iter().any(|kept| name.starts_with(kept)))
}

/// The names of the guests: the files of `tests/guests/examples`.
fn guests(root: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(root.join("tests/guests/examples"))? {
        let name = entry?.file_name();
        if let Some(name) = name.to_string_lossy().strip_suffix(".rs") {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Makes a copy that no other build changes while tests read it. An unchanged copy keeps its time, on
/// which caches depend.
fn keep(built: &Path, copy: &Path) -> Result<PathBuf> {
    let bytes = fs::read(built).map_err(|error| {
        format!(
            "{}: {error}; is the guest listed in tests/guests/Cargo.toml?",
            built.display()
        )
    })?;
    if fs::read(copy).is_ok_and(|there| there == bytes) {
        return Ok(copy.to_owned());
    }
    let unfinished = copy.with_extension("unfinished");
    fs::write(&unfinished, bytes)?;
    fs::rename(&unfinished, copy)?;
    Ok(copy.to_owned())
}

fn constant(code: &mut String, name: &str, doc: &str, wasm: &Path) -> Result<()> {
    let path = wasm.to_str().ok_or("the target directory is not UTF-8")?;
    let name = name.to_uppercase();
    writeln!(code, "/// {doc}\npub const {name}: &str = {path:?};")?;
    Ok(())
}

/// The macro that lists all guests.
fn foreach(code: &mut String, guests: &[String]) -> Result<()> {
    writeln!(
        code,
        "/// Expands another macro once for each guest, with the guest's name: see the crate's\n\
         /// documentation.\n\
         #[macro_export]\n\
         macro_rules! foreach_guest {{\n    ($each:ident) => {{"
    )?;
    for name in guests {
        writeln!(code, "        $each!({name});")?;
    }
    writeln!(code, "    }};\n}}")?;
    Ok(())
}
