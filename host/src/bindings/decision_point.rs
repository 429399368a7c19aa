//! Interface `decision-point`: the domain's own values, and by hand what wasmtime's bindgen makes of the functions where it makes the types
//! too. The resource `approval` is the host's own memory of a permit.

use standin_domain::contract::{Input, Verdict};
use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, HasData, Lift, Linker, Lower, Resource, ResourceType};

pub use standin_domain::contract::decision_point::*;

use crate::approval::Approval;

/// A verdict, the digest of the module that gave it, and the approval.
#[derive(Debug, ComponentType, Lift, Lower)]
#[component(record)]
pub struct Judged {
    /// The policy's verdict.
    pub verdict: Verdict,
    /// Lowercase hex SHA-256 of the module that gave it; of several, joined by `+`.
    #[component(name = "module-digest")]
    pub module_digest: String,
    /// What only a permit of a proven question has.
    pub approval: Option<Resource<Approval>>,
}

/// What the component may do with an approval.
pub trait HostApproval {
    /// Gives it up; an error ends the component.
    ///
    /// # Errors
    /// Where there is none.
    fn drop(&mut self, approval: Resource<Approval>) -> wasmtime::Result<()>;
}

impl<H: HostApproval + ?Sized> HostApproval for &mut H {
    fn drop(&mut self, approval: Resource<Approval>) -> wasmtime::Result<()> {
        H::drop(self, approval)
    }
}

/// What the component may ask.
pub trait Host: HostApproval + Send {
    /// Asks the live policy; an error outside ends the component.
    fn judge(&mut self, input: Input) -> impl Future<Output = wasmtime::Result<Result<Judged, JudgeError>>> + Send;
}

impl<H: Host + ?Sized> Host for &mut H {
    async fn judge(&mut self, input: Input) -> wasmtime::Result<Result<Judged, JudgeError>> {
        H::judge(self, input).await
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
    let mut interface = linker.instance("standin:obo/decision-point@0.1.0")?;
    interface.resource("approval", ResourceType::host::<Approval>(), move |mut store: StoreContextMut<'_, T>, approval| {
        host(store.data_mut()).drop(Resource::new_own(approval))
    })?;
    interface.func_wrap_async("judge", move |mut store: StoreContextMut<'_, T>, (input,): (Input,)| {
        Box::new(async move { Ok((host(store.data_mut()).judge(input).await?,)) })
    })
}
