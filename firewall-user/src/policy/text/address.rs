//! One prefix, address or range as written, into prefixes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv4Subnets, Ipv6Subnets};

/// What a word may be wrong in, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressError {
    /// A stable word.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to write.
    pub help: Option<String>,
}

impl AddressError {
    fn new(code: &'static str, message: String) -> Self {
        let help = None;
        Self {
            code,
            message,
            help,
        }
    }

    fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// Could this word be meant as an address rather than as a name?
#[must_use]
pub fn looks_like_address(word: &str) -> bool {
    let digits_and_dots =
        |part: &str| part.contains('.') && part.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let first = word.split(['-', '/']).next().unwrap_or_default();
    word.contains([':', '/', '%']) || digits_and_dots(first)
}

/// Prefixes of one entry; host bits set are an error.
pub fn parse(word: &str) -> Result<Vec<IpNet>, AddressError> {
    if let Some((low, high)) = word.split_once('-') {
        return range(word, low.trim(), high.trim());
    }
    let net = prefix(word)?;
    if net.trunc() != net {
        let message = format!("`{word}` has host bits set");
        let help = format!(
            "write the network `{}`, or one address without a length",
            net.trunc()
        );
        return Err(AddressError::new("host-bits", message).help(help));
    }
    Ok(vec![net])
}

/// One prefix or address, host bits kept.
pub fn prefix(word: &str) -> Result<IpNet, AddressError> {
    let (address, length) = match word.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (word, None),
    };
    let address = one_address(address)?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let Some(length) = length else {
        return net(address, most, word);
    };
    match super::walk::decimal(length) {
        Some(bits) if bits <= most => net(address, bits, word),
        _ => Err(bad_length(word, address, length, most)),
    }
}

fn net(address: IpAddr, bits: u64, word: &str) -> Result<IpNet, AddressError> {
    let bits = u8::try_from(bits).unwrap_or(u8::MAX);
    IpNet::new(address, bits)
        .map_err(|_| AddressError::new("bad-address", format!("`{word}` is no prefix")))
}

fn bad_length(word: &str, address: IpAddr, length: &str, most: u64) -> AddressError {
    let message = format!("`{word}`: the length of a prefix is a number from 0 to {most}");
    let error = AddressError::new("bad-address", message);
    let (IpAddr::V4(address), Ok(mask)) = (address, length.parse::<Ipv4Addr>()) else {
        return error;
    };
    match Ipv4Net::with_netmask(address, mask) {
        Ok(net) => error.help(format!("write `{}`", net.trunc())),
        Err(_) => error,
    }
}

/// One address, with advice for the usual ways to miss it.
pub fn one_address(word: &str) -> Result<IpAddr, AddressError> {
    let error = AddressError::new("bad-address", format!("`{word}` is no address"));
    if let Some((address, interface)) = word.split_once('%') {
        let help =
            format!("write `{address}` and name the interface by `interfaces: [{interface}]`");
        return Err(error.help(help));
    }
    match word.parse() {
        Ok(IpAddr::V6(address)) => not_mapped(word, address),
        Ok(address) => Ok(address),
        Err(_) if word.contains(['*', '?']) => {
            Err(error.help("write a prefix, such as 10.0.0.0/8: addresses take no globs"))
        }
        Err(_) if word.chars().any(|c| c.is_ascii_alphabetic()) && word.contains('.') => {
            Err(error.help("host names are not looked up: write the addresses"))
        }
        Err(_) => Err(error),
    }
}

fn not_mapped(word: &str, address: Ipv6Addr) -> Result<IpAddr, AddressError> {
    let Some(mapped) = address.to_ipv4_mapped() else {
        return Ok(IpAddr::V6(address));
    };
    let message = format!("`{word}` is an IPv4-mapped address, which no packet carries");
    Err(AddressError::new("bad-address", message).help(format!("write `{mapped}`")))
}

fn range(word: &str, low: &str, high: &str) -> Result<Vec<IpNet>, AddressError> {
    match (one_address(low)?, one_address(high)?) {
        (IpAddr::V4(a), IpAddr::V4(b)) if a <= b => {
            Ok(Ipv4Subnets::new(a, b, 0).map(IpNet::V4).collect())
        }
        (IpAddr::V6(a), IpAddr::V6(b)) if a <= b => {
            Ok(Ipv6Subnets::new(a, b, 0).map(IpNet::V6).collect())
        }
        (a, b) if a.is_ipv4() == b.is_ipv4() => {
            let message = format!("the range `{word}` runs backwards");
            Err(AddressError::new("bad-range", message).help(format!("write `{b}-{a}`")))
        }
        _ => {
            let message = format!("the range `{word}` mixes IPv4 and IPv6");
            Err(AddressError::new("bad-range", message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(word: &str) -> Vec<String> {
        parse(word)
            .unwrap()
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn prefixes_addresses_and_ranges() {
        assert_eq!(texts("10.0.0.0/8"), ["10.0.0.0/8"]);
        assert_eq!(texts("::/0"), ["::/0"]);
        assert_eq!(texts("203.0.113.40"), ["203.0.113.40/32"]);
        assert_eq!(texts("2001:db8::1"), ["2001:db8::1/128"]);
        assert_eq!(texts("10.0.0.1-10.0.0.2"), ["10.0.0.1/32", "10.0.0.2/32"]);
        assert_eq!(texts("0.0.0.0-255.255.255.255"), ["0.0.0.0/0"]);
        assert_eq!(texts("2001:db8::-2001:db8::ffff"), ["2001:db8::/112"]);
    }

    #[test]
    fn faults_and_advice() {
        for (word, message, help) in [
            ("10.0.0.1/8", "host bits", "10.0.0.0/8"),
            ("10.0.0.0/33", "0 to 32", ""),
            ("10.0.0.0/255.0.0.0", "0 to 32", "10.0.0.0/8"),
            ("10.0.0.0/08", "0 to 32", ""),
            ("10.0.0.9-10.0.0.1", "backwards", "10.0.0.1-10.0.0.9"),
            ("10.0.0.9-::1", "mixes", ""),
            ("fe80::1%eth0", "no address", "interfaces: [eth0]"),
            ("::ffff:10.0.0.1", "mapped", "`10.0.0.1`"),
            ("10.0.0.*", "no address", "globs"),
            ("example.org", "no address", "host names"),
            ("010.0.0.1", "no address", ""),
            ("", "no address", ""),
        ] {
            let error = parse(word).unwrap_err();
            assert!(error.message.contains(message), "{word}: {error:?}");
            assert!(error.help.unwrap_or_default().contains(help), "{word}");
        }
    }

    #[test]
    fn names_are_told_from_addresses() {
        for word in ["10.0.0.1", "10.1-2", "fe80::", "10.0.0.0/8", "300.1.2.3"] {
            assert!(looks_like_address(word), "{word}");
        }
        for word in ["office", "dc1.lan", "2nd-floor", "7"] {
            assert!(!looks_like_address(word), "{word}");
        }
    }
}
