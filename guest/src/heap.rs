//! The component's heap: made for many small values that live as long as one request.
//!
//! It begins in memory that the module has from the start, so that a new sandbox need not ask the host for more before its first value: to
//! grow a memory, and to put it in order again afterwards, are calls of the system. What does not fit goes on in grown memory.

#![expect(unsafe_code, reason = "an allocator's own memory; each use says why it is sound")]

use core::alloc::Layout;
use core::arch::wasm32::memory_grow;

use talc::base::Talc;
use talc::base::binning::Binning;
use talc::cell::TalcSyncCell;
use talc::source::Source;
use talc::wasm::WasmBinning;

/// Enough for a request of ordinary size; only what is touched costs anything.
const FIRST: usize = 512 * 1024;
/// What a WebAssembly memory grows by (WebAssembly 3.0, §4.2.9).
const PAGE: usize = 64 * 1024;
/// What the allocator keeps beside a value, at most.
const BESIDE: usize = 64;

static mut HEAP: [u8; FIRST] = [0; FIRST];

#[global_allocator]
static ALLOCATOR: TalcSyncCell<Memory, WasmBinning> = TalcSyncCell::new_wasm(Memory { begun: false });

/// Where the heap's memory comes from.
#[derive(Debug)]
struct Memory {
    begun: bool,
}

// SAFETY: nothing here allocates, and `ALLOCATOR` is reached only through the `talc` given.
unsafe impl Source for Memory {
    fn acquire<B: Binning>(talc: &mut Talc<Self, B>, layout: Layout) -> Result<(), ()> {
        let (base, size) = if talc.source.begun { grown(layout).ok_or(())? } else { (&raw mut HEAP as *mut u8, FIRST) };
        talc.source.begun = true;
        // SAFETY: `HEAP` is claimed once and named nowhere else; pages that `memory.grow` answers with belong to whoever asked for
        // them. Both are writable, and stay as long as the module.
        unsafe { talc.claim(base, size) }.map(|_| ()).ok_or(())
    }
}

/// New pages with room for such a value.
fn grown(layout: Layout) -> Option<(*mut u8, usize)> {
    let wanted = layout.size().checked_add(layout.align())?.checked_add(BESIDE)?;
    let pages = wanted.div_ceil(PAGE);
    let before = memory_grow::<0>(pages);
    (before != usize::MAX).then(|| ((before * PAGE) as *mut u8, pages * PAGE))
}
