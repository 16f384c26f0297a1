use std::io::Write as _;
use std::process::ExitCode;

use indicatif::{BinaryBytes, DecimalBytes};
use modelzoo::{Diagnosis, Zoo};

use crate::console::Console;
use crate::failure::Failure;
use crate::table;

pub(crate) fn run(console: &Console) -> Result<ExitCode, Failure> {
    let zoo = console.zoo()?;
    let diagnosis = zoo.doctor();
    if console.json() {
        console.print_json(&diagnosis)?;
    } else {
        let mut out = console.stdout();
        table::print(&mut out, ["what", "how it is"], &rows(&zoo, &diagnosis))?;
        out.flush()?;
    }
    match diagnosis.broken().as_slice() {
        [] => Ok(ExitCode::SUCCESS),
        broken => Err(Failure::plain(broken.join("; "))),
    }
}

fn rows(zoo: &Zoo, found: &Diagnosis) -> Vec<[String; 2]> {
    let mut rows = vec![
        ["version".to_owned(), found.version.to_owned()],
        ["store".to_owned(), store(found)],
        ["other users".to_owned(), other_users(found)],
        ["configuration".to_owned(), configuration(found)],
        ["offline".to_owned(), yes(found.offline)],
        ["proxies".to_owned(), or_none(&found.proxies.join(", "))],
        ["second wall".to_owned(), found.second_wall.to_string()],
        ["compiler".to_owned(), compiler(zoo, found)],
        [
            "threads".to_owned(),
            format!("{}, {} kernels", found.threads, found.cpu_kernels),
        ],
    ];
    for device in &found.devices {
        let how = device.reason.as_deref().unwrap_or("available");
        rows.push([device.name.to_owned(), how.to_owned()]);
    }
    rows
}

fn store(found: &Diagnosis) -> String {
    let store = &found.store;
    let writable = match &store.reason {
        None => "writable".to_owned(),
        Some(reason) if store.readable => format!("may only be read: {reason}"),
        Some(reason) => format!("not writable: {reason}"),
    };
    let free = store.free_bytes.map_or(String::new(), |bytes| {
        format!(", {} free", DecimalBytes(bytes))
    });
    format!("{} ({writable}{free})", store.path.display())
}

fn other_users(found: &Diagnosis) -> String {
    let exposures = &found.store.exposures;
    match exposures.as_slice() {
        [] => "cannot change the store".to_owned(),
        some => {
            let shown: Vec<_> = some.iter().map(ToString::to_string).collect();
            format!(
                "can change the store: {}; `chown` and `chmod go-w` make it yours alone",
                shown.join(", ")
            )
        }
    }
}

fn configuration(found: &Diagnosis) -> String {
    match &found.config_file {
        Some(path) => path.display().to_string(),
        None => "no config.toml".to_owned(),
    }
}

fn compiler(zoo: &Zoo, found: &Diagnosis) -> String {
    let limits = &zoo.config().limits;
    match &found.compiler.reason {
        Some(reason) => format!("broken: {reason}"),
        None if found.compiler.limited => format!(
            "a process of its own, with at most {} and {} s",
            BinaryBytes(limits.compile_memory_bytes),
            limits.compile_wall.as_secs_f64()
        ),
        None => "in this process, without limits of memory and time".to_owned(),
    }
}

fn yes(is: bool) -> String {
    if is { "yes" } else { "no" }.to_owned()
}

fn or_none(text: &str) -> String {
    if text.is_empty() { "none" } else { text }.to_owned()
}
