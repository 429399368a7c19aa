//! The Standin component: what `standin_domain` decides, behind the contract in `wit/`.
//!
//! `component` is what is exported, `imports` what the domain's ports are inside a component, `bindings` the generated code between both
//! and the contract, `heap` the allocator. There is no logic here, and outside WebAssembly there is nothing.

#[cfg(target_family = "wasm")]
mod bindings;
#[cfg(target_family = "wasm")]
mod component;
#[cfg(target_family = "wasm")]
mod heap;
#[cfg(target_family = "wasm")]
mod imports;
