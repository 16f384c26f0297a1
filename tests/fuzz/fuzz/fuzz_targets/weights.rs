//! See `modelzoo_fuzz::WEIGHTS`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use modelzoo_fuzz::WEIGHTS as TARGET;

fuzz_target!(
    init: modelzoo_fuzz::offer(&TARGET),
    |data: &[u8]| {
        (TARGET.run)(data);
    }
);
