//! A tape. The input is what lies under the seal, which is put on here; for anything else the seal is broken, and nobody looks further.

use std::sync::LazyLock;
use std::time::Duration;

use standin::COMPONENT;
use standin::clock::{Entropy, EntropyError};
use standin::replay::{ReplayError, Replayed, Replayer};
use standin::tape::TapeKey;
use standin::tape::file::{Header, Opened, TapeError, seal, unseal};
use tokio::runtime::{Builder, Runtime};

/// What was sealed is what is found; whatever stands on a tape, the component hears it to an end; and it hears the same twice.
pub fn holds(data: &[u8]) {
    let player = &*PLAYER;
    let _no_tape = Opened::open(data, &player.key);
    let mut sealed = seal(&player.header, data.to_vec().into(), &player.key, [7; 12]).expect("a short header");
    let (header, pieces) = unseal(&sealed, &player.key).expect("what was just sealed");
    assert_eq!((header, pieces.as_slice()), (player.header.clone(), data));
    if let Ok(opened) = Opened::open(&sealed, &player.key)
        && let Some(first) = player.hear(&opened)
        && let Some(second) = player.hear(&opened)
    {
        assert_eq!(first, second);
    }
    if let Some(last) = sealed.last_mut() {
        *last ^= 1;
    }
    assert!(matches!(unseal(&sealed, &player.key), Err(TapeError::Altered)));
}

struct Player {
    key: TapeKey,
    header: Header,
    replayer: Replayer,
    runtime: Runtime,
}

static PLAYER: LazyLock<Player> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let key = TapeKey::create(&folder.path().join("record.key"), &Seven).expect("a key");
    let replayer = Replayer::new(COMPONENT).expect("the component").within(Duration::from_secs(5));
    let header = Header {
        standin: "0.1.0".into(),
        component: replayer.component().to_owned(),
        correlation_id: "c-1".into(),
        time: 1_800_000_000_000,
        call: "handle".into(),
        memory: 32 << 20,
        cpu: 1_000,
        key: key.id(),
    };
    let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
    Player { key, header, replayer, runtime }
});

impl Player {
    /// What came of it; nothing where it took too long, which says more of the machine than of the tape.
    fn hear(&self, tape: &Opened) -> Option<String> {
        let replayed: Replayed = match self.runtime.block_on(self.replayer.replay(tape)) {
            Ok(replayed) => replayed,
            Err(ReplayError::TimedOut) => return None,
            Err(error) => panic!("{error}"),
        };
        assert!(replayed.asked <= replayed.questions, "{replayed:?}");
        assert!(!replayed.same || replayed.divergence.is_none());
        Some(serde_json::to_string(&replayed).expect("a report is JSON"))
    }
}

/// The key is the same in every run.
struct Seven;

impl Entropy for Seven {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        bytes.fill(7);
        Ok(())
    }
}
