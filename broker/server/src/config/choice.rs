//! Keys with a few words to choose from.

use serde::{Deserialize, Serialize};

use super::key::{Kind, Setting};

/// Defines an enum whose variants are words of the configuration. The first is the default.
macro_rules! choice {
    (
        $(#[doc = $about:literal])+
        $name:ident {
            $(#[doc = $first_doc:literal])+ $first:ident = $first_word:literal,
            $($(#[doc = $doc:literal])+ $variant:ident = $word:literal,)+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
        pub enum $name {
            $(#[doc = $first_doc])+
            #[default]
            #[serde(rename = $first_word)]
            $first,
            $($(#[doc = $doc])+ #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            /// The word of the configuration.
            pub fn word(self) -> &'static str {
                match self {
                    Self::$first => $first_word,
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl Setting for $name {
            const KIND: Kind = Kind::Choice(&[$first_word, $($word),+]);
        }
    };
}

choice! {
    /// The engine of the store.
    StoreEngine {
        /// fjall 3.
        Fjall = "fjall",
        /// sled 0.34, which promises less in a power cut.
        Sled = "sled",
    }
}

choice! {
    /// Who may register.
    Registration {
        /// Anybody.
        Open = "open",
        /// Nobody: an operator makes the accounts.
        Closed = "closed",
    }
}

choice! {
    /// What a listener speaks.
    Transport {
        /// MQTT.
        Tcp = "tcp",
        /// MQTT over TLS.
        Tls = "tls",
        /// MQTT over WebSocket.
        Ws = "ws",
        /// MQTT over WebSocket over TLS.
        Wss = "wss",
        /// The HTTP API, and MQTT over WebSocket.
        Http = "http",
        /// The same over TLS.
        Https = "https",
        /// MQTT over QUIC.
        Quic = "quic",
    }
}

impl Transport {
    /// Whether the server shows a certificate.
    pub fn is_secure(self) -> bool {
        matches!(self, Self::Tls | Self::Wss | Self::Https | Self::Quic)
    }

    /// Whether the HTTP API is there.
    pub fn has_api(self) -> bool {
        matches!(self, Self::Http | Self::Https)
    }
}

choice! {
    /// For whom a listener is.
    Profile {
        /// Users of the messenger.
        Messenger = "messenger",
        /// Anybody, on free topics alone.
        Open = "open",
    }
}

choice! {
    /// What a listener asks of its clients' certificates.
    ClientCertificates {
        /// Nothing.
        None = "none",
        /// Those that are shown are checked.
        Optional = "optional",
        /// One must be shown.
        Required = "required",
    }
}

choice! {
    /// The form of the log.
    LogFormat {
        /// Lines for people.
        Text = "text",
        /// One JSON object to a line.
        Json = "json",
    }
}

choice! {
    /// Who of a shared subscription gets a message.
    ShareStrategy {
        /// The members in turn.
        Fair = "fair",
        /// What one publisher says goes to the same member, as long as that is there.
        Sticky = "sticky",
    }
}

choice! {
    /// What happens when the queue of a durable session is full.
    QueueFull {
        /// The oldest entries make room; they are counted and the session is told.
        DropOldest = "drop-oldest",
        /// The publisher is refused, and nobody gets the message.
        Refuse = "refuse",
    }
}
