//! Bounded, link-free extraction of zip and tar archives.
//!
//! The archives are untrusted input. This crate therefore
//!
//! - tells the format from the bytes ([`detect`]), never from a name;
//! - accepts regular files and directories only: an archive that holds a link, a device, an
//!   encrypted entry or a name that could lead elsewhere is refused as a whole;
//! - checks **every** entry before it writes the first one, for which it decompresses a compressed
//!   tar twice, or once through [`Archive`];
//! - stops at [`Limits`] before it has unpacked more than they allow;
//! - writes each file as a new one, below directories that it opens without following links,
//!   with default permissions and the present time, whatever the archive says.
//!
//! ```no_run
//! # fn main() -> Result<(), modelzoo_archive::Error> {
//! use modelzoo_archive::{Options, extract};
//!
//! let files = extract("source.zip".as_ref(), "staging".as_ref(), &Options {
//!     strip_root: true,
//!     select: &|path| path.as_ref() == "manifest.json",
//!     ..Options::default()
//! })?;
//! for file in files {
//!     println!("{} ({} bytes)", file.path, file.size);
//! }
//! # Ok(())
//! # }
//! ```

mod archive;
mod entry;
mod error;
mod extract;
mod format;
mod ledger;
mod path;
mod pax;
mod stream;
mod tar;
mod write;
mod zip;
mod zip_end;

pub use archive::Archive;
pub use entry::{Entry, Extracted};
pub use error::{Error, ErrorKind};
pub use extract::{Options, extract, list};
pub use format::{Format, detect};
pub use ledger::Limits;
pub use path::{PathError, RelPath};
