//! The epoch ticker: the one thing that stops a component which computes for too long.

use std::io;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use wasmtime::Engine;

/// Time between two epochs, and so how exact a limit on computing time is. Every tick wakes a thread: at a millisecond that was
/// one per cent of a core.
const TICK: Duration = Duration::from_millis(4);

/// Starts the ticker on a thread of its own, so that a busy async runtime cannot hold it up. It ends with the engine.
pub(super) fn start(engine: &Engine) -> io::Result<JoinHandle<()>> {
    let engine = engine.weak();
    thread::Builder::new().name("epoch-ticker".into()).spawn(move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            thread::sleep(TICK);
        }
    })
}

/// The epochs that surely cover `time`: the present one is partly over.
pub(crate) fn ticks(time: Duration) -> u64 {
    u64::try_from(time.as_micros().div_ceil(TICK.as_micros())).unwrap_or(u64::MAX / 4).min(u64::MAX / 4) + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stops_with_the_engine() {
        let mut config = wasmtime::Config::new();
        config.epoch_interruption(true);
        let engine = Engine::new(&config).unwrap();
        let ticker = start(&engine).unwrap();
        assert!(!ticker.is_finished());
        drop(engine);
        ticker.join().unwrap();
    }

    #[test]
    fn counts_epochs_generously() {
        assert_eq!(ticks(Duration::from_millis(48)), 13);
        assert_eq!(ticks(Duration::from_millis(50)), 14);
        assert_eq!(ticks(Duration::from_micros(1)), 2);
        assert_eq!(ticks(Duration::MAX), u64::MAX / 4 + 1);
    }
}
