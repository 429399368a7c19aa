//! The WASI a sandbox gets: clocks and randomness from our ports, and otherwise nothing.
//!
//! No environment, files, sockets or standard streams: writing goes nowhere, reading finds the end. Nothing here ever waits, so
//! a sandbox cannot hold a thread, and every function is a plain synchronous one, which is also the cheapest kind.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::cli::{WasiCli, WasiCliView as _};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView as _};
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};
use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};
use wasmtime_wasi::p2::bindings::sockets::network;
use wasmtime_wasi::p2::bindings::sync::io::{poll, streams};
use wasmtime_wasi::p2::bindings::{cli, filesystem, sync};
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, DynPollable, IoError, Network, SocketError, SocketResult, StreamError, StreamResult,
    UdpSocket,
};
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsCtxView, WasiSocketsView as _};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_io::bindings::wasi::io::error;

use super::Sandboxed;
use crate::clock::{Clock, Entropy};

/// Random bytes one request may draw: a component makes identifiers of them, nothing big.
const RANDOM_BYTES: usize = 64 * 1024;
/// Handles to host resources that a sandbox may hold at a time.
const MAX_HANDLES: usize = 1024;
/// What an output stream says it takes at once.
const WRITE_BYTES: u64 = 64 * 1024;

/// What a component asked of WASI that no sandbox is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WasiRefusal {
    /// It wants to wait.
    #[error("a sandbox does not wait")]
    Waiting,
    /// It has drawn more random bytes than one request may.
    #[error("too many random bytes were asked for")]
    TooMuchRandomness,
    /// The random source failed; nothing may be made of guesses.
    #[error("the random source failed")]
    NoRandomness,
}

/// Where a sandbox's time and randomness come from.
#[derive(Clone)]
enum Sources {
    /// The host's ports.
    Ports(Arc<dyn Clock>, Arc<dyn Entropy>),
    /// The same at every call: what a policy sees.
    Fixed,
}

/// The WASI of one sandbox.
pub(crate) struct Wasi {
    /// Made when something asks for it; the embedded component and the default policy do not.
    ctx: Option<WasiCtx>,
    table: ResourceTable,
    sources: Sources,
    random_left: usize,
}

impl Wasi {
    /// Time and randomness from these ports.
    pub(crate) fn with_ports(clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self::new(Sources::Ports(clock, entropy))
    }

    /// Time stands still and randomness is a constant.
    pub(crate) fn fixed() -> Self {
        Self::new(Sources::Fixed)
    }

    fn new(sources: Sources) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_HANDLES);
        Self { ctx: None, table, sources, random_left: RANDOM_BYTES }
    }

    /// A new request begins: its allowance of random bytes is whole.
    pub(crate) fn renew(&mut self) {
        self.random_left = RANDOM_BYTES;
    }

    fn fill(&mut self, bytes: &mut [u8]) -> wasmtime::Result<()> {
        self.random_left = self.random_left.checked_sub(bytes.len()).ok_or(WasiRefusal::TooMuchRandomness)?;
        match &self.sources {
            Sources::Ports(_, entropy) => entropy.fill(bytes).map_err(|_| WasiRefusal::NoRandomness.into()),
            Sources::Fixed => {
                bytes.fill(0x5a);
                Ok(())
            }
        }
    }

    fn random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        let len = usize::try_from(len).ok().filter(|len| *len <= self.random_left);
        let mut bytes = vec![0; len.ok_or(WasiRefusal::TooMuchRandomness)?];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn random_u64(&mut self) -> wasmtime::Result<u64> {
        let mut bytes = [0; 8];
        self.fill(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }
}

impl WasiView for Wasi {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let empty = || WasiCtxBuilder::new().allow_tcp(false).allow_udp(false).build();
        WasiCtxView { ctx: self.ctx.get_or_insert_with(empty), table: &mut self.table }
    }
}

/// Time and randomness.
struct HasSources;

impl HasData for HasSources {
    type Data<'a> = &'a mut Wasi;
}

/// Streams that lead nowhere.
struct HasIo;

impl HasData for HasIo {
    type Data<'a> = Io<'a>;
}

/// Errors of streams, which need only the table.
struct HasTable;

impl HasData for HasTable {
    type Data<'a> = &'a mut ResourceTable;
}

/// Sockets that cannot be made.
struct HasNoUdp;

impl HasData for HasNoUdp {
    type Data<'a> = NoUdp<'a>;
}

struct NoUdp<'a>(WasiSocketsCtxView<'a>);

struct Io<'a>(&'a mut ResourceTable);

/// Links all of `wasi:{cli,clocks,random,io,filesystem,sockets}`.
///
/// Of the functions that `wasmtime-wasi` itself implements here, none waits: those that would need a descriptor or a socket
/// first, and neither can be had.
pub(crate) fn link<T: Sandboxed>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    link_own(linker)?;
    link_cli(linker)?;
    link_files_and_sockets(linker)
}

fn wasi<T: Sandboxed>(state: &mut T) -> &mut Wasi {
    &mut state.parts().wasi
}

fn link_own<T: Sandboxed>(l: &mut Linker<T>) -> wasmtime::Result<()> {
    wall_clock::add_to_linker::<T, HasSources>(l, wasi)?;
    monotonic_clock::add_to_linker::<T, HasSources>(l, wasi)?;
    random::add_to_linker::<T, HasSources>(l, wasi)?;
    insecure::add_to_linker::<T, HasSources>(l, wasi)?;
    insecure_seed::add_to_linker::<T, HasSources>(l, wasi)?;
    error::add_to_linker::<T, HasTable>(l, |t| &mut wasi(t).table)?;
    poll::add_to_linker::<T, HasIo>(l, |t| Io(&mut wasi(t).table))?;
    streams::add_to_linker::<T, HasIo>(l, |t| Io(&mut wasi(t).table))
}

fn link_cli<T: Sandboxed>(l: &mut Linker<T>) -> wasmtime::Result<()> {
    cli::exit::add_to_linker::<T, WasiCli>(l, |t| wasi(t).cli())?;
    cli::environment::add_to_linker::<T, WasiCli>(l, |t| wasi(t).cli())?;
    cli::stdin::add_to_linker::<T, WasiCli>(l, |t| wasi(t).cli())?;
    cli::stdout::add_to_linker::<T, WasiCli>(l, |t| wasi(t).cli())?;
    cli::stderr::add_to_linker::<T, WasiCli>(l, |t| wasi(t).cli())?;
    cli::terminal_input::add_to_linker::<T, WasiCli>(l, |t| wasi(t).cli())?;
    cli::terminal_output::add_to_linker::<T, WasiCli>(l, |t| wasi(t).cli())?;
    cli::terminal_stdin::add_to_linker::<T, WasiCli>(l, |t| wasi(t).cli())?;
    cli::terminal_stdout::add_to_linker::<T, WasiCli>(l, |t| wasi(t).cli())?;
    cli::terminal_stderr::add_to_linker::<T, WasiCli>(l, |t| wasi(t).cli())
}

fn link_files_and_sockets<T: Sandboxed>(l: &mut Linker<T>) -> wasmtime::Result<()> {
    use wasmtime_wasi::p2::bindings::sockets;
    filesystem::preopens::add_to_linker::<T, WasiFilesystem>(l, |t| wasi(t).filesystem())?;
    sync::filesystem::types::add_to_linker::<T, WasiFilesystem>(l, |t| wasi(t).filesystem())?;
    let options = network::LinkOptions::default();
    network::add_to_linker::<T, WasiSockets>(l, &options, |t| wasi(t).sockets())?;
    sockets::instance_network::add_to_linker::<T, WasiSockets>(l, |t| wasi(t).sockets())?;
    sockets::ip_name_lookup::add_to_linker::<T, WasiSockets>(l, |t| wasi(t).sockets())?;
    sockets::tcp_create_socket::add_to_linker::<T, WasiSockets>(l, |t| wasi(t).sockets())?;
    sync::sockets::udp_create_socket::add_to_linker::<T, HasNoUdp>(l, |t| NoUdp(wasi(t).sockets()))?;
    sync::sockets::tcp::add_to_linker::<T, WasiSockets>(l, |t| wasi(t).sockets())?;
    sync::sockets::udp::add_to_linker::<T, WasiSockets>(l, |t| wasi(t).sockets())
}

impl wall_clock::Host for Wasi {
    fn now(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        let now = match &self.sources {
            Sources::Ports(clock, _) => clock.now(),
            Sources::Fixed => Duration::ZERO,
        };
        Ok(wall_clock::Datetime { seconds: now.as_secs(), nanoseconds: now.subsec_nanos() })
    }

    fn resolution(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        Ok(wall_clock::Datetime { seconds: 0, nanoseconds: 1 })
    }
}

impl monotonic_clock::Host for Wasi {
    fn now(&mut self) -> wasmtime::Result<u64> {
        let now = match &self.sources {
            Sources::Ports(clock, _) => clock.monotonic(),
            Sources::Fixed => Duration::ZERO,
        };
        Ok(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX))
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(1)
    }

    fn subscribe_instant(&mut self, _when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        Err(WasiRefusal::Waiting.into())
    }

    fn subscribe_duration(&mut self, _duration: u64) -> wasmtime::Result<Resource<DynPollable>> {
        Err(WasiRefusal::Waiting.into())
    }
}

impl random::Host for Wasi {
    fn get_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.random_bytes(len)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.random_u64()
    }
}

impl insecure::Host for Wasi {
    fn get_insecure_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.random_bytes(len)
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        self.random_u64()
    }
}

impl insecure_seed::Host for Wasi {
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        Ok((self.random_u64()?, self.random_u64()?))
    }
}

// wasmtime-wasi's own blocks on a runtime, which panics on a thread that drives one.
impl sync::sockets::udp_create_socket::Host for NoUdp<'_> {
    fn create_udp_socket(
        &mut self,
        _family: sync::sockets::udp_create_socket::IpAddressFamily,
    ) -> SocketResult<Resource<UdpSocket>> {
        Err(network::ErrorCode::AccessDenied.into())
    }
}

impl network::Host for NoUdp<'_> {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<network::ErrorCode> {
        network::Host::convert_error_code(&mut self.0, error)
    }

    fn network_error_code(&mut self, error: Resource<IoError>) -> wasmtime::Result<Option<network::ErrorCode>> {
        network::Host::network_error_code(&mut self.0, error)
    }
}

impl network::HostNetwork for NoUdp<'_> {
    fn drop(&mut self, network: Resource<Network>) -> wasmtime::Result<()> {
        network::HostNetwork::drop(&mut self.0, network)
    }
}

impl poll::Host for Io<'_> {
    fn poll(&mut self, _pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        Err(WasiRefusal::Waiting.into())
    }
}

impl poll::HostPollable for Io<'_> {
    fn ready(&mut self, _pollable: Resource<DynPollable>) -> wasmtime::Result<bool> {
        Err(WasiRefusal::Waiting.into())
    }

    fn block(&mut self, _pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        Err(WasiRefusal::Waiting.into())
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        self.0.delete(pollable)?;
        Ok(())
    }
}

impl streams::Host for Io<'_> {
    fn convert_stream_error(&mut self, error: StreamError) -> wasmtime::Result<streams::StreamError> {
        streams::Host::convert_stream_error(self.0, error)
    }
}

impl streams::HostOutputStream for Io<'_> {
    fn check_write(&mut self, _stream: Resource<DynOutputStream>) -> StreamResult<u64> {
        Ok(WRITE_BYTES)
    }

    fn write(&mut self, _stream: Resource<DynOutputStream>, _bytes: Vec<u8>) -> StreamResult<()> {
        Ok(())
    }

    fn blocking_write_and_flush(&mut self, _stream: Resource<DynOutputStream>, _bytes: Vec<u8>) -> StreamResult<()> {
        Ok(())
    }

    fn flush(&mut self, _stream: Resource<DynOutputStream>) -> StreamResult<()> {
        Ok(())
    }

    fn blocking_flush(&mut self, _stream: Resource<DynOutputStream>) -> StreamResult<()> {
        Ok(())
    }

    fn subscribe(&mut self, _stream: Resource<DynOutputStream>) -> wasmtime::Result<Resource<DynPollable>> {
        Err(WasiRefusal::Waiting.into())
    }

    fn write_zeroes(&mut self, _stream: Resource<DynOutputStream>, _len: u64) -> StreamResult<()> {
        Ok(())
    }

    fn blocking_write_zeroes_and_flush(&mut self, _stream: Resource<DynOutputStream>, _len: u64) -> StreamResult<()> {
        Ok(())
    }

    fn splice(&mut self, _stream: Resource<DynOutputStream>, _source: Resource<DynInputStream>, _len: u64) -> StreamResult<u64> {
        Err(StreamError::Closed)
    }

    fn blocking_splice(
        &mut self,
        _stream: Resource<DynOutputStream>,
        _source: Resource<DynInputStream>,
        _len: u64,
    ) -> StreamResult<u64> {
        Err(StreamError::Closed)
    }

    fn drop(&mut self, stream: Resource<DynOutputStream>) -> wasmtime::Result<()> {
        self.0.delete(stream)?;
        Ok(())
    }
}

impl streams::HostInputStream for Io<'_> {
    fn read(&mut self, _stream: Resource<DynInputStream>, _len: u64) -> StreamResult<Vec<u8>> {
        Err(StreamError::Closed)
    }

    fn blocking_read(&mut self, _stream: Resource<DynInputStream>, _len: u64) -> StreamResult<Vec<u8>> {
        Err(StreamError::Closed)
    }

    fn skip(&mut self, _stream: Resource<DynInputStream>, _len: u64) -> StreamResult<u64> {
        Err(StreamError::Closed)
    }

    fn blocking_skip(&mut self, _stream: Resource<DynInputStream>, _len: u64) -> StreamResult<u64> {
        Err(StreamError::Closed)
    }

    fn subscribe(&mut self, _stream: Resource<DynInputStream>) -> wasmtime::Result<Resource<DynPollable>> {
        Err(WasiRefusal::Waiting.into())
    }

    fn drop(&mut self, stream: Resource<DynInputStream>) -> wasmtime::Result<()> {
        self.0.delete(stream)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
