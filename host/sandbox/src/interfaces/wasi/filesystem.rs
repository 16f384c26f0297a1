//! `wasi:filesystem`, read-only and the same everywhere.
//!
//! wasmtime-wasi also refuses to write below a read-only preopen. This module refuses first, so
//! that a mistake in its path handling or its permissions has no effect. It hides what differs
//! between machines: files have no times, inode numbers count up in the order of the guest's
//! queries, and directories are listed in the order of the names.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use wasmtime::component::{HasData, Resource};
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystemCtxView};
use wasmtime_wasi::p2::bindings::filesystem::preopens;
use wasmtime_wasi::p2::bindings::filesystem::types::{
    self, Advice, DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntry, ErrorCode,
    MetadataHashValue, NewTimestamp, OpenFlags, PathFlags,
};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, FsError, FsResult, ReaddirIterator};

/// The most files that a guest may have open; each is an open file of the host's process.
const MAX_OPEN: usize = 256;
/// The most directories that a guest may list at the same time; each is a list in the host's
/// memory.
const MAX_LISTINGS: usize = 32;

/// What the host remembers about a guest's use of the file system.
#[derive(Debug, Default)]
pub(crate) struct FilesystemState {
    /// The guest's inode numbers, by those of the system.
    inodes: HashMap<(u64, u64), u64>,
    /// The remaining entries of the directories that are being listed, in reverse order.
    listings: HashMap<u32, Vec<DirectoryEntry>>,
    open: usize,
}

/// The file system of a guest, borrowed for one call.
pub(crate) struct FilesystemView<'a> {
    pub(crate) inner: WasiFilesystemCtxView<'a>,
    pub(crate) state: &'a mut FilesystemState,
}

/// [`FilesystemView`] for a linker.
pub(crate) struct HasFilesystem;

impl HasData for HasFilesystem {
    type Data<'a> = FilesystemView<'a>;
}

impl FilesystemState {
    fn inode(&mut self, hash: &MetadataHashValue) -> MetadataHashValue {
        let next = self.inodes.len() as u64 + 1;
        let number = *self.inodes.entry((hash.lower, hash.upper)).or_insert(next);
        MetadataHashValue {
            lower: number,
            upper: 0,
        }
    }
}

/// The result of everything that would write.
fn read_only<T>() -> FsResult<T> {
    Err(ErrorCode::ReadOnly.into())
}

fn without_times(stat: DescriptorStat) -> DescriptorStat {
    DescriptorStat {
        data_access_timestamp: None,
        data_modification_timestamp: None,
        status_change_timestamp: None,
        ..stat
    }
}

impl preopens::Host for FilesystemView<'_> {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Resource<Descriptor>, String)>> {
        let directories = preopens::Host::get_directories(&mut self.inner)?;
        self.state.open += directories.len();
        Ok(directories)
    }
}

impl types::Host for FilesystemView<'_> {
    fn convert_error_code(&mut self, error: FsError) -> wasmtime::Result<ErrorCode> {
        self.inner.convert_error_code(error)
    }

    fn filesystem_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<ErrorCode>> {
        self.inner.filesystem_error_code(error)
    }
}

impl types::HostDescriptor for FilesystemView<'_> {
    async fn open_at(
        &mut self,
        fd: Resource<Descriptor>,
        path_flags: PathFlags,
        path: String,
        open_flags: OpenFlags,
        flags: DescriptorFlags,
    ) -> FsResult<Resource<Descriptor>> {
        let writes = OpenFlags::CREATE | OpenFlags::TRUNCATE | OpenFlags::EXCLUSIVE;
        if open_flags.intersects(writes)
            || flags.intersects(DescriptorFlags::WRITE | DescriptorFlags::MUTATE_DIRECTORY)
        {
            return read_only();
        }
        if self.state.open >= MAX_OPEN {
            return Err(ErrorCode::InsufficientMemory.into());
        }
        let opened = self
            .inner
            .open_at(fd, path_flags, path, open_flags, flags)
            .await?;
        self.state.open += 1;
        Ok(opened)
    }

    fn drop(&mut self, fd: Resource<Descriptor>) -> wasmtime::Result<()> {
        types::HostDescriptor::drop(&mut self.inner, fd)?;
        self.state.open = self.state.open.saturating_sub(1);
        Ok(())
    }

    async fn read(
        &mut self,
        fd: Resource<Descriptor>,
        length: u64,
        offset: u64,
    ) -> FsResult<(Vec<u8>, bool)> {
        self.inner.read(fd, length, offset).await
    }

    fn read_via_stream(
        &mut self,
        fd: Resource<Descriptor>,
        offset: u64,
    ) -> FsResult<Resource<DynInputStream>> {
        self.inner.read_via_stream(fd, offset)
    }

    async fn read_directory(
        &mut self,
        fd: Resource<Descriptor>,
    ) -> FsResult<Resource<ReaddirIterator>> {
        if self.state.listings.len() >= MAX_LISTINGS {
            return Err(ErrorCode::InsufficientMemory.into());
        }
        let stream = self.inner.read_directory(fd).await?;
        let mut entries = Vec::new();
        loop {
            let same = Resource::new_borrow(stream.rep());
            match types::HostDirectoryEntryStream::read_directory_entry(&mut self.inner, same).await
            {
                Ok(Some(entry)) => entries.push(entry),
                Ok(None) => break,
                Err(e) => {
                    types::HostDirectoryEntryStream::drop(&mut self.inner, stream)
                        .map_err(FsError::trap)?;
                    return Err(e);
                }
            }
        }
        entries.sort_unstable_by(|a, b| b.name.cmp(&a.name));
        self.state.listings.insert(stream.rep(), entries);
        Ok(stream)
    }

    async fn get_flags(&mut self, fd: Resource<Descriptor>) -> FsResult<DescriptorFlags> {
        self.inner.get_flags(fd).await
    }

    async fn get_type(&mut self, fd: Resource<Descriptor>) -> FsResult<DescriptorType> {
        self.inner.get_type(fd).await
    }

    async fn stat(&mut self, fd: Resource<Descriptor>) -> FsResult<DescriptorStat> {
        self.inner.stat(fd).await.map(without_times)
    }

    async fn stat_at(
        &mut self,
        fd: Resource<Descriptor>,
        flags: PathFlags,
        path: String,
    ) -> FsResult<DescriptorStat> {
        self.inner.stat_at(fd, flags, path).await.map(without_times)
    }

    async fn readlink_at(&mut self, fd: Resource<Descriptor>, path: String) -> FsResult<String> {
        self.inner.readlink_at(fd, path).await
    }

    async fn is_same_object(
        &mut self,
        a: Resource<Descriptor>,
        b: Resource<Descriptor>,
    ) -> wasmtime::Result<bool> {
        self.inner.is_same_object(a, b).await
    }

    async fn metadata_hash(&mut self, fd: Resource<Descriptor>) -> FsResult<MetadataHashValue> {
        let hash = self.inner.metadata_hash(fd).await?;
        Ok(self.state.inode(&hash))
    }

    async fn metadata_hash_at(
        &mut self,
        fd: Resource<Descriptor>,
        flags: PathFlags,
        path: String,
    ) -> FsResult<MetadataHashValue> {
        let hash = self.inner.metadata_hash_at(fd, flags, path).await?;
        Ok(self.state.inode(&hash))
    }

    /// Advice has no effect.
    async fn advise(&mut self, _: Resource<Descriptor>, _: u64, _: u64, _: Advice) -> FsResult<()> {
        Ok(())
    }

    /// Nothing was written, so everything is on disk.
    async fn sync(&mut self, _: Resource<Descriptor>) -> FsResult<()> {
        Ok(())
    }

    async fn sync_data(&mut self, _: Resource<Descriptor>) -> FsResult<()> {
        Ok(())
    }

    async fn write(&mut self, _: Resource<Descriptor>, _: Vec<u8>, _: u64) -> FsResult<u64> {
        read_only()
    }

    fn write_via_stream(
        &mut self,
        _: Resource<Descriptor>,
        _: u64,
    ) -> FsResult<Resource<DynOutputStream>> {
        read_only()
    }

    fn append_via_stream(
        &mut self,
        _: Resource<Descriptor>,
    ) -> FsResult<Resource<DynOutputStream>> {
        read_only()
    }

    async fn set_size(&mut self, _: Resource<Descriptor>, _: u64) -> FsResult<()> {
        read_only()
    }

    async fn set_times(
        &mut self,
        _: Resource<Descriptor>,
        _: NewTimestamp,
        _: NewTimestamp,
    ) -> FsResult<()> {
        read_only()
    }

    async fn set_times_at(
        &mut self,
        _: Resource<Descriptor>,
        _: PathFlags,
        _: String,
        _: NewTimestamp,
        _: NewTimestamp,
    ) -> FsResult<()> {
        read_only()
    }

    async fn create_directory_at(&mut self, _: Resource<Descriptor>, _: String) -> FsResult<()> {
        read_only()
    }

    async fn link_at(
        &mut self,
        _: Resource<Descriptor>,
        _: PathFlags,
        _: String,
        _: Resource<Descriptor>,
        _: String,
    ) -> FsResult<()> {
        read_only()
    }

    async fn remove_directory_at(&mut self, _: Resource<Descriptor>, _: String) -> FsResult<()> {
        read_only()
    }

    async fn rename_at(
        &mut self,
        _: Resource<Descriptor>,
        _: String,
        _: Resource<Descriptor>,
        _: String,
    ) -> FsResult<()> {
        read_only()
    }

    async fn symlink_at(&mut self, _: Resource<Descriptor>, _: String, _: String) -> FsResult<()> {
        read_only()
    }

    async fn unlink_file_at(&mut self, _: Resource<Descriptor>, _: String) -> FsResult<()> {
        read_only()
    }
}

impl types::HostDirectoryEntryStream for FilesystemView<'_> {
    async fn read_directory_entry(
        &mut self,
        stream: Resource<ReaddirIterator>,
    ) -> FsResult<Option<DirectoryEntry>> {
        Ok(match self.state.listings.entry(stream.rep()) {
            Entry::Occupied(mut rest) => rest.get_mut().pop(),
            Entry::Vacant(_) => None,
        })
    }

    fn drop(&mut self, stream: Resource<ReaddirIterator>) -> wasmtime::Result<()> {
        self.state.listings.remove(&stream.rep());
        types::HostDirectoryEntryStream::drop(&mut self.inner, stream)
    }
}

#[cfg(test)]
mod tests;
