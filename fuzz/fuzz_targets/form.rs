//! Looks for what `standin_fuzz::form` does not hold of.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| standin_fuzz::form::holds(data));
