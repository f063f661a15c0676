//! The ways in.

use parlance_tests::{Device, Via, mqtt::Version};

/// A protocol version over a transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) version: Version,
    via: Via,
}

/// Each of them.
pub(crate) const WAYS: [Way; 5] = [
    Way { version: Version::V3, via: Via::Tcp },
    Way { version: Version::V5, via: Via::Tcp },
    Way { version: Version::V5, via: Via::Tls },
    Way { version: Version::V3, via: Via::WebSocket },
    Way { version: Version::V5, via: Via::WebSocket },
];

impl Way {
    /// A device that comes this way and has not been here before.
    pub(crate) fn device(self, client_id: &str) -> Device {
        Device::new(client_id).version(self.version).via(self.via).clean()
    }
}
