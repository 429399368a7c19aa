//! Tapes in a temporary folder.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::file::Opened;
use super::{Recorded, Recorder, Tape, TapeKey};
use crate::clock::{Clock, Entropy, SystemClock, SystemEntropy};
use crate::config::Record;

/// A folder for tapes and the key that seals them.
pub(super) struct Place {
    folder: tempfile::TempDir,
    pub(super) record: Record,
}

impl Place {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (dir, key) = (folder.path().join("tapes"), folder.path().join("record.key"));
        TapeKey::create(&key, &SystemEntropy).unwrap();
        let record = Record { dir, key, sample: 1.0, max_tapes: 100, max_age: Duration::from_secs(3600), max_tape: 64 * 1024 };
        Self { folder, record }
    }

    pub(super) fn key(&self) -> TapeKey {
        TapeKey::read(&self.record.key).unwrap()
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn recorder(&self) -> Recorder {
        self.recorder_with(Arc::new(SystemClock::default()), Arc::new(SystemEntropy))
    }

    pub(super) fn recorder_with(&self, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Recorder {
        let recorded = Recorded { component: "0".repeat(64), memory: 1 << 20, cpu: Duration::from_millis(50) };
        Recorder::open(&self.record, recorded, clock, entropy).unwrap()
    }

    /// The files of tapes.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = std::fs::read_dir(&self.record.dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    /// The only tape.
    pub(super) fn only(&self) -> Vec<u8> {
        let files = self.files();
        assert_eq!(files.len(), 1, "{files:?}");
        std::fs::read(&files[0]).unwrap()
    }

    pub(super) fn open(&self) -> Opened {
        Opened::open(&self.only(), &self.key()).unwrap()
    }
}

/// A tape that a request of a known caller begins.
pub(super) fn tape(recorder: &Recorder, correlation_id: &str) -> Tape {
    let tape = recorder.tape(correlation_id);
    assert!(tape.is_on());
    tape.attributed();
    tape
}
