//! Memory of a loaded engine without holes.
//!
//! Loading leaves free blocks of every size behind, all over the memory. What a request allocates would be scattered among them, and a
//! fresh sandbox for each request restores every page that was written to: dozens of them, far from each other. Without holes it
//! lies together, behind everything that was loaded.

use std::arch::wasm32::memory_size;
use std::hint::black_box;

/// Of linear memory, in bytes.
const PAGE: usize = 64 * 1024;
/// The blocks that holes are filled with, in bytes: the largest first, so that few are needed.
const BLOCKS: [usize; 14] = [65_536, 32_768, 16_384, 8_192, 4_096, 2_048, 1_024, 512, 256, 128, 64, 32, 16, 8];

/// Fills every free block below the end of memory. What fills them is never freed.
pub(crate) fn fill() {
    let end = memory_size::<0>() * PAGE;
    for size in BLOCKS {
        while let Some(block) = block(size).filter(|block| block.as_ptr().addr() < end) {
            std::mem::forget(block);
        }
    }
}

/// Where there is one; there is no more to fill where there is none.
fn block(size: usize) -> Option<Vec<u8>> {
    let mut block = Vec::new();
    block.try_reserve_exact(size).ok()?;
    // An allocation that nobody uses may be left out.
    Some(black_box(block))
}
