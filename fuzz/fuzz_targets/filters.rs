//! See `parlance_fuzz::filters`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| parlance_fuzz::filters::check(input));
