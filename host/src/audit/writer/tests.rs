use std::fs::File;

use rstest::rstest;

use super::*;
use crate::audit::file::LogFile;
use crate::audit::line::MAX_LINE;
use crate::audit::testing::{Faults, FaultySink};

const NOW: Duration = Duration::from_secs(1);

fn body(number: u32) -> Body {
    Body::new(format!("{{\"n\":{number}}}")).unwrap()
}

fn commit(writer: &mut Writer, numbers: &[u32]) -> Result<(), Fault> {
    let bodies: Vec<Body> = numbers.iter().map(|number| body(*number)).collect();
    writer.commit(NOW, bodies.iter().map(|body| (NOW, body)))
}

fn parts(durable: bool) -> (tempfile::TempDir, Arc<FaultySink>, Writer) {
    let folder = tempfile::tempdir().unwrap();
    let sink = FaultySink::new(&folder.path().join("log"));
    let writer = Writer::new(Arc::clone(&sink) as _, durable, Mark::START, Mark::START);
    (folder, sink, writer)
}

fn text(folder: &tempfile::TempDir) -> String {
    std::fs::read_to_string(folder.path().join("log")).unwrap()
}

/// Every line continues the one before it.
fn assert_whole(folder: &tempfile::TempDir, writer: &Writer) {
    let file = File::open(folder.path().join("log")).unwrap();
    let (at, rest) = crate::audit::tail::follow(&file, Mark::START).unwrap();
    assert_eq!((at, rest), (writer.at(), crate::audit::tail::Rest::Nothing));
}

#[rstest]
fn a_disk_that_fills_up_in_the_faulty_sink_leaves_no_half_line(
    #[values(0, 1, 100, 150)] room: usize,
    #[values(true, false)] durable: bool,
) {
    let (folder, sink, mut writer) = parts(durable);
    commit(&mut writer, &[1, 2]).unwrap();
    let before = text(&folder);
    sink.set(Faults { room: Some(room), ..Faults::default() });
    let fault = commit(&mut writer, &[3, 4, 5]).unwrap_err();
    assert_eq!(io::Error::from(fault).kind(), io::ErrorKind::StorageFull);
    assert_eq!(text(&folder), before, "all of the batch or nothing");
    assert!(commit(&mut writer, &[6]).is_err(), "still full");
    assert_eq!(writer.fault(), Some(fault));

    sink.set(Faults::default());
    commit(&mut writer, &[7]).unwrap();
    assert_eq!(writer.fault(), None);
    assert_whole(&folder, &writer);
    let text = text(&folder);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4);
    assert!(lines[2].contains("\"event\":\"resumed\"") && lines[2].contains("\"refused\":4"), "{}", lines[2]);
    assert!(lines[3].contains("\"n\":7"));
}

#[test]
fn a_short_write_goes_on_where_it_stopped() {
    let (folder, sink, mut writer) = parts(true);
    sink.set(Faults { most: Some(7), ..Faults::default() });
    commit(&mut writer, &[1, 2, 3]).unwrap();
    assert_whole(&folder, &writer);
}

#[test]
fn a_failed_sync_of_the_faulty_sink_fails_the_batch_and_all_that_follows() {
    let (folder, sink, mut writer) = parts(true);
    commit(&mut writer, &[1]).unwrap();
    sink.set(Faults { sync: true, ..Faults::default() });
    assert!(commit(&mut writer, &[2]).is_err());
    assert!(commit(&mut writer, &[3]).is_err());
    assert_eq!(writer.at().seq, 1);
    assert!(!text(&folder).contains("\"n\":2"), "what was refused is not in the log");
    sink.set(Faults::default());
    commit(&mut writer, &[]).unwrap();
    assert_eq!(writer.at().seq, 2, "the line that says so");
    assert_whole(&folder, &writer);
}

#[test]
fn a_log_that_cannot_be_cut_back_in_the_faulty_sink_takes_nothing_more() {
    let (folder, sink, mut writer) = parts(false);
    commit(&mut writer, &[1]).unwrap();
    sink.set(Faults { room: Some(10), truncate: true, ..Faults::default() });
    assert!(commit(&mut writer, &[2]).is_err());
    sink.set(Faults { truncate: true, ..Faults::default() });
    assert!(commit(&mut writer, &[3]).is_err(), "there is half a line, and nothing may follow it");
    assert!(!text(&folder).contains("\"n\":3"));
    sink.set(Faults::default());
    commit(&mut writer, &[4]).unwrap();
    assert_whole(&folder, &writer);
}

#[test]
fn the_full_device_is_full() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let full = LogFile::new(full, std::path::Path::new("/dev/full")).unwrap();
    let mut writer = Writer::new(Arc::new(full), false, Mark::START, Mark::START);
    for number in 0..3 {
        assert!(commit(&mut writer, &[number]).is_err());
    }
    assert_eq!(writer.at(), Mark::START);
}

#[test]
fn a_large_buffer_is_not_kept() {
    let (_folder, _sink, mut writer) = parts(false);
    let large = Body::new(format!("{{\"a\":\"{}\"}}", "x".repeat(MAX_LINE / 2))).unwrap();
    let batch = [(NOW, &large), (NOW, &large), (NOW, &large)];
    writer.commit(NOW, batch.into_iter()).unwrap();
    assert!(writer.buffer.capacity() <= KEEP_BUFFER);
}

/// What somebody does to the file of a log.
type Deed = fn(&std::path::Path);

fn cut_to(path: &std::path::Path, len: u64) {
    File::options().write(true).open(path).unwrap().set_len(len).unwrap();
}

#[rstest]
#[case::removed(|log: &std::path::Path| std::fs::remove_file(log).unwrap())]
#[case::moved(|log: &std::path::Path| std::fs::rename(log, log.with_extension("old")).unwrap())]
#[case::replaced(|log: &std::path::Path| { std::fs::copy(log, log.with_extension("new")).unwrap(); std::fs::rename(log.with_extension("new"), log).unwrap(); })]
#[case::linked(|log: &std::path::Path| { std::fs::rename(log, log.with_extension("old")).unwrap(); std::os::unix::fs::symlink(log.with_extension("old"), log).unwrap(); })]
#[case::folder_moved(|log: &std::path::Path| std::fs::rename(log.parent().unwrap(), log.parent().unwrap().with_extension("old")).unwrap())]
#[case::emptied(|log: &std::path::Path| cut_to(log, 0))]
#[case::cut_off(|log: &std::path::Path| cut_to(log, 200))]
#[case::cut_off_and_padded(|log: &std::path::Path| { cut_to(log, 200); cut_to(log, 9_999); })]
#[case::appended(|log: &std::path::Path| io::Write::write_all(&mut File::options().append(true).open(log).unwrap(), b"x").unwrap())]
fn a_log_that_is_not_as_it_was_left_takes_nothing_and_is_not_touched(#[case] deed: Deed, #[values(false, true)] full: bool) {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("log");
    std::fs::create_dir(&folder).unwrap();
    let path = folder.join("log");
    let sink = FaultySink::new(&path);
    let mut writer = Writer::new(Arc::clone(&sink) as _, true, Mark::START, Mark::START);
    commit(&mut writer, &[1, 2, 3]).unwrap();
    let at = writer.at();
    if full {
        // Beside it the disk fills up: what sets the log right afterwards must not touch it either.
        sink.set(Faults { room: Some(10), ..Faults::default() });
        assert!(matches!(commit(&mut writer, &[4]), Err(Fault::Io { .. })));
        sink.set(Faults::default());
    }
    deed(&path);
    let before = everything(home.path());
    for number in 4..7 {
        assert!(matches!(commit(&mut writer, &[number]), Err(Fault::Displaced(_))));
        assert!(commit(&mut writer, &[]).is_err());
    }
    assert_eq!(everything(home.path()), before, "nothing is extended, cut or made");
    assert_eq!(writer.at(), at);
}

/// Every file below, and what is in it.
fn everything(folder: &std::path::Path) -> std::collections::BTreeMap<std::path::PathBuf, Vec<u8>> {
    let mut found = std::collections::BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(everything(&path));
        } else {
            found.insert(path.clone(), std::fs::read(path).unwrap());
        }
    }
    found
}

#[test]
fn a_log_that_is_moved_while_it_is_written_does_not_count_what_was() {
    let (folder, sink, mut writer) = parts(true);
    commit(&mut writer, &[1]).unwrap();
    let before = text(&folder);
    sink.set(Faults { moves: true, ..Faults::default() });
    assert_eq!(commit(&mut writer, &[2]), Err(Fault::Displaced(Displaced::Gone)));
    assert_eq!(
        std::fs::read_to_string(folder.path().join("log.moved")).unwrap(),
        before,
        "what did not count does not stand there"
    );
}

#[test]
fn a_log_that_came_back_is_written_again_only_when_that_was_proven() {
    let (folder, _sink, mut writer) = parts(true);
    let log = folder.path().join("log");
    commit(&mut writer, &[1, 2]).unwrap();
    std::fs::rename(&log, log.with_extension("old")).unwrap();
    assert!(commit(&mut writer, &[3]).is_err());
    std::fs::rename(log.with_extension("old"), &log).unwrap();
    assert!(commit(&mut writer, &[4]).is_err(), "a look at it is no proof");
    assert!(writer.sink().holds(writer.base(), writer.at()).unwrap());
    writer.regained();
    commit(&mut writer, &[5]).unwrap();
    assert_whole(&folder, &writer);
    assert!(text(&folder).contains("\"event\":\"resumed\",\"refused\":2"));

    // The same length, and another byte somewhere.
    let changed = text(&folder).replace("\"n\":1", "\"n\":7");
    std::fs::write(&log, changed).unwrap();
    writer.sink().stands(writer.at().len).unwrap();
    assert!(!writer.sink().holds(writer.base(), writer.at()).unwrap());
}
