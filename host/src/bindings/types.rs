//! Interface `types`: the domain's own values, which cross a sandbox's border as they are.

use wasmtime::component::{HasData, Linker};

pub use standin_domain::contract::types::*;

/// What generated code asks of an interface. This one has no functions.
pub trait Host {}

impl<H: Host + ?Sized> Host for &mut H {}

/// As [`Host`].
pub trait HostWithStore<T>: HasData {}

impl<D: HasData + ?Sized, T> HostWithStore<T> for D {}

/// Links nothing.
///
/// # Errors
/// None.
pub fn add_to_linker<T: 'static, D: HasData>(_linker: &mut Linker<T>, _host: fn(&mut T) -> D::Data<'_>) -> wasmtime::Result<()> {
    Ok(())
}
