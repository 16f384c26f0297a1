//! Finds links in its model's directory that lead out of it, as a hole elsewhere could have left
//! them, and goes for what is behind them: reads, lists, writes, renames, with and without a slash
//! at the end. It fails with what succeeded.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};

use modelzoo_guest::prelude::*;
use test_guests::{copy_weights, tiny_plan};

struct Guest;

/// The links, which the host's test makes.
const LINKS: &[&str] = &["file", "up", "dir", "dotdot", "round", "nowhere"];

impl Source for Guest {
    fn download_model(_: &str, model_path: &ModelPath) -> Result<()> {
        copy_weights(model_path)
    }

    fn load_model(_: &str, model_path: &ModelPath, _: Kwargs) -> Result<Plan> {
        let names = fs::read_dir("/model")?.flatten().map(|e| e.file_name());
        let there = names.filter(|name| LINKS.iter().any(|link| name == *link));
        if there.count() != LINKS.len() {
            return Err(Error::other("the links are not there"));
        }
        let mut slips = Vec::new();
        for link in LINKS {
            for path in [
                format!("/model/{link}"),
                format!("/model/{link}/"),
                format!("/model/{link}/."),
                format!("/model/{link}/outside"),
                format!("/model/{link}/deeper/../outside"),
                format!("/model/./{link}//outside/"),
            ] {
                attempt(&path, &mut slips);
            }
        }
        match slips.as_slice() {
            [] => tiny_plan(model_path),
            slips => Err(Error::other(format_args!(
                "succeeded: {}",
                slips.join("; ")
            ))),
        }
    }
}

fn attempt(path: &str, slips: &mut Vec<String>) {
    let mut must_fail = |what: &str, result: io::Result<()>| {
        if result.is_ok() {
            slips.push(format!("{what} {path}"));
        }
    };
    let read = || File::open(path)?.read(&mut [0; 16]).map(drop);
    must_fail("read", read());
    must_fail("list", fs::read_dir(path).map(drop));
    must_fail("look at what is behind", fs::metadata(path).map(drop));
    must_fail("write", fs::write(path, "x"));
    must_fail(
        "append",
        OpenOptions::new().append(true).open(path).map(drop),
    );
    must_fail(
        "create",
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map(drop),
    );
    must_fail(
        "truncate",
        OpenOptions::new()
            .write(true)
            .truncate(true)
            .open(path)
            .map(drop),
    );
    must_fail("create_dir", fs::create_dir(path));
    must_fail("remove_file", fs::remove_file(path));
    must_fail("remove_dir", fs::remove_dir(path));
    must_fail("remove_dir_all", fs::remove_dir_all(path));
    must_fail("rename", fs::rename(path, "/model/renamed"));
    must_fail(
        "rename over",
        fs::rename("/model/weights.safetensors", path),
    );
    must_fail("hard_link", fs::hard_link(path, "/model/hard"));
    must_fail(
        "hard_link over",
        fs::hard_link("/model/weights.safetensors", path),
    );
    must_fail("copy", fs::copy(path, "/model/copy").map(drop));
}

modelzoo_guest::export!(Guest);
