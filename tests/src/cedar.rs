//! Cedar modules for tests: packed the way `standin policy pack` packs them.

use standin::policy::cases::Suite;
use standin::policy::pack::{CEDAR, Package, Source, pack};

/// A module of one file of Cedar policies.
pub fn module(policies: &str, version: u64) -> Vec<u8> {
    module_with(policies, version, None)
}

/// The same with one file of cases in it, whether it does what they say or not.
pub fn module_with(policies: &str, version: u64, cases: Option<&str>) -> Vec<u8> {
    let sources = vec![Source { name: "test.cedar".into(), content: policies.into() }];
    let cases = cases.map(|cases| Suite::of([("test.json", cases)], None).expect("cases"));
    pack(CEDAR, &Package { name: "test".into(), version, sources, cases }).expect("a module").wasm
}
