//! Looks for what `standin_fuzz::audit` does not hold of.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| standin_fuzz::audit::holds(data));
