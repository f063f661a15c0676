//! See `parlance_fuzz::session`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| parlance_fuzz::session::check(input));
