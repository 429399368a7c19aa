use std::sync::atomic::Ordering;

use rstest::rstest;
use serde_json::json;

use super::super::testing::{CORP_JWKS, Signer, Stand, issuer_keys, set};
use super::*;

impl Stand {
    async fn find(&self, signer: &Signer) -> Result<Arc<dyn VerifyingKey>, IssuerKeyError> {
        self.issuers.find(&url(), Some(signer.0.kid()), Algorithm::EdDsa).await
    }

    /// Lets fetches in the background finish.
    async fn settle(&self) {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }
}

fn url() -> IssuerKeys {
    issuer_keys(JwksSource::Url(CORP_JWKS.into()))
}

fn registered(name: &str, set: Option<KeySet>) -> Registered {
    let IssuerKeys { source, algorithms, max_stale: _ } = url();
    Registered { name: name.into(), source, algorithms, set }
}

fn signer() -> Signer {
    Signer::new(Algorithm::EdDsa)
}

#[tokio::test]
async fn fetches_once_and_keeps() {
    let (stand, key) = (Stand::new(), signer());
    stand.site.serve(set(&[&key]));
    for _ in 0..3 {
        assert_eq!(stand.find(&key).await.unwrap().thumbprint(), key.0.kid());
    }
    assert_eq!(stand.site.count(), 1);
}

#[tokio::test]
async fn many_wait_for_one_fetch_and_share_its_failure() {
    let (stand, key) = (Arc::new(Stand::new()), Arc::new(signer()));
    stand.site.slow.store(true, Ordering::SeqCst);
    stand.site.answer(Err(HttpError::Timeout));
    let ask = || {
        let (stand, key) = (Arc::clone(&stand), Arc::clone(&key));
        tokio::spawn(async move { stand.find(&key).await.err() })
    };
    let unavailable = Some(IssuerKeyError::Unavailable(FetchError::Http(HttpError::Timeout)));
    for asking in (0..100).map(|_| ask()).collect::<Vec<_>>() {
        assert_eq!(asking.await.unwrap(), unavailable);
    }
    assert_eq!(stand.site.count(), 1);
    // The failure stands for a moment, then it is tried again.
    assert_eq!(ask().await.unwrap(), unavailable);
    assert_eq!(stand.site.count(), 1);
    stand.clock.pass(5);
    stand.site.serve(set(&[&key]));
    assert!(stand.find(&key).await.is_ok());
    assert_eq!(stand.site.count(), 2);
}

#[tokio::test]
async fn only_so_many_wait_for_one_source() {
    let (stand, key) = (Arc::new(Stand::new()), Arc::new(signer()));
    stand.site.slow.store(true, Ordering::SeqCst);
    stand.site.serve(set(&[&key]));
    let ask = || {
        let (stand, key) = (Arc::clone(&stand), Arc::clone(&key));
        tokio::spawn(async move { stand.find(&key).await.err() })
    };
    let mut answers = Vec::new();
    for asking in (0..WAITERS + 2).map(|_| ask()).collect::<Vec<_>>() {
        answers.push(asking.await.unwrap());
    }
    assert_eq!(answers.iter().filter(|answer| **answer == Some(IssuerKeyError::Crowded)).count(), 2);
    assert_eq!(answers.iter().filter(|answer| answer.is_none()).count(), WAITERS);
    assert!(stand.find(&key).await.is_ok(), "nobody waits any more");
    // A set that may still serve does so for all, however many wait for its successor.
    stand.clock.pass(1_300);
    stand.site.answer(Err(HttpError::Timeout));
    for asking in (0..WAITERS + 2).map(|_| ask()).collect::<Vec<_>>() {
        assert_eq!(asking.await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_fetch_outlives_who_asked_for_it() {
    let (stand, key) = (Stand::new(), signer());
    stand.site.slow.store(true, Ordering::SeqCst);
    stand.site.serve(set(&[&key]));
    assert!(tokio::time::timeout(Duration::from_millis(1), stand.find(&key)).await.is_err());
    assert!(stand.find(&key).await.is_ok());
    assert_eq!(stand.site.count(), 1);
}

#[tokio::test]
async fn an_unknown_kid_refreshes_at_most_once_a_minute() {
    let (stand, old, new) = (Stand::new(), signer(), signer());
    stand.site.serve(set(&[&old]));
    assert!(stand.find(&old).await.is_ok());
    stand.site.serve(set(&[&new]));
    assert!(stand.find(&new).await.is_ok());
    assert_eq!(stand.site.count(), 2);
    // The key that is gone is gone.
    for _ in 0..10 {
        assert_eq!(stand.find(&old).await.err(), Some(IssuerKeyError::Unknown));
        assert_eq!(stand.find(&signer()).await.err(), Some(IssuerKeyError::Unknown));
    }
    assert_eq!(stand.site.count(), 2);
    stand.clock.pass(59);
    assert!(stand.find(&old).await.is_err());
    assert_eq!(stand.site.count(), 2);
    stand.clock.pass(1);
    assert!(stand.find(&old).await.is_err());
    assert!(stand.find(&old).await.is_err());
    assert_eq!(stand.site.count(), 3);
}

#[tokio::test]
async fn a_first_fetch_is_not_repeated_for_an_unknown_kid() {
    let (stand, known) = (Stand::new(), signer());
    stand.site.serve(set(&[&known]));
    assert_eq!(stand.find(&signer()).await.err(), Some(IssuerKeyError::Unknown));
    assert_eq!(stand.site.count(), 1);
}

#[tokio::test]
async fn an_old_set_is_refreshed_behind_the_scenes() {
    let (stand, key, next) = (Stand::new(), signer(), signer());
    stand.site.serve(set(&[&key]));
    assert!(stand.find(&key).await.is_ok());
    stand.clock.pass(599);
    assert!(stand.find(&key).await.is_ok());
    stand.settle().await;
    assert_eq!(stand.site.count(), 1);
    stand.clock.pass(1);
    stand.site.serve(set(&[&next]));
    assert!(stand.find(&key).await.is_ok(), "nobody waits");
    stand.settle().await;
    assert_eq!(stand.site.count(), 2);
    assert!(stand.find(&next).await.is_ok());
}

#[tokio::test]
async fn the_old_set_serves_while_the_url_is_down() {
    let (stand, key) = (Stand::new(), signer());
    stand.site.serve(set(&[&key]));
    assert!(stand.find(&key).await.is_ok());
    stand.site.answer(Err(HttpError::Connect("down".into())));
    for minute in 1..=60 {
        stand.clock.pass(60);
        assert!(stand.find(&key).await.is_ok());
        stand.settle().await;
        // From the tenth minute on one attempt a minute.
        assert_eq!(stand.site.count(), 1 + usize::try_from(minute).unwrap().saturating_sub(9));
    }
    assert_eq!(stand.find(&signer()).await.err(), Some(IssuerKeyError::Unknown));
    stand.clock.pass(1);
    let down = FetchError::Http(HttpError::Connect("down".into()));
    assert_eq!(stand.find(&key).await.err(), Some(IssuerKeyError::Unavailable(down)));
    stand.clock.pass(5);
    stand.site.serve(set(&[&key]));
    assert!(stand.find(&key).await.is_ok());
}

#[rstest]
#[case::redirect(302)]
#[case::permanent_redirect(308)]
#[case::not_found(404)]
#[case::no_content(204)]
#[tokio::test]
async fn other_answers_are_no_sets(#[case] status: u16) {
    let stand = Stand::new();
    stand.site.answer(Ok(status));
    let error = stand.find(&signer()).await.err();
    assert_eq!(error, Some(IssuerKeyError::Unavailable(FetchError::Status(status))));
}

#[rstest]
#[case::not_json(b"<html>".to_vec(), JwkError::Malformed)]
#[case::oversized(vec![b' '; MAX_SET_BYTES + 1], JwkError::TooLong)]
#[tokio::test]
async fn malformed_and_oversized_sets_are_refused(#[case] body: Vec<u8>, #[case] error: JwkError) {
    let stand = Stand::new();
    stand.site.serve(body);
    assert_eq!(stand.find(&signer()).await.err(), Some(IssuerKeyError::Unavailable(FetchError::Set(error))));
}

#[tokio::test]
async fn plain_http_beyond_loopback_is_not_asked() {
    let stand = Stand::new();
    let keys = issuer_keys(JwksSource::Url("http://idp.example.com/jwks.json".into()));
    let error = stand.issuers.find(&keys, Some("k"), Algorithm::EdDsa).await.err();
    assert!(matches!(error, Some(IssuerKeyError::Unavailable(FetchError::Http(HttpError::Refused(_))))));
    assert_eq!(stand.site.count(), 0);
}

#[tokio::test]
async fn a_redirect_of_a_real_server_is_not_followed() {
    use wiremock::matchers::path;
    use wiremock::{Mock, MockServer, ResponseTemplate};

    let (server, key, clock) = (MockServer::start().await, signer(), Stand::new().clock);
    Mock::given(path("/jwks")).respond_with(ResponseTemplate::new(200).set_body_string(set(&[&key]))).mount(&server).await;
    let moved = ResponseTemplate::new(301).insert_header("location", "/jwks");
    Mock::given(path("/moved")).respond_with(moved).mount(&server).await;
    let oversized = ResponseTemplate::new(200).set_body_bytes(vec![b' '; MAX_SET_BYTES + 1]);
    Mock::given(path("/oversized")).respond_with(oversized).mount(&server).await;

    let issuers = IssuerKeySets::new(Arc::new(crate::http::ReqwestHttp::new()), clock);
    let find = async |path: &str| {
        let keys = issuer_keys(JwksSource::Url(format!("{}{path}", server.uri())));
        issuers.find(&keys, Some(key.0.kid()), Algorithm::EdDsa).await
    };
    assert!(find("/jwks").await.is_ok());
    assert_eq!(find("/moved").await.err(), Some(IssuerKeyError::Unavailable(FetchError::Status(301))));
    let oversized = IssuerKeyError::Unavailable(FetchError::Http(HttpError::TooLarge));
    assert_eq!(find("/oversized").await.err(), Some(oversized));
}

#[tokio::test]
async fn files_are_read_again_for_an_unknown_kid_and_after_a_minute() {
    let (stand, first, second, third) = (Stand::new(), signer(), signer(), signer());
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("jwks.json");
    let keys = issuer_keys(JwksSource::File(path.clone()));
    let find = async |signer: &Signer| stand.issuers.find(&keys, Some(signer.0.kid()), Algorithm::EdDsa).await.map(|_| ());

    let missing = IssuerKeyError::Unavailable(FetchError::File(GuardError::Io(rustix::io::Errno::NOENT)));
    assert_eq!(find(&first).await, Err(missing));
    stand.clock.pass(5);
    std::fs::write(&path, set(&[&first])).unwrap();
    assert_eq!(find(&first).await, Ok(()));
    std::fs::write(&path, set(&[&first, &second])).unwrap();
    assert_eq!(find(&second).await, Ok(()));
    std::fs::write(&path, set(&[&third])).unwrap();
    assert_eq!(find(&third).await, Err(IssuerKeyError::Unknown), "within the minute");
    stand.clock.pass(60);
    assert_eq!(find(&first).await, Ok(()), "nobody waits");
    while find(&first).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(find(&third).await, Ok(()));

    // A broken file leaves the set that was read before in place.
    std::fs::write(&path, "{").unwrap();
    stand.clock.pass(60);
    assert_eq!(find(&third).await, Ok(()));
    std::fs::write(&path, vec![b' '; MAX_SET_BYTES + 1]).unwrap();
    stand.clock.pass(3_601);
    assert_eq!(find(&third).await, Err(IssuerKeyError::Unavailable(FetchError::Set(JwkError::TooLong))));
}

#[tokio::test]
async fn a_key_of_another_type_is_a_misfit() {
    let (stand, key) = (Stand::new(), signer());
    stand.site.serve(set(&[&key]));
    let found = stand.issuers.find(&url(), Some(key.0.kid()), Algorithm::Es256).await;
    assert_eq!(found.err(), Some(IssuerKeyError::Misfit));
}

#[tokio::test]
async fn sources_are_bounded_and_forgotten() {
    let (stand, key) = (Stand::new(), signer());
    stand.site.serve(set(&[&key]));
    for number in 0..MAX_SOURCES {
        stand.issuers.state(&JwksSource::File(format!("{number}").into())).unwrap();
    }
    assert_eq!(stand.find(&key).await.err(), Some(IssuerKeyError::TooMany));
    let corp = || registered("corp", None);
    stand.issuers.register(vec![corp()]);
    assert!(stand.find(&key).await.is_ok());
    stand.issuers.register(vec![corp()]);
    assert!(stand.find(&key).await.is_ok());
    assert_eq!(stand.site.count(), 1, "what is still referenced stays");
    stand.issuers.register(Vec::new());
    assert!(stand.find(&key).await.is_ok());
    assert_eq!(stand.site.count(), 2);
}

#[tokio::test]
async fn a_fetch_that_dies_is_an_error() {
    struct Dying;
    #[async_trait::async_trait]
    impl Http for Dying {
        async fn send(&self, _: Outbound) -> Result<crate::http::Inbound, HttpError> {
            panic!("a bug of the port")
        }
    }
    let issuers = IssuerKeySets::new(Arc::new(Dying), Stand::new().clock);
    let error = issuers.find(&url(), Some("k"), Algorithm::EdDsa).await.err();
    assert_eq!(error, Some(IssuerKeyError::Unavailable(FetchError::GivenUp)));
}

#[tokio::test]
async fn a_wrong_signature_refreshes_as_seldom_as_an_unknown_kid() {
    let (stand, old, new) = (Stand::new(), signer(), signer());
    let renamed = |signer: &Signer| json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "x": signer.jwk()["x"], "kid": "k" }] });
    let again = async |wrong: &Signer| {
        let found = stand.issuers.find_another(&url(), Some("k"), Algorithm::EdDsa, wrong.0.kid()).await;
        found.map(|key| key.thumbprint().to_owned())
    };
    stand.site.serve(renamed(&old).to_string());
    assert!(stand.issuers.find(&url(), Some("k"), Algorithm::EdDsa).await.is_ok());
    assert_eq!(again(&old).await, Err(IssuerKeyError::Unknown), "still the same");
    stand.site.serve(renamed(&new).to_string());
    for _ in 0..10 {
        assert_eq!(again(&old).await, Err(IssuerKeyError::Unknown));
        assert_eq!(stand.find(&signer()).await.err(), Some(IssuerKeyError::Unknown));
    }
    assert_eq!(stand.site.count(), 2, "both share the one minute");
    stand.clock.pass(60);
    assert_eq!(again(&old).await.as_deref(), Ok(new.0.kid()));
    assert_eq!(stand.site.count(), 3);
    // Whoever comes later with what was wrong before finds the new one at once.
    assert_eq!(again(&old).await.as_deref(), Ok(new.0.kid()));
    assert_eq!(stand.site.count(), 3);
}

#[rstest]
#[case::a_little("max-age=1", 30)]
#[case::more("max-age=1200", 1_200)]
#[case::a_year("max-age=31536000", 3_600)]
#[tokio::test]
async fn a_source_says_how_long_its_set_is_fresh(#[case] said: &str, #[case] fresh: u64) {
    let (stand, key) = (Stand::new(), signer());
    stand.site.serve_with(&[("cache-control", said)], set(&[&key]));
    assert!(stand.find(&key).await.is_ok());
    for round in 1..4 {
        stand.clock.pass(fresh - 1);
        assert!(stand.find(&key).await.is_ok());
        stand.settle().await;
        assert_eq!(stand.site.count(), round);
        stand.clock.pass(1);
        assert!(stand.find(&key).await.is_ok());
        stand.settle().await;
        assert_eq!(stand.site.count(), round + 1);
    }
}

#[tokio::test]
async fn requests_say_who_asks_and_want_no_encoding() {
    let (stand, key) = (Stand::new(), signer());
    stand.site.serve_with(&[("content-encoding", "gzip")], set(&[&key]));
    assert_eq!(stand.find(&key).await.err(), Some(IssuerKeyError::Unavailable(FetchError::Encoded)));
    let sent = stand.site.sent();
    for (name, value) in [("accept-encoding", "identity"), ("user-agent", concat!("standin/", env!("CARGO_PKG_VERSION")))] {
        assert!(sent.contains(&(name.to_owned(), value.to_owned())), "{sent:?}");
    }
}

#[tokio::test]
async fn a_file_that_is_registered_again_counts_at_once() {
    let (stand, old, new) = (Stand::new(), signer(), signer());
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("jwks.json");
    let keys = IssuerKeys { max_stale: Duration::from_secs(120), ..issuer_keys(JwksSource::File(path.clone())) };
    let find = async |signer: &Signer| stand.issuers.find(&keys, Some(signer.0.kid()), Algorithm::EdDsa).await.map(|_| ());
    let register = || {
        let set = Some(read_file(&path).unwrap());
        stand.issuers.register(vec![Registered { source: keys.source.clone(), ..registered("corp", set) }]);
    };
    std::fs::write(&path, set(&[&old])).unwrap();
    register();
    assert_eq!(find(&old).await, Ok(()));
    std::fs::write(&path, set(&[&new])).unwrap();
    register();
    assert_eq!((find(&new).await, find(&old).await), (Ok(()), Err(IssuerKeyError::Unknown)));
    // One that is gone serves no longer than a url that is down.
    std::fs::remove_file(&path).unwrap();
    stand.clock.pass(120);
    assert_eq!(find(&new).await, Ok(()));
    stand.clock.pass(1);
    let gone = FetchError::File(GuardError::Io(rustix::io::Errno::NOENT));
    assert_eq!(find(&new).await, Err(IssuerKeyError::Unavailable(gone)));
}

#[tokio::test]
async fn what_was_read_before_a_registration_does_not_come_back_after_it() {
    let (stand, old, new) = (Stand::new(), signer(), signer());
    stand.site.slow.store(true, Ordering::SeqCst);
    stand.site.serve(set(&[&old]));
    assert!(tokio::time::timeout(Duration::from_millis(1), stand.find(&old)).await.is_err());
    let newer = KeySet::parse(set(&[&new]).as_bytes()).unwrap();
    stand.issuers.register(vec![registered("corp", Some(newer))]);
    assert!(stand.find(&new).await.is_ok());
    // Waits for the fetch that is under way.
    assert_eq!(stand.find(&old).await.err(), Some(IssuerKeyError::Unknown));
    assert!(stand.find(&new).await.is_ok());
    assert_eq!(stand.site.count(), 1);
}

#[tokio::test]
async fn a_file_that_others_can_write_is_no_source() {
    use std::os::unix::fs::PermissionsExt as _;
    let (stand, key) = (Stand::new(), signer());
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("jwks.json");
    std::fs::write(&path, set(&[&key])).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
    let found = stand.issuers.find(&issuer_keys(JwksSource::File(path)), Some(key.0.kid()), Algorithm::EdDsa).await;
    let refused = FetchError::File(GuardError::Writable { mode: 0o666 });
    assert_eq!(found.err(), Some(IssuerKeyError::Unavailable(refused)));
}

#[tokio::test]
async fn issuers_without_a_usable_key_are_named() {
    let (stand, key) = (Stand::new(), signer());
    let other = Registered { algorithms: vec![Algorithm::Rs256], ..registered("of another algorithm", None) };
    stand.issuers.register(vec![registered("one", None), registered("another", None), other]);
    assert!(stand.issuers.without_keys().is_empty(), "nobody knows yet");
    stand.site.serve(r#"{"keys":[{"kty":"oct","k":"AAAA"}]}"#);
    assert_eq!(stand.find(&key).await.err(), Some(IssuerKeyError::Unknown));
    assert_eq!(stand.issuers.without_keys(), ["another", "of another algorithm", "one"]);
    stand.site.serve(set(&[&key]));
    assert!(stand.find(&key).await.is_ok(), "it is asked again for a key that nobody knows");
    assert_eq!(stand.issuers.without_keys(), ["of another algorithm"]);
}
