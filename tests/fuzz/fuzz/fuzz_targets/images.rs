//! See `modelzoo_fuzz::IMAGES`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use modelzoo_fuzz::IMAGES as TARGET;

fuzz_target!(
    init: modelzoo_fuzz::offer(&TARGET),
    |data: &[u8]| {
        (TARGET.run)(data);
    }
);
