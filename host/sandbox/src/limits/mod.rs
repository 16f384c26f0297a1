//! What one hook call may use, and what enforces it.

pub(crate) mod budget;
pub(crate) mod limiter;
pub(crate) mod stop;

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One kibibyte.
const KIB: u64 = 1024;
/// One mebibyte.
const MIB: u64 = 1024 * KIB;
/// One gibibyte.
const GIB: u64 = 1024 * MIB;

/// The most bytes of a guest's error text that are kept.
pub(crate) const ERROR_BYTES: usize = 2048;

/// What a component, and one call of one of its hooks, may use. Every limit is on by default.
///
/// As JSON or TOML, each field is a number in the unit that its documentation names; times are
/// in seconds. A missing field has its default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Bytes of a component file. Default: 64 MiB (a Python interpreter as a component is about
    /// 40 MiB).
    pub component_bytes: u64,
    /// Bytes of memory for compiling a component, where that happens in a process of its own
    /// ([`Compiler`](crate::Compiler)). Default: 2 GiB.
    pub compile_memory_bytes: u64,
    /// Time for compiling a component, where that happens in a process of its own.
    /// Default: 300 s.
    #[serde(with = "seconds")]
    pub compile_wall: Duration,
    /// Bytes of linear memory, all memories of a store together. Default: 1 GiB.
    pub memory_bytes: u64,
    /// Elements of tables, all tables of a store together. Default: 262,144.
    pub table_elements: u64,
    /// Core instances that a component may make; a Rust component makes about 4, an interpreter
    /// with its libraries some dozens. Default: 256.
    pub instances: u32,
    /// Tables that a component may make. Default: 256.
    pub tables: u32,
    /// Linear memories that a component may make. Default: 32.
    pub memories: u32,
    /// Handles (open files, streams, pollables) alive at the same time. Default: 1,024.
    pub resources: u32,
    /// Bytes that the guest may hand to the host in one call, which the host must copy.
    /// Default: 64 MiB.
    pub hostcall_bytes: u64,
    /// Time of one call for the guest itself: computing, reading files, sleeping. It does not
    /// include the time of `fetch` and `artifacts`. Default: 60 s.
    #[serde(with = "seconds")]
    pub wall: Duration,
    /// Time for all calls of `artifacts` together (writing, copying, unpacking). The host
    /// finishes a call that it has begun. Default: 1 h.
    #[serde(with = "seconds")]
    pub disk_wall: Duration,
    /// Time for all calls of `fetch` together. The host finishes a call that it has begun; each
    /// has the network client's own timeouts as well. Default: 24 h.
    #[serde(with = "seconds")]
    pub network_wall: Duration,
    /// Requests through `fetch`, redirects and retries not counted. Default: 1,000.
    pub requests: u32,
    /// Bytes of all artifacts of a model at any moment. Default: 64 GiB.
    pub staging_bytes: u64,
    /// Artifacts of a model at any moment. Default: 10,000.
    pub staging_files: u64,
    /// Bytes of messages that are passed on; the host drops the rest. Default: 256 KiB.
    pub log_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            component_bytes: 64 * MIB,
            compile_memory_bytes: 2 * GIB,
            compile_wall: Duration::from_secs(300),
            memory_bytes: GIB,
            table_elements: 1 << 18,
            instances: 256,
            tables: 256,
            memories: 32,
            resources: 1024,
            hostcall_bytes: 64 * MIB,
            wall: Duration::from_secs(60),
            disk_wall: Duration::from_secs(60 * 60),
            network_wall: Duration::from_secs(24 * 60 * 60),
            requests: 1000,
            staging_bytes: 64 * GIB,
            staging_files: 10_000,
            log_bytes: 256 * KIB,
        }
    }
}

/// Times as a number of seconds, whole where they are whole.
mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        if time.subsec_nanos() == 0 {
            to.serialize_u64(time.as_secs())
        } else {
            to.serialize_f64(time.as_secs_f64())
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        Duration::try_from_secs_f64(f64::deserialize(from)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_round_trip_through_json_and_missing_fields_are_defaults() {
        let text = serde_json::to_string(&Limits::default()).unwrap();
        assert_eq!(
            serde_json::from_str::<Limits>(&text).unwrap(),
            Limits::default()
        );
        let some: Limits = serde_json::from_str(r#"{"wall": 1.5, "requests": 3}"#).unwrap();
        assert_eq!(some.wall, Duration::from_millis(1500));
        assert_eq!(some.requests, 3);
        assert_eq!(some.memory_bytes, Limits::default().memory_bytes);
    }

    #[test]
    fn unknown_fields_and_negative_times_are_refused() {
        assert!(serde_json::from_str::<Limits>(r#"{"wall": -1}"#).is_err());
        assert!(serde_json::from_str::<Limits>(r#"{"memory": 1}"#).is_err());
    }
}
