//! The sections about the host itself.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::time::Duration;

use standin_core::registry::Algorithm;

use super::fault::Problem;
use super::reader::{Found, Section, values};
use super::value::{boolean, choice, duration, integer, lifetime, path, share, size, sqlite, text};
use super::{AuditLog, Durability, FAILURES, Isolation, Limits, Record, Runtime, Server, SigningKeys, Timeouts, Tls};

/// The system's cap on lifetimes; a file can only lower it.
const MAX_TTL: u32 = 15 * 60;
/// The longest token of any configuration, in bytes.
const MAX_TOKEN: u32 = 64 * KIB;
const KIB: u32 = 1024;
const MIB: u32 = 1024 * KIB;
const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// `listen`.
pub(super) fn listen(root: &mut Section<'_>) -> Found<SocketAddr> {
    let default = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8080));
    root.optional("listen", text(address)).unwrap_or_else(|| Found { value: default, place: root.at("listen") })
}

fn address(text: &str) -> Result<SocketAddr, Problem> {
    text.parse().map_err(|_| Problem::Malformed { expected: "an IP address and a port such as \"127.0.0.1:8080\"" })
}

/// `[keys]`.
pub(super) fn keys(mut section: Section<'_>, base: &Path) -> SigningKeys {
    let signing = Algorithm::SIGNING.map(|algorithm| (algorithm.name(), algorithm));
    let dir = section.or("dir", path(base), base.join("keys"));
    let algorithms = section.filled("algorithms", choice(&signing)).map(|algorithms| values(&algorithms));
    // What every verifier takes comes first. An empty list stands beside a fault.
    let algorithms = algorithms.filter(|algorithms| !algorithms.is_empty());
    let keys = SigningKeys { dir, algorithms: algorithms.unwrap_or_else(|| vec![Algorithm::Es256, Algorithm::EdDsa]) };
    section.finish();
    keys
}

/// `[directory]` and `[store]`.
pub(super) fn database(mut section: Section<'_>, base: &Path) -> PathBuf {
    let file = section.or("url", sqlite(base), base.join("standin.db"));
    section.finish();
    file
}

/// `[audit]`.
pub(super) fn audit(mut section: Section<'_>, base: &Path) -> AuditLog {
    let durabilities = [("fsync", Durability::Fsync), ("os", Durability::Os)];
    let audit = AuditLog {
        path: section.or("path", path(base), base.join("audit.jsonl")),
        durability: section.or("durability", choice(&durabilities), Durability::Fsync),
        checkpoint_every: section.or("checkpoint_every", integer(1..=1_000_000), 1_000),
        checkpoint_interval: section.or("checkpoint_interval", duration(SECOND..=HOUR), MINUTE),
        max_size: u64::from(section.or("max_size", size(64 * KIB..=2_048 * MIB), 1_024 * MIB)),
        keep: section.optional("keep", integer(1..=100_000)).map(|keep| keep.value),
    };
    section.finish();
    audit
}

/// `[limits]`.
pub(super) fn limits(mut section: Section<'_>) -> Limits {
    let max_ttl = section.or("max_ttl", lifetime(MAX_TTL), MAX_TTL);
    let max_body = section.optional("max_body", size(KIB..=MIB)).map(|max_body| max_body.value);
    // A subject token comes in a body, so none is longer.
    let longest = max_body.map_or(MAX_TOKEN, |max_body| max_body.min(MAX_TOKEN));
    let max_token = section.or("max_token", size(KIB..=longest), 16 * KIB);
    let limits = Limits {
        default_ttl: section.or("default_ttl", lifetime(max_ttl), max_ttl.min(5 * 60)),
        max_ttl,
        max_chain: section.or("max_chain", integer(1..=5), 5),
        max_in_flight: section.or("max_in_flight", integer(1..=4_096), 256),
        caller_failures: section.or("caller_failures", integer(0..=1_000_000), FAILURES),
        max_token,
        max_depth: section.or("max_depth", integer(2..=32), 16),
        // With room for what stands beside the token.
        max_body: max_body.unwrap_or((max_token + 16 * KIB).max(64 * KIB)),
    };
    section.finish();
    limits
}

/// `record`; `None` also beside a fault.
pub(super) fn record(mut section: Section<'_>, base: &Path) -> Option<Record> {
    if !section.is_there() {
        return None;
    }
    let (dir, key) = (section.required("dir", path(base)), section.required("key", path(base)));
    let (sample, max_tapes) = (section.or("sample", share, 1.0), section.or("max_tapes", integer(1..=100_000), 1_000));
    let max_age = section.or("max_age", duration(MINUTE..=30 * 24 * HOUR), 24 * HOUR);
    let max_tape = section.or("max_tape", size(16 * KIB..=16 * MIB), MIB);
    section.finish();
    Some(Record { dir: dir?.value, key: key?.value, sample, max_tapes, max_age, max_tape })
}

/// `[runtime]`.
pub(super) fn runtime(mut section: Section<'_>, base: &Path) -> Runtime {
    let count = section.optional("reuse_count", integer(1..=1_000_000)).map_or(1_000, |count| count.value);
    let isolations = [("request", Isolation::Request), ("reuse", Isolation::Reuse(count))];
    let isolation = section.or("isolation", choice(&isolations), Isolation::Request);
    if section.has("reuse_count") && matches!(section.peek("isolation"), None | Some("request")) {
        section.report("reuse_count", Problem::Useless { condition: "`isolation = \"reuse\"`" });
    }
    let runtime = Runtime {
        isolation,
        memory: section.or("memory", size(MIB..=1024 * MIB), 32 * MIB),
        cpu: section.or("cpu", duration(MILLISECOND..=10 * SECOND), 50 * MILLISECOND),
        cache: section.or("cache", path(base), base.join("cache")),
        remember_signatures: section.or("remember_signatures", boolean, true),
    };
    section.finish();
    runtime
}

/// `[server]`.
pub(super) fn server(mut section: Section<'_>, listen: &Found<SocketAddr>, base: &Path) -> Server {
    let tls = tls(&mut section, base);
    let dangerous_plain_http = section.or("dangerous_plain_http", boolean, false);
    if dangerous_plain_http && section.has("tls") {
        section.report("dangerous_plain_http", Problem::Excludes { other: "tls" });
    }
    // RFC 6749 §3.2: a token endpoint is reached over TLS.
    if !dangerous_plain_http && !section.has("tls") && !listen.value.ip().is_loopback() {
        section.faults.report(&listen.place, Problem::NeedsTls);
    }
    let max_connections = section.or("max_connections", integer(1..=1_000_000), 1_024);
    // One peer alone does not fill the server.
    let of_one_peer = (max_connections / 4).max(1);
    let server = Server {
        max_headers: section.or("max_headers", integer(8..=512), 64),
        header_timeout: section.or("header_timeout", duration(100 * MILLISECOND..=MINUTE), 10 * SECOND),
        idle_timeout: section.or("idle_timeout", duration(100 * MILLISECOND..=60 * MINUTE), 2 * MINUTE),
        request_timeout: section.or("request_timeout", duration(100 * MILLISECOND..=5 * MINUTE), 30 * SECOND),
        grace: section.or("grace", duration(Duration::ZERO..=10 * MINUTE), 30 * SECOND),
        max_connections,
        max_connections_per_peer: section.or("max_connections_per_peer", integer(1..=1_000_000), of_one_peer),
        health_listen: section.optional("health_listen", text(address)).map(|found| found.value),
        tls,
        dangerous_plain_http,
    };
    section.finish();
    server
}

/// `tls`; `None` also beside a fault.
fn tls(server: &mut Section<'_>, base: &Path) -> Option<Tls> {
    let present = server.has("tls");
    let mut section = server.section("tls");
    if !present {
        return None;
    }
    let (certificate, key) = (section.required("certificate", path(base)), section.required("key", path(base)));
    section.finish();
    Some(Tls { certificate: certificate?.value, key: key?.value })
}

/// `[timeouts]`.
pub(super) fn timeouts(mut section: Section<'_>) -> Timeouts {
    let limit = || duration(MILLISECOND..=MINUTE);
    let timeouts = Timeouts {
        directory: section.or("directory", limit(), 2 * SECOND),
        store: section.or("store", limit(), 2 * SECOND),
        audit: section.or("audit", limit(), 5 * SECOND),
        http: section.or("http", limit(), 5 * SECOND),
        keys: section.or("keys", limit(), 5 * SECOND),
    };
    section.finish();
    timeouts
}
