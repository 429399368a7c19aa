use rstest::rstest;
use serde_json::json;

use super::*;
use crate::audit::SealKey;
use crate::audit::line::{self, Body, Mark};
use crate::audit::testing::{Place, TestKeys, event, until};
use crate::audit::{Audit, Durability};
use crate::hex;

/// Ten events, a checkpoint of them, closed in good order.
async fn closed() -> Place {
    let place = Place::new();
    let log = place.open(Durability::Os).unwrap();
    for number in 1..=10 {
        log.append(event(number)).await.unwrap();
    }
    log.close().await.unwrap();
    place
}

fn tampered(place: &Place, with: impl FnOnce(&mut Vec<String>)) -> Report {
    let mut lines: Vec<String> = place.text().lines().map(str::to_owned).collect();
    with(&mut lines);
    let text: String = lines.iter().flat_map(|line| [line, "\n"]).collect();
    std::fs::write(&place.path, text).unwrap();
    place.verify()
}

fn fault(line: u64, wrong: Wrong) -> Option<Fault> {
    Some(Fault { file: None, line: Some(line), wrong })
}

/// Builds the chain anew over changed lines, as someone without any key can.
fn rechained(lines: &[String]) -> String {
    let (mut out, mut at) = (Vec::new(), Mark::START);
    for line in lines {
        let mut value: serde_json::Value = serde_json::from_str(line).unwrap();
        let members = value.as_object_mut().unwrap();
        for member in ["seq", "time", "prev"] {
            members.remove(member);
        }
        at = line::push(&mut out, at, std::time::Duration::ZERO, &Body::own(&value).unwrap());
    }
    String::from_utf8(out).unwrap()
}

#[tokio::test]
async fn a_log_in_order() {
    let place = closed().await;
    let report = place.verify();
    assert!(report.ok, "{report}");
    assert_eq!((report.lines, report.checkpoints, report.signed), (11, 1, 1));
    assert_eq!((report.after_checkpoint, report.after_head), (0, 0));
    assert_eq!(report.first.as_ref().map(|place| place.seq), Some(1));
    assert_eq!(report.last, Some(super::Place { seq: 11, time: "2026-01-01T00:00:00.000000Z".to_owned() }));
    assert_eq!(report.unchecked, [Unchecked::Rollback]);
}

#[rstest]
#[case::a_value(|lines: &mut Vec<String>| lines[4] = lines[4].replace("\"n\":5", "\"n\":6"), 5, Wrong::Changed)]
#[case::the_first(|lines: &mut Vec<String>| lines[0] = lines[0].replace("\"n\":1", "\"n\":2"), 1, Wrong::Changed)]
#[case::the_genesis(|lines: &mut Vec<String>| lines[0] = lines[0].replace("\"prev\":\"0", "\"prev\":\"1"), 1, Wrong::Changed)]
#[case::a_number(|lines: &mut Vec<String>| lines[4] = lines[4].replace("\"seq\":5", "\"seq\":50"), 5, Wrong::Changed)]
#[case::a_lower_number(|lines: &mut Vec<String>| lines[4] = lines[4].replace("\"seq\":5", "\"seq\":3"), 5, Wrong::Changed)]
#[case::a_hash(|lines: &mut Vec<String>| lines[4] = lines[4].replace(&lines[4][60..70], "0123456789"), 5, Wrong::Changed)]
#[case::a_space(|lines: &mut Vec<String>| lines[4].insert(1, ' '), 5, Wrong::Changed)]
#[case::the_last(|lines: &mut Vec<String>| lines[10] = lines[10].replace("checkpoint\"", "other\""), 11, Wrong::Changed)]
#[case::no_json(|lines: &mut Vec<String>| lines[4].truncate(20), 5, Wrong::Malformed)]
#[case::empty(|lines: &mut Vec<String>| lines[4].clear(), 5, Wrong::Malformed)]
#[case::twice_a_member(|lines: &mut Vec<String>| lines[4] = lines[4].replace("{\"seq\":5", "{\"seq\":5,\"seq\":5"), 5, Wrong::Malformed)]
#[case::too_long(|lines: &mut Vec<String>| lines[4] = "x".repeat(1 << 20), 5, Wrong::Malformed)]
#[case::removed(|lines: &mut Vec<String>| drop(lines.remove(4)), 5, Wrong::Missing { from: 5, to: 5 })]
#[case::several_removed(|lines: &mut Vec<String>| drop(lines.drain(4..7)), 5, Wrong::Missing { from: 5, to: 7 })]
#[case::first_removed(|lines: &mut Vec<String>| drop(lines.remove(0)), 1, Wrong::Missing { from: 1, to: 1 })]
#[case::swapped(|lines: &mut Vec<String>| lines.swap(3, 4), 4, Wrong::Reordered)]
#[case::swapped_far(|lines: &mut Vec<String>| lines.swap(2, 7), 3, Wrong::Reordered)]
#[case::moved_back(|lines: &mut Vec<String>| { let line = lines.remove(2); lines.insert(6, line); }, 3, Wrong::Reordered)]
#[case::repeated(|lines: &mut Vec<String>| lines.insert(5, lines[4].clone()), 6, Wrong::Repeated)]
#[case::last_removed(|lines: &mut Vec<String>| drop(lines.pop()), 11, Wrong::CutOff { reach: 11 })]
#[case::cut_off(|lines: &mut Vec<String>| lines.truncate(3), 4, Wrong::CutOff { reach: 11 })]
#[case::emptied(|lines: &mut Vec<String>| lines.clear(), 1, Wrong::CutOff { reach: 11 })]
#[tokio::test]
async fn what_was_done_to_a_log_is_found(#[case] tamper: fn(&mut Vec<String>), #[case] line: u64, #[case] wrong: Wrong) {
    let place = closed().await;
    let report = tampered(&place, tamper);
    assert_eq!((report.ok, report.fault), (false, fault(line, wrong)));
}

#[tokio::test]
async fn a_forged_line_at_the_end_is_found() {
    let place = closed().await;
    let report = tampered(&place, |lines| lines.push(lines[9].replace("\"seq\":10", "\"seq\":12")));
    assert_eq!(report.fault, fault(11, Wrong::Changed), "the line that it claims to follow is not the last one");

    // One that continues the chain as anyone can: the log had been closed before it.
    let place = closed().await;
    let lines: Vec<String> = place.text().lines().map(str::to_owned).collect();
    let last = lines.last().unwrap();
    let forged = format!(
        "{{\"seq\":12,\"time\":\"2026-01-01T00:00:00.000000Z\",\"prev\":\"{}\",\"outcome\":\"permit\"}}\n",
        hex::encode(&line::hash(last.as_bytes()))
    );
    place.add(forged.as_bytes());
    assert_eq!(place.verify().fault, fault(12, Wrong::Appended));
    // Without the head only the checkpoint is left, and what comes after it is said not to be checked.
    std::fs::remove_file(place.head()).unwrap();
    let report = verify(&place.path, &VerifyOptions::default()).unwrap();
    assert!(report.ok && report.after_checkpoint == 1);
    assert!(report.unchecked.contains(&Unchecked::AfterCheckpoint) && report.unchecked.contains(&Unchecked::NoHead));
}

#[tokio::test]
async fn a_log_rewritten_from_a_line_on_is_found() {
    let place = closed().await;
    let lines: Vec<String> = place.text().replace("\"n\":5", "\"n\":6").lines().map(str::to_owned).collect();
    std::fs::write(&place.path, rechained(&lines)).unwrap();
    assert_eq!(place.verify().fault, fault(11, Wrong::Changed));
    // Also without the head: the checkpoint holds the hash that was signed.
    std::fs::remove_file(place.head()).unwrap();
    let report = verify(&place.path, &VerifyOptions::default()).unwrap();
    assert_eq!(report.fault, fault(11, Wrong::CheckpointMismatch));
}

#[tokio::test]
async fn a_checkpoint_of_other_keys_is_found() {
    let place = closed().await;
    let lines: Vec<String> = place.text().lines().take(10).map(str::to_owned).collect();
    let rewritten = rechained(&lines);
    let hash = hex::encode(&line::hash(rewritten.lines().last().unwrap().as_bytes()));
    let claims = json!({ "seq": 10, "hash": hash, "time": "2026-01-01T00:00:00.000000Z" }).to_string();
    let forge = |keys: &TestKeys, typ: &str, claims: &str, seq: u64, hash: &str| {
        let checkpoint = json!({ "event": "checkpoint", "head": { "seq": seq, "hash": hash }, "jws": keys.jws(typ, claims) });
        std::fs::write(&place.path, rechained(&[lines.clone(), vec![checkpoint.to_string()]].concat())).unwrap();
        let signature = |jws: &str| place.keys.has_signed(jws);
        verify(&place.path, &VerifyOptions { signature: Some(&signature), ..VerifyOptions::default() }).unwrap().fault
    };
    std::fs::remove_file(place.head()).unwrap();
    let (ours, other, typ) = (&*place.keys, &*TestKeys::new(2), "standin-audit+jws");
    assert_eq!(forge(ours, typ, &claims, 10, &hash), None);
    assert_eq!(forge(other, typ, &claims, 10, &hash), fault(11, Wrong::CheckpointSignature));
    assert_eq!(forge(ours, "at+jwt", &claims, 10, &hash), fault(11, Wrong::CheckpointMalformed));
    assert_eq!(forge(ours, typ, "{}", 10, &hash), fault(11, Wrong::CheckpointMalformed));
    assert_eq!(forge(ours, typ, &claims, 10, "00"), fault(11, Wrong::CheckpointMalformed));
    assert_eq!(forge(ours, typ, &claims, 9, &hash), fault(11, Wrong::CheckpointMismatch));
    assert_eq!(forge(ours, typ, &claims, 11, &hash), fault(11, Wrong::CheckpointMismatch));
    assert_eq!(forge(ours, typ, &claims, 12, &hash), fault(11, Wrong::CheckpointMismatch));
    let elsewhere = claims.replace(&hash, &"a".repeat(64));
    assert_eq!(forge(ours, typ, &elsewhere, 10, &hash), fault(11, Wrong::CheckpointMismatch));
}

#[tokio::test]
async fn a_checkpoint_of_a_key_that_is_gone_is_vouched_for_by_a_later_one() {
    let mut place = closed().await;
    let earlier = std::mem::replace(&mut place.keys, TestKeys::new(2));
    assert_eq!(place.verify().fault, fault(11, Wrong::CheckpointSignature));
    let log = place.open(Durability::Os).unwrap();
    log.append(event(11)).await.unwrap();
    log.close().await.unwrap();
    let report = place.verify();
    assert_eq!((report.ok, report.checkpoints, report.signed), (true, 2, 1), "{report}");
    assert_eq!(report.unchecked, [Unchecked::OtherKeys, Unchecked::Rollback]);
    // The other way round nothing vouches for the end.
    place.keys = earlier;
    assert_eq!(place.verify().fault, fault(13, Wrong::CheckpointSignature));
}

#[tokio::test]
async fn a_log_without_checkpoints_is_found() {
    let place = closed().await;
    let signature = |jws: &str| place.keys.has_signed(jws);
    let options =
        |limit| VerifyOptions { signature: Some(&signature), checkpoint_every: Some(limit), ..VerifyOptions::default() };
    assert!(verify(&place.path, &options(10)).unwrap().ok);
    assert_eq!(verify(&place.path, &options(7)).unwrap().fault, fault(8, Wrong::CheckpointMissing));
}

#[tokio::test]
async fn an_older_log_with_its_older_head_is_found_by_a_checkpoint_kept_elsewhere() {
    let place = Place::new();
    let log = place.open(Durability::Os).unwrap();
    for number in 1..=3 {
        log.append(event(number)).await.unwrap();
    }
    log.close().await.unwrap();
    let older = place.crashed();
    let log = place.open(Durability::Os).unwrap();
    log.append(event(4)).await.unwrap();
    log.close().await.unwrap();
    let last = place.lines().pop().unwrap();
    let kept = last["jws"].as_str().unwrap();
    let signature = |jws: &str| place.keys.has_signed(jws);
    let options = VerifyOptions { signature: Some(&signature), known_checkpoint: Some(kept), ..VerifyOptions::default() };
    assert!(verify(&place.path, &options).unwrap().ok);
    assert!(older.verify().ok, "nothing in the folder tells");
    assert_eq!(verify(&older.path, &options).unwrap().fault, fault(5, Wrong::CutOff { reach: 5 }));
    let rewritten: Vec<String> = place.text().replace("\"n\":2", "\"n\":9").lines().map(str::to_owned).collect();
    std::fs::write(&older.path, rechained(&rewritten[..3])).unwrap();
    std::fs::remove_file(older.head()).unwrap();
    assert_eq!(verify(&older.path, &options).unwrap().fault, fault(4, Wrong::CutOff { reach: 5 }));
}

#[tokio::test]
async fn a_known_checkpoint_must_be_one_of_ours() {
    let place = closed().await;
    let with = |jws: &str| {
        let signature = |jws: &str| place.keys.has_signed(jws);
        let options = VerifyOptions { signature: Some(&signature), known_checkpoint: Some(jws), ..VerifyOptions::default() };
        verify(&place.path, &options)
    };
    assert!(matches!(with("a.b"), Err(VerifyError::KnownCheckpoint)));
    let claims = json!({ "seq": 1, "hash": "0".repeat(64) }).to_string();
    let forged = TestKeys::new(2).jws("standin-audit+jws", &claims);
    assert!(matches!(with(&forged), Err(VerifyError::KnownCheckpointSignature)));
    let ours = place.keys.jws("standin-audit+jws", &claims);
    assert_eq!(with(&ours).unwrap().fault, fault(1, Wrong::Changed));
}

#[tokio::test]
async fn a_torn_tail_is_told() {
    let place = Place::new();
    let log = place.open(Durability::Os).unwrap();
    log.append(event(1)).await.unwrap();
    let copy = place.crashed();
    copy.add(b"{\"seq\":2,");
    assert_eq!(copy.verify().fault, fault(2, Wrong::TornTail { bytes: 9 }));

    // Within what the head vouches for it is no unfinished write.
    let place = closed().await;
    let mut bytes = std::fs::read(&place.path).unwrap();
    bytes.pop();
    std::fs::write(&place.path, bytes).unwrap();
    assert_eq!(place.verify().fault, fault(11, Wrong::CutOff { reach: 11 }));
}

#[tokio::test]
async fn a_log_filled_up_with_zeros_is_told() {
    let place = Place::new();
    let log = place.open(Durability::Os).unwrap();
    log.append(event(1)).await.unwrap();
    let copy = place.crashed();
    copy.add(&[0; 300]);
    assert_eq!(copy.verify().fault, fault(2, Wrong::Padded { bytes: 300 }));
}

/// A log of seven lines as a crash leaves it, whose head names the third and the seventh.
async fn with_a_head_behind() -> Place {
    let place = Place::new();
    let log = place.open(Durability::Fsync).unwrap();
    for number in 1..=3 {
        log.append(event(number)).await.unwrap();
    }
    until(|| place.verify().after_head == 0).await;
    let early = place.crashed();
    for number in 4..=7 {
        log.append(event(number)).await.unwrap();
    }
    drop(log);
    // Under load the head is written for many lines at once.
    let copy = place.crashed();
    std::fs::copy(early.head(), copy.head()).unwrap();
    let (mut head, _) = head::HeadFile::open(&copy.path, &copy.seal).unwrap();
    let at = crate::audit::tail::last_line(&File::open(&copy.path).unwrap(), copy.text().len() as u64).unwrap();
    head.store(at, false).unwrap();
    assert!(copy.verify().ok, "{}", copy.verify());
    copy
}

/// Spoils the newest or the other entry of the head.
fn spoil(place: &Place, newest: bool, how: fn(&mut [u8])) {
    let mut head = std::fs::read(place.head()).unwrap();
    let generation = |slot: &[u8]| std::str::from_utf8(slot).unwrap().split(' ').nth(2).unwrap().parse::<u64>().unwrap();
    let first_is_newest = generation(&head[..512]) > generation(&head[512..]);
    how(if first_is_newest == newest { &mut head[..512] } else { &mut head[512..] });
    std::fs::write(place.head(), head).unwrap();
}

fn flipped(slot: &mut [u8]) {
    slot[100] ^= 1;
}

fn blank(slot: &mut [u8]) {
    slot.fill(0);
}

/// With the newest entry of the head spoiled, the other names a line that anything may have followed.
#[rstest]
#[tokio::test]
async fn a_spoiled_head_is_told_wherever_the_log_ends(
    #[values(3, 4, 6, 7)] kept: usize,
    #[values(true, false)] newest: bool,
    #[values(flipped, blank)] how: fn(&mut [u8]),
    #[values("", "{\"seq\":4,")] torn: &str,
) {
    let place = with_a_head_behind().await;
    spoil(&place, newest, how);
    let whole: String = place.text().split_inclusive('\n').take(kept).collect();
    std::fs::write(&place.path, whole + torn).unwrap();
    let report = place.verify();
    assert!(!report.ok && report.fault.is_some(), "{report}");
    let refused = place.open(Durability::Fsync).map(|_| ()).unwrap_err();
    assert!(refused.is_damage(), "{refused}");
    if newest {
        if torn.is_empty() {
            assert_eq!(report.fault, fault(kept as u64, Wrong::HeadSpoiled));
        }
        assert!(matches!(refused, crate::audit::OpenError::HeadSpoiled { seq } if seq == kept as u64), "{refused}");
    }
    crate::audit::accept_damage(&place.path, &place.seal, &*place.clock).unwrap();
    let log = place.open(Durability::Fsync).unwrap();
    log.append(event(8)).await.unwrap();
    log.close().await.unwrap();
    assert_eq!((place.verify().fault, place.verify().accepted.len()), (None, 1));
}

/// What a crash in the middle of writing an entry can leave: the old one or the new one.
#[tokio::test]
async fn a_crash_while_the_head_is_written_is_no_damage() {
    let place = with_a_head_behind().await;
    let before = std::fs::read(place.head()).unwrap();
    let (mut head, _) = head::HeadFile::open(&place.path, &place.seal).unwrap();
    head.store(Mark::START, false).unwrap();
    let after = std::fs::read(place.head()).unwrap();
    assert_eq!(before.chunks(512).zip(after.chunks(512)).filter(|(before, after)| before != after).count(), 1, "one sector");
    std::fs::write(place.head(), before).unwrap();
    let log = place.open(Durability::Fsync).unwrap();
    log.append(event(8)).await.unwrap();
    log.close().await.unwrap();
    assert!(place.verify().ok, "{}", place.verify());
    // Nor is the very first write: both entries, or nothing.
    let fresh = Place::new();
    drop(fresh.open(Durability::Fsync).unwrap());
    assert_eq!(std::fs::metadata(fresh.head()).unwrap().len(), 1_024);
}

#[tokio::test]
async fn a_head_that_is_missing_or_forged_is_told() {
    let mut place = closed().await;
    place.seal = SealKey::new([1; 32]);
    assert_eq!(place.verify().fault, Some(Fault { file: None, line: None, wrong: Wrong::HeadInvalid }));
    let unsealed = verify(&place.path, &VerifyOptions::default()).unwrap();
    assert!(unsealed.ok && unsealed.unchecked.contains(&Unchecked::Seal) && unsealed.unchecked.contains(&Unchecked::Signatures));
    std::fs::remove_file(place.head()).unwrap();
    assert_eq!(place.verify().fault, Some(Fault { file: None, line: None, wrong: Wrong::HeadMissing }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_in_use_can_be_verified() {
    let place = Place::new();
    let log = place.open(Durability::Os).unwrap();
    let writing = tokio::spawn(async move {
        for number in 0..2_000 {
            log.append(event(number)).await.unwrap();
        }
        log
    });
    while !writing.is_finished() {
        let report = tokio::task::block_in_place(|| place.verify());
        assert!(report.ok, "{report}");
    }
    writing.await.unwrap().close().await.unwrap();
    assert!(place.verify().ok);
}

#[test]
fn what_cannot_be_read_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let options = VerifyOptions::default();
    assert!(matches!(verify(&folder.path().join("missing"), &options), Err(VerifyError::Read(_))));
    assert!(matches!(verify(folder.path(), &options), Err(VerifyError::NoLog(NoLog::None(_)))));
    assert!(matches!(verify(Path::new("/dev/null"), &options), Err(VerifyError::NotAFile)));
}

#[tokio::test]
async fn a_report_for_people_and_for_programs() {
    let place = closed().await;
    let report = tampered(&place, |lines| drop(lines.drain(4..7)));
    assert_eq!(
        serde_json::to_value(&report).unwrap(),
        json!({
            "ok": false,
            "fault": { "line": 5, "kind": "missing", "from": 5, "to": 7 },
            "accepted": [],
            "files": 1,
            "removed": null,
            "lines": 8,
            "checkpoints": 0,
            "signed": 0,
            "first": { "seq": 1, "time": "2026-01-01T00:00:00.000000Z" },
            "last": { "seq": 4, "time": "2026-01-01T00:00:00.000000Z" },
            "after_checkpoint": 4,
            "after_head": 0,
            "unchecked": ["no_checkpoint_in_order", "rollback"],
        })
    );
    let text = report.to_string();
    assert!(text.starts_with("wrong: line 5: lines 5 to 7 before it are missing\nlines: 8 ("), "{text}");
    assert!(text.ends_with("not checked: whether an older log was put back: no checkpoint kept elsewhere was given\n"), "{text}");
}
