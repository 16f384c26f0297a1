//! Walking a tar.
//!
//! Blocks are read here rather than through `tar::Archive`, which holds long names and extended
//! headers in memory without a limit; the fields of a header are read by `tar::Header`.

use tar::{EntryType, Header};

use crate::entry::{Entry, Visit};
use crate::error::{ErrorKind, shown};
use crate::ledger::{Kind, Ledger};
use crate::pax::{self, Extended};
use crate::stream::{Body, Stream, truncated};

const BLOCK: u64 = 512;
/// Bytes of one extended header or long name.
const MAX_EXTENSION: u64 = 1 << 20;
/// Bytes of all of them with their own headers: room for two at every entry that is allowed.
const MAX_EXTENSIONS: u64 = 256 << 20;
/// Zero bytes after the end marker; writers fill up to a record of their device.
const MAX_PADDING: u64 = 1 << 20;

/// What the extension entries before an entry have said about it.
#[derive(Default)]
struct Pending {
    name: Option<Vec<u8>>,
    link: bool,
    extended: Option<Extended>,
    bytes: u64,
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.name.is_none() && !self.link && self.extended.is_none()
    }
}

/// Walks all entries, up to the end of the file unless a visit breaks off before.
pub(crate) fn walk(
    stream: &mut Stream<'_>,
    ledger: &mut Ledger<'_>,
    visit: &mut Visit<'_>,
) -> Result<(), ErrorKind> {
    let mut pending = Pending::default();
    let mut first = true;
    while let Some(header) = next_header(stream, first)? {
        first = false;
        if pending.take_extension(&header, stream)? {
            continue;
        }
        let name = pending.name(&header)?;
        let size = pending.size(&header)?;
        let kind = kind(&header, &name, size, &pending)?;
        pending.forget();
        let Some(path) = ledger.admit(&name, kind, size)? else {
            continue;
        };
        if kind == Kind::Directory {
            continue;
        }
        let entry = Entry { path, size };
        let mut body = Contents { stream, left: size };
        if visit(&entry, &mut body)?.is_break() {
            return Ok(());
        }
        let left = body.left;
        stream.skip(left + padding(size))?;
    }
    if pending.is_empty() {
        end(stream)
    } else {
        Err(ErrorKind::malformed(
            "a long name or extended header describes no entry",
        ))
    }
}

/// The next header; `None` at the end marker.
fn next_header(stream: &mut Stream<'_>, first: bool) -> Result<Option<Header>, ErrorKind> {
    let mut header = Header::new_old();
    if !stream.fill(header.as_mut_bytes())? {
        return Err(if first {
            ErrorKind::NotAnArchive
        } else {
            ErrorKind::malformed("it ends without an end marker")
        });
    }
    if header.as_bytes().iter().all(|&byte| byte == 0) {
        return Ok(None);
    }
    if header.as_ustar().is_none() && header.as_gnu().is_none() {
        return Err(if first {
            ErrorKind::NotAnArchive
        } else {
            ErrorKind::malformed("a header has no tar magic")
        });
    }
    // The checksum counts its own eight bytes as spaces.
    let sum: u32 = header
        .as_bytes()
        .iter()
        .enumerate()
        .map(|(at, &byte)| {
            if (148..156).contains(&at) {
                32
            } else {
                u32::from(byte)
            }
        })
        .sum();
    match header.cksum() {
        Ok(stated) if stated == sum => Ok(Some(header)),
        _ => Err(ErrorKind::malformed("the checksum of a header is wrong")),
    }
}

/// After the first zero block: another one or the end, then nothing but padding. Reading to the
/// very end also has the decompressor check its checksum.
fn end(stream: &mut Stream<'_>) -> Result<(), ErrorKind> {
    let mut buffer = [0; 4096];
    let mut total = 0;
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        total += count as u64;
        let zero = buffer.iter().take(count).all(|&byte| byte == 0);
        if !zero || total > MAX_PADDING {
            return Err(ErrorKind::malformed("something follows its end marker"));
        }
    }
}

impl Pending {
    /// Takes an entry that only describes the next one.
    fn take_extension(
        &mut self,
        header: &Header,
        stream: &mut Stream<'_>,
    ) -> Result<bool, ErrorKind> {
        let twice = || ErrorKind::malformed("two headers describe one entry");
        match header.entry_type() {
            EntryType::GNULongName => {
                let name = long_name(self.extension(header, stream)?)?;
                if self.name.replace(name).is_some() {
                    return Err(twice());
                }
            }
            EntryType::GNULongLink => {
                long_name(self.extension(header, stream)?)?;
                if std::mem::replace(&mut self.link, true) {
                    return Err(twice());
                }
            }
            EntryType::XHeader => {
                let extended = pax::parse(&self.extension(header, stream)?)?;
                if self.extended.replace(extended).is_some() {
                    return Err(twice());
                }
            }
            EntryType::XGlobalHeader => {
                let global = pax::parse(&self.extension(header, stream)?)?;
                if global != Extended::default() {
                    return Err(ErrorKind::malformed(
                        "a global header names or resizes all entries",
                    ));
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The contents of such an entry.
    fn extension(
        &mut self,
        header: &Header,
        stream: &mut Stream<'_>,
    ) -> Result<Vec<u8>, ErrorKind> {
        let size = header_size(header)?;
        self.bytes = self.bytes.saturating_add(size).saturating_add(BLOCK);
        if size > MAX_EXTENSION || self.bytes > MAX_EXTENSIONS {
            return Err(ErrorKind::NameTooLong {
                entry: shown(&header.path_bytes()),
            });
        }
        let mut bytes = vec![0; usize::try_from(size).map_err(|_| truncated())?];
        if !bytes.is_empty() && !stream.fill(&mut bytes)? {
            return Err(truncated());
        }
        stream.skip(padding(size))?;
        Ok(bytes)
    }

    fn name(&mut self, header: &Header) -> Result<Vec<u8>, ErrorKind> {
        let extended = self
            .extended
            .as_mut()
            .and_then(|extended| extended.path.take());
        match (self.name.take(), extended) {
            (None, None) => Ok(header.path_bytes().into_owned()),
            (Some(name), None) | (None, Some(name)) => Ok(name),
            (Some(_), Some(_)) => Err(ErrorKind::malformed("two headers name one entry")),
        }
    }

    fn size(&self, header: &Header) -> Result<u64, ErrorKind> {
        match self.extended.as_ref().and_then(|extended| extended.size) {
            Some(size) => Ok(size),
            None => header_size(header),
        }
    }

    /// Forgets what was said about the entry just read, but not how many bytes it took.
    fn forget(&mut self) {
        *self = Self {
            bytes: self.bytes,
            ..Self::default()
        };
    }
}

/// A GNU long name: the name, then one zero byte.
fn long_name(mut bytes: Vec<u8>) -> Result<Vec<u8>, ErrorKind> {
    if bytes.last() == Some(&0) {
        bytes.pop();
    }
    if bytes.is_empty() || bytes.contains(&0) {
        return Err(ErrorKind::malformed(
            "a long name is empty or holds a zero byte",
        ));
    }
    Ok(bytes)
}

/// The size that a header states. A binary one must fit 64 bits, or its high bytes would be lost.
fn header_size(header: &Header) -> Result<u64, ErrorKind> {
    let reason = || ErrorKind::malformed("a header has a size that is not a number");
    let [flag, high @ .., _, _, _, _, _, _, _, _] = &header.as_old().size;
    if flag & 0x80 != 0 && (*flag != 0x80 || high.iter().any(|&byte| byte != 0)) {
        return Err(reason());
    }
    header.entry_size().map_err(|_| reason())
}

/// Whether an entry is a file or a directory; everything else is refused here.
fn kind(header: &Header, name: &[u8], size: u64, pending: &Pending) -> Result<Kind, ErrorKind> {
    let link = |what| ErrorKind::Link {
        entry: shown(name),
        what,
    };
    let special = |what| ErrorKind::SpecialFile {
        entry: shown(name),
        what,
    };
    if pending
        .extended
        .as_ref()
        .is_some_and(|extended| extended.sparse)
    {
        return Err(special("sparse file"));
    }
    let kind = match header.entry_type() {
        // Writers before POSIX mark a directory by its name alone.
        EntryType::Regular if name.ends_with(b"/") => Kind::Directory,
        EntryType::Regular => Kind::File,
        EntryType::Directory => Kind::Directory,
        EntryType::Symlink => return Err(link("symbolic link")),
        EntryType::Link => return Err(link("hard link")),
        EntryType::Char => return Err(special("character device")),
        EntryType::Block => return Err(special("block device")),
        EntryType::Fifo => return Err(special("named pipe")),
        EntryType::GNUSparse => return Err(special("sparse file")),
        _ => return Err(special("file of an unknown kind")),
    };
    if kind == Kind::Directory && size != 0 {
        return Err(ErrorKind::malformed("a directory has contents"));
    }
    Ok(kind)
}

/// Bytes between the end of an entry of `size` bytes and the next block.
fn padding(size: u64) -> u64 {
    (BLOCK - size % BLOCK) % BLOCK
}

/// The contents of one file.
struct Contents<'s, 'a> {
    stream: &'s mut Stream<'a>,
    left: u64,
}

impl Body for Contents<'_, '_> {
    fn read(&mut self, into: &mut [u8]) -> Result<usize, ErrorKind> {
        let want = into
            .len()
            .min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let Some(part) = into.get_mut(..want).filter(|part| !part.is_empty()) else {
            return Ok(0);
        };
        match self.stream.read(part)? {
            0 => Err(truncated()),
            count => {
                self.left -= count as u64;
                Ok(count)
            }
        }
    }
}
