use std::sync::Arc;
use std::time::Duration;

use super::file::{Opened, TapeError};
use super::testing::{Place, tape};
use super::{Call, Completed, Import, Outcome, RecordError, Recorded, Recorder, Tape, TapeKey, TapedClock, TapedEntropy, decode};
use crate::bindings::types::{Input, Party};
use crate::clock::{Clock, Entropy, EntropyError, SystemClock, SystemEntropy};
use crate::config::Record;

fn party() -> Party {
    Party { kind: "client".into(), id: "client:a".into(), tenants: vec![], provisional: false, attributes: vec![] }
}

fn completed() -> Completed {
    let input = Input {
        caller: party(),
        subject: party(),
        chain: vec![],
        tenant: "acme".into(),
        audience: vec![],
        scope: vec![],
        ttl: 60,
        flow: "local".into(),
        step: None,
        now: 1,
        attributes: vec![],
    };
    Completed { input, origin: Some("globex".into()), proven: true }
}

/// A short conversation.
fn record(tape: &Tape) {
    tape.question(Import::WallClock, &());
    tape.answer(&Duration::from_secs(7));
    tape.called(&Call::Mint);
    tape.question(Import::CheckSecret, &("svc", "a secret of the client"));
    tape.answer(&true);
    tape.question(Import::Judge, &("question",));
    tape.answer(&"answer");
    tape.completed(&completed());
    tape.ended(|| Outcome::Answered("{}".into()));
    tape.replaced("runtime.trapped");
}

#[test]
fn what_is_recorded_is_read_back_and_nothing_of_it_is_legible() {
    let place = Place::new();
    let recorder = place.recorder();
    let recording = tape(&recorder, "c-1");
    record(&recording);
    recording.finish();
    // Later than the end.
    recording.called(&Call::Grant);
    recording.finish();
    recorder.flush();
    let sealed = place.only();
    assert!(!sealed.windows(8).any(|window| window == b"a secret"));
    let opened = place.open();
    let header = opened.header();
    assert_eq!((header.correlation_id.as_str(), header.call.as_str(), header.memory, header.cpu), ("c-1", "mint", 1 << 20, 50));
    assert_eq!((header.key.clone(), header.component.len()), (place.key().id(), 64));
    assert!(!format!("{opened:?}").contains("secret"));
    let imports: Vec<Import> = opened.questions.iter().map(|question| question.import).collect();
    assert_eq!(imports, [Import::WallClock, Import::CheckSecret, Import::Judge]);
    assert_eq!(decode::<Duration>(opened.questions[0].answer.as_ref().unwrap()), Some(Duration::from_secs(7)));
    let asked: (String, String) = decode(&opened.questions[1].question).unwrap();
    assert_eq!(asked.1, "a secret of the client");
    let judged = opened.questions[2].completed.as_ref().unwrap();
    assert_eq!((judged.input.tenant.as_str(), judged.origin.as_deref(), judged.proven), ("acme", Some("globex"), true));
    assert_eq!((opened.calls.len(), opened.calls[0].first), (1, 1));
    assert!(opened.calls[0].outcome == Some(Outcome::Answered("{}".into())));
    assert_eq!(opened.replaced.as_deref(), Some("runtime.trapped"));
}

#[test]
fn a_tape_of_another_key_or_with_any_byte_altered_is_refused() {
    let place = Place::new();
    let recorder = place.recorder();
    let recording = tape(&recorder, "c-1");
    record(&recording);
    recording.finish();
    recorder.flush();
    let (sealed, key) = (place.only(), place.key());
    let other = TapeKey::create(&place.path("other.key"), &SystemEntropy).unwrap();
    assert!(matches!(Opened::open(&sealed, &other), Err(TapeError::OtherKey { given, .. }) if given == other.id()));
    for at in 0..sealed.len() {
        let mut altered = sealed.clone();
        altered[at] ^= 1;
        assert!(Opened::open(&altered, &key).is_err(), "byte {at}");
    }
    for length in 0..sealed.len() {
        assert!(Opened::open(&sealed[..length], &key).is_err(), "{length} bytes");
    }
    assert!(matches!(Opened::open(&sealed[..sealed.len() - 1], &key), Err(TapeError::Altered)));
    assert!(matches!(Opened::open(b"something else\n", &key), Err(TapeError::NoTape)));
    assert!(matches!(Opened::open(b"standin-tape 2\n{}\n", &key), Err(TapeError::Format(format)) if format == "2"));
    assert!(matches!(Opened::read(&place.path("none"), &key), Err(TapeError::Unreadable { .. })));
    assert!(Opened::read(&place.files()[0], &key).is_ok());
}

#[test]
fn what_is_sealed_and_is_no_tape_is_refused() {
    let place = Place::new();
    let recorder = place.recorder();
    let malformed = |put: &dyn Fn(&Tape)| {
        let recording = tape(&recorder, "c-1");
        put(&recording);
        recording.finish();
        recorder.flush();
        let opened = Opened::open(&place.only(), &place.key());
        std::fs::remove_file(&place.files()[0]).unwrap();
        assert!(matches!(opened, Err(TapeError::Malformed(_))), "{opened:?}");
    };
    malformed(&|_| {});
    malformed(&|tape| tape.answer(&1));
    malformed(&|tape| tape.completed(&completed()));
    malformed(&|tape| tape.ended(|| Outcome::Failed(String::new())));
    malformed(&|tape| {
        tape.called(&Call::Mint);
        tape.ended(|| Outcome::Failed(String::new()));
        tape.ended(|| Outcome::Failed(String::new()));
    });
    malformed(&|tape| tape.put(super::Kind::Called, &u64::MAX));
}

#[test]
fn a_tape_that_becomes_too_long_is_given_up_and_lets_go_of_its_memory() {
    let place = Place::new();
    let recorder = place.recorder();
    let recording = tape(&recorder, "long");
    recording.called(&Call::Mint);
    for _ in 0..3 {
        recording.question(Import::Append, &("x".repeat(20 * 1024),));
    }
    let held = |tape: &Tape| {
        let recording = tape.0.as_ref().unwrap().lock().unwrap();
        recording.pieces.iter().map(|piece| piece.bytes.capacity()).sum::<usize>()
    };
    assert!((60 * 1024..=64 * 1024).contains(&held(&recording)));
    recording.question(Import::Append, &("x".repeat(20 * 1024),));
    assert_eq!(held(&recording), 0);
    recording.question(Import::Append, &("short",));
    assert_eq!(held(&recording), 0);
    recording.finish();
    recorder.flush();
    assert!(place.files().is_empty());
}

#[test]
fn tapes_are_bounded_in_number_and_in_age() {
    let mut place = Place::new();
    place.record.max_tapes = 3;
    let recorder = place.recorder();
    for at in 0..7 {
        let recording = tape(&recorder, &format!("c-{at}"));
        record(&recording);
        recording.finish();
        recorder.flush();
    }
    let left: Vec<String> = place.files().iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    assert_eq!(left.len(), 3);
    assert!((4..7).all(|at| left.iter().any(|name| name.contains(&format!("-c-{at}-")))), "{left:?}");
    drop(recorder);
    // An hour later none of them is young enough.
    let later = Arc::new(At(SystemClock::default().now() + Duration::from_secs(3601)));
    let recorder = place.recorder_with(later, Arc::new(SystemEntropy));
    recorder.flush();
    assert!(place.files().is_empty());
}

#[test]
fn a_queue_that_is_full_drops_and_waits_for_nobody() {
    let place = Place::new();
    let recorder = place.recorder_with(Arc::new(SystemClock::default()), Arc::new(Slow));
    let tapes: Vec<Tape> = (0..100).map(|at| tape(&recorder, &format!("c-{at}"))).collect();
    for recording in &tapes {
        record(recording);
        recording.finish();
    }
    recorder.flush();
    let written = place.files().len();
    assert!((64..100).contains(&written), "{written}");
}

#[test]
fn strangers_who_wait_leave_room_for_those_who_are_known() {
    let place = Place::new();
    let recorder = place.recorder_with(Arc::new(SystemClock::default()), Arc::new(Slow));
    let hand_in = |name: &str, known: bool| {
        let recording = if known { tape(&recorder, name) } else { recorder.tape(name) };
        record(&recording);
        recording.finish();
    };
    (0..100).for_each(|at| hand_in(&format!("s-{at}"), false));
    (0..40).for_each(|at| hand_in(&format!("k-{at}"), true));
    recorder.flush();
    let (strangers, known): (Vec<_>, Vec<_>) =
        place.files().into_iter().partition(|path| path.to_string_lossy().ends_with(".anonymous.tape"));
    assert_eq!(known.len(), 40, "{} of strangers", strangers.len());
    // Those that were written meanwhile made room for others.
    assert!((1..40).contains(&strangers.len()), "{}", strangers.len());
    // What was written makes room again.
    hand_in("s-late", false);
    recorder.flush();
    assert!(place.files().iter().any(|path| path.to_string_lossy().contains("-s-late-")));
}

#[test]
fn a_tape_that_cannot_be_written_hurts_nobody() {
    let place = Place::new();
    let recorder = place.recorder();
    std::fs::remove_dir(&place.record.dir).unwrap();
    let recording = tape(&recorder, "c-1");
    record(&recording);
    recording.finish();
    recorder.flush();
    std::fs::create_dir(&place.record.dir).unwrap();
    assert!(place.files().is_empty());
}

#[test]
fn a_sample_is_a_share_of_the_requests() {
    let mut place = Place::new();
    let mut chosen = |sample: f64| {
        place.record.sample = sample;
        let recorder = place.recorder();
        (0..1_000).filter(|_| recorder.tape("c").is_on()).count()
    };
    assert_eq!((chosen(0.0), chosen(1.0)), (0, 1_000));
    assert!((350..650).contains(&chosen(0.5)));
    place.record.sample = 1.0;
    let dry = place.recorder_with(Arc::new(SystemClock::default()), Arc::new(Dry));
    assert!(!dry.tape("c").is_on());
}

#[test]
fn a_recorder_needs_key_and_folder() {
    let place = Place::new();
    let open = |record: &Record| {
        let recorded = Recorded { component: String::new(), memory: 0, cpu: Duration::ZERO };
        Recorder::open(record, recorded, Arc::new(SystemClock::default()), Arc::new(SystemEntropy)).map(drop)
    };
    assert!(Recorder::check(&place.record).is_ok() && !place.record.dir.exists());
    let keyless = Record { key: place.path("none"), ..place.record.clone() };
    assert!(matches!(open(&keyless), Err(RecordError::Key(_))));
    assert!(matches!(Recorder::check(&keyless), Err(RecordError::Key(_))));
    let no_folder = Record { dir: place.record.key.clone(), ..place.record.clone() };
    assert!(matches!(open(&no_folder), Err(RecordError::Folder(_))));
    assert!(matches!(Recorder::check(&no_folder), Err(RecordError::Folder(_))));
    assert!(format!("{:?}", place.recorder()).contains("key"));
    let told = RecordError::Thread(std::io::Error::other("none left")).to_string();
    assert_eq!(told, "the thread that writes tapes cannot be started: none left");
}

#[test]
fn time_and_randomness_are_recorded_on_their_way() {
    let place = Place::new();
    let recorder = place.recorder();
    let recording = tape(&recorder, "c-1");
    recording.called(&Call::Mint);
    let clock = TapedClock::new(recording.clone(), Arc::new(At(Duration::from_secs(5))));
    assert_eq!((clock.now(), clock.monotonic()), (Duration::from_secs(5), Duration::ZERO));
    let mut bytes = [0; 4];
    TapedEntropy::new(recording.clone(), Arc::new(SystemEntropy)).fill(&mut bytes).unwrap();
    assert!(TapedEntropy::new(recording.clone(), Arc::new(Dry)).fill(&mut [0; 2]).is_err());
    recording.finish();
    recorder.flush();
    let opened = place.open();
    let answer = |at: usize| opened.questions[at].answer.as_ref().unwrap().to_vec();
    assert_eq!(decode(&answer(0)), Some(Duration::from_secs(5)));
    assert_eq!(decode(&answer(1)), Some(Duration::ZERO));
    assert_eq!(decode::<Option<Vec<u8>>>(&answer(2)), Some(Some(bytes.to_vec())));
    assert_eq!(decode::<Option<Vec<u8>>>(&answer(3)), Some(None));
}

/// A clock that stands.
struct At(Duration);

impl Clock for At {
    fn now(&self) -> Duration {
        self.0
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

/// No randomness.
struct Dry;

impl Entropy for Dry {
    fn fill(&self, _bytes: &mut [u8]) -> Result<(), EntropyError> {
        Err(EntropyError)
    }
}

/// Randomness that takes its time where a nonce is made.
struct Slow;

impl Entropy for Slow {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        if bytes.len() == super::key::NONCE {
            std::thread::sleep(Duration::from_millis(20));
        }
        SystemEntropy.fill(bytes)
    }
}
