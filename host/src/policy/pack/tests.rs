use super::*;
use crate::policy::BASELINE;

fn package(content: &str) -> Package {
    let sources = vec![Source { name: "a.cedar".into(), content: content.into() }];
    Package { name: "acme".into(), version: 3, sources, cases: None }
}

#[test]
fn the_same_sources_make_the_same_bytes() {
    let package = package("@id(\"all\") permit(principal, action, resource);");
    let packed = pack(CEDAR, &package).unwrap();
    assert_eq!(packed.manifest.rules, ["all"]);
    assert_eq!((packed.manifest.name.as_str(), packed.manifest.version), ("acme", 3));
    assert!(packed.manifest.memory >= 1 << 20, "{}", packed.manifest.memory);
    assert_eq!(PackageManifest::of(&packed.wasm).unwrap().unwrap(), packed.manifest);
    assert_eq!(pack(CEDAR, &package).unwrap().wasm, packed.wasm);
}

#[test]
fn a_fault_has_a_place() {
    let faults = match pack(CEDAR, &package("permit(principal, action, resource)\nwhen { principal.name };")) {
        Err(PackError::Faults(faults)) => faults,
        other => panic!("{other:?}"),
    };
    assert_eq!((faults[0].file.as_str(), faults[0].line), ("a.cedar", 2), "{faults:?}");
    assert!(faults[0].source_line.starts_with("when"));
    assert!(faults[0].to_string().starts_with("a.cedar:2:"));
    assert_eq!(PackError::Faults(faults).to_string(), "1 fault in the policies");
}

#[test]
fn what_is_no_engine_is_refused() {
    assert!(matches!(pack(b"no wasm", &package("")), Err(PackError::NotAnEngine(_))));
    assert!(matches!(pack(BASELINE, &package("")), Err(PackError::NotAnEngine(_))));
    let wanting = wat::parse_str(r#"(component (import "ours" (func)))"#).unwrap();
    assert!(matches!(pack(&wanting, &package("")), Err(PackError::Import(name)) if name == "ours"));
}
