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
    /// The form of the log.
    LogFormat {
        /// Lines for people.
        Text = "text",
        /// One JSON object to a line.
        Json = "json",
    }
}
