//! The component's heap: made for many small values that live as long as one request.
//!
//! It begins in memory that the module has from the start, so that a new sandbox need not ask the host for more before its first value: to
//! grow a memory, and to put it in order again afterwards, are calls of the system. What does not fit goes on in grown memory, up to the
//! sandbox's limit; beyond it an allocation fails, which ends the component.
//!
//! The C library below the standard library has an allocator of its own, which it never shares with this one: the one call that hands it
//! values made here, the environment's, is answered with an empty list by every host that gives the component no environment.

#![expect(unsafe_code, reason = "an allocator's own memory; each use says why it is sound")]

use core::alloc::Layout;
use core::arch::wasm32::memory_grow;
use core::ptr::NonNull;

use talc::base::Talc;
use talc::base::binning::Binning;
use talc::cell::TalcSyncCell;
use talc::source::Source;
use talc::wasm::WasmBinning;

/// Enough for a request of ordinary size; only what is touched costs anything.
const FIRST: usize = 512 * 1024;
/// What a WebAssembly memory grows by (WebAssembly 3.0, §4.2.9).
const PAGE: usize = 64 * 1024;
/// The least it grows by, where there is room for that.
const PAGES: usize = 4;
/// What the allocator keeps beside a value, at most.
const BESIDE: usize = 64;

static mut HEAP: [u8; FIRST] = [0; FIRST];

#[global_allocator]
static ALLOCATOR: TalcSyncCell<Memory, WasmBinning> = TalcSyncCell::new_wasm(Memory { end: None });

/// Where the heap's memory comes from.
#[derive(Debug)]
struct Memory {
    /// Where what was grown last ends: new pages that begin there are one region with it.
    end: Option<NonNull<u8>>,
}

// SAFETY: nothing here allocates, and `ALLOCATOR` is reached only through the `talc` given.
unsafe impl Source for Memory {
    fn acquire<B: Binning>(talc: &mut Talc<Self, B>, layout: Layout) -> Result<(), ()> {
        if !talc.is_metadata_established() {
            // SAFETY: `HEAP` is claimed once, before anything else is, and named nowhere else. It is writable and stays as long as the module.
            return unsafe { talc.claim(&raw mut HEAP as *mut u8, FIRST) }.map(|_| ()).ok_or(());
        }
        let (base, size) = grown(layout).ok_or(())?;
        let before = talc.source.end.take().filter(|end| end.as_ptr() == base);
        // SAFETY: pages that `memory.grow` answers with belong to whoever asked for them, are writable and stay as long as the module.
        // Only a heap of grown pages is extended, from the end that `talc` itself named to the end of the pages that follow it.
        let end = match before {
            Some(end) => Some(unsafe { talc.extend(end, base.wrapping_add(size)) }),
            None => unsafe { talc.claim(base, size) },
        };
        talc.source.end = end;
        end.map(|_| ()).ok_or(())
    }
}

/// New pages with room for such a value: some more than that, if they are to be had.
fn grown(layout: Layout) -> Option<(*mut u8, usize)> {
    let wanted = layout.size().checked_add(layout.align())?.checked_add(BESIDE)?.div_ceil(PAGE);
    [wanted.max(PAGES), wanted].into_iter().find_map(|pages| {
        let before = memory_grow::<0>(pages);
        (before != usize::MAX).then(|| ((before * PAGE) as *mut u8, pages * PAGE))
    })
}
