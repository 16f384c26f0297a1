//! See `modelzoo_fuzz::PERMISSIONS`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use modelzoo_fuzz::PERMISSIONS as TARGET;

fuzz_target!(
    init: modelzoo_fuzz::offer(&TARGET),
    |data: &[u8]| {
        (TARGET.run)(data);
    }
);
