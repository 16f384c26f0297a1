//! Searches its environment for traces of the host, and fails with what it finds: variables,
//! arguments, input, a home or a working directory.

use std::io::Read as _;

use modelzoo_guest::prelude::*;
use test_guests::{copy_weights, tiny_plan};

struct Guest;

impl Source for Guest {
    fn download_model(_: &str, model_path: &ModelPath) -> Result<()> {
        look()?;
        copy_weights(model_path)
    }

    fn load_model(_: &str, model_path: &ModelPath, _: Kwargs) -> Result<Plan> {
        look()?;
        tiny_plan(model_path)
    }
}

fn look() -> Result<()> {
    let mut found: Vec<String> = Vec::new();
    found.extend(std::env::vars_os().map(|(name, value)| format!("variable {name:?}={value:?}")));
    found.extend(std::env::args_os().map(|argument| format!("argument {argument:?}")));
    for name in ["HOME", "PATH", "GITHUB_TOKEN", "MODELZOO_HOME", "USER"] {
        if let Some(value) = std::env::var_os(name) {
            found.push(format!("variable {name}={value:?}"));
        }
    }
    if let Some(home) = std::env::home_dir() {
        found.push(format!("home {}", home.display()));
    }
    match std::env::current_dir() {
        // wasi-libc returns this if there is none.
        Ok(directory) if directory.as_os_str() == "/" => {}
        Ok(directory) => found.push(format!("working directory {}", directory.display())),
        Err(_) => {}
    }
    let mut input = Vec::new();
    match std::io::stdin().read_to_end(&mut input) {
        Ok(0) | Err(_) => {}
        Ok(_) => found.push(format!("input {:?}", String::from_utf8_lossy(&input))),
    }
    let roots: Vec<_> = std::fs::read_dir("/")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name())
        .filter(|name| name != "model" && name != "source")
        .collect();
    if !roots.is_empty() {
        found.push(format!("in the root directory {roots:?}"));
    }
    match found.as_slice() {
        [] => Ok(()),
        found => Err(Error::other(format_args!("visible: {}", found.join("; ")))),
    }
}

modelzoo_guest::export!(Guest);
