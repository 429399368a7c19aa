//! Every builtin that `pack` takes says what Open Policy Agent says, or fails, which denies.

use std::collections::BTreeMap;

use regorus::unstable::BUILTINS as BUILTINS_OF_REGORUS;
use regorus::{Engine, Value};
use standin_policy_engine::Source;

use super::calls::{BUILTINS, Call, OPERATORS};
use super::chance::Chance;
use super::opa::{Bundle, Outcome, ask, library};
use super::pools::argument;
use super::term::{Term, marked, marking, settled};
use crate::builtins::{REFUSED, TAKEN};
use crate::program::parse;

const SEED: u64 = 20_261_125;
const CALLS: usize = 200;
const DEPTH: usize = 6;
/// The version that the library of `tests/peers/requirements.txt` has built in.
const OPA: &str = "1.20.2";

fn peer(call: &Call, calls: &[Vec<Term>]) -> Bundle {
    let written = call.with(|index| format!("a[{index}]"));
    let mut policy = format!("package peer\nv := mark(r) if {{\n\ta := args(input.i)\n\tr := {written}\n}}\n{}", marking(DEPTH));
    for (index, arguments) in calls.iter().enumerate() {
        // The value of a default has no type that the compiler knows, as what a request brings has none.
        policy += &format!("args({index}) := object.get(input, \"?\", {})\n", Term::Array(arguments.clone()).rego());
    }
    let inputs = (0..calls.len()).map(|index| format!("{{\"i\": {index}}}")).collect();
    Bundle { modules: vec![("peer.rego".into(), policy)], data: "{}".into(), queries: vec!["peer.v".into()], inputs }
}

fn engine(call: &Call) -> Engine {
    let policy = format!("package peer\nv := r if {{\n\tr := {}\n}}\n", call.with(|index| format!("input.a[{index}]")));
    let source = Source { name: "peer.rego".into(), content: policy };
    parse(&[&source]).unwrap_or_else(|faults| panic!("{faults:?}")).engine
}

fn ours(engine: &mut Engine, arguments: &[Term]) -> Outcome {
    let Some(arguments) = arguments.iter().map(Term::value).collect::<Option<Vec<_>>>() else {
        return Outcome::Error("no JSON".into());
    };
    let input = Value::from(BTreeMap::from([(Value::from("a"), Value::from(arguments))]));
    engine.set_input(input);
    match engine.eval_rule("data.peer.v".into()) {
        Ok(Value::Undefined) => Outcome::Undefined,
        Ok(value) => Outcome::Value(marked(&value, DEPTH)),
        Err(why) => Outcome::Error(crate::fault::brief(&why)),
    }
}

/// What the calls of one builtin came to.
struct Compared {
    name: &'static str,
    /// The same value, or none on either side.
    alike: usize,
    /// Of these, those with a value.
    valued: usize,
    /// Here it fails, where Open Policy Agent has a value.
    fails: usize,
    differ: Vec<String>,
}

fn compare(call: &Call, given: &[Vec<Term>], answers: &[Vec<Outcome>]) -> Compared {
    let mut engine = engine(call);
    let mut compared = Compared { name: call.name, alike: 0, valued: 0, fails: 0, differ: Vec::new() };
    for (arguments, answer) in given.iter().zip(answers) {
        let ours = ours(&mut engine, arguments);
        match (&ours, &answer[0]) {
            (Outcome::Value(here), Outcome::Value(there)) if settled(here) == settled(there) => {
                compared.alike += 1;
                compared.valued += 1;
            }
            (Outcome::Error(_), Outcome::Value(_)) => compared.fails += 1,
            (Outcome::Error(_) | Outcome::Undefined, Outcome::Undefined | Outcome::Error(_)) => compared.alike += 1,
            (ours, theirs) => {
                let arguments = Term::Array(arguments.clone()).rego();
                compared.differ.push(format!("{} of {arguments}: here {ours:?}, in OPA {theirs:?}", call.name));
            }
        }
    }
    compared
}

fn arguments(call: &Call) -> Vec<Vec<Term>> {
    let mut chance = Chance::of(SEED, call.name);
    (0..CALLS).map(|_| call.slots.iter().map(|slot| argument(*slot, &mut chance)).collect()).collect()
}

#[test]
fn the_oracle_is_of_the_version_that_the_page_names() {
    let built_of = format!("\tgithub.com/open-policy-agent/opa\tv{OPA}\t");
    let library = std::fs::read(library()).unwrap();
    assert!(library.windows(built_of.len()).any(|part| part == built_of.as_bytes()), "it is not of OPA {OPA}");
}

#[test]
fn every_builtin_says_what_opa_says() {
    let called: Vec<&str> = BUILTINS.iter().map(|call| call.name).collect();
    let uncalled: Vec<&str> = TAKEN.iter().map(|builtin| builtin.name).filter(|name| !called.contains(name)).collect();
    assert!(uncalled.is_empty(), "nothing compares {uncalled:?}");
    let calls: Vec<&Call> = OPERATORS.iter().chain(BUILTINS).collect();
    let given: Vec<_> = calls.iter().map(|call| arguments(call)).collect();
    let answers = ask(&calls.iter().zip(&given).map(|(call, given)| peer(call, given)).collect::<Vec<_>>());
    let all = calls.iter().zip(given.iter().zip(&answers));
    let compared: Vec<Compared> = all.map(|(call, (given, answers))| compare(call, given, answers)).collect();
    let sum = |of: fn(&Compared) -> usize| compared.iter().map(of).sum::<usize>();
    println!(
        "seed {SEED}: {} builtins and operators, {} calls, {} alike ({} with a value), {} fail here only",
        compared.len(),
        compared.len() * CALLS,
        sum(|one| one.alike),
        sum(|one| one.valued),
        sum(|one| one.fails)
    );
    let differ: Vec<&str> = compared.iter().flat_map(|one| one.differ.iter().take(4)).map(String::as_str).collect();
    assert!(differ.is_empty(), "{}", differ.join("\n"));
    let hardly: Vec<&str> = compared.iter().filter(|one| one.valued < 8).map(|one| one.name).collect();
    assert!(hardly.is_empty(), "hardly anything has a value of {hardly:?}");
    page(&compared);
}

/// The list of `docs/rego.md` is what was compared.
fn page(compared: &[Compared]) {
    const BEGIN: &str = "<!-- made by the tests: builtins -->\n";
    const END: &str = "<!-- end -->\n";
    let limits = |name: &str| TAKEN.iter().find(|builtin| builtin.name == name).map_or("", |builtin| builtin.limits);
    let mut list =
        format!("\n{CALLS} calls of each, of OPA {OPA}.\n\n| | taken of it | alike | fails here only |\n|---|---|---|---|\n");
    for Compared { name, alike, fails, .. } in compared {
        list += &format!("| `{}` | {} | {alike} | {fails} |\n", name.replace('|', "\\|"), limits(name));
    }
    list += "\n| not taken | why, or what to write instead |\n|---|---|\n";
    for (name, instead) in REFUSED {
        list += &format!("| `{name}` | {} |\n", instead.replace('|', "\\|"));
    }
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/rego.md");
    let page = std::fs::read_to_string(&file).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (_, behind) = rest.split_once(END).unwrap();
    let made = format!("{before}{BEGIN}{list}\n{END}{behind}");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(file, made).unwrap();
    } else {
        assert!(
            page == made,
            "docs/rego.md is stale: run `UPDATE_DOCS=1 cargo test -p standin-policy-rego --features native oracle`"
        );
    }
}

/// Whatever regorus has is taken or refused by name.
#[test]
fn no_builtin_is_left_out() {
    for name in BUILTINS_OF_REGORUS.keys() {
        let listed =
            *name == "walk" || TAKEN.iter().any(|taken| taken.name == *name) || REFUSED.iter().any(|(known, _)| known == name);
        assert!(listed, "`{name}` is in no list");
    }
    let sorted = TAKEN.is_sorted_by_key(|taken| taken.name) && REFUSED.is_sorted_by_key(|(name, _)| name);
    assert!(sorted && TAKEN.iter().all(|taken| REFUSED.iter().all(|(name, _)| *name != taken.name)));
}
