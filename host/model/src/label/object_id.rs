use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::str::FromStr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// The identity of a sample or a label: the 12 bytes of a BSON ObjectId, shown
/// as 24 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ObjectId([u8; 12]);

impl ObjectId {
    /// A new identity: seconds since 1970, five random bytes of this process,
    /// and a counter that starts at random.
    #[allow(clippy::new_without_default, reason = "two new ones are never equal")]
    pub fn new() -> Self {
        static PROCESS: OnceLock<u64> = OnceLock::new();
        static COUNTER: OnceLock<AtomicU32> = OnceLock::new();
        let seconds = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |elapsed| elapsed.as_secs());
        let process = PROCESS.get_or_init(random);
        let count = COUNTER
            .get_or_init(|| AtomicU32::new(random() as u32))
            .fetch_add(1, Ordering::Relaxed);
        let value = (u128::from(seconds & 0xffff_ffff) << 64)
            | (u128::from(process & 0xff_ffff_ffff) << 24)
            | u128::from(count & 0xff_ffff);
        let mut bytes = [0; 12];
        bytes.copy_from_slice(value.to_be_bytes().last_chunk::<12>().unwrap_or(&[0; 12]));
        Self(bytes)
    }
}

/// 64 random bits; the standard library seeds its hash maps from the system.
#[must_use]
pub fn random() -> u64 {
    RandomState::new().hash_one(0_u8)
}

impl fmt::Display for ObjectId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ObjectId({self})")
    }
}

impl FromStr for ObjectId {
    type Err = hex::FromHexError;

    fn from_str(digits: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 12];
        hex::decode_to_slice(digits, &mut bytes)?;
        Ok(Self(bytes))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by panicking")]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn identities_differ_and_read_back() {
        let ids: HashSet<_> = (0..1000).map(|_| ObjectId::new()).collect();
        assert_eq!(ids.len(), 1000);
        for id in ids {
            let digits = id.to_string();
            assert_eq!(digits.len(), 24);
            assert_eq!(digits.parse::<ObjectId>().unwrap(), id);
        }
        assert!("0123".parse::<ObjectId>().is_err());
        assert!("g".repeat(24).parse::<ObjectId>().is_err());
    }

    #[test]
    fn an_identity_begins_with_the_time() {
        let seconds = u32::from_str_radix(&ObjectId::new().to_string()[..8], 16).unwrap();
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs();
        assert!(now.abs_diff(u64::from(seconds)) < 60);
    }
}
