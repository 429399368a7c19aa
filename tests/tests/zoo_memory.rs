//! What a policy module allocates or answers costs the host no more than the module's own limit, and is given back. The one test
//! here has its process to itself, so that what it measures is its own.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on ends")]

use serde_json::json;
use standin_tests::zoo::{order, zoo};

/// What a busy allocator may keep without anybody leaking.
const SLACK: u64 = 48;
/// What a module writes into its own memory that answers with 100 MB.
const ANSWER: u64 = 100;

/// A figure of this process, in MiB.
fn status(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name}"));
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

/// How far the most memory ever used rises above what is used now.
fn peak_begins_here() -> u64 {
    // proc(5): 5 sets the peak to what is resident now.
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    status("VmRSS")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_module_eats_is_bounded_and_given_back() {
    let (_world, standin) = zoo().await;
    let ask = async |behaviour: &str| {
        let answer = standin.mint_on_behalf(order(&json!(behaviour))).await;
        answer.map_or_else(|failure| failure.code, |_| "permit".to_owned())
    };
    for _ in 0..3 {
        assert_eq!(ask("permit").await, "permit");
    }
    // What, its code, and how much the host may grow by meanwhile: 4 GiB at once are refused before a page is touched, and of an
    // answer that is too long nothing is copied out.
    let rows = [
        ("allocate-4-gib", "policy.trapped", SLACK),
        ("long-answer", "policy.too_large", ANSWER + SLACK),
        ("eat-memory", "policy.trapped", 512 + SLACK),
    ];
    for (behaviour, code, most) in rows {
        let before = peak_begins_here();
        for _ in 0..5 {
            assert_eq!(ask(behaviour).await, code, "{behaviour}");
            assert_eq!(ask("permit").await, "permit", "{behaviour}");
        }
        let (peak, after) = (status("VmHWM"), status("VmRSS"));
        assert!(peak <= before + most, "{behaviour}: {before} MiB before, {peak} MiB at the most");
        assert!(after <= before + SLACK, "{behaviour}: {before} MiB before, {after} MiB after");
        println!("{behaviour}: {before} MiB before, {peak} MiB at the most, {after} MiB after");
    }
}
