//! `mqtt://host:port`, `mqtts://`, `ws://host:port/mqtt`, `wss://`: where the broker is.

use crate::error::AddressError;

/// What carries the MQTT bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// TCP, port 1883.
    Mqtt,
    /// TLS, port 8883.
    Mqtts,
    /// WebSocket, port 80.
    Ws,
    /// WebSocket over TLS, port 443.
    Wss,
}

impl Scheme {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "mqtt" => Some(Self::Mqtt),
            "mqtts" => Some(Self::Mqtts),
            "ws" => Some(Self::Ws),
            "wss" => Some(Self::Wss),
            _ => None,
        }
    }

    fn port(self) -> u16 {
        match self {
            Self::Mqtt => 1883,
            Self::Mqtts => 8883,
            Self::Ws => 80,
            Self::Wss => 443,
        }
    }

    /// The connection is encrypted.
    pub(crate) fn is_tls(self) -> bool {
        matches!(self, Self::Mqtts | Self::Wss)
    }
}

/// A broker's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) scheme: Scheme,
    /// Name or IP address; an IPv6 address in brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// The whole URL: what rumqttc wants for a WebSocket. A WebSocket without a path gets `/mqtt`.
    pub(crate) url: String,
}

impl Address {
    pub(crate) fn parse(url: &str) -> Result<Self, AddressError> {
        let (scheme, rest) = url.split_once("://").ok_or(AddressError::Scheme)?;
        let scheme = Scheme::parse(scheme).ok_or(AddressError::Scheme)?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(AddressError::UserInfo);
        }
        let (host, port) = host_and_port(authority)?;
        let port = port.unwrap_or(scheme.port());
        // rumqttc takes a TLS name and a WebSocket host apart in ways that lose an IPv6 literal.
        if host.starts_with('[') && scheme != Scheme::Mqtt {
            return Err(AddressError::Ipv6);
        }
        let path = match (scheme, path) {
            (Scheme::Mqtt | Scheme::Mqtts, "" | "/") => "",
            (Scheme::Mqtt | Scheme::Mqtts, _) => return Err(AddressError::Path),
            (Scheme::Ws | Scheme::Wss, "" | "/") => "/mqtt",
            (Scheme::Ws | Scheme::Wss, path) => path,
        };
        let name = if scheme == Scheme::Ws { "ws" } else { "wss" };
        let url = format!("{name}://{host}:{port}{path}");
        Ok(Self { scheme, host: host.to_owned(), port, url })
    }
}

fn host_and_port(authority: &str) -> Result<(&str, Option<u16>), AddressError> {
    let split = if authority.starts_with('[') {
        let end = authority.find(']').ok_or(AddressError::Host)? + 1;
        authority.split_at(end)
    } else {
        authority.split_at(authority.find(':').unwrap_or(authority.len()))
    };
    let (host, port) = split;
    let plain = host.trim_start_matches('[').trim_end_matches(']');
    let valid = !plain.is_empty() && plain.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_:".contains(&b));
    if !valid {
        return Err(AddressError::Host);
    }
    match port.strip_prefix(':') {
        None if port.is_empty() => Ok((host, None)),
        None => Err(AddressError::Port),
        Some(digits) => match digits.parse() {
            Ok(0) | Err(_) => Err(AddressError::Port),
            Ok(port) => Ok((host, Some(port))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_with_their_usual_ports() {
        for (url, scheme, host, port) in [
            ("mqtt://localhost", Scheme::Mqtt, "localhost", 1883),
            ("mqtt://[::1]:1999/", Scheme::Mqtt, "[::1]", 1999),
            ("mqtts://chat.example.org", Scheme::Mqtts, "chat.example.org", 8883),
            ("ws://10.0.0.1:8080/mqtt", Scheme::Ws, "10.0.0.1", 8080),
            ("wss://chat.example.org", Scheme::Wss, "chat.example.org", 443),
        ] {
            let address = Address::parse(url).unwrap();
            assert_eq!((address.scheme, address.host.as_str(), address.port), (scheme, host, port), "{url}");
        }
    }

    #[test]
    fn a_websocket_has_a_path() {
        assert_eq!(Address::parse("ws://a:8080").unwrap().url, "ws://a:8080/mqtt");
        assert_eq!(Address::parse("wss://a/other").unwrap().url, "wss://a:443/other");
    }

    #[test]
    fn what_is_no_address_says_why() {
        for (url, error) in [
            ("localhost:1883", AddressError::Scheme),
            ("http://localhost", AddressError::Scheme),
            ("mqtt://alice:secret@localhost", AddressError::UserInfo),
            ("mqtt://", AddressError::Host),
            ("mqtt://a b", AddressError::Host),
            ("mqtt://[::1", AddressError::Host),
            ("mqtt://a:0", AddressError::Port),
            ("mqtt://a:70000", AddressError::Port),
            ("mqtt://[::1]1883", AddressError::Port),
            ("mqtt://a/topic", AddressError::Path),
            ("mqtts://[::1]", AddressError::Ipv6),
        ] {
            assert_eq!(Address::parse(url), Err(error), "{url}");
        }
    }
}
