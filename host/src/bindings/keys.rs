//! Interface `keys`: the domain's own values, and by hand what wasmtime's bindgen makes of the functions where it makes the types too.

use wasmtime::StoreContextMut;
use wasmtime::component::{HasData, Linker, Resource};

pub use standin_domain::contract::keys::*;

use crate::approval::Approval;

/// What the component may ask.
pub trait Host: Send {
    /// Signs claims that the approval covers; an error ends the component.
    fn sign(
        &mut self,
        approval: Resource<Approval>,
        purpose: Purpose,
        claims: String,
        event: String,
    ) -> impl Future<Output = wasmtime::Result<Result<String, KeyError>>> + Send;
    /// Verifies a compact JWS.
    fn verify(&mut self, jws: String, source: KeySource) -> impl Future<Output = Result<Verified, KeyError>> + Send;
    /// Whether this is a live secret of this client.
    fn check_secret(&mut self, client_id: String, secret: String) -> impl Future<Output = Result<bool, KeyError>> + Send;
    /// Keyed digest of a value.
    fn pseudonym(&mut self, domain: String, value: String) -> Result<String, KeyError>;
    /// Our public keys.
    fn jwks(&mut self) -> String;
}

impl<H: Host + ?Sized> Host for &mut H {
    async fn sign(
        &mut self,
        approval: Resource<Approval>,
        purpose: Purpose,
        claims: String,
        event: String,
    ) -> wasmtime::Result<Result<String, KeyError>> {
        H::sign(self, approval, purpose, claims, event).await
    }

    async fn verify(&mut self, jws: String, source: KeySource) -> Result<Verified, KeyError> {
        H::verify(self, jws, source).await
    }

    async fn check_secret(&mut self, client_id: String, secret: String) -> Result<bool, KeyError> {
        H::check_secret(self, client_id, secret).await
    }

    fn pseudonym(&mut self, domain: String, value: String) -> Result<String, KeyError> {
        H::pseudonym(self, domain, value)
    }

    fn jwks(&mut self) -> String {
        H::jwks(self)
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
    T: Send + 'static,
    D: HasData,
    for<'a> D::Data<'a>: Host,
{
    type Signing = (Resource<Approval>, Purpose, String, String);

    let mut interface = linker.instance("standin:obo/keys@0.1.0")?;
    interface.func_wrap_async(
        "sign",
        move |mut store: StoreContextMut<'_, T>, (approval, purpose, claims, event): Signing| {
            Box::new(async move { Ok((host(store.data_mut()).sign(approval, purpose, claims, event).await?,)) })
        },
    )?;
    interface.func_wrap_async("verify", move |mut store: StoreContextMut<'_, T>, (jws, source): (String, KeySource)| {
        Box::new(async move { Ok((host(store.data_mut()).verify(jws, source).await,)) })
    })?;
    interface.func_wrap_async("check-secret", move |mut store: StoreContextMut<'_, T>, (client, secret): (String, String)| {
        Box::new(async move { Ok((host(store.data_mut()).check_secret(client, secret).await,)) })
    })?;
    interface.func_wrap("pseudonym", move |mut store: StoreContextMut<'_, T>, (domain, value): (String, String)| {
        Ok((host(store.data_mut()).pseudonym(domain, value),))
    })?;
    interface.func_wrap("jwks", move |mut store: StoreContextMut<'_, T>, (): ()| Ok((host(store.data_mut()).jwks(),)))
}
