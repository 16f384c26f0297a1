use std::fs;
use std::sync::Arc;

use types::{HostDescriptor as _, HostDirectoryEntryStream as _};

use super::*;
use crate::events::NoLog;
use crate::interfaces::log::LogCtx;
use crate::interfaces::wasi::WasiState;
use crate::limits::Limits;

/// A guest's file system with three files in `/model`, and the handle of that directory.
fn fixture() -> (tempfile::TempDir, WasiState, u32) {
    let dir = tempfile::tempdir().unwrap();
    for name in ["c", "a", "b"] {
        fs::write(dir.path().join(name), name).unwrap();
    }
    let log = LogCtx::new(Arc::new(NoLog), 0);
    let mut wasi = WasiState::new(dir.path(), dir.path(), &log, &Limits::default()).unwrap();
    let directories = preopens::Host::get_directories(&mut wasi.filesystem());
    let model = directories
        .unwrap()
        .into_iter()
        .find_map(|(fd, name)| (name == "/model").then(|| fd.rep()))
        .unwrap();
    (dir, wasi, model)
}

fn code<T: std::fmt::Debug>(result: FsResult<T>) -> ErrorCode {
    result.unwrap_err().downcast().unwrap()
}

#[tokio::test]
async fn directories_are_listed_by_name() {
    let (_dir, mut wasi, model) = fixture();
    let mut fs = wasi.filesystem();
    let listing = fs
        .read_directory(Resource::new_borrow(model))
        .await
        .unwrap();
    let rep = listing.rep();
    let mut names = Vec::new();
    while let Some(entry) = fs
        .read_directory_entry(Resource::new_borrow(rep))
        .await
        .unwrap()
    {
        names.push(entry.name);
    }
    assert_eq!(names, ["a", "b", "c"]);
    types::HostDirectoryEntryStream::drop(&mut fs, listing).unwrap();
    assert!(fs.state.listings.is_empty());
}

#[tokio::test]
async fn metadata_is_the_same_on_every_machine() {
    let (_dir, mut wasi, model) = fixture();
    let mut fs = wasi.filesystem();
    let flags = PathFlags::empty();
    let mut numbers = Vec::new();
    for name in ["c", "a", "c"] {
        let model = || Resource::new_borrow(model);
        let stat = fs.stat_at(model(), flags, name.to_owned()).await.unwrap();
        assert_eq!(stat.size, 1);
        assert!(stat.data_access_timestamp.is_none());
        assert!(stat.data_modification_timestamp.is_none());
        assert!(stat.status_change_timestamp.is_none());
        let hash = fs.metadata_hash_at(model(), flags, name.to_owned()).await;
        numbers.push(hash.unwrap().lower);
    }
    assert_eq!(numbers, [1, 2, 1]);
}

#[tokio::test]
async fn writing_is_refused() {
    let (dir, mut wasi, model) = fixture();
    let mut fs = wasi.filesystem();
    let model = || Resource::new_borrow(model);
    let name = || "a".to_owned();
    for (open_flags, flags) in [
        (OpenFlags::CREATE, DescriptorFlags::READ),
        (OpenFlags::TRUNCATE, DescriptorFlags::READ),
        (OpenFlags::EXCLUSIVE, DescriptorFlags::READ),
        (OpenFlags::empty(), DescriptorFlags::WRITE),
        (OpenFlags::DIRECTORY, DescriptorFlags::MUTATE_DIRECTORY),
    ] {
        let opened = fs.open_at(model(), PathFlags::empty(), name(), open_flags, flags);
        assert_eq!(code(opened.await), ErrorCode::ReadOnly);
    }
    let opened = fs
        .open_at(
            model(),
            PathFlags::empty(),
            name(),
            OpenFlags::empty(),
            DescriptorFlags::READ,
        )
        .await
        .unwrap();
    let file = || Resource::new_borrow(opened.rep());
    let now = || NewTimestamp::Now;
    let flags = PathFlags::empty();
    for result in [
        fs.write(file(), vec![1], 0).await.map(drop),
        fs.write_via_stream(file(), 0).map(drop),
        fs.append_via_stream(file()).map(drop),
        fs.set_size(file(), 0).await,
        fs.set_times(file(), now(), now()).await,
        fs.set_times_at(model(), flags, name(), now(), now()).await,
        fs.create_directory_at(model(), "d".to_owned()).await,
        fs.link_at(model(), flags, name(), model(), "d".to_owned())
            .await,
        fs.symlink_at(model(), name(), "d".to_owned()).await,
        fs.rename_at(model(), name(), model(), "d".to_owned()).await,
        fs.unlink_file_at(model(), name()).await,
        fs.remove_directory_at(model(), name()).await,
    ] {
        assert_eq!(code(result), ErrorCode::ReadOnly);
    }
    assert_eq!(fs::read(dir.path().join("a")).unwrap(), b"a");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
}

#[tokio::test]
async fn open_files_are_limited() {
    let (_dir, mut wasi, model) = fixture();
    let mut fs = wasi.filesystem();
    let mut opened = Vec::new();
    let refused = loop {
        let model = Resource::new_borrow(model);
        let (flags, read) = (OpenFlags::empty(), DescriptorFlags::READ);
        let path = "a".to_owned();
        match fs
            .open_at(model, PathFlags::empty(), path, flags, read)
            .await
        {
            Ok(file) => opened.push(file),
            Err(e) => break code(Err::<(), _>(e)),
        }
    };
    assert_eq!(refused, ErrorCode::InsufficientMemory);
    // The two directories are open files as well.
    assert_eq!(opened.len(), MAX_OPEN - 2);
    let file = opened.pop().unwrap();
    types::HostDescriptor::drop(&mut fs, file).unwrap();
    let model = Resource::new_borrow(model);
    let (flags, read) = (OpenFlags::empty(), DescriptorFlags::READ);
    let again = fs.open_at(model, PathFlags::empty(), "b".to_owned(), flags, read);
    again.await.unwrap();
}
