//! The stable codes of errors: one table for HTTP status, MQTT reason code, title and what to do next.

use parlance_mqtt::ReasonCode;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $status:literal, $mqtt:ident, $title:literal, $next:literal;)*) => {
        /// What went wrong, as clients see it. The words of [`Code::as_str`] are stable: clients act on them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code { $($(#[$doc])* $name),* }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The code itself.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code),* }
            }

            /// HTTP status.
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status),* }
            }

            /// A title for a person, the same wherever the code appears.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title),* }
            }

            /// What to do next; empty where the detail of the error always says it.
            pub const fn next(self) -> &'static str {
                match self { $(Self::$name => $next),* }
            }

            /// The reason code of a PUBACK or SUBACK that refuses with this code (each is allowed in both, see
            /// [`Code::connack_reason`] for CONNACK).
            pub const fn mqtt_reason(self) -> ReasonCode {
                match self { $(Self::$name => ReasonCode::$mqtt),* }
            }
        }
    };
}

codes! {
    /// No credential came with the request.
    NotAuthenticated = "not_authenticated", 401, NotAuthorized, "Not logged in",
        "Send an access token or API key (HTTP: Authorization: Bearer …); login answers one.";
    /// Wrong handle or password.
    BadCredentials = "bad_credentials", 401, NotAuthorized, "Wrong handle or password", "Check both and try again.";
    /// The token's time is over.
    TokenExpired = "token_expired", 401, NotAuthorized, "Token expired", "";
    /// The token is not one of this broker's.
    TokenInvalid = "token_invalid", 401, NotAuthorized, "Token not valid", "Log in again.";
    /// A refresh token was presented twice.
    TokenReused = "token_reused", 401, NotAuthorized, "Refresh token used before", "";
    /// Logged out, revoked or disabled.
    SessionEnded = "session_ended", 401, NotAuthorized, "Session ended", "";
    /// The account is disabled.
    AccountDisabled = "account_disabled", 403, NotAuthorized, "Account disabled", "Ask the operator.";
    /// The operator makes the accounts (`auth.registration`).
    RegistrationClosed = "registration_closed", 403, NotAuthorized, "Registration closed",
        "Ask the operator for an account.";
    /// The token serves another device.
    WrongDevice = "wrong_device", 403, NotAuthorized, "Token of another device",
        "Connect with the client id that it was made for, or log in without one.";
    /// The credential or the role does not allow it.
    NotAuthorized = "not_authorized", 403, NotAuthorized, "Not allowed", "";
    /// No such conversation, or not a member.
    NotAMember = "not_a_member", 403, NotAuthorized, "Not a member",
        "conversations lists yours; a member can add you to a group.";
    /// Nobody there to write to.
    UnknownRecipient = "unknown_recipient", 404, TopicNameInvalid, "Unknown recipient",
        "Check the spelling of the handle or id.";
    /// The topic is none of the messenger's.
    BadTopic = "bad_topic", 400, TopicNameInvalid, "Not a topic", "See topics.md.";
    /// The message does not parse.
    BadPayload = "bad_payload", 400, PayloadFormatInvalid, "Payload not valid", "See topics.md for the formats.";
    /// The request does not parse.
    BadRequest = "bad_request", 400, PayloadFormatInvalid, "Request not valid", "See /openapi.json.";
    /// A handle that is not well formed.
    BadHandle = "bad_handle", 400, PayloadFormatInvalid, "Handle not valid", "Choose another.";
    /// A password that is too short or too long.
    BadPassword = "bad_password", 400, PayloadFormatInvalid, "Password not valid", "Choose another.";
    /// A scope that does not parse.
    BadScope = "bad_scope", 400, PayloadFormatInvalid, "Scope not valid", "";
    /// An access rule that is none.
    BadRule = "bad_rule", 400, PayloadFormatInvalid, "Access rule not valid", "Nothing was changed.";
    /// A limit of accounts, devices, keys or members.
    LimitReached = "limit_reached", 400, QuotaExceeded, "Limit reached", "Ask for less, or remove some.";
    /// The account's kind does not allow it.
    WrongKind = "wrong_kind", 409, ImplementationSpecificError, "Wrong kind of account", "Use another account.";
    /// Access rules that were made for others than are there.
    RulesChanged = "rules_changed", 409, ImplementationSpecificError, "Access rules changed meanwhile",
        "Nothing was changed: read the rules again and repeat the change.";
    /// The handle is taken.
    HandleTaken = "handle_taken", 409, ImplementationSpecificError, "Handle taken", "Choose another.";
    /// The same message id with another body.
    IdReused = "id_reused", 409, ImplementationSpecificError, "Message id used before",
        "Send a new message with a new id.";
    /// A message over the limit.
    MessageTooLarge = "message_too_large", 413, QuotaExceeded, "Message too large", "Send less.";
    /// A subscriber's queue of free messages is full, and the configuration refuses publishers then.
    QueueFull = "queue_full", 503, QuotaExceeded, "Queue of a subscriber full",
        "Nothing was stored for anybody: try again later.";
    /// No more messages can be retained.
    RetainedFull = "retained_full", 507, QuotaExceeded, "Too many retained messages",
        "Delete some (publish an empty retained message), or ask the operator for a higher limit.";
    /// A request body over the limit.
    RequestTooLarge = "request_too_large", 413, QuotaExceeded, "Request too large", "Ask in smaller portions.";
    /// An answer that the client's own limit does not let through.
    AnswerTooLarge = "answer_too_large", 413, QuotaExceeded, "Answer too large",
        "Ask for a smaller page (limit), or raise the client's Maximum Packet Size.";
    /// Too many attempts.
    Throttled = "throttled", 429, QuotaExceeded, "Too many attempts", "";
    /// No method of this name.
    UnknownMethod = "unknown_method", 404, TopicNameInvalid, "No such method", "See /openapi.json for all methods.";
    /// No such path, device, account or key.
    NotFound = "not_found", 404, ImplementationSpecificError, "Not found", "Check the name or id.";
    /// The path has other HTTP methods.
    MethodNotAllowed = "method_not_allowed", 405, ImplementationSpecificError, "Wrong HTTP method",
        "The Allow header names the right one.";
    /// A body that is not JSON.
    UnsupportedMediaType = "unsupported_media_type", 415, PayloadFormatInvalid, "Not JSON",
        "Send JSON with Content-Type: application/json (curl: --json).";
    /// The request took too long.
    Timeout = "timeout", 504, UnspecifiedError, "Took too long",
        "Whether it was done is not known: ask, or send a message again with the same id.";
    /// The disk is full.
    DiskFull = "disk_full", 507, QuotaExceeded, "Disk full",
        "Nothing was stored; reading still works. Try again when the operator has freed space.";
    /// Too much waits already.
    Busy = "busy", 503, QuotaExceeded, "Busy", "Try again in a moment.";
    /// The server stops.
    ShuttingDown = "shutting_down", 503, UnspecifiedError, "Shutting down", "Try again in a moment.";
    /// Not ready to serve.
    NotReady = "not_ready", 503, UnspecifiedError, "Not ready", "";
    /// The broker's fault.
    Internal = "internal", 500, UnspecifiedError, "Internal error",
        "The operator finds the cause in the log. Try again later.";
}

impl Code {
    /// The reason code of a CONNACK or DISCONNECT that refuses with this code.
    pub const fn connack_reason(self) -> ReasonCode {
        match self {
            Self::BadCredentials => ReasonCode::BadUserNameOrPassword,
            Self::Busy => ReasonCode::ServerBusy,
            Self::DiskFull | Self::ShuttingDown | Self::NotReady => ReasonCode::ServerUnavailable,
            other => other.mqtt_reason(),
        }
    }

    /// `type` of the problem document (RFC 9457 §3.1.1).
    pub fn urn(self) -> String {
        format!("urn:parlance:error:{}", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parlance_mqtt::PacketType;
    use std::collections::HashSet;

    #[test]
    fn codes_are_distinct_words() {
        let words: HashSet<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(words.len(), Code::ALL.len());
        for word in words {
            assert!(word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{word}");
        }
    }

    /// MQTT 5, tables of MQTT-3.2.2.2, MQTT-3.4.2.1 and MQTT-3.9.3: a code outside of them is a protocol error.
    #[test]
    fn reason_codes_are_allowed_where_they_are_sent() {
        for code in Code::ALL {
            let reason = code.mqtt_reason();
            assert!(reason.is_error(), "{code:?}");
            assert!(reason.is_allowed_in(PacketType::PubAck), "{code:?} {reason}");
            assert!(code.connack_reason().is_allowed_in(PacketType::ConnAck), "{code:?}");
        }
    }

    #[test]
    fn statuses_are_errors() {
        for code in Code::ALL {
            assert!((400..=599).contains(&code.status()), "{code:?}");
        }
    }
}
