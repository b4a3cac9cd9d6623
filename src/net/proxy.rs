//! Where a client comes from, as the proxies before the server tell it: `X-Forwarded-For`, and the PROXY protocol, version 2.
//!
//! Anybody can write such a header, so it counts only from addresses that were named as proxies.

use http::HeaderMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// Length of what a PROXY header begins with: signature, command, family, length of the rest.
pub(crate) const PROXY_START: usize = 16;
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A range of addresses: `10.0.0.0/8`, `::1`, `2001:db8::/32`.
///
/// ```
/// let local: switchboard::Network = "10.0.0.0/8".parse()?;
/// assert!(local.contains([10, 1, 2, 3].into()) && !local.contains([11, 0, 0, 1].into()));
/// # Ok::<(), switchboard::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// IPv4 addresses in IPv6's clothes.
    base: u128,
    prefix: u32,
}

impl Network {
    /// Whether the address is one of these.
    pub fn contains(&self, address: IpAddr) -> bool {
        let differing = bits(address) ^ self.base;
        self.prefix == 0 || differing.checked_shr(128 - self.prefix).unwrap_or(0) == 0
    }
}

impl FromStr for Network {
    type Err = crate::error::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || {
            let what = "is no address or network; write 10.0.0.7, 10.0.0.0/8 or 2001:db8::/32";
            crate::error::Error::Config(format!("`{text}` {what}"))
        };
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let address: IpAddr = address.trim().parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix: u32 = prefix.map_or(Ok(most), |prefix| prefix.trim().parse()).map_err(|_| wrong())?;
        if most < prefix {
            return Err(wrong());
        }
        Ok(Self { base: bits(address), prefix: prefix + (128 - most) })
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The client's address behind trusted proxies: the last one in `X-Forwarded-For` that is not a trusted proxy itself. What
/// stands before it the client may have written.
pub(crate) fn forwarded_for(headers: &HeaderMap, peer: IpAddr, trusted: &[Network]) -> IpAddr {
    let lines = headers.get_all("x-forwarded-for").iter().rev();
    let hops = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
    let mut client = peer;
    for hop in hops {
        let Some(address) = str::from_utf8(hop).ok().and_then(|hop| hop_address(hop.trim())) else { break };
        client = address;
        if !trusted.iter().any(|network| network.contains(address)) {
            break;
        }
    }
    client
}

/// `10.0.0.1`, `10.0.0.1:80`, `::1`, `[::1]`, `[::1]:80`.
fn hop_address(hop: &str) -> Option<IpAddr> {
    let plain = || hop.parse().ok();
    let with_port = || hop.parse::<SocketAddr>().ok().map(|address| address.ip());
    let in_brackets = || hop.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    plain().or_else(with_port).or_else(in_brackets)
}

/// How many bytes follow the start of a PROXY header. `None`: it is none.
pub(crate) fn proxy_rest(start: &[u8; PROXY_START]) -> Option<usize> {
    let version = start[12] >> 4;
    (start.starts_with(SIGNATURE) && version == 2).then(|| u16::from_be_bytes([start[14], start[15]]).into())
}

/// The client's address in a PROXY header. `Ok(None)`: the proxy speaks for itself, or of no TCP address.
pub(crate) fn proxy_source(
    start: &[u8; PROXY_START],
    rest: &[u8],
) -> Result<Option<SocketAddr>, &'static str> {
    let port = |at: usize| Some(u16::from_be_bytes(*rest.get(at..)?.first_chunk()?));
    let source = match (start[12] & 0xf, start[13]) {
        (1, 0x11) => rest.first_chunk::<4>().zip(port(8)).map(|(ip, port)| (*ip, port).into()),
        (1, 0x21) => rest.first_chunk::<16>().zip(port(32)).map(|(ip, port)| (*ip, port).into()),
        (0 | 1, _) => return Ok(None),
        _ => return Err("the PROXY header has an unknown command"),
    };
    source.map(Some).ok_or("the PROXY header is too short for its addresses")
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    #[test]
    fn networks_contain_their_addresses() {
        for (text, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("10.0.0.7", "10.0.0.7", "10.0.0.8"),
            ("10.0.0.7", "::ffff:10.0.0.7", "::10.0.0.7"),
            ("0.0.0.0/0", "1.2.3.4", "::1"),
            ("2001:db8::/32", "2001:db8:1::1", "2001:db9::"),
            ("::/0", "10.0.0.1", ""),
            ("::1", "::1", "::2"),
            ("10.0.0.77/24", "10.0.0.1", "10.0.1.77"),
        ] {
            assert!(network(text).contains(inside.parse().unwrap()), "{text} {inside}");
            if let Ok(outside) = outside.parse() {
                assert!(!network(text).contains(outside), "{text} {outside}");
            }
        }
        for text in ["", "10.0.0", "10.0.0.0/33", "::/129", "::1/x", "10.0.0.0/-1", "host"] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_last_address_that_is_no_proxy_counts() {
        let trusted = [network("10.0.0.0/8"), network("::1")];
        for (lines, client) in [
            (&[][..], "10.0.0.1"),
            (&["1.2.3.4"], "1.2.3.4"),
            (&["6.6.6.6, 1.2.3.4"], "1.2.3.4"),
            (&["6.6.6.6, 1.2.3.4,10.0.0.2 , ::1"], "1.2.3.4"),
            (&["6.6.6.6", "1.2.3.4, 10.9.9.9"], "1.2.3.4"),
            (&["10.0.0.3, 10.0.0.4"], "10.0.0.3"),
            (&["1.2.3.4:5678"], "1.2.3.4"),
            (&["[2001:db8::1]:80"], "2001:db8::1"),
            (&["[2001:db8::1]"], "2001:db8::1"),
            (&["1.2.3.4, unknown"], "10.0.0.1"),
            (&["1.2.3.4, unknown, 10.0.0.2"], "10.0.0.2"),
            (&[""], "10.0.0.1"),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append("x-forwarded-for", HeaderValue::from_static(line));
            }
            let found = forwarded_for(&headers, "10.0.0.1".parse().unwrap(), &trusted);
            assert_eq!(found, client.parse::<IpAddr>().unwrap(), "{lines:?}");
        }
    }

    fn start(command: u8, family: u8, length: u16) -> [u8; PROXY_START] {
        let mut start = [0; PROXY_START];
        start[..12].copy_from_slice(SIGNATURE);
        (start[12], start[13]) = (command, family);
        start[14..].copy_from_slice(&length.to_be_bytes());
        start
    }

    #[test]
    fn proxy_headers_are_read() {
        let v4 = [1, 2, 3, 4, 9, 9, 9, 9, 0x12, 0x34, 0, 80];
        let header = start(0x21, 0x11, 12);
        assert_eq!(proxy_rest(&header), Some(12));
        assert_eq!(proxy_source(&header, &v4), Ok(Some("1.2.3.4:4660".parse().unwrap())));
        let mut v6 = [0; 40];
        (v6[15], v6[33]) = (1, 7);
        assert_eq!(proxy_source(&start(0x21, 0x21, 40), &v6), Ok(Some("[::1]:7".parse().unwrap())));
        assert_eq!(proxy_source(&start(0x20, 0, 0), &[]), Ok(None), "LOCAL: a health check");
        assert_eq!(proxy_source(&start(0x21, 0x31, 216), &[0; 216]), Ok(None), "a Unix socket");
        assert!(proxy_source(&start(0x21, 0x11, 11), &v4[..9]).is_err());
        assert!(proxy_source(&start(0x22, 0x11, 12), &v4).is_err());
        assert_eq!(proxy_rest(&start(0x11, 0x11, 12)), None, "version 1");
        assert_eq!(proxy_rest(b"GET / HTTP/1.1\r\n"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(head: [u8; PROXY_START], rest: Vec<u8>, line: Vec<u8>) {
            let _ = (proxy_rest(&head), proxy_source(&head, &rest));
            let mut headers = HeaderMap::new();
            if let Ok(value) = HeaderValue::from_bytes(&line) {
                headers.append("x-forwarded-for", value);
            }
            forwarded_for(&headers, IpAddr::from([10, 0, 0, 1]), &[network("10.0.0.0/8")]);
        }
    }
}
