//! Tries to change `/model` and `/source` through the guest's file system with every function of std
//! and wasi-libc, and to read outside of them. It fails with what succeeded.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use modelzoo_guest::prelude::*;
use test_guests::{copy_weights, tiny_plan};

struct Guest;

impl Source for Guest {
    fn download_model(_: &str, model_path: &ModelPath) -> Result<()> {
        copy_weights(model_path)?;
        attack(model_path)
    }

    fn load_model(_: &str, model_path: &ModelPath, _: Kwargs) -> Result<Plan> {
        attack(model_path)?;
        tiny_plan(model_path)
    }
}

fn attack(model_path: &Path) -> Result<()> {
    let before = fs::read(model_path)?;
    let mut report = Report::default();
    for root in ["/model", "/source"] {
        let file = match root {
            "/model" => model_path.to_owned(),
            _ => source::path(test_guests::WEIGHTS),
        };
        create(&mut report, root);
        change(&mut report, root, &file);
        link(&mut report, root, &file);
    }
    escape(&mut report);
    if fs::read(model_path)? != before {
        report.0.push("the model's file has changed".to_owned());
    }
    match report.0.as_slice() {
        [] => Ok(()),
        slips => Err(Error::other(format_args!(
            "succeeded: {}",
            slips.join("; ")
        ))),
    }
}

#[derive(Default)]
struct Report(Vec<String>);

impl Report {
    /// Records an attempt that must fail and did not.
    fn must_fail<T>(&mut self, what: impl std::fmt::Display, result: io::Result<T>) {
        if result.is_ok() {
            self.0.push(what.to_string());
        }
    }
}

fn create(report: &mut Report, root: &str) {
    let at = |name: &str| format!("{root}/{name}");
    report.must_fail(at("create"), File::create(at("new")));
    report.must_fail(at("create/"), File::create(at("new/")));
    report.must_fail(at("create_new"), File::create_new(at("new")));
    report.must_fail(at("write"), fs::write(at("new"), "x"));
    report.must_fail(at("create_dir"), fs::create_dir(at("dir")));
    report.must_fail(at("create_dir/"), fs::create_dir(at("dir/")));
    report.must_fail(at("create_dir_all"), fs::create_dir_all(at("dir/a/b")));
    report.must_fail(
        at("append"),
        OpenOptions::new().append(true).create(true).open(at("new")),
    );
}

fn change(report: &mut Report, root: &str, file: &Path) {
    let at = |what: &str| format!("{root}: {what}");
    let with_slash = format!("{}/", file.display());
    let open = |options: &mut OpenOptions, path: &Path| -> io::Result<()> {
        let mut file = options.open(path)?;
        file.write_all(b"changed")
    };
    for path in [file, Path::new(&with_slash), Path::new(root)] {
        let shown = path.display();
        let mut write = |name: &str, options: &mut OpenOptions| {
            report.must_fail(format_args!("{name} {shown}"), options.open(path));
            report.must_fail(format_args!("{name}, write {shown}"), open(options, path));
        };
        write("open for writing", OpenOptions::new().write(true));
        write("open for both", OpenOptions::new().read(true).write(true));
        write("open for appending", OpenOptions::new().append(true));
        write("truncate", OpenOptions::new().write(true).truncate(true));
        write("create", OpenOptions::new().write(true).create(true));
    }
    // A handle for reading must not write, nor change the file's length or times.
    match File::open(file) {
        Ok(mut reader) => {
            report.must_fail(at("write by a reader"), reader.write_all(b"changed"));
            report.must_fail(at("set_len by a reader"), reader.set_len(0));
            report.must_fail(
                at("set_modified by a reader"),
                reader.set_modified(std::time::SystemTime::UNIX_EPOCH),
            );
        }
        Err(error) => report.0.push(at(&format!("reading failed: {error}"))),
    }
    report.must_fail(at("rename"), fs::rename(file, format!("{root}/renamed")));
    report.must_fail(at("rename across"), fs::rename(file, "/model/across"));
    report.must_fail(
        at("rename over"),
        fs::rename(source::path("manifest.json"), file),
    );
    report.must_fail(at("copy"), fs::copy(file, format!("{root}/copy")));
    report.must_fail(at("copy over"), fs::copy(file, file));
    report.must_fail(at("remove_file"), fs::remove_file(file));
    report.must_fail(at("remove_file/"), fs::remove_file(&with_slash));
    report.must_fail(at("remove_dir"), fs::remove_dir(root));
    report.must_fail(at("remove_dir_all"), fs::remove_dir_all(root));
}

fn link(report: &mut Report, root: &str, file: &Path) {
    let at = |what: &str| format!("{root}: {what}");
    report.must_fail(at("hard_link"), fs::hard_link(file, format!("{root}/hard")));
    report.must_fail(at("hard_link across"), fs::hard_link(file, "/model/hard"));
    report.must_fail(
        at("hard_link over"),
        fs::hard_link(source::path("manifest.json"), file),
    );
    for target in ["/etc/passwd", "../../x", "weights.safetensors"] {
        report.must_fail(
            at(&format!("symlink to {target}")),
            libc::symlink(target, &format!("{root}/soft")),
        );
    }
    let file = file.to_string_lossy();
    report.must_fail(at("truncate"), libc::truncate(&file, 0));
    report.must_fail(at("set times"), libc::set_times(&file));
    report.must_fail(
        at("mknod-like open"),
        libc::open_create(&format!("{root}/raw")),
    );
}

/// Tries to read outside of the two directories.
fn escape(report: &mut Report) {
    let mut names = [
        "/etc/passwd",
        "/model/../etc/passwd",
        "/model/../../../../../../etc/passwd",
        "/source/../../../../../../etc/passwd",
        "/model/..",
        "/source/..",
        "/source/../source.wasm",
        "/model//etc/passwd/../../..",
        "etc/passwd",
        "../etc/passwd",
        "..",
        "/proc/self/environ",
        "/dev/zero",
    ]
    .map(str::to_owned)
    .to_vec();
    names.push(format!("/model/{}etc/passwd", "../".repeat(1000)));
    for name in names {
        let read = File::open(&name).and_then(|mut file| file.read(&mut [0; 16]));
        report.must_fail(format_args!("read {name}"), read);
        report.must_fail(format_args!("list {name}"), fs::read_dir(&name));
    }
}

/// Functions of wasi-libc that std does not offer.
#[cfg(target_family = "wasm")]
mod libc {
    use std::ffi::{CString, c_char, c_int};
    use std::io;

    mod sys {
        use std::ffi::{c_char, c_int, c_void};

        unsafe extern "C" {
            pub(super) fn symlink(target: *const c_char, path: *const c_char) -> c_int;
            pub(super) fn truncate(path: *const c_char, length: i64) -> c_int;
            pub(super) fn utimensat(
                directory: c_int,
                path: *const c_char,
                times: *const c_void,
                flags: c_int,
            ) -> c_int;
            pub(super) fn creat(path: *const c_char, mode: u32) -> c_int;
        }
    }

    const AT_FDCWD: c_int = -2;

    pub(super) fn symlink(target: &str, path: &str) -> io::Result<()> {
        let target = CString::new(target)?;
        // SAFETY: both are NUL-terminated strings that live until the call returns.
        with_path(path, |path| unsafe { sys::symlink(target.as_ptr(), path) })
    }

    pub(super) fn truncate(path: &str, length: i64) -> io::Result<()> {
        // SAFETY: the path is a NUL-terminated string that lives until the call returns.
        with_path(path, |path| unsafe { sys::truncate(path, length) })
    }

    pub(super) fn set_times(path: &str) -> io::Result<()> {
        // SAFETY: as above; a null pointer means the current time.
        with_path(path, |path| unsafe {
            sys::utimensat(AT_FDCWD, path, std::ptr::null(), 0)
        })
    }

    pub(super) fn open_create(path: &str) -> io::Result<()> {
        // SAFETY: the path is a NUL-terminated string that lives until the call returns.
        with_path(path, |path| unsafe { sys::creat(path, 0o777) })
    }

    fn with_path(path: &str, call: impl FnOnce(*const c_char) -> c_int) -> io::Result<()> {
        let path = CString::new(path)?;
        if call(path.as_ptr()) < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }
}

/// Replaces wasi-libc where the guests are only type-checked.
#[cfg(not(target_family = "wasm"))]
mod libc {
    use std::io;

    fn absent() -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn symlink(_target: &str, _path: &str) -> io::Result<()> {
        absent()
    }

    pub(super) fn truncate(_path: &str, _length: i64) -> io::Result<()> {
        absent()
    }

    pub(super) fn set_times(_path: &str) -> io::Result<()> {
        absent()
    }

    pub(super) fn open_create(_path: &str) -> io::Result<()> {
        absent()
    }
}

modelzoo_guest::export!(Guest);
