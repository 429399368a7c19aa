//! What the thread that code runs on may do.

use std::cell::Cell;

thread_local! {
    static KEEPS_NOBODY_WAITING: Cell<bool> = const { Cell::new(false) };
}

/// From now on this thread may wait for a disk: it reads no sockets and drives no timers, so that only what it works on waits along.
pub(crate) fn set_apart() {
    KEEPS_NOBODY_WAITING.set(true);
}

/// Whether it was set apart.
pub(crate) fn is_apart() -> bool {
    KEEPS_NOBODY_WAITING.get()
}
