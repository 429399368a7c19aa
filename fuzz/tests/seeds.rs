//! What was found once, and what the fuzzers begin with, holds; `make fuzz` looks for more.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::fs;
use std::path::{Path, PathBuf};

use standin_fuzz::TARGETS;

/// The most bytes of one seed, and of a target's: they stay in the repository.
const LONGEST: u64 = 16 * 1024;
const MOST: u64 = 128 * 1024;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn every_seed_holds() {
    for target in TARGETS {
        for seed in files(&folder("seeds").join(target.name)) {
            // Shown where it does not.
            println!("{}", seed.display());
            (target.holds)(&fs::read(&seed).unwrap());
        }
    }
}

/// Half of a seed is what a connection that broke, or a disk that was full, leaves.
#[test]
fn every_half_of_a_seed_holds() {
    for target in TARGETS {
        for seed in files(&folder("seeds").join(target.name)) {
            let whole = fs::read(&seed).unwrap();
            let half = whole.get(..whole.len() / 2).unwrap();
            println!("half of {}", seed.display());
            (target.holds)(half);
        }
    }
}

#[test]
fn every_target_has_a_fuzzer_and_small_seeds() {
    assert!(!TARGETS.is_empty());
    let manifest = fs::read_to_string(folder("Cargo.toml")).unwrap();
    for target in TARGETS {
        let fuzzer = fs::read_to_string(folder("fuzz_targets").join(format!("{}.rs", target.name))).unwrap();
        assert!(fuzzer.contains(&format!("standin_fuzz::{}::holds(data)", target.name)), "{}", target.name);
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{}.rs\"", target.name)), "{}", target.name);
        let sizes: Vec<_> =
            files(&folder("seeds").join(target.name)).iter().map(|seed| fs::metadata(seed).unwrap().len()).collect();
        assert!(
            sizes.len() >= 3 && sizes.iter().all(|size| *size <= LONGEST) && sizes.iter().sum::<u64>() <= MOST,
            "{}",
            target.name
        );
    }
}

#[test]
fn every_fuzzer_is_in_the_manifest() {
    let manifest = fs::read_to_string(folder("Cargo.toml")).unwrap();
    for fuzzer in files(&folder("fuzz_targets")) {
        let name = fuzzer.file_stem().unwrap().to_str().unwrap();
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
        assert!(folder("seeds").join(name).is_dir(), "{name}");
    }
}
