use rstest::rstest;

use super::*;
use crate::audit::head;
use crate::audit::testing::{Place, event, until};
use crate::audit::{Audit, AuditLog, Durability, LogOptions};

async fn written(place: &Place, events: usize) -> AuditLog {
    let log = place.open(Durability::Fsync).unwrap();
    for number in 0..events {
        log.append(event(number)).await.unwrap();
    }
    log
}

/// A log that was closed in good order with ten events and a checkpoint.
async fn closed() -> Place {
    let place = Place::new();
    written(&place, 10).await.close().await.unwrap();
    place
}

/// A log as a crash leaves it after ten events.
async fn crashed() -> Place {
    let place = Place::new();
    let log = written(&place, 10).await;
    // The head follows after the append was answered.
    let followed = || matches!(head::read(&place.path, Some(&place.seal)).unwrap(), Found::Valid(head) if head.at.seq == 10);
    until(followed).await;
    let copy = place.crashed();
    drop(log);
    copy
}

fn refused(place: &Place) -> OpenError {
    open(&place.path, &place.seal, Duration::ZERO, true).map(|_| ()).unwrap_err()
}

#[rstest]
#[case::half_a_line(b"{\"seq\":11,\"time\":\"2026-")]
#[case::no_json_with_a_newline(b"{\"seq\":11,\"ti---\n")]
#[case::several(b"garbage\nmore garbage\nand a tail")]
#[tokio::test]
async fn a_torn_tail_is_set_aside_and_the_chain_goes_on(#[case] tail: &[u8]) {
    let place = crashed().await;
    place.add(tail);
    let log = place.open(Durability::Fsync).unwrap();
    log.append(event(10)).await.unwrap();
    log.close().await.unwrap();
    let torn = place.path.with_file_name("audit.jsonl.torn-1");
    assert_eq!(std::fs::read(&torn).unwrap(), tail);
    let lines = place.lines();
    assert_eq!(lines[10]["event"], "recovered");
    assert_eq!(lines[10]["bytes"], tail.len());
    assert_eq!(lines[10]["file"], "audit.jsonl.torn-1");
    assert_eq!(lines[11]["n"], 10);
    assert!(place.verify().ok);
}

/// What is left of a log that was cut off and then made as long as before: no write leaves that.
#[rstest]
#[case::zeros(&[0; 5_000])]
#[case::half_a_line_and_zeros(b"{\"seq\":11,\"ti\0\0\0")]
#[case::with_a_newline(b"{\"seq\":11,\"ti\0\0\0\n")]
#[case::and_more(b"\0\0\n{\"a\":1}\nx")]
#[tokio::test]
async fn a_tail_with_zeros_is_damage(#[case] tail: &[u8]) {
    let place = crashed().await;
    place.add(tail);
    assert!(matches!(refused(&place), OpenError::Padded { seq: 10 }));
    let accepted = accept_damage(&place.path, &place.seal, &*place.clock).unwrap();
    assert_eq!((accepted.seq, accepted.moved), (10, tail.len() as u64));
    assert!(place.open(Durability::Os).is_ok());
    assert_eq!(place.verify().accepted.len(), 1);
}

#[tokio::test]
async fn torn_tails_do_not_overwrite_each_other() {
    let mut place = crashed().await;
    for number in 1..=3 {
        place.add(format!("half {number}").as_bytes());
        let log = place.open(Durability::Fsync).unwrap();
        let next = place.crashed();
        for earlier in 1..=number {
            let name = format!("audit.jsonl.torn-{earlier}");
            std::fs::copy(place.path.with_file_name(&name), next.path.with_file_name(&name)).unwrap();
        }
        drop(log);
        place = next;
    }
    assert_eq!(std::fs::read(place.path.with_file_name("audit.jsonl.torn-3")).unwrap(), b"half 3");
}

#[tokio::test]
async fn lines_beyond_the_head_are_kept_when_they_continue_the_chain() {
    let place = Place::new();
    let log = written(&place, 3).await;
    let head = std::fs::read(place.head()).unwrap();
    for number in 3..6 {
        log.append(event(number)).await.unwrap();
    }
    let copy = place.crashed();
    std::fs::write(copy.head(), head).unwrap();
    let log = copy.open(Durability::Os).unwrap();
    log.append(event(6)).await.unwrap();
    log.close().await.unwrap();
    assert_eq!(copy.lines().iter().filter(|line| line["n"].is_u64()).count(), 7);
    assert!(copy.verify().ok);
}

#[tokio::test]
async fn one_writer() {
    let place = Place::new();
    let log = written(&place, 1).await;
    assert!(matches!(refused(&place), OpenError::Locked));
    log.close().await.unwrap();
    let again = place.open(Durability::Os).unwrap();
    again.append(event(1)).await.unwrap();
}

#[tokio::test]
async fn a_log_without_its_head_is_refused() {
    let place = closed().await;
    std::fs::remove_file(place.head()).unwrap();
    assert!(matches!(refused(&place), OpenError::HeadMissing));
}

#[tokio::test]
async fn a_head_of_another_key_is_refused() {
    let mut place = closed().await;
    place.seal = SealKey::new([1; 32]);
    assert!(matches!(refused(&place), OpenError::HeadInvalid));
}

#[rstest]
#[tokio::test]
async fn a_log_that_is_cut_off_is_refused(#[values(true, false)] in_order: bool, #[values(0, 1, 2, 9)] kept: usize) {
    let place = if in_order { closed().await } else { crashed().await };
    let text: String = place.text().split_inclusive('\n').take(kept).collect();
    std::fs::write(&place.path, text).unwrap();
    assert!(matches!(refused(&place), OpenError::Truncated { seq: 10 | 11, .. }));
    std::fs::remove_file(&place.path).unwrap();
    assert!(matches!(refused(&place), OpenError::Truncated { .. }), "also when it is gone");
    assert!(!place.path.exists(), "and it is not made anew: whoever has it may want to put it back");
}

#[tokio::test]
async fn a_log_whose_last_line_was_changed_is_refused() {
    let place = crashed().await;
    std::fs::write(&place.path, place.text().replace("\"n\":9", "\"n\":8")).unwrap();
    assert!(matches!(refused(&place), OpenError::Changed { seq: 10 }));
}

#[tokio::test]
async fn a_line_that_does_not_continue_the_chain_is_no_torn_tail() {
    let place = crashed().await;
    let line = format!("{{\"seq\":11,\"time\":\"2026-01-01T00:00:00.000000Z\",\"prev\":\"{}\"}}\n", "a".repeat(64));
    place.add(line.as_bytes());
    assert!(matches!(refused(&place), OpenError::Broken { seq: 10 }));
    place.add(b"and half a li");
    assert!(matches!(refused(&place), OpenError::Broken { seq: 10 }));
}

#[tokio::test]
async fn what_was_added_to_a_closed_log_is_refused() {
    let place = closed().await;
    place.add(b"x");
    assert!(matches!(refused(&place), OpenError::AppendedAfterClose { bytes: 1 }));
}

#[tokio::test]
async fn only_a_regular_file_is_a_log() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("full");
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    let seal = SealKey::new([0; 32]);
    assert!(matches!(open(&path, &seal, Duration::ZERO, true).map(|_| ()), Err(OpenError::NotAFile)));
    let missing = folder.path().join("no/such/folder");
    assert!(matches!(open(&missing, &seal, Duration::ZERO, true).map(|_| ()), Err(OpenError::Io(_))));
}

#[rstest]
#[case::folder(true, 0o777)]
#[case::folder_of_a_group(true, 0o770)]
#[case::folder_with_a_sticky_bit(true, 0o1777)]
#[case::log(false, 0o666)]
#[case::log_of_a_group(false, 0o660)]
#[tokio::test]
async fn what_others_can_write_is_no_place_for_a_log(#[case] folder: bool, #[case] mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    let place = closed().await;
    let set = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    let (path, before) = if folder { (place.path.parent().unwrap(), 0o700) } else { (place.path.as_path(), 0o600) };
    set(path, mode);
    assert!(
        matches!(refused(&place), OpenError::Unsafe(UnsafePlace { source: GuardError::Writable { mode: found }, .. }) if found == mode)
    );
    assert!(matches!(check_place(&place.path), Err(OpenError::Unsafe(_))));
    // Whoever may only read does no harm.
    set(path, before | 0o055);
    check_place(&place.path).unwrap();
    assert!(place.open(Durability::Os).is_ok());
}

#[tokio::test]
async fn a_link_is_not_followed() {
    let place = closed().await;
    let elsewhere = place.path.with_extension("elsewhere");
    std::fs::rename(&place.path, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &place.path).unwrap();
    assert!(matches!(refused(&place), OpenError::NotAFile));
}

#[test]
fn torn_files_are_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    for number in 1..=MAX_TORN {
        File::create(folder.path().join(format!("log.torn-{number}"))).unwrap();
    }
    assert!(matches!(torn_file(&path), Err(OpenError::TooManyTorn)));
}

#[test]
fn a_log_needs_a_runtime() {
    let place = Place::new();
    assert!(matches!(place.open(Durability::Os), Err(OpenError::NoRuntime)));
}

#[rstest]
#[case::cut_off("truncated")]
#[case::no_head("headless")]
#[case::other_seal("resealed")]
#[case::changed("changed")]
#[case::broken("broken")]
#[case::as_it_was("nothing")]
#[tokio::test]
async fn an_operator_can_accept_the_damage(#[case] damage: &str) {
    let mut place = crashed().await;
    match damage {
        "truncated" => {
            let text: String = place.text().split_inclusive('\n').take(5).collect();
            std::fs::write(&place.path, text + "half").unwrap();
        }
        "headless" => std::fs::remove_file(place.head()).unwrap(),
        "resealed" => place.seal = SealKey::new([1; 32]),
        "changed" => std::fs::write(&place.path, place.text().replace("\"n\":9", "\"n\":8")).unwrap(),
        "broken" => place.add(b"{\"seq\":12}\n"),
        _ => {}
    }
    let accepted = accept_damage(&place.path, &place.seal, &*place.clock).unwrap();
    let cut = damage == "truncated";
    assert_eq!(accepted.damage.is_some(), !matches!(damage, "nothing" | "broken"), "{accepted:?}");
    assert_eq!(accepted.seq, if cut { 5 } else { 10 });
    assert_eq!(
        accepted.moved,
        if cut {
            4
        } else if damage == "broken" {
            11
        } else {
            0
        }
    );
    let log = place.open(Durability::Os).unwrap();
    log.append(event(10)).await.unwrap();
    log.close().await.unwrap();
    let lines = place.lines();
    let marks = lines.iter().filter(|line| line["event"] == "damage_accepted").count();
    assert_eq!(marks, usize::from(accepted.damage.is_some()));
    let (report, said) = (place.verify(), accepted.damage.map(|damage| damage.to_string()));
    assert_eq!((report.ok, report.fault.is_none()), (said.is_none(), true), "{report}");
    let reported: Vec<_> = report.accepted.iter().map(|accepted| (accepted.line, accepted.damage.clone())).collect();
    assert_eq!(reported, said.iter().map(|said| (if cut { 6 } else { 11 }, said.clone())).collect::<Vec<_>>());
    assert_eq!(report.to_string().starts_with("ok: "), report.ok);
}

#[tokio::test]
async fn opening_a_large_log_does_not_read_it() {
    let place = Place::new();
    let log = place.open_with(LogOptions { durability: Durability::Os, ..LogOptions::default() }).unwrap();
    for number in 0..2_000 {
        log.append(event(number)).await.unwrap();
    }
    log.close().await.unwrap();
    // What stands before the head is not looked at: that is the business of `verify`.
    let mut bytes = std::fs::read(&place.path).unwrap();
    bytes[1_000..2_000].fill(b'x');
    std::fs::write(&place.path, bytes).unwrap();
    assert!(place.open(Durability::Os).is_ok());
    assert!(!place.verify().ok);
}
