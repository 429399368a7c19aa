//! `[policy]` and `[admin]`.

use rstest::rstest;

use super::*;

const DIGEST: &str = "0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f";

/// The faults of a file that has just this beside its issuer.
fn found(rest: &str) -> Vec<String> {
    faults(&format!("issuer = \"https://a.example\"\n{}", rest.replace("DIGEST", DIGEST)))
}

#[test]
fn tenants_candidates_breaker_and_admin_are_taken_word_for_word() {
    let text = format!(
        r#"
issuer = "https://a.example"
[policy]
module = "live.wasm"
shadow = "next.wasm"
watch = "500ms"
breaker = {{ failures = 3, window = "30s", rest = "1s" }}
[[policy.tenant]]
tenant = "acme"
module = "acme.wasm"
memory = "64MiB"
deadline = "20ms"
trusted_keys = ["acme.pem"]
digest = "{DIGEST}"
shadow = "acme-next.wasm"
[admin]
socket = "admin.sock"
secret_sha256 = ["{DIGEST}"]
"#
    );
    let config = parse(&text).unwrap_or_else(|error| panic!("{error}"));
    let Policy { platform, tenants, breaker, watch } = config.policy;
    assert_eq!(platform.source, PolicySource::File("/etc/standin/live.wasm".into()));
    assert_eq!(platform.shadow.as_deref(), Some(Path::new("/etc/standin/next.wasm")));
    assert_eq!(
        (watch, breaker.window, breaker.rest),
        (Duration::from_millis(500), Duration::from_secs(30), Duration::from_secs(1))
    );
    assert_eq!((breaker.failures, tenants.len(), tenants[0].tenant.as_str()), (3, 1, "acme"));
    let own = &tenants[0].module;
    assert_eq!((own.memory, own.deadline, own.trusted_keys.len()), (64 << 20, Duration::from_millis(20), 1));
    assert_eq!((own.digest, own.shadow.is_some()), (Some([0x0f; 32]), true));
    let admin = config.admin.unwrap();
    assert_eq!(admin.listener, AdminListener::Unix("/etc/standin/admin.sock".into()));
    assert_eq!(admin.secret_digests, [[0x0f; 32]]);
}

#[rstest]
#[case("policy.shadow = \"next.wasm\"\npolicy.trusted_keys = [\"a.pem\"]", &[])]
#[case("[[policy.tenant]]\nmodule = \"a.wasm\"", &["policy.tenant[0].tenant: is missing"])]
#[case("[[policy.tenant]]\ntenant = \"acme\"", &["policy.tenant[0].module: is missing"])]
#[case(
    "[[policy.tenant]]\ntenant = \"a\"\nmodule = \"a.wasm\"\n[[policy.tenant]]\ntenant = \"a\"\nmodule = \"b.wasm\"",
    &["policy.tenant[1].tenant: is already there in line 3"]
)]
#[case(
    "[[policy.tenant]]\ntenant = \"a\"\nmodule = \"a.wasm\"\nwatch = \"1s\"",
    &["policy.tenant[0].watch: unknown key; known here: deadline, digest, memory, module, shadow, tenant, trusted_keys"]
)]
#[case("policy.watch = \"2h\"", &["policy.watch: must be between 0s and 1h"])]
#[case("policy.breaker = { failures = 0 }", &["policy.breaker.failures: must be between 1 and 10000"])]
#[case("policy.breaker = { window = \"1ms\" }", &["policy.breaker.window: must be between 100ms and 1h"])]
#[case("policy.breaker = { opens = 1 }", &["policy.breaker.opens: unknown key; known here: failures, rest, window"])]
#[case("admin = { secret_sha256 = [\"DIGEST\"] }", &["admin.listen: needs one of `listen`, `socket`"])]
#[case("admin = { listen = \"127.0.0.1:1\" }", &["admin.secret_sha256: is missing"])]
#[case("admin = { listen = \"127.0.0.1:1\", secret_sha256 = [] }", &["admin.secret_sha256: must not be empty"])]
#[case(
    "admin = { listen = \"127.0.0.1:1\", socket = \"a.sock\", secret_sha256 = [\"DIGEST\"] }",
    &["admin.socket: cannot stand beside `listen`"]
)]
#[case(
    "admin = { listen = \"0.0.0.0:1\", secret_sha256 = [\"DIGEST\"] }",
    &["admin.listen: must be an address of this machine alone and a port such as \"127.0.0.1:8081\""]
)]
fn a_fault_of_policy_or_admin_is_named(#[case] rest: &str, #[case] expected: &[&str]) {
    assert_eq!(found(rest), expected);
}

#[rstest]
#[case(
    "module = \"policies/house.wasm\", memory = \"16MiB\", deadline = \"20ms\", trusted_keys = [\"policies/acme.pub.pem\"], ",
    "",
    "policy.digest: means nothing without `module` naming a file"
)]
#[case(
    "\"policies/house.wasm\", memory = \"16MiB\", deadline = \"20ms\", trusted_keys = [\"policies/acme.pub.pem\"], digest",
    "\"builtin:baseline\", digest",
    "policy.digest: means nothing without `module` naming a file"
)]
#[case("[\"policies/acme.pub.pem\"]", "[]", "policy.trusted_keys: must not be empty")]
#[case(
    "digest = \"0f",
    "digest = \"",
    "policy.digest: must be a SHA-256 digest: 64 lowercase hex digits or 43 characters of base64url"
)]
fn a_fault_of_the_full_files_policy_is_named(#[case] from: &str, #[case] to: &str, #[case] expected: &str) {
    assert_eq!(faults(&edited(from, to)), [expected]);
}

#[test]
fn a_tenant_that_no_client_acts_in_is_named() {
    let text = |tenant: &str| format!("{FULL}\n[[policy.tenant]]\ntenant = \"{tenant}\"\nmodule = \"a.wasm\"\n");
    let as_table = |tenant: &str| {
        let text = text(tenant);
        let start = text.find("policy = {").unwrap();
        let end = start + text[start..].find('\n').unwrap();
        format!("{}{}", &text[..start], &text[end..])
    };
    // One that a client has, one that a client may cross into, and none.
    assert_eq!(faults(&as_table("acme")), [""; 0]);
    assert_eq!(faults(&as_table("globex")), [""; 0]);
    assert_eq!(faults(&as_table("acmee")), ["policy.tenant[0].tenant: no such tenant of a client is registered"]);
}
