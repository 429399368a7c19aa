mod policy;
mod record;
mod server;
mod steps;

use std::path::Path;

use rstest::rstest;

use super::*;

const FULL: &str = include_str!("tests/full.toml");
const FAULTY: &str = include_str!("tests/faulty.toml");

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("/etc/standin"))
}

/// `key: problem` of every fault.
fn faults(text: &str) -> Vec<String> {
    match parse(text) {
        Ok(_) => Vec::new(),
        Err(error) => error.faults().iter().map(|fault| format!("{}: {}", fault.path, fault.problem)).collect(),
    }
}

/// The full file with the first `from` replaced.
fn edited(from: &str, to: &str) -> String {
    assert!(FULL.contains(from), "{from} is not in the file");
    FULL.replacen(from, to, 1)
}

#[test]
fn a_full_file_is_taken_word_for_word() {
    let config = parse(FULL).unwrap_or_else(|error| panic!("{error}"));
    insta::assert_debug_snapshot!(config);
}

#[test]
fn a_short_file_has_defaults() {
    let config = parse("issuer = \"https://obo.example.com\"").unwrap_or_else(|error| panic!("{error}"));
    insta::assert_debug_snapshot!(config);
}

#[test]
fn every_fault_of_a_file_is_in_one_report() {
    let error = parse(FAULTY).expect_err("the file is faulty");
    insta::assert_snapshot!(error);
}

#[test]
fn both_ways_of_writing_tables_mean_the_same() {
    let inline = "issuer = \"https://a.example\"\nlimits.max_ttl = \"1m\"\naudience = [{ id = \"a\" }, { id = \"b\" }]";
    let headers =
        "issuer = \"https://a.example\"\n[limits]\nmax_ttl = \"1m\"\n[[audience]]\nid = \"a\"\n[[audience]]\nid = \"b\"";
    let [inline, headers] = [inline, headers].map(|text| format!("{:?}", parse(text).unwrap()));
    assert_eq!(inline, headers);
}

#[rstest]
// Form of the file.
#[case("[server]", "[server", ": not TOML: unclosed table, expected `]`")]
#[case("max_headers = 32", "max_headers = 32\nmax_headers = 33", "server.max_headers: the key is already there")]
#[case("[timeouts]", "[server]\n[timeouts]", "server: the key is already there")]
#[case(
    "max_headers",
    "max_header",
    "server.max_header: unknown key; known here: dangerous_plain_http, grace, header_timeout, health_listen, idle_timeout, max_connections, max_connections_per_peer, max_headers, request_timeout, tls"
)]
#[case(
    "id = \"reports\"\n",
    "id = \"reports\"\nscope = []\n",
    "audience[1].scope: unknown key; known here: algorithm, flow, id, max_ttl, scopes, tenants, unbound"
)]
#[case(
    "sub = \"spiffe://example.com/router\" }",
    "sub = \"x\", aud = 1 }",
    "client[0].identities[0].aud: unknown key; known here: issuer, sub"
)]
#[case("key = \"tls/key.pem\" }", "key = \"k\", ca = \"c\" }", "server.tls.ca: unknown key; known here: certificate, key")]
#[case("dir = \"keys\", ", "folder = \"keys\", ", "keys.folder: unknown key; known here: algorithms, dir")]
#[case("issuer = \"https://obo.example.com\"\n", "", "issuer: is missing")]
#[case("id = \"svc-reports\"\n", "", "client[1].id: is missing")]
#[case(", key = \"tls/key.pem\"", "", "server.tls.key: is missing")]
#[case("role = \"caller\"\nalgorithms = [\"ES256\"]", "role = \"caller\"", "trusted_issuer[2].algorithms: is missing")]
#[case("name = \"login\"\n", "", "provider[0].name: is missing")]
// Types.
#[case("max_chain = 4", "max_chain = \"4\"", "limits.max_chain: must be an integer, not string")]
#[case("\"127.0.0.1:8443\"", "8443", "listen: must be a string, not integer")]
#[case("protected = true", "protected = 1", "client[0].protected: must be a boolean, not integer")]
#[case("tenants = [\"acme\", \"globex\"]", "tenants = \"acme\"", "client[0].tenants: must be an array, not string")]
#[case("policy = {", "policy = \"builtin:baseline\" # {", "policy: must be a table, not string")]
#[case("[[provider]]", "[provider]", "provider: must be an array of tables, not table")]
#[case("identities = [{", "identities = [1, {", "client[0].identities[0]: must be a table, not a value")]
#[case("name = \"login\"", "name.first = 1", "provider[0].name: must be a value, not table")]
#[case(
    "[[\"acme\", \"globex\"]]",
    "[\"acme\"]",
    "client[0].cross_tenant[0]: must be a pair of tenants such as [\"acme\", \"globex\"], not string"
)]
// Leaf values.
#[case("\"127.0.0.1:8443\"", "\"localhost:8443\"", "listen: must be an IP address and a port such as \"127.0.0.1:8080\"")]
#[case("id = \"svc-router\"", "id = \"svc router\"", "client[0].id: must be 1 to 128 characters of `A-Z a-z 0-9 . _ ~ -`")]
#[case("id = \"svc-router\"", "id = \"\"", "client[0].id: must be 1 to 128 characters of `A-Z a-z 0-9 . _ ~ -`")]
#[case(
    "scopes = [\"reports:read\"]",
    "scopes = [\"reports read\"]",
    "client[1].scopes[0]: must be one scope token: visible ASCII without space, `\"` and `\\` (RFC 6749 section 3.3)"
)]
#[case(
    "scopes = [\"reports:read\"]",
    "scopes = ['a\\b']",
    "client[1].scopes[0]: must be one scope token: visible ASCII without space, `\"` and `\\` (RFC 6749 section 3.3)"
)]
#[case(
    "9f86d",
    "9F86D",
    "client[0].secret_sha256[0]: must be a SHA-256 digest: 64 lowercase hex digits or 43 characters of base64url"
)]
#[case(
    "9f86d",
    "9f86",
    "client[0].secret_sha256[0]: must be a SHA-256 digest: 64 lowercase hex digits or 43 characters of base64url"
)]
#[case(
    "-_TImW-",
    "+/TImW+",
    "client[0].secret_sha256[1]: must be a SHA-256 digest: 64 lowercase hex digits or 43 characters of base64url"
)]
#[case(
    "[\"https://router.example.com\"]",
    "[\"https://router example.com\"]",
    "client[0].is_audience[0]: must be a URI reference (RFC 3986) such as https://…, urn:…, //… or a plain name"
)]
#[case("[\"https://router.example.com\"]", "[\"//iam.googleapis.com/projects/1\", \"urn:a:b\", \"router\", \"/r\"]", "")]
#[case(
    "types = [\"at+jwt\"]",
    "types = [\"application/at+jwt\"]",
    "trusted_issuer[0].types[0]: must be a `typ` in lower case without `application/`, or \"\" for none"
)]
#[case(
    "tenant_claim = \"tenant\"",
    "tenant_claim = \"\"",
    "trusted_issuer[0].tenant_claim: must be a claim's name of 1 to 128 visible ASCII characters"
)]
#[case("tenant_claim = \"tenant\"", "tenant_claim = \"/https:~1~1example.com/orgs/0\"", "")]
#[case(
    "tenant_claim = \"tenant\"",
    "tenant_claim = \"/org~2\"",
    "trusted_issuer[0].tenant_claim: must be a JSON pointer (RFC 6901) of at most 128 visible ASCII characters"
)]
#[case(
    "tenants = [\"acme\", \"globex\"]",
    "tenants = [\"acme\", \"globex\", \"a b\"]",
    "client[0].tenants[2]: must be 1 to 128 visible ASCII characters"
)]
#[case(
    "sub = \"spiffe://example.com/reports\"",
    "sub = \"\"",
    "client[1].identities[0].sub: must be 1 to 255 printable ASCII characters"
)]
#[case("client_id = \"standin\"", "client_id = \"ä\"", "provider[0].client_id: must be 1 to 256 printable ASCII characters")]
#[case("sqlite:directory.db", "postgres://db", "directory.url: must be \"sqlite:\" and a path")]
#[case("sqlite:state/store.db", "sqlite://state/store.db", "store.url: must be \"sqlite:\" and a path")]
#[case("sqlite:state/store.db", "sqlite::memory:", "store.url: must be \"sqlite:\" and a path")]
#[case("path = \"audit.jsonl\"", "path = \"\"", "audit.path: must be a path")]
#[case(
    "default_ttl = \"2m\"",
    "default_ttl = \"2\"",
    "limits.default_ttl: must be a duration such as \"5m\", \"90s\", \"50ms\" or \"1h\""
)]
#[case(
    "default_ttl = \"2m\"",
    "default_ttl = \"1m30s\"",
    "limits.default_ttl: must be a duration such as \"5m\", \"90s\", \"50ms\" or \"1h\""
)]
#[case(
    "default_ttl = \"2m\"",
    "default_ttl = \"-2m\"",
    "limits.default_ttl: must be a duration such as \"5m\", \"90s\", \"50ms\" or \"1h\""
)]
#[case("default_ttl = \"2m\"", "default_ttl = \"1500ms\"", "limits.default_ttl: must be a whole number of seconds")]
#[case("max_body = \"32KiB\"", "max_body = \"32kb\"", "limits.max_body: must be a size such as \"32MiB\" or \"64KiB\"")]
#[case("max_body = \"32KiB\"", "max_body = \"KiB\"", "limits.max_body: must be a size such as \"32MiB\" or \"64KiB\"")]
// Closed sets.
#[case("scope_mode = \"narrow\"", "scope_mode = \"wide\"", "client[0].scope_mode: must be one of \"narrow\", \"strict\"")]
#[case(
    "\"user\", \"host\"",
    "\"users\", \"host\"",
    "client[0].subjects[0]: must be one of \"user\", \"host\", \"envoy\", \"token\""
)]
#[case(
    "\"user\", \"host\"",
    "\"user\", \"delegation\"",
    "client[0].subjects[1]: this version cannot act for such subjects yet; it can for `user`, `host`, `envoy` and `token`"
)]
#[case(
    "\"user\", \"host\"",
    "\"caller\", \"host\"",
    "client[0].subjects[0]: this version cannot act for such subjects yet; it can for `user`, `host`, `envoy` and `token`"
)]
#[case(
    "[\"EdDSA\"]",
    "[\"HS256\"]",
    "trusted_issuer[1].algorithms[0]: must be one of \"EdDSA\", \"ES256\", \"ES384\", \"ES512\", \"RS256\", \"RS384\", \"RS512\", \"PS256\", \"PS384\", \"PS512\", \"Ed25519\""
)]
#[case(
    "[\"ES256\", \"EdDSA\", \"RS256\"]",
    "[\"ES256\", \"PS256\", \"RS256\"]",
    "keys.algorithms[1]: must be one of \"EdDSA\", \"ES256\", \"RS256\""
)]
#[case("algorithm = \"RS256\"", "algorithm = \"PS256\"", "audience[1].algorithm: must be one of \"ES256\", \"EdDSA\", \"RS256\"")]
#[case(
    "algorithms = [\"EdDSA\"]",
    "algorithms = [\"EdDSA\", \"Ed25519\"]",
    "trusted_issuer[1].algorithms[1]: is already there in line 86"
)]
#[case("durability = \"os\"", "durability = \"none\"", "audit.durability: must be one of \"fsync\", \"os\"")]
#[case("max_size = \"256MiB\"", "max_size = \"1KiB\"", "audit.max_size: must be between 64KiB and 2048MiB")]
#[case("keep = 30", "keep = 0", "audit.keep: must be between 1 and 100000")]
#[case("isolation = \"reuse\"", "isolation = \"pool\"", "runtime.isolation: must be one of \"request\", \"reuse\"")]
#[case("policies/house.wasm", "builtin:open", "policy.module: must be one of \"builtin:baseline\", a path")]
#[case("flow = \"local\"", "flow = \"exchange\"", "audience[0].flow: this version has no such flow; `local` is the only one")]
// Ranges.
#[case("max_ttl = \"12m\"", "max_ttl = \"16m\"", "limits.max_ttl: must be between 1s and 15m")]
#[case("default_ttl = \"2m\"", "default_ttl = \"13m\"", "limits.default_ttl: must be between 1s and 12m")]
#[case("max_ttl = \"10m\"", "max_ttl = \"13m\"", "client[0].max_ttl: must be between 1s and 12m")]
#[case("max_ttl = \"5m\"", "max_ttl = \"0s\"", "audience[0].max_ttl: must be between 1s and 12m")]
#[case("max_chain = 4", "max_chain = 6", "limits.max_chain: must be between 1 and 5")]
#[case("max_chain = 4", "max_chain = 260", "limits.max_chain: must be between 1 and 5")]
#[case("max_token = \"8KiB\"", "max_token = \"33KiB\"", "limits.max_token: must be between 1KiB and 32KiB")]
#[case("max_token = \"8KiB\"", "max_token = \"32KiB\"", "")]
#[case("max_body = \"32KiB\"", "max_body = \"99999999999999999999GiB\"", "limits.max_body: must be between 1KiB and 1MiB")]
#[case("deadline = \"20ms\"", "deadline = \"0ms\"", "policy.deadline: must be between 1ms and 10s")]
#[case("store = \"250ms\"", "store = \"2h\"", "timeouts.store: must be between 1ms and 1m")]
#[case("max_body = \"64KiB\"", "max_body = \"1B\"", "provider[0].max_body: must be between 1KiB and 16MiB")]
// Lists.
#[case("audiences = [\"reports\"]", "audiences = []", "client[1].audiences: must not be empty")]
#[case("types = [\"at+jwt\"]", "types = []", "trusted_issuer[0].types: must not be empty")]
#[case(
    "identities = [{ issuer = \"https://mesh.example.com\", sub = \"spiffe://example.com/router\" }]",
    "identities = []",
    "client[0].identities: must not be empty"
)]
#[case(
    "secret_sha256 = [",
    "secret_sha256 = [\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\",",
    "client[0].secret_sha256: at most 2 are allowed"
)]
#[case(
    "is_audience = [\"https://router.example.com\"]",
    "is_audience = [\"a\", \"a\"]",
    "client[0].is_audience[1]: is already there in line 41"
)]
#[case("cross_tenant = [[", "cross_tenant = [[\"acme\",\"globex\"], [", "client[0].cross_tenant[1]: is already there in line 42")]
// The same thing twice.
#[case("id = \"svc-reports\"", "id = \"svc-router\"", "client[1].id: is already there in line 29")]
#[case(
    "sub = \"spiffe://example.com/reports\"",
    "sub = \"spiffe://example.com/router\"",
    "client[1].identities[0]: is already there in line 47"
)]
#[case("name = \"mesh\"", "name = \"corp\"", "trusted_issuer[2].name: is already there in line 67")]
#[case(
    "issuer = \"https://ids.acme.example\"",
    "issuer = \"https://idp.example.com\"",
    "trusted_issuer[1].issuer: is already there in line 68"
)]
#[case(
    "id = \"reports\"\n",
    "id = \"reports\"\n[[audience]]\nid = \"reports\"\n",
    "audience[2].id: is already there in line 105"
)]
#[case(
    "[[provider]]",
    "[[provider]]\nname = \"login\"\norigin = \"https://a.example\"\n[[provider]]",
    "provider[1].name: is already there in line 109"
)]
// References.
#[case("audiences = [\"reports\"]", "audiences = [\"report\"]", "client[1].audiences[0]: no such audience is registered")]
#[case(
    "identities = [{ issuer = \"https://mesh.example.com\"",
    "identities = [{ issuer = \"https://idp.example.com\"",
    "client[0].identities[0].issuer: no such trusted issuer with `role = \"caller\"` is registered"
)]
#[case(
    "default_scopes = [\"expenses:read\"]",
    "default_scopes = [\"reports:read\"]",
    "client[0].default_scopes[0]: is not among `scopes`"
)]
#[case(
    "provisional_scopes = [\"expenses:read\"]",
    "provisional_scopes = [\"a\"]",
    "client[0].provisional_scopes[0]: is not among `scopes`"
)]
#[case("[[\"acme\", \"globex\"]]", "[[\"initech\", \"acme\"]]", "client[0].cross_tenant[0]: is not among the client's `tenants`")]
#[case("[[\"acme\", \"globex\"]]", "[[\"acme\", \"acme\"]]", "client[0].cross_tenant[0]: crosses from a tenant to itself")]
#[case(
    "[[\"acme\", \"globex\"]]",
    "[[\"acme\"]]",
    "client[0].cross_tenant[0]: must be a pair of tenants such as [\"acme\", \"globex\"]"
)]
#[case(
    "issuer = \"https://ids.acme.example\"",
    "issuer = \"https://obo.example.com\"",
    "trusted_issuer[1].issuer: is this server's own issuer"
)]
#[case(
    "subject = \"directory\"\nsubject_claim = \"employee\"",
    "subject = \"as-is\"",
    "trusted_issuer[1].tenants[0]: tenant `acme` already has an `as-is` issuer in line 74"
)]
// URLs.
#[case("http://127.0.0.1:9000", "http://10.0.0.1:9000", "trusted_issuer[0].jwks_uri: plain http is allowed on loopback only")]
#[case(
    "issuer = \"https://obo.example.com\"",
    "issuer = \"http://obo.example.com\"",
    "issuer: plain http is allowed on loopback only"
)]
#[case(
    "issuer = \"https://ids.acme.example\"",
    "issuer = \"https://ids.acme.example/?a\"",
    "trusted_issuer[1].issuer: must be an https URL without query, fragment and user"
)]
#[case(
    "issuer = \"https://ids.acme.example\"",
    "issuer = \"https://ids.acme.example/?\"",
    "trusted_issuer[1].issuer: must be an https URL without query, fragment and user"
)]
#[case(
    "issuer = \"https://ids.acme.example\"",
    "issuer = \"https://ids.acme.example/#a\"",
    "trusted_issuer[1].issuer: must be an https URL without query, fragment and user"
)]
#[case(
    "issuer = \"https://ids.acme.example\"",
    "issuer = \"https://a@ids.acme.example\"",
    "trusted_issuer[1].issuer: must be an https URL without query, fragment and user"
)]
#[case(
    "issuer = \"https://ids.acme.example\"",
    "issuer = \"ids.acme.example\"",
    "trusted_issuer[1].issuer: must be an https URL without query, fragment and user"
)]
#[case(
    "https://mesh.example.com/keys?live",
    "ftp://mesh.example.com/keys",
    "trusted_issuer[2].jwks_uri: must be an https URL without fragment and user"
)]
#[case(
    "https://login.example.com:8443",
    "https://login.example.com/token",
    "provider[0].origin: must be an https origin: scheme, host and port, without path"
)]
#[case(
    "https://login.example.com:8443",
    "http://login.example.com",
    "provider[0].origin: plain http is allowed on loopback only"
)]
#[case(
    "https://login.example.com:8443",
    "https://login.example.com:99999",
    "provider[0].origin: must be an https origin: scheme, host and port, without path"
)]
// Keys that belong together.
#[case("jwks_file = \"acme.jwks.json\"\n", "", "trusted_issuer[1].jwks_uri: needs one of `jwks_uri`, `jwks_file`")]
#[case(
    "jwks_file = \"acme.jwks.json\"\n",
    "jwks_file = \"a\"\njwks_uri = \"https://a.example\"\n",
    "trusted_issuer[1].jwks_file: cannot stand beside `jwks_uri`"
)]
#[case("jwks_file = \"acme.jwks.json\"\n", "jwks_file = \"a\"\nmax_stale = \"1h\"\n", "")]
#[case("subject_claim = \"employee\"", "", "trusted_issuer[0].subject_claim: is needed with `subject = \"directory\"`")]
#[case(
    "subject = \"as-is\"",
    "subject = \"as-is\"\nsubject_claim = \"a\"",
    "trusted_issuer[1].subject_claim: means nothing without `subject = \"directory\"`"
)]
#[case(
    "tenants = [\"acme\"]\nsubject = \"as-is\"",
    "tenants = [\"acme\", \"globex\"]",
    "trusted_issuer[1].tenant_claim: is needed with more than one tenant"
)]
#[case(
    "role = \"caller\"",
    "role = \"caller\"\nsubject = \"as-is\"",
    "trusted_issuer[2].subject: means nothing without `role = \"subject\"`"
)]
#[case(
    "role = \"caller\"",
    "role = \"caller\"\naudiences = [\"https://api.example.com\"]",
    "trusted_issuer[2].audiences[0]: must be one of this server's `issuer`"
)]
#[case("provisional_scopes = [\"expenses:read\"]\n", "", "client[0].provisional_scopes: is needed with `provisional = true`")]
#[case("provisional = true\n", "", "client[0].provisional_scopes: means nothing without `provisional = true`")]
#[case("\"host\", \"envoy\"", "\"host\"", "client[0].provisional: means nothing without `envoy` among `subjects`")]
#[case("subjects = [\"token\"]", "subjects = [\"token\"]\nprovisional = false", "")]
#[case(
    "[[client.identities]]\nissuer = \"https://mesh.example.com\"\nsub = \"spiffe://example.com/reports\"",
    "",
    "client[1].secret_sha256: needs one of `secret_sha256`, `identities`, `attested = true`"
)]
#[case("isolation = \"reuse\", ", "", "runtime.reuse_count: means nothing without `isolation = \"reuse\"`")]
#[case("client_secret_file = \"login.secret\"\n", "", "provider[0].client_secret_file: is needed with `client_id`")]
#[case("client_id = \"standin\"\n", "", "provider[0].client_id: is needed with `client_secret_file`")]
#[case("tls = {", "dangerous_plain_http = true\ntls = {", "server.dangerous_plain_http: cannot stand beside `tls`")]
fn a_fault_is_named(#[case] from: &str, #[case] to: &str, #[case] expected: &str) {
    let found = faults(&edited(from, to));
    assert_eq!(found, if expected.is_empty() { vec![] } else { vec![expected] });
}

#[test]
fn a_list_has_a_bound() {
    let many: Vec<String> = (0..=reader::MAX_LIST).map(|number| format!("\"s{number}\"")).collect();
    let text = format!("issuer = \"https://a.example\"\naudience = [{{ id = \"a\", scopes = [{}] }}]", many.join(","));
    assert_eq!(faults(&text), ["audience[0].scopes: at most 1024 are allowed"]);
}

#[test]
fn a_faulty_registration_still_counts_as_named() {
    let text = edited("flow = \"local\"", "flow = \"exchange\"").replace("role = \"caller\"", "role = \"caller\"\nfoo = 1");
    assert_eq!(faults(&text).len(), 2);
}

#[test]
fn line_column_and_source_are_shown() {
    let text = "issuer = \"https://a.example\"\n\tlimits = { max_chain = 1, \"ä\" = 2 }\n";
    let error = parse(text).expect_err("an unknown key");
    let [fault] = error.faults() else { panic!("{error}") };
    assert_eq!((fault.line, fault.column, fault.path.as_str()), (2, 28, "limits.ä"));
    assert_eq!(fault.source.as_deref(), Some(" limits = { max_chain = 1, \"ä\" = 2 }"));
}

#[test]
fn a_line_with_a_secret_is_not_shown() {
    let text = "issuer = \"https://a.example\"\nclient_secret = \"hunter2\"\n[[client]]\nsecret_sha256 = [\n \"hunter3\",\n]";
    let shown = parse(text).expect_err("a misplaced secret").to_string();
    assert!(shown.contains("client_secret: unknown key") && !shown.contains("hunter"), "{shown}");
}

#[test]
fn a_long_or_controlling_line_is_cut_and_blanked() {
    let text = format!("issuer = \"https://a.example\"\nfoo = \"\u{1b}[2J{}\"", "a".repeat(500));
    let shown = parse(&text).expect_err("a control character").to_string();
    assert!(!shown.contains('\u{1b}') && shown.contains('…') && !shown.contains(&"a".repeat(200)), "{shown}");
}

#[test]
fn an_empty_text_lacks_an_issuer() {
    assert_eq!(parse("").expect_err("nothing there").to_string(), "standin.toml:1:1: issuer: is missing\n  1 | \n    | ^");
}

#[test]
fn repeated_keys_have_a_bound() {
    let text = format!("issuer = \"https://a.example\"\n{}", "listen = \"[::1]:1\"\n".repeat(MAX_REPEATED + 10));
    let found = faults(&text);
    assert_eq!(found.len(), MAX_REPEATED + 1);
    assert_eq!(found.last().map(String::as_str), Some(": not TOML: duplicate key"));
}

#[test]
fn a_file_is_read_relative_to_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("standin.toml");
    std::fs::write(&file, "issuer = \"https://a.example\"\nkeys.dir = \"k\"\naudit.path = \"/var/log/audit.jsonl\"").unwrap();
    let config = Config::read(&file).unwrap();
    assert_eq!(config.keys.dir, folder.path().join("k"));
    assert_eq!(config.audit.path, Path::new("/var/log/audit.jsonl"));
    std::fs::write(&file, "issuer = 1").unwrap();
    let shown = Config::read(&file).expect_err("no string").to_string();
    assert!(shown.starts_with(&format!("{}:1:10: issuer: must be a string", file.display())), "{shown}");
}

#[test]
fn what_cannot_be_read_is_an_error_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("standin.toml");
    assert!(matches!(Config::read(&file), Err(ConfigError::Unreadable { .. })));
    std::fs::write(&file, b"issuer = \"\xff\"").unwrap();
    let error = Config::read(&file).expect_err("no UTF-8");
    assert!(matches!(error, ConfigError::Unreadable { .. }) && error.faults().is_empty());
    std::fs::File::create(&file).unwrap().set_len(MAX_FILE + 1).unwrap();
    assert!(matches!(Config::read(&file), Err(ConfigError::TooLong { limit: MAX_FILE, .. })));
}
