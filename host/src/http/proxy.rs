//! By which proxy `https` leaves this machine. `http` goes to loopback only, and loopback is never asked of a proxy: what is there
//! is not what is here.

use std::ffi::{OsStr, OsString};
use std::fmt;

use reqwest::{ClientBuilder, NoProxy, Url};

/// `localhost`, 127.0.0.0/8 and ::1.
const LOOPBACK: &str = "localhost,127.0.0.0/8,::1";

/// The environment names a proxy that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not the url of a proxy: http:// or https://, a host, and perhaps a port, a user and a password")]
pub struct ProxyError(&'static str);

/// A proxy, if there is one.
#[derive(Clone, Default)]
pub(super) struct Proxy {
    url: Option<Url>,
    /// Hosts that are asked without it, as `NO_PROXY` has them.
    direct: String,
}

impl fmt::Debug for Proxy {
    /// The URL may carry a credential.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Proxy({}, [redacted])", if self.url.is_some() { "some" } else { "none" })
    }
}

impl Proxy {
    /// What these variables of the environment say; an empty one says nothing.
    pub(super) fn of(environment: impl Fn(&str) -> Option<OsString>) -> Result<Self, ProxyError> {
        let first = |names: [&'static str; 2]| {
            names.into_iter().find_map(|name| Some((name, environment(name).filter(|value| !value.is_empty())?)))
        };
        let url = first(["HTTPS_PROXY", "https_proxy"]).map(|(name, value)| url(&value).ok_or(ProxyError(name))).transpose()?;
        let direct = match first(["NO_PROXY", "no_proxy"]) {
            Some((_, value)) => format!("{LOOPBACK},{}", value.to_string_lossy()),
            None => LOOPBACK.to_owned(),
        };
        Ok(Self { url, direct })
    }

    /// A client that goes by it.
    pub(super) fn applied(&self, builder: ClientBuilder) -> Result<ClientBuilder, reqwest::Error> {
        let Some(url) = &self.url else { return Ok(builder) };
        Ok(builder.proxy(reqwest::Proxy::https(url.clone())?.no_proxy(NoProxy::from_string(&self.direct))))
    }
}

/// `http` may be left out, as elsewhere.
fn url(value: &OsStr) -> Option<Url> {
    let text = value.to_str()?;
    let url = if text.contains("://") { Url::parse(text) } else { Url::parse(&format!("http://{text}")) };
    url.ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host() && url.path() == "/" && url.query().is_none())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn of(variables: &[(&str, &str)]) -> Result<Proxy, ProxyError> {
        Proxy::of(|name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into()))
    }

    #[rstest]
    #[case(&[], None, LOOPBACK)]
    #[case(&[("HTTPS_PROXY", "")], None, LOOPBACK)]
    #[case(&[("HTTPS_PROXY", "http://proxy:3128")], Some("http://proxy:3128/"), LOOPBACK)]
    #[case(&[("https_proxy", "proxy:3128")], Some("http://proxy:3128/"), LOOPBACK)]
    #[case(&[("HTTPS_PROXY", "https://a:b@proxy")], Some("https://a:b@proxy/"), LOOPBACK)]
    #[case(&[("HTTPS_PROXY", "http://one"), ("https_proxy", "http://two")], Some("http://one/"), LOOPBACK)]
    #[case(&[("NO_PROXY", ".corp")], None, "localhost,127.0.0.0/8,::1,.corp")]
    #[case(&[("HTTP_PROXY", "http://proxy"), ("ALL_PROXY", "http://proxy")], None, LOOPBACK)]
    fn the_environment_names_it(#[case] variables: &[(&str, &str)], #[case] expected: Option<&str>, #[case] direct: &str) {
        let proxy = of(variables).unwrap();
        assert_eq!((proxy.url.as_ref().map(Url::as_str), proxy.direct.as_str()), (expected, direct));
        assert!(!format!("{proxy:?}").contains("a:b"));
        assert!(proxy.applied(ClientBuilder::new()).is_ok());
    }

    #[rstest]
    #[case("HTTPS_PROXY", "socks5://proxy")]
    #[case("https_proxy", "http://")]
    #[case("HTTPS_PROXY", "http://proxy/path")]
    #[case("HTTPS_PROXY", "a b")]
    fn what_is_no_proxy_is_an_error(#[case] name: &str, #[case] value: &str) {
        assert!(of(&[(name, value)]).unwrap_err().to_string().starts_with(name));
    }
}
