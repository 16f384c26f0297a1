//! The store: what is kept on disk, and how it is checked.
//!
//! [`layout`] says where things are and how they get there, [`lock`] what is registered,
//! [`receipt`] what is downloaded, [`audit`] what happened.

pub(crate) mod audit;
pub(crate) mod checks;
pub(crate) mod disk;
pub(crate) mod files;
pub(crate) mod in_use;
pub(crate) mod layout;
pub(crate) mod lock;
pub(crate) mod receipt;
pub(crate) mod verify;

pub(crate) use layout::{
    FileLock, KEPT, Store, create_dir_all, free_bytes, is_work, subdirs, sync_tree, write_atomic,
};
