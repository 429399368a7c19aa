//! Whom a connection counts for: the address it comes from, as wide as one subscriber may choose from.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// An IPv4 address, or the /64 of an IPv6 address: whoever is given a network is given that at least (RFC 6177), so that single
/// addresses of it count for nothing. What is an IPv4 address in an IPv6 one counts as that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Peer(IpAddr);

impl Peer {
    /// Of what a request says of its peer: an address, with its port or without. None for anything else.
    pub fn named(peer: &str) -> Option<Self> {
        let address = peer.parse::<SocketAddr>().map(|address| address.ip());
        address.or_else(|_| peer.parse::<IpAddr>()).ok().map(Self::from)
    }
}

impl From<IpAddr> for Peer {
    fn from(address: IpAddr) -> Self {
        let IpAddr::V6(v6) = address else { return Self(address) };
        Self(match (v6.to_ipv4_mapped(), v6.segments()) {
            (Some(v4), _) => IpAddr::V4(v4),
            // The well-known prefix of translators (RFC 6052 §2.1): behind it is all of IPv4.
            (None, [0x64, 0xff9b, 0, 0, 0, 0, high, low]) => {
                let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
                IpAddr::from([a, b, c, d])
            }
            // A link's addresses (RFC 4291 §2.5.6) share their /64, whosever they are.
            (None, _) if v6.is_unicast_link_local() => address,
            (None, [a, b, c, d, ..]) => IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0)),
        })
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V6(v6) if !v6.is_unicast_link_local() => write!(formatter, "{v6}/64"),
            address @ (IpAddr::V4(_) | IpAddr::V6(_)) => write!(formatter, "{address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::v4("192.0.2.7:443", Some("192.0.2.7"))]
    #[case::without_port("192.0.2.7", Some("192.0.2.7"))]
    #[case::v6("[2001:db8:1:2:3:4:5:6]:443", Some("2001:db8:1:2::/64"))]
    #[case::v6_without_port("2001:db8:1:2:ffff::1", Some("2001:db8:1:2::/64"))]
    #[case::its_neighbour("[2001:db8:1:3::6]:443", Some("2001:db8:1:3::/64"))]
    #[case::mapped("[::ffff:192.0.2.7]:443", Some("192.0.2.7"))]
    #[case::translated("[64:ff9b::192.0.2.7]:443", Some("192.0.2.7"))]
    #[case::loopback("[::1]:443", Some("::/64"))]
    #[case::one_of_a_link("[fe80::1]:443", Some("fe80::1"))]
    #[case::scoped("[fe80::1%2]:443", Some("fe80::1"))]
    #[case::nothing("", None)]
    #[case::a_name("gateway", None)]
    #[case::a_socket("/run/standin.sock", None)]
    fn a_peer_is_an_address_or_a_network(#[case] named: &str, #[case] peer: Option<&str>) {
        assert_eq!(Peer::named(named).map(|peer| peer.to_string()).as_deref(), peer);
    }
}
