//! An address to listen on, or nothing.

use std::{
    fmt,
    net::{AddrParseError, SocketAddr},
};

use serde::{Deserialize, Serialize};

/// An IP address and a port; written as an empty string when the listener is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address(Option<SocketAddr>);

impl Address {
    /// No listener.
    pub const OFF: Self = Self(None);

    /// The address; `None` when the listener is off.
    pub fn get(self) -> Option<SocketAddr> {
        self.0
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self(Some(address))
    }
}

impl TryFrom<String> for Address {
    type Error = AddrParseError;

    fn try_from(text: String) -> Result<Self, AddrParseError> {
        if text.is_empty() { Ok(Self::OFF) } else { text.parse().map(|address| Self(Some(address))) }
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.to_string()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |address| address.fmt(f))
    }
}
