//! Looks for what `standin_fuzz::directory` does not hold of.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| standin_fuzz::directory::holds(data));
