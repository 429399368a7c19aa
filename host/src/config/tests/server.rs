//! Where a server listens and issues, and how much it takes.

use rstest::rstest;

use super::*;

#[rstest]
#[case("0.0.0.0:80", "", &["listen: needs `tls` in `server` off loopback, or `dangerous_plain_http = true`"])]
#[case("[::1]:80", "", &[])]
#[case("0.0.0.0:80", "server.dangerous_plain_http = true", &[])]
#[case("0.0.0.0:80", "server.tls = { certificate = \"c\", key = \"k\" }", &[])]
#[case("0.0.0.0:80", "server.tls = { certificate = \"c\" }", &["server.tls.key: is missing"])]
fn plain_http_stays_on_loopback(#[case] listen: &str, #[case] more: &str, #[case] expected: &[&str]) {
    let text = format!("issuer = \"https://a.example\"\nlisten = \"{listen}\"\n{more}");
    assert_eq!(faults(&text), expected);
}

#[rstest]
#[case("http://localhost:1", true)]
#[case("http://127.8.0.1", true)]
#[case("http://[::1]:9", true)]
#[case("http://127.0.0.1.example.com", false)]
#[case("http://localhost.example.com", false)]
#[case("http://[::2]", false)]
fn loopback_is_an_address(#[case] issuer: &str, #[case] taken: bool) {
    assert_eq!(faults(&format!("issuer = \"{issuer}\"")).is_empty(), taken);
}

#[rstest]
#[case("", 16, 64)]
#[case("max_token = \"48KiB\"", 48, 64)]
#[case("max_token = \"64KiB\"", 64, 80)]
#[case("max_token = \"64KiB\"\nmax_body = \"64KiB\"", 64, 64)]
#[case("max_body = \"8KiB\"", 16, 8)]
fn a_body_has_room_for_a_token(#[case] limits: &str, #[case] max_token: u32, #[case] max_body: u32) {
    let config = parse(&format!("issuer = \"https://a.example\"\n[limits]\n{limits}")).unwrap();
    assert_eq!((config.limits.max_token, config.limits.max_body), (max_token << 10, max_body << 10));
    let longer = "issuer = \"https://a.example\"\nlimits.max_token = \"65KiB\"";
    assert_eq!(faults(longer), ["limits.max_token: must be between 1KiB and 64KiB"]);
}
