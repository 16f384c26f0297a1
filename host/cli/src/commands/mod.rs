//! One file per verb.

pub(crate) mod apply;
pub(crate) mod audit;
pub(crate) mod bundle;
pub(crate) mod compile;
pub(crate) mod completions;
pub(crate) mod delete;
pub(crate) mod delete_source;
pub(crate) mod doctor;
pub(crate) mod download;
pub(crate) mod du;
pub(crate) mod embed;
pub(crate) mod find;
pub(crate) mod gc;
pub(crate) mod info;
pub(crate) mod inspect;
pub(crate) mod list;
pub(crate) mod list_sources;
pub(crate) mod register_source;
pub(crate) mod requirements;
pub(crate) mod running;
pub(crate) mod update_source;
pub(crate) mod verify;
pub(crate) mod view;
