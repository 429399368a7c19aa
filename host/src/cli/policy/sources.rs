//! Policies and cases as they lie in folders.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde_json::json;
use standin::bounded;
use standin::policy::cases::{CaseError, Suite};
use standin::policy::pack::{Fault, Language, PackError, Package, Packed, Source, Step, pack_with};

use super::super::{Refused, print_json, term};
use super::{MAX_MODULE, cache, read, read_text};
use crate::cli::out::tell;
use crate::cli::progress::Progress;

/// The longest file of policies or cases, in bytes.
const MAX_FILE: u64 = 64 << 20;
/// The deepest folder within the folder of policies.
const MAX_DEPTH: usize = 16;
/// The most characters of a line of JSON that are shown.
const SHOWN: usize = 160;
/// The base question of a folder of cases.
const BASE: &str = "base.json";

/// A folder of policies, and what belongs to it.
#[derive(Debug, clap::Args)]
pub(super) struct SourceArgs {
    /// What reads the policies: `cedar`, `rego`, or the file of a component of world `policy-engine` [default: as the files are named,
    /// *.cedar or *.rego].
    #[arg(long, value_name = "ENGINE")]
    engine: Option<PathBuf>,
    /// A Cedar schema that is not in the folder; it replaces the built-in one.
    #[arg(long, value_name = "FILE")]
    schema: Option<PathBuf>,
    /// Cedar entities that are not in the folder.
    #[arg(long, value_name = "FILE")]
    entities: Option<PathBuf>,
}

/// Sources, and where each of them lies.
pub(super) struct Bundle {
    engine: Vec<u8>,
    sources: Vec<Source>,
    paths: BTreeMap<String, PathBuf>,
}

impl Bundle {
    /// Reads the folder. What begins with a dot, and a folder of cases, does not belong to the bundle.
    pub(super) fn read(folder: &Path, args: &SourceArgs, cases: Option<&Path>) -> anyhow::Result<Self> {
        let mut bundle = Self { engine: Vec::new(), sources: Vec::new(), paths: BTreeMap::new() };
        let cases = cases.and_then(|cases| cases.canonicalize().ok());
        bundle.collect(folder, "", cases.as_deref(), 0)?;
        if let Some(schema) = &args.schema {
            bundle.add("schema.cedarschema", schema, read_text)?;
        }
        if let Some(entities) = &args.entities {
            bundle.add("entities.json", entities, read_text)?;
        }
        if bundle.sources.is_empty() {
            bail!("{} holds no policies", folder.display());
        }
        bundle.engine = match &args.engine {
            Some(named) => match named.to_str() {
                Some("cedar") => Language::Cedar.engine()?.to_vec(),
                Some("rego") => Language::Rego.engine()?.to_vec(),
                Some(_) | None => read(named, MAX_MODULE)?,
            },
            None => bundle.guess(folder)?.to_vec(),
        };
        Ok(bundle)
    }

    /// The engine whose files these are.
    fn guess(&self, folder: &Path) -> anyhow::Result<&'static [u8]> {
        let has = |suffix: &str| self.sources.iter().any(|source| source.name.ends_with(suffix));
        match (has(".cedar"), has(".rego")) {
            (true, false) => Ok(Language::Cedar.engine()?),
            (false, true) => Ok(Language::Rego.engine()?),
            (true, true) => bail!("{} holds *.cedar and *.rego files: say which with --engine", folder.display()),
            (false, false) => {
                bail!("{} holds neither *.cedar nor *.rego files: say with --engine what reads it", folder.display())
            }
        }
    }

    fn collect(&mut self, folder: &Path, prefix: &str, cases: Option<&Path>, depth: usize) -> anyhow::Result<()> {
        if depth > MAX_DEPTH {
            bail!("{} lies too deep", folder.display());
        }
        for (name, path) in entries(folder)? {
            if name.starts_with('.') || (path.is_dir() && cases.is_some() && path.canonicalize().ok().as_deref() == cases) {
                continue;
            }
            let name = format!("{prefix}{name}");
            if path.is_dir() {
                self.collect(&path, &format!("{name}/"), cases, depth + 1)?;
            } else {
                self.add(&name, &path, read_found)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, name: &str, path: &Path, read: fn(&Path, u64) -> anyhow::Result<String>) -> anyhow::Result<()> {
        if let Some(other) = self.paths.insert(name.to_owned(), path.to_owned()) {
            bail!("{} and {} would both be {name}", other.display(), path.display());
        }
        self.sources.push(Source { name: name.to_owned(), content: read(path, MAX_FILE)? });
        Ok(())
    }

    /// Packs it, and shows every fault with its line.
    pub(super) fn pack(&self, name: &str, version: u64, cases: Option<Suite>, json: bool) -> anyhow::Result<Packed> {
        let package = Package { name: name.to_owned(), version, sources: self.sources.clone(), cases };
        let progress = Progress::new(json);
        let packed = pack_with(&self.engine, &package, cache::open(json).as_ref(), &|step| {
            progress.begin(match step {
                Step::Compiling => "compiling the policy engine",
                Step::Reading => "reading the policies",
                Step::Writing => "making the module",
            });
        });
        drop(progress);
        match packed {
            Ok(packed) => Ok(packed),
            Err(PackError::Faults(faults)) => {
                self.show(&faults, json)?;
                Err(Refused.into())
            }
            Err(other) => Err(other.into()),
        }
    }

    fn show(&self, faults: &[Fault], json: bool) -> anyhow::Result<()> {
        let place = |fault: &Fault| self.paths.get(&fault.file).map_or(fault.file.clone(), |path| path.display().to_string());
        if json {
            let faults = faults.iter().map(|fault| {
                let Fault { line, column, message, source_line, .. } = fault;
                json!({ "file": place(fault), "line": line, "column": column, "message": message, "source_line": source_line })
            });
            return print_json(&json!({ "ok": false, "faults": faults.collect::<Vec<_>>() }));
        }
        for fault in faults {
            tell!("{}", shown(&place(fault), fault, term::Stream::Err));
        }
        tell!("{}", PackError::Faults(faults.to_vec()));
        Ok(())
    }
}

/// A fault with its line, and a mark below the place.
fn shown(file: &str, fault: &Fault, stream: term::Stream) -> String {
    let head = format!("{} {}", stream.red("error:"), stream.bold(&fault.message));
    format!("{head}\n{}\n", place_of(file, fault, stream))
}

/// Where it is: file, line, and the mark.
fn place_of(file: &str, fault: &Fault, stream: term::Stream) -> String {
    let number = fault.line.to_string();
    let margin = " ".repeat(number.len());
    let before = usize::try_from(fault.column.saturating_sub(1)).unwrap_or(0);
    // A tab is as wide as the terminal has it: the mark stands behind the same ones.
    let blank: String = fault.source_line.chars().take(before).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
    let line = format!("{} {}", stream.dim(&format!("{number} |")), fault.source_line);
    // Of a long line the beginning is shown; a mark behind its end would point at nothing.
    let mark = if before > fault.source_line.chars().count() { "…".to_owned() } else { format!("{blank}{}", stream.red("^")) };
    let mark = format!("{} {mark}", stream.dim(&format!("{margin} |")));
    format!("{margin}--> {file}:{}:{}\n{line}\n{mark}", fault.line, fault.column)
}

/// The cases of a folder: every `*.json`, as patches to its `base.json` if it has one. Or those of one of its files.
pub(super) fn suite(at: &Path) -> anyhow::Result<Suite> {
    let one = at.file_name().filter(|_| !at.is_dir()).map(|name| name.to_string_lossy().into_owned());
    let folder = match (at.parent(), &one) {
        (Some(folder), Some(_)) if folder.as_os_str().is_empty() => Path::new("."),
        (Some(folder), Some(_)) => folder,
        (_, None) | (None, _) => at,
    };
    let (mut base, mut files) = (None, Vec::new());
    for (name, path) in entries(folder)? {
        if one.as_ref().is_some_and(|one| *one != name && name != BASE) {
            continue;
        }
        if name == BASE {
            base = Some(read_found(&path, MAX_FILE)?);
        } else if Path::new(&name).extension().is_some_and(|extension| extension == "json") {
            files.push((name, read_found(&path, MAX_FILE)?));
        }
    }
    let texts = files.iter().map(|(name, text)| (name.as_str(), text.as_str()));
    match Suite::of(texts, base.as_deref().map(|text| (BASE, text))) {
        Err(CaseError::File { file, source }) if source.line() > 0 => {
            let named = files.iter().find(|(name, _)| *name == file).map(|(_, text)| text);
            let text = named.or(base.as_ref()).map(String::as_str).unwrap_or_default();
            bail!(drawn(&folder.join(&file).display().to_string(), text, &source))
        }
        made => made.with_context(|| format!("the cases of {}", at.display())),
    }
}

/// What is wrong in a file of JSON, with its line and a mark below the place.
fn drawn(file: &str, text: &str, error: &serde_json::Error) -> String {
    let (line, column) = (error.line(), error.column());
    let source_line = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
    // Columns of JSON are counted in bytes.
    let before = source_line.get(..source_line.floor_char_boundary(column.saturating_sub(1))).unwrap_or_default();
    let place = format!(" at line {line} column {column}");
    let told = error.to_string();
    let fault = Fault {
        file: file.to_owned(),
        line: u32::try_from(line).unwrap_or(u32::MAX),
        column: u32::try_from(before.chars().count() + 1).unwrap_or(u32::MAX),
        message: told.strip_suffix(&place).unwrap_or(&told).to_owned(),
        source_line: source_line.chars().take(SHOWN).collect(),
    };
    format!("{}\n{}", fault.message, place_of(file, &fault, term::Stream::Err))
}

/// A file that lies in a folder; nobody has asked for a pipe that lies there.
fn read_found(path: &Path, most: u64) -> anyhow::Result<String> {
    bounded::text_file(path, most).with_context(|| format!("cannot read {}", path.display()))
}

/// What is in a folder, in the order of the names.
fn entries(folder: &Path) -> anyhow::Result<Vec<(String, PathBuf)>> {
    let unreadable = || format!("cannot read the folder {}", folder.display());
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(unreadable)? {
        let path = entry.with_context(unreadable)?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { bail!("{} is not UTF-8", path.display()) };
        found.push((name.to_owned(), path));
    }
    found.sort();
    Ok(found)
}
