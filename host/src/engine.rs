//! The wasmtime engine and the supply of instances.
