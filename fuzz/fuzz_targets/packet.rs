//! See `parlance_fuzz::packet`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| parlance_fuzz::packet::check(input));
