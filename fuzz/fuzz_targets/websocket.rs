//! See `parlance_fuzz::websocket`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| parlance_fuzz::websocket::check(input));
