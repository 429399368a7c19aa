use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rstest::rstest;

use super::*;
use crate::audit::head::Found;
use crate::audit::testing::{Place, event, until};
use crate::audit::verify::{Fault, Report, Wrong};
use crate::audit::{Audit as _, Durability, LogOptions, OpenError, accept_damage, head};

/// Three closed files of three events each, and one with an event; closed in good order.
async fn several(options: LogOptions) -> Place {
    let place = Place::new();
    let log = place.open_with(options).unwrap();
    for file in 0..3 {
        for number in 0..3 {
            log.append(event(10 * file + number)).await.unwrap();
        }
        let rotated = log.rotate().await.unwrap();
        assert_eq!(rotated.file, format!("audit.jsonl.{:06}", file + 1));
    }
    log.append(event(99)).await.unwrap();
    log.close().await.unwrap();
    place
}

fn closed(place: &Place, number: u64) -> PathBuf {
    series::closed_path(&place.path, number)
}

/// A folder like the place's.
fn copy(place: &Place) -> Place {
    let other = Place { keys: Arc::clone(&place.keys), clock: Arc::clone(&place.clock), ..Place::new() };
    copy_all(place.path.parent().unwrap(), other.path.parent().unwrap());
    other
}

fn copy_all(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

fn fault(file: &str, line: u64, wrong: Wrong) -> Option<Fault> {
    Some(Fault { file: Some(file.to_owned()), line: Some(line), wrong })
}

#[rstest]
#[tokio::test]
async fn a_chain_goes_through_all_files(#[values(Durability::Fsync, Durability::Os)] durability: Durability) {
    let place = several(LogOptions { durability, ..LogOptions::default() }).await;
    let report = place.verify();
    assert!(report.ok, "{report}");
    // Three times three events and a closing line; three first lines; an event, and the last checkpoint.
    assert_eq!((report.files, report.lines, report.checkpoints, report.signed), (4, 17, 4, 4));
    assert_eq!((report.after_checkpoint, report.after_head, report.removed.as_ref()), (0, 0, None));
    assert_eq!(report.first.as_ref().map(|first| first.seq), Some(1));
    let first = |path: &Path| {
        let text = std::fs::read_to_string(path).unwrap();
        serde_json::from_str::<serde_json::Value>(text.lines().next().unwrap()).unwrap()
    };
    let line = first(&closed(&place, 2));
    assert_eq!((&line["event"], &line["file"], &line["after"]), (&"continued".into(), &2.into(), &"audit.jsonl.000001".into()));
    let before = std::fs::read_to_string(closed(&place, 1)).unwrap();
    let last = before.lines().last().unwrap();
    assert_eq!(line["prev"], crate::hex::encode(&crate::audit::line::hash(last.as_bytes())).as_str());
    assert!(last.contains("\"event\":\"checkpoint\"") && last.contains("\"closes\":1"), "{last}");
    // The folder, the log and any of its files mean the same.
    for path in [place.path.parent().unwrap(), &closed(&place, 2)] {
        assert_eq!(place.verify_at(path), report);
    }
}

#[rstest]
#[case::first_missing(|place: &Place| std::fs::remove_file(closed(place, 1)).unwrap(), "audit.jsonl.000002", 1, Wrong::Missing { from: 1, to: 4 })]
#[case::middle_missing(|place: &Place| std::fs::remove_file(closed(place, 2)).unwrap(), "audit.jsonl.000003", 1, Wrong::Missing { from: 5, to: 9 })]
#[case::last_missing(|place: &Place| std::fs::remove_file(closed(place, 3)).unwrap(), "audit.jsonl", 1, Wrong::Missing { from: 10, to: 14 })]
#[case::log_missing(|place: &Place| std::fs::remove_file(&place.path).unwrap(), "audit.jsonl.000003", 6, Wrong::CutOff { reach: 17 })]
#[case::swapped(|place: &Place| swap(&closed(place, 2), &closed(place, 3)), "audit.jsonl.000002", 1, Wrong::Reordered)]
#[case::first_swapped(|place: &Place| swap(&closed(place, 1), &closed(place, 2)), "audit.jsonl.000001", 1, Wrong::Reordered)]
#[case::edited(|place: &Place| edit(&closed(place, 2), "\"n\":11", "\"n\":44"), "audit.jsonl.000002", 3, Wrong::Changed)]
#[case::end_edited(|place: &Place| edit(&closed(place, 2), "\"closes\":2", "\"closes\":7"), "audit.jsonl.000002", 5, Wrong::Changed)]
#[case::beginning_edited(|place: &Place| edit(&closed(place, 3), "\"file\":3", "\"file\":4"), "audit.jsonl.000003", 1, Wrong::Changed)]
#[case::cut_off(|place: &Place| cut(&closed(place, 2)), "audit.jsonl.000003", 1, Wrong::Missing { from: 9, to: 9 })]
#[case::padded(|place: &Place| pad(&closed(place, 2)), "audit.jsonl.000002", 6, Wrong::Padded { bytes: 100 })]
#[tokio::test]
async fn what_was_done_to_the_files_is_found(
    #[case] deed: fn(&Place),
    #[case] file: &str,
    #[case] line: u64,
    #[case] wrong: Wrong,
) {
    let place = several(LogOptions::default()).await;
    deed(&place);
    let report = place.verify();
    assert_eq!((report.ok, report.fault.clone()), (false, fault(file, line, wrong)), "{report}");
    let Report { fault: Some(found), .. } = report else { return };
    assert!(found.to_string().starts_with(&format!("{file} line {line}: ")), "{found}");
}

fn swap(one: &Path, other: &Path) {
    let between = one.with_extension("between");
    std::fs::rename(one, &between).unwrap();
    std::fs::rename(other, one).unwrap();
    std::fs::rename(between, other).unwrap();
}

fn edit(path: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{text}");
    std::fs::write(path, text.replace(from, to)).unwrap();
}

fn cut(path: &Path) {
    let text = std::fs::read_to_string(path).unwrap();
    let count = text.lines().count();
    std::fs::write(path, text.split_inclusive('\n').take(count - 1).collect::<String>()).unwrap();
}

fn pad(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes.extend_from_slice(&[0; 100]);
    std::fs::write(path, bytes).unwrap();
}

#[rstest]
#[tokio::test]
async fn a_crash_between_any_two_steps_leaves_a_log_that_opens_and_lacks_nothing(
    #[values(Durability::Fsync, Durability::Os)] durability: Durability,
) {
    let place = Arc::new(Place::new());
    let log = place.open_with(LogOptions { durability, ..LogOptions::default() }).unwrap();
    for number in 0..3 {
        log.append(event(number)).await.unwrap();
    }
    let crashes = Arc::new(Mutex::new(Vec::new()));
    let (seen, looked_at) = (Arc::clone(&crashes), Arc::clone(&place));
    let look = move |step: Step| seen.lock().unwrap().push((step, copy(&looked_at)));
    log.inner.rotate(Arc::new(look)).await.unwrap();
    let crashes = std::mem::take(&mut *crashes.lock().unwrap());
    let steps: Vec<Step> = crashes.iter().map(|(step, _)| *step).collect();
    assert_eq!(steps, [Step::Closed, Step::Sealed, Step::Begun, Step::Numbered, Step::InPlace, Step::Done]);
    for (step, crashed) in crashes {
        let before = crashed.verify();
        assert!(before.fault.is_none(), "{step:?}: {before}");
        for again in 0..2 {
            let log = opened(&crashed, durability).await.unwrap_or_else(|error| panic!("{step:?}: {error}"));
            log.append(event(10 + again)).await.unwrap();
            if again == 0 {
                drop(log);
            } else {
                log.close().await.unwrap();
            }
        }
        let report = crashed.verify();
        assert!(report.ok, "{step:?}: {report}");
        // Once the head names the closing line, the file is closed whatever crashes, and no other is.
        assert_eq!(report.files, if step == Step::Closed { 1 } else { 2 }, "{step:?}: {report}");
        assert!(!series::next_path(&crashed.path).exists(), "{step:?}");
        let files = crate::audit::files(&crashed.path).unwrap();
        let all: String = files.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
        for number in [0, 1, 2, 10, 11] {
            assert!(all.contains(&format!("\"n\":{number}}}")), "{step:?}: {number}");
        }
    }
}

/// A log that was let go a moment ago: its thread may still have the lock.
async fn opened(place: &Place, durability: Durability) -> Result<AuditLog, OpenError> {
    for _ in 0..100 {
        match place.open(durability) {
            Err(OpenError::Locked) => tokio::time::sleep(Duration::from_millis(20)).await,
            opened => return opened,
        }
    }
    Err(OpenError::Locked)
}

#[tokio::test]
async fn a_closing_line_that_was_not_finished_closes_nothing() {
    let place = Arc::new(Place::new());
    let log = place.open(Durability::Fsync).unwrap();
    log.append(event(1)).await.unwrap();
    let crash = Arc::new(Mutex::new(None));
    let (seen, looked_at) = (Arc::clone(&crash), Arc::clone(&place));
    let look = move |step: Step| {
        if step == Step::Closed {
            *seen.lock().unwrap() = Some(copy(&looked_at));
        }
    };
    log.inner.rotate(Arc::new(look)).await.unwrap();
    let crashed = crash.lock().unwrap().take().unwrap();
    let text = crashed.text();
    std::fs::write(&crashed.path, &text[..text.len() - 10]).unwrap();
    let log = crashed.open(Durability::Fsync).unwrap();
    log.append(event(2)).await.unwrap();
    log.close().await.unwrap();
    let report = crashed.verify();
    assert_eq!((report.ok, report.files), (true, 1), "{report}");
}

/// A new file that claims to follow, while the head names a line that closes nothing.
#[tokio::test]
async fn a_file_in_the_logs_place_does_not_pass_for_the_next_one() {
    let place = Place::new();
    let log = place.open(Durability::Fsync).unwrap();
    for number in 1..=3 {
        log.append(event(number)).await.unwrap();
    }
    until(|| place.verify().after_head == 0).await;
    let forged = place.crashed();
    drop(log);
    let Found::Valid(head) = head::read(&forged.path, Some(&forged.seal)).unwrap() else { panic!("no head") };
    std::fs::rename(&forged.path, closed(&forged, 1)).unwrap();
    assert!(matches!(forged.open(Durability::Fsync), Err(OpenError::Truncated { seq: 3, .. })));
    let follows = format!(
        "{{\"seq\":4,\"time\":\"2026-01-01T00:00:00.000000Z\",\"prev\":\"{}\",\"event\":\"continued\",\"file\":2}}\n",
        crate::hex::encode(&head.at.hash)
    );
    std::fs::write(&forged.path, &follows).unwrap();
    std::fs::set_permissions(&forged.path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    assert!(matches!(forged.open(Durability::Fsync), Err(OpenError::Truncated { seq: 3, .. })));
}

#[tokio::test]
async fn what_is_not_kept_goes_and_the_rest_says_from_where_it_begins() {
    let place = several(LogOptions { keep: Some(1), ..LogOptions::default() }).await;
    assert!(!closed(&place, 1).exists() && !closed(&place, 2).exists() && closed(&place, 3).exists());
    let report = place.verify();
    assert!(report.ok, "{report}");
    let removed = report.removed.as_ref().unwrap();
    assert_eq!((removed.last, removed.file.as_deref(), report.files), (9, Some("audit.jsonl"), 2), "{report}");
    assert_eq!(report.first.as_ref().map(|first| first.seq), Some(10));
    assert!(report.to_string().contains("removed: lines 1 to 9, which are not kept any more"), "{report}");
    let record = place.lines().into_iter().find(|line| line["event"] == "removed").unwrap();
    assert_eq!(
        (&record["files"], &record["first"], &record["last"]),
        (&serde_json::json!(["audit.jsonl.000002"]), &5.into(), &9.into())
    );
    // It goes on, and what is removed by somebody else is missed all the same.
    let log = place.open_with(LogOptions { keep: Some(1), ..LogOptions::default() }).unwrap();
    log.append(event(1)).await.unwrap();
    let rotated = log.rotate().await.unwrap();
    assert_eq!((rotated.file.as_str(), rotated.removed), ("audit.jsonl.000004", vec!["audit.jsonl.000003".to_owned()]));
    log.close().await.unwrap();
    assert!(place.verify().ok, "{}", place.verify());
    std::fs::remove_file(closed(&place, 4)).unwrap();
    let report = place.verify();
    assert!(matches!(report.fault, Some(Fault { wrong: Wrong::Missing { from: 1, .. }, .. })), "{report}");
}

#[tokio::test]
async fn what_was_changed_is_not_thrown_away() {
    let place = several(LogOptions::default()).await;
    edit(&closed(&place, 2), "\"closes\":2", "\"closes\":7");
    let log = place.open_with(LogOptions { keep: Some(1), ..LogOptions::default() }).unwrap();
    assert_eq!(log.rotate().await.unwrap().removed, Vec::<String>::new());
    assert!(closed(&place, 1).exists() && closed(&place, 2).exists());
}

#[tokio::test]
async fn a_file_that_is_large_is_closed() {
    let place = Place::new();
    let log = place.open_with(LogOptions { max_size: Some(2_000), ..LogOptions::default() }).unwrap();
    let mut number = 0;
    while series::closed(&place.path).unwrap().len() < 2 {
        log.append(event(number)).await.unwrap();
        number += 1;
        tokio::task::yield_now().await;
        assert!(number < 1_000_000, "it is never closed");
    }
    log.close().await.unwrap();
    assert!(place.verify().ok, "{}", place.verify());
    assert!(place.verify().files >= 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn appends_go_on_while_files_are_closed() {
    for durability in [Durability::Fsync, Durability::Os] {
        let place = Place::new();
        let log = Arc::new(place.open(durability).unwrap());
        let tasks: Vec<_> = (0..8)
            .map(|task| {
                let log = Arc::clone(&log);
                tokio::spawn(async move {
                    for number in 0..50 {
                        log.append(event(task * 50 + number)).await.unwrap();
                    }
                })
            })
            .collect();
        for _ in 0..5 {
            log.rotate().await.unwrap();
            let report = tokio::task::block_in_place(|| place.verify());
            assert!(report.ok, "{report}");
        }
        for task in tasks {
            task.await.unwrap();
        }
        log.close().await.unwrap();
        let report = place.verify();
        assert_eq!((report.ok, report.files), (true, 6), "{report}");
        let all: String =
            crate::audit::files(&place.path).unwrap().iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
        assert!((0..400).all(|number| all.contains(&format!("\"n\":{number}}}"))));
    }
}

#[tokio::test]
async fn a_log_in_which_nothing_stands_can_be_closed_too() {
    let place = Place::new();
    let log = place.open(Durability::Fsync).unwrap();
    for number in 1..=3 {
        assert_eq!(log.rotate().await.unwrap().file, format!("audit.jsonl.{number:06}"));
        let report = place.verify();
        assert!(report.ok, "{report}");
    }
    log.append(event(1)).await.unwrap();
    log.close().await.unwrap();
    assert_eq!((place.verify().ok, place.verify().files), (true, 4));
}

#[tokio::test]
async fn a_log_that_cannot_be_signed_is_not_closed() {
    let place = Place::new();
    let log = place.open(Durability::Os).unwrap();
    log.append(event(1)).await.unwrap();
    place.keys.set_failing(true);
    assert!(matches!(log.rotate().await, Err(AuditError::Checkpoint(_))));
    log.append(event(2)).await.unwrap();
    place.keys.set_failing(false);
    log.close().await.unwrap();
    assert!(matches!(log.rotate().await, Err(AuditError::Closed)));
    assert_eq!((place.verify().ok, place.verify().files), (true, 1));
}

#[rstest]
#[case::renamed(false)]
#[case::renamed_and_an_empty_file_made(true)]
#[tokio::test]
async fn a_log_that_was_renamed_gets_its_name_back_and_is_closed(#[case] made: bool) {
    let place = Place::new();
    let log = place.open(Durability::Fsync).unwrap();
    log.append(event(1)).await.unwrap();
    let elsewhere = place.path.with_file_name("audit.jsonl.1");
    std::fs::rename(&place.path, &elsewhere).unwrap();
    if made {
        std::fs::write(&place.path, "").unwrap();
    }
    assert!(matches!(log.append(event(2)).await, Err(AuditError::Displaced(_))));
    assert_eq!(log.rotate().await.unwrap().file, "audit.jsonl.000001");
    assert!(!elsewhere.exists());
    log.append(event(3)).await.unwrap();
    log.close().await.unwrap();
    let report = place.verify();
    assert_eq!((report.ok, report.files), (true, 2), "{report}");
}

#[tokio::test]
async fn a_log_that_is_gone_or_was_changed_is_not_closed() {
    for deed in [
        (|log: &Path| std::fs::remove_file(log).unwrap()) as fn(&Path),
        |log| std::fs::write(log, "").unwrap(),
        |log| std::fs::rename(log, log.parent().unwrap().parent().unwrap().join(crate::hex::encode(&[7; 8]))).unwrap(),
        |log| {
            let text = std::fs::read_to_string(log).unwrap();
            std::fs::rename(log, log.with_extension("1")).unwrap();
            std::fs::write(log.with_extension("1"), text.replace("\"n\":1", "\"n\":2")).unwrap();
        },
    ] {
        let place = Place::new();
        let log = place.open(Durability::Fsync).unwrap();
        log.append(event(1)).await.unwrap();
        deed(&place.path);
        assert!(matches!(log.rotate().await, Err(AuditError::Displaced(_))), "{:?}", log.ready().await);
        assert!(log.append(event(2)).await.is_err() && log.ready().await.is_err());
        assert!(log.close().await.is_err());
        assert!(series::closed(&place.path).unwrap().is_empty());
        let _elsewhere = std::fs::remove_file(std::env::temp_dir().join(crate::hex::encode(&[7; 8])));
    }
}

/// What an operator does whose log is lost: the next one goes on behind what was closed before.
#[tokio::test]
async fn a_lost_log_goes_on_behind_the_files_that_are_left() {
    let place = several(LogOptions::default()).await;
    std::fs::remove_file(&place.path).unwrap();
    assert!(matches!(place.open(Durability::Fsync), Err(OpenError::Truncated { .. })));
    let accepted = accept_damage(&place.path, &place.seal, &*place.clock).unwrap();
    assert_eq!(accepted.seq, 14);
    let log = place.open(Durability::Fsync).unwrap();
    log.append(event(1)).await.unwrap();
    log.rotate().await.unwrap();
    log.close().await.unwrap();
    let report = place.verify();
    assert_eq!((report.fault.as_ref(), report.accepted.len(), report.files), (None, 1, 5), "{report}");
    assert_eq!(report.accepted[0].file.as_deref(), Some("audit.jsonl.000004"));
}
