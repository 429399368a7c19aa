//! Interface `directory`: the domain's own values, and by hand what wasmtime's bindgen makes of the functions where it makes the types too.

use wasmtime::StoreContextMut;
use wasmtime::component::{HasData, Linker};

pub use standin_domain::contract::directory::*;

/// What the component may ask.
pub trait Host: Send {
    /// Finds an account.
    fn find_account(&mut self, key: AccountKey) -> impl Future<Output = Result<Option<Account>, DirectoryError>> + Send;
    /// Finds a user.
    fn find_user(&mut self, key: UserKey) -> impl Future<Output = Result<Option<User>, DirectoryError>> + Send;
    /// Finds a machine.
    fn find_machine(&mut self, key: MachineKey) -> impl Future<Output = Result<Option<Machine>, DirectoryError>> + Send;
}

impl<H: Host + ?Sized> Host for &mut H {
    async fn find_account(&mut self, key: AccountKey) -> Result<Option<Account>, DirectoryError> {
        H::find_account(self, key).await
    }

    async fn find_user(&mut self, key: UserKey) -> Result<Option<User>, DirectoryError> {
        H::find_user(self, key).await
    }

    async fn find_machine(&mut self, key: MachineKey) -> Result<Option<Machine>, DirectoryError> {
        H::find_machine(self, key).await
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
    let mut interface = linker.instance("standin:obo/directory@0.1.0")?;
    interface.func_wrap_async("find-account", move |mut store: StoreContextMut<'_, T>, (key,): (AccountKey,)| {
        Box::new(async move { Ok((host(store.data_mut()).find_account(key).await,)) })
    })?;
    interface.func_wrap_async("find-user", move |mut store: StoreContextMut<'_, T>, (key,): (UserKey,)| {
        Box::new(async move { Ok((host(store.data_mut()).find_user(key).await,)) })
    })?;
    interface.func_wrap_async("find-machine", move |mut store: StoreContextMut<'_, T>, (key,): (MachineKey,)| {
        Box::new(async move { Ok((host(store.data_mut()).find_machine(key).await,)) })
    })
}
