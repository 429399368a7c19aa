//! Interface `registry`: the domain's own values, and by hand what wasmtime's bindgen makes of the functions where it makes the types too.

use wasmtime::StoreContextMut;
use wasmtime::component::{HasData, Linker};

pub use standin_domain::contract::registry::*;

/// What the component may ask.
pub trait Host {
    /// What holds for every request.
    fn settings(&mut self) -> System;
    /// Finds a client.
    fn find_client(&mut self, id: String) -> Option<Client>;
    /// Finds the client with this identity at a caller-issuer.
    fn find_client_by_identity(&mut self, issuer: String, sub: String) -> Option<Client>;
    /// Finds a trusted issuer.
    fn find_issuer(&mut self, issuer: String) -> Option<Issuer>;
    /// Finds an audience.
    fn find_audience(&mut self, id: String) -> Option<Audience>;
}

impl<H: Host + ?Sized> Host for &mut H {
    fn settings(&mut self) -> System {
        H::settings(self)
    }

    fn find_client(&mut self, id: String) -> Option<Client> {
        H::find_client(self, id)
    }

    fn find_client_by_identity(&mut self, issuer: String, sub: String) -> Option<Client> {
        H::find_client_by_identity(self, issuer, sub)
    }

    fn find_issuer(&mut self, issuer: String) -> Option<Issuer> {
        H::find_issuer(self, issuer)
    }

    fn find_audience(&mut self, id: String) -> Option<Audience> {
        H::find_audience(self, id)
    }
}

/// What generated code asks of an interface.
pub trait HostWithStore<T>: HasData {}

impl<D: HasData + ?Sized, T> HostWithStore<T> for D {}

/// Links the functions into a component's linker, which holds them against the component's own word for them.
///
/// # Errors
/// Where the linker already has them.
pub fn add_to_linker<T, D>(linker: &mut Linker<T>, host: fn(&mut T) -> D::Data<'_>) -> wasmtime::Result<()>
where
    T: 'static,
    D: HasData,
    for<'a> D::Data<'a>: Host,
{
    let mut interface = linker.instance("standin:obo/registry@0.1.0")?;
    interface.func_wrap("settings", move |mut store: StoreContextMut<'_, T>, (): ()| Ok((host(store.data_mut()).settings(),)))?;
    interface.func_wrap("find-client", move |mut store: StoreContextMut<'_, T>, (id,): (String,)| {
        Ok((host(store.data_mut()).find_client(id),))
    })?;
    interface.func_wrap(
        "find-client-by-identity",
        move |mut store: StoreContextMut<'_, T>, (issuer, sub): (String, String)| {
            Ok((host(store.data_mut()).find_client_by_identity(issuer, sub),))
        },
    )?;
    interface.func_wrap("find-issuer", move |mut store: StoreContextMut<'_, T>, (issuer,): (String,)| {
        Ok((host(store.data_mut()).find_issuer(issuer),))
    })?;
    interface.func_wrap("find-audience", move |mut store: StoreContextMut<'_, T>, (id,): (String,)| {
        Ok((host(store.data_mut()).find_audience(id),))
    })
}
