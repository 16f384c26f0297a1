//! The ground floor: what every other crate may use and what knows none of them.

mod remedy;

pub use crate::remedy::Remedy;
