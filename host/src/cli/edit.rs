//! Changes standin.toml in one step, and only to something that serves. What is not changed stays as it was: owner, mode, line ends,
//! byte-order mark, and the link that leads to it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use standin::bounded::MARK;
use standin::clock::{Clock as _, SystemClock};
use standin::config::Config;
use toml_edit::DocumentMut;

use super::{BadConfig, Usage};

/// How long another edit is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is looked whether that one is done.
const PAUSE: Duration = Duration::from_millis(20);

/// Changes the file that `path` leads to. Faults in what would come out are told by the `options` that it was made from.
pub(super) fn edit(
    path: &Path,
    options: &[(&str, &'static str)],
    change: impl FnOnce(&mut DocumentMut) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    // Whatever is wrong after this is the change's fault.
    Config::read_for_its_owner(path).map_err(BadConfig::from)?;
    // A link goes on leading to the file.
    let path = &path.canonicalize().with_context(|| format!("cannot find {}", path.display()))?;
    let held = hold(path)?;
    let before = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let (mark, text) = before.strip_prefix(MARK).map_or((false, before.as_str()), |text| (true, text));
    let mut document: DocumentMut = text.parse().with_context(|| format!("cannot parse {}", path.display()))?;
    change(&mut document)?;
    let changed = with_line_ends(text, &document.to_string());
    let folder = path.parent().unwrap_or(Path::new("/"));
    Config::parse(&changed, folder).map_err(|error| Usage::of_options(&error, options))?;
    let changed = if mark { format!("{MARK}{changed}") } else { changed };
    let beside = beside(path);
    let replaced = replace(path, &beside, &held, &changed).and_then(|()| File::open(folder)?.sync_all());
    if replaced.is_err() && beside.exists() {
        std::fs::remove_file(&beside).with_context(|| format!("cannot remove {}", beside.display()))?;
    }
    replaced.with_context(|| format!("cannot write {}", path.display()))
}

/// Keeps other edits out until it is dropped, also by the end of the process.
fn hold(path: &Path) -> anyhow::Result<File> {
    let clock = SystemClock::default();
    let began = clock.monotonic();
    loop {
        let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        match file.try_lock() {
            // The edit before may have put another file in this one's place.
            Ok(()) if is_at(&file, path).with_context(|| format!("cannot read {}", path.display()))? => return Ok(file),
            Ok(()) | Err(std::fs::TryLockError::WouldBlock) => {}
            Err(std::fs::TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
        if clock.monotonic().saturating_sub(began) > PATIENCE {
            bail!("{} is being changed by another edit", path.display());
        }
        std::thread::sleep(PAUSE);
    }
}

fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let (open, named) = (file.metadata()?, path.metadata()?);
    Ok((open.dev(), open.ino()) == (named.dev(), named.ino()))
}

/// Where the new text lies until it is whole. Whoever holds the file may overwrite what a killed edit left there.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    path.with_file_name(name)
}

fn replace(path: &Path, beside: &Path, before: &File, text: &str) -> io::Result<()> {
    // Made anew, so that nothing that lies there lends its mode, its owner or its target.
    match std::fs::remove_file(beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(beside)?;
    let (old, new) = (before.metadata()?, file.metadata()?);
    if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
        std::os::unix::fs::fchown(&file, Some(old.uid()), Some(old.gid()))?;
    }
    // After the owner, whose change takes away some bits.
    file.set_permissions(std::fs::Permissions::from_mode(old.mode() & 0o7777))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(beside, path)
}

/// `after`, whose lines end with a line feed, with the line ends of `before` where its lines are the same, and elsewhere as most of
/// `before` end.
fn with_line_ends(before: &str, after: &str) -> String {
    let old: Vec<&str> = before.split_inclusive('\n').collect();
    let new: Vec<&str> = after.split_inclusive('\n').collect();
    let ended = old.iter().filter(|line| line.ends_with('\n')).count();
    let windows = old.iter().filter(|line| line.ends_with("\r\n")).count() * 2 > ended;
    let same = |(old, new): &(&&str, &&str)| bare(old) == bare(new) && old.ends_with('\n') == new.ends_with('\n');
    let first = old.iter().zip(&new).take_while(same).count();
    let most = old.len().min(new.len()) - first;
    let last = old.iter().rev().zip(new.iter().rev()).take(most).take_while(same).count();
    let mut text = String::with_capacity(after.len() + new.len());
    text.extend(old.iter().take(first).copied());
    for line in new.iter().take(new.len() - last).skip(first) {
        text.push_str(bare(line));
        if line.ends_with('\n') {
            text.push_str(if windows { "\r\n" } else { "\n" });
        }
    }
    text.extend(old.iter().skip(old.len() - last).copied());
    text
}

/// A line without its end.
fn bare(line: &str) -> &str {
    let line = line.strip_suffix('\n').unwrap_or(line);
    line.strip_suffix('\r').unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_stay_keep_their_ends() {
        for (before, after, expected) in [
            ("a\r\nb\r\n", "a\nb\nc\n", "a\r\nb\r\nc\r\n"),
            ("a\nb\n", "a\nc\nb\n", "a\nc\nb\n"),
            ("a\r\nb\nc\n", "a\nx\nc\n", "a\r\nx\nc\n"),
            ("a\r\nb", "a\nb", "a\r\nb"),
            ("a\r\nb", "a\nb\nc\n", "a\r\nb\r\nc\r\n"),
            ("a\r\na\r\n", "a\na\na\n", "a\r\na\r\na\r\n"),
            ("a\r\na\r\na\r\n", "a\n", "a\r\n"),
            ("", "a\n", "a\n"),
        ] {
            assert_eq!(with_line_ends(before, after), expected, "{before:?} {after:?}");
        }
    }
}
