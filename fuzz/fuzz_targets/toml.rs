//! Looks for what `standin_fuzz::toml` does not hold of.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| standin_fuzz::toml::holds(data));
