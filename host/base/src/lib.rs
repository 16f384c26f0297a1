//! The ground floor: what every other crate may use and what knows none of them.
