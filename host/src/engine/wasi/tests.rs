use std::sync::atomic::{AtomicU8, Ordering};

use wasmtime::Store;
use wasmtime::component::{Component, TypedFunc};

use super::*;
use crate::clock::EntropyError;
use crate::engine::{Runtime, RuntimeOptions, SandboxParts, guarded_store};

/// A clock that stands at 1000.5 s, 2 s after it was started; bytes that count up; or no bytes at all.
struct Fake {
    next: Option<AtomicU8>,
}

impl Clock for Fake {
    fn now(&self) -> Duration {
        Duration::from_millis(1_000_500)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs(2)
    }
}

impl Entropy for Fake {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        let next = self.next.as_ref().ok_or(EntropyError)?;
        bytes.iter_mut().for_each(|byte| *byte = next.fetch_add(1, Ordering::Relaxed));
        Ok(())
    }
}

fn ports() -> Wasi {
    Wasi::with_ports(Arc::new(Fake { next: None }), Arc::new(Fake { next: Some(AtomicU8::new(0)) }))
}

fn refusal(error: &wasmtime::Error) -> WasiRefusal {
    *error.downcast_ref().unwrap()
}

#[test]
fn time_comes_from_the_ports() {
    let mut wasi = ports();
    let now = wall_clock::Host::now(&mut wasi).unwrap();
    assert_eq!((now.seconds, now.nanoseconds), (1000, 500_000_000));
    assert_eq!(monotonic_clock::Host::now(&mut wasi).unwrap(), 2_000_000_000);
}

#[test]
fn randomness_comes_from_the_ports() {
    let mut wasi = ports();
    assert_eq!(random::Host::get_random_bytes(&mut wasi, 3).unwrap(), [0, 1, 2]);
    assert_eq!(insecure::Host::get_insecure_random_bytes(&mut wasi, 2).unwrap(), [3, 4]);
    assert_eq!(random::Host::get_random_u64(&mut wasi).unwrap(), u64::from_le_bytes([5, 6, 7, 8, 9, 10, 11, 12]));
    assert_eq!(insecure_seed::Host::insecure_seed(&mut wasi).unwrap().0.to_le_bytes()[0], 13);
}

#[test]
fn without_randomness_there_is_no_answer() {
    let mut wasi = Wasi::with_ports(Arc::new(Fake { next: None }), Arc::new(Fake { next: None }));
    let error = random::Host::get_random_u64(&mut wasi).unwrap_err();
    assert_eq!(refusal(&error), WasiRefusal::NoRandomness);
}

#[test]
fn randomness_is_bounded_for_each_request() {
    let mut wasi = ports();
    for too_many in [u64::MAX, RANDOM_BYTES as u64 + 1] {
        let error = random::Host::get_random_bytes(&mut wasi, too_many).unwrap_err();
        assert_eq!(refusal(&error), WasiRefusal::TooMuchRandomness);
    }
    random::Host::get_random_bytes(&mut wasi, RANDOM_BYTES as u64).unwrap();
    assert_eq!(refusal(&insecure::Host::get_insecure_random_u64(&mut wasi).unwrap_err()), WasiRefusal::TooMuchRandomness);
    wasi.renew();
    random::Host::get_random_u64(&mut wasi).unwrap();
}

#[test]
fn a_policy_sees_the_same_world_every_time() {
    let look = || {
        let mut wasi = Wasi::fixed();
        let now = wall_clock::Host::now(&mut wasi).unwrap();
        let seed = insecure_seed::Host::insecure_seed(&mut wasi).unwrap();
        (now.seconds, monotonic_clock::Host::now(&mut wasi).unwrap(), seed, wasi.random_bytes(4).unwrap())
    };
    assert_eq!(look(), look());
    assert_eq!((look().0, look().1), (0, 0));
}

#[tokio::test]
async fn no_socket_is_made() {
    use sync::sockets::udp_create_socket::Host as _;
    use wasmtime_wasi::p2::bindings::sockets::{ip_name_lookup, network::IpAddressFamily, tcp_create_socket};
    let mut wasi = ports();
    let error = NoUdp(wasi.sockets()).create_udp_socket(IpAddressFamily::Ipv4).unwrap_err();
    assert!(matches!(error.downcast().unwrap(), network::ErrorCode::AccessDenied));
    let error = tcp_create_socket::Host::create_tcp_socket(&mut wasi.sockets(), IpAddressFamily::Ipv6).unwrap_err();
    assert!(matches!(error.downcast().unwrap(), network::ErrorCode::AccessDenied));
    let mut sockets = wasi.sockets();
    let network = wasmtime_wasi::p2::bindings::sockets::instance_network::Host::instance_network(&mut sockets).unwrap();
    let error = ip_name_lookup::Host::resolve_addresses(&mut sockets, network, "localhost".into()).unwrap_err();
    assert!(matches!(error.downcast().unwrap(), network::ErrorCode::PermanentResolverFailure));
}

#[tokio::test]
async fn there_is_nothing_outside() {
    let mut wasi = ports();
    assert!(cli::environment::Host::get_environment(&mut wasi.cli()).unwrap().is_empty());
    assert!(cli::environment::Host::get_arguments(&mut wasi.cli()).unwrap().is_empty());
    assert!(filesystem::preopens::Host::get_directories(&mut wasi.filesystem()).unwrap().is_empty());
}

#[tokio::test]
async fn streams_lead_nowhere_and_do_not_wait() {
    use streams::{HostInputStream as _, HostOutputStream as _};
    let mut wasi = ports();
    let out = cli::stdout::Host::get_stdout(&mut wasi.cli()).unwrap();
    let input = cli::stdin::Host::get_stdin(&mut wasi.cli()).unwrap();
    let borrow = |stream: &Resource<DynOutputStream>| Resource::new_borrow(stream.rep());
    let mut io = Io(&mut wasi.table);
    io.blocking_write_and_flush(borrow(&out), b"lost".to_vec()).unwrap();
    io.blocking_flush(borrow(&out)).unwrap();
    assert_eq!(refusal(&streams::HostOutputStream::subscribe(&mut io, borrow(&out)).unwrap_err()), WasiRefusal::Waiting);
    assert!(matches!(io.blocking_read(Resource::new_borrow(input.rep()), 10), Err(StreamError::Closed)));
    streams::HostOutputStream::drop(&mut io, out).unwrap();
    streams::HostInputStream::drop(&mut io, input).unwrap();
    assert!(wasi.table.is_empty());
}

struct State(SandboxParts);

impl Sandboxed for State {
    fn parts(&mut self) -> &mut SandboxParts {
        &mut self.0
    }
}

/// Linked as a component sees it, by an older version of WASI: waiting traps.
#[tokio::test]
async fn a_component_cannot_wait() {
    const COMPONENT: &str = r#"
    (component
      (import "wasi:io/poll@0.2.0" (instance $poll (export "pollable" (type (sub resource)))))
      (alias export $poll "pollable" (type $pollable))
      (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
        (alias outer 1 $pollable (type $outer))
        (export "pollable" (type $inner (eq $outer)))
        (export "subscribe-duration" (func (param "when" u64) (result (own $inner))))))
      (core func $subscribe (canon lower (func $clock "subscribe-duration")))
      (core module $m
        (import "host" "subscribe" (func $subscribe (param i64) (result i32)))
        (func (export "run") (drop (call $subscribe (i64.const 1000000000000)))))
      (core instance $i (instantiate $m (with "host" (instance (export "subscribe" (func $subscribe))))))
      (func (export "run") (canon lift (core func $i "run"))))
    "#;
    let runtime = Runtime::new(RuntimeOptions::default()).unwrap();
    let component = Component::new(runtime.engine(), wat::parse_str(COMPONENT).unwrap()).unwrap();
    let mut linker = Linker::<State>::new(runtime.engine());
    link(&mut linker).unwrap();
    let parts = runtime.parts(Arc::new(Fake { next: None }), Arc::new(Fake { next: None }));
    let mut store: Store<State> = guarded_store(runtime.engine(), State(parts), 1024);
    store.set_epoch_deadline(1000);
    let instance = linker.instantiate(&mut store, &component).unwrap();
    let run: TypedFunc<(), ()> = instance.get_typed_func(&mut store, "run").unwrap();
    assert_eq!(refusal(&run.call(&mut store, ()).unwrap_err()), WasiRefusal::Waiting);
}
