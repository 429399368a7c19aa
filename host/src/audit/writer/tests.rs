use std::fs::File;

use rstest::rstest;

use super::*;
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
    let writer = Writer::new(Arc::clone(&sink) as _, durable, Mark::START);
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
    #[derive(Debug)]
    struct Slow(File);
    impl Sink for Slow {
        fn write(&self, bytes: &[u8]) -> io::Result<usize> {
            Sink::write(&self.0, &bytes[..bytes.len().min(7)])
        }
        fn truncate(&self, len: u64) -> io::Result<()> {
            self.0.set_len(len)
        }
        fn sync(&self) -> io::Result<()> {
            Ok(())
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let file = File::options().append(true).create(true).open(folder.path().join("log")).unwrap();
    let mut writer = Writer::new(Arc::new(Slow(file)), true, Mark::START);
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
    let mut writer = Writer::new(Arc::new(full), false, Mark::START);
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
