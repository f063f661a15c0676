//! Why a call was refused, and the one table from every refusal to its [`Code`].

use super::{address::AddressError, code::Code};
use crate::ledger::SendRefusal;
use parlance_mqtt::ReasonCode;
use parlance_plugin_api::{
    access::AccessError, groups::GroupError, identity::Action, identity::AuthError, ledger::LedgerError,
    store::StoreError,
};
use parlance_schema::{PayloadError, api::Problem, topic::TopicError};
use thiserror::Error;

/// Why a call was refused.
#[derive(Debug, Error)]
pub enum ApiError {
    /// No method of this name.
    #[error("there is no method {0}")]
    UnknownMethod(String),
    /// Nobody is logged in.
    #[error("this needs a login")]
    NotAuthenticated,
    /// The operator makes the accounts.
    #[error("nobody can register here")]
    RegistrationClosed,
    /// The credential does not allow the action (there).
    #[error("{}", not_allowed(*.0))]
    NotAllowed(Action),
    /// The operator's token was used for what only members do.
    #[error("the operator is not a member of any conversation; log in as a user")]
    OperatorIsNoMember,
    /// No such conversation, or not a member: the same for both, so that neither is told.
    #[error("there is no such conversation, or you are not a member of it")]
    NotAMember,
    /// Whom or where cannot be resolved.
    #[error(transparent)]
    Address(AddressError),
    /// The same message id with another content.
    #[error("this message id was used before with another content, at seq {seq}")]
    IdReused {
        /// Where the first message is.
        seq: u64,
    },
    /// The message is over the limit.
    #[error("a message has at most {bytes_max} bytes")]
    MessageTooLarge {
        /// The limit.
        bytes_max: u64,
    },
    /// The answer does not fit into what the client accepts.
    #[error("the answer has {bytes} bytes, the client accepts {bytes_max}")]
    AnswerTooLarge {
        /// How large it is.
        bytes: u64,
        /// What the client accepts.
        bytes_max: u64,
    },
    /// The request's JSON or query does not parse.
    #[error("the request does not parse: {0}")]
    Malformed(String),
    /// A field is out of its bounds.
    #[error("{field}: {expected}")]
    Field {
        /// Which field.
        field: &'static str,
        /// What it may be.
        expected: &'static str,
    },
    /// The message does not parse.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// The queue of a subscriber is full, and publishers are refused then.
    #[error("the queue of a subscriber is full")]
    QueueFull,
    /// No more messages are retained.
    #[error("the broker retains no more messages")]
    RetainedFull,
    /// The access rules, or the listener, do not allow the topic.
    #[error("{0}")]
    TopicNotAllowed(&'static str),
    /// The topic has too many levels.
    #[error("a topic has at most {levels_max} levels")]
    TopicTooDeep {
        /// The limit.
        levels_max: usize,
    },
    /// The topic is none that can be published to.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// Refused by the identity plugin.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// Refused by the groups plugin.
    #[error(transparent)]
    Group(#[from] GroupError),
    /// Access rules were refused.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// Not committed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Reading failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A task of the broker ended early.
    #[error("a task of the broker ended early")]
    TaskEnded,
    /// Not ready to serve.
    #[error("{0}")]
    NotReady(String),
}

fn not_allowed(action: Action) -> &'static str {
    match action {
        Action::Send => "this credential does not allow writing here; it takes the scope messages.send",
        Action::Read => "this credential does not allow reading here; it takes the scope messages.read",
        Action::ManageGroups => {
            "this credential does not allow changing groups here; it takes the scope groups.manage"
        }
        Action::ManageAccount => "an API key cannot change the account; log in with the password",
        Action::Administer => "only the operator may do this; use the admin token",
    }
}

impl From<AddressError> for ApiError {
    fn from(error: AddressError) -> Self {
        match error {
            AddressError::NotAMember => Self::NotAMember,
            AddressError::OperatorIsNoMember => Self::OperatorIsNoMember,
            AddressError::NotAllowed(action) => Self::NotAllowed(action),
            AddressError::Store(error) => Self::Store(error),
            other => Self::Address(other),
        }
    }
}

impl From<SendRefusal> for ApiError {
    fn from(refusal: SendRefusal) -> Self {
        match refusal {
            SendRefusal::NotMember => Self::NotAMember,
            SendRefusal::IdReused { seq } => Self::IdReused { seq },
            SendRefusal::TooLarge { bytes_max } => Self::MessageTooLarge { bytes_max: bytes_max as u64 },
            SendRefusal::QueueFull => Self::QueueFull,
            SendRefusal::RetainedFull => Self::RetainedFull,
            SendRefusal::Ledger(error) => Self::Ledger(error),
        }
    }
}

impl ApiError {
    /// The stable code.
    pub fn code(&self) -> Code {
        match self {
            Self::UnknownMethod(_) => Code::UnknownMethod,
            Self::NotAuthenticated => Code::NotAuthenticated,
            Self::RegistrationClosed => Code::RegistrationClosed,
            Self::NotAllowed(_) | Self::OperatorIsNoMember | Self::TopicNotAllowed(_) => Code::NotAuthorized,
            Self::QueueFull => Code::QueueFull,
            Self::RetainedFull => Code::RetainedFull,
            Self::NotAMember => Code::NotAMember,
            Self::Address(error) => address_code(error),
            Self::IdReused { .. } => Code::IdReused,
            Self::MessageTooLarge { .. } => Code::MessageTooLarge,
            Self::AnswerTooLarge { .. } => Code::AnswerTooLarge,
            Self::Malformed(_) | Self::Field { .. } => Code::BadRequest,
            Self::Payload(_) => Code::BadPayload,
            Self::Topic(TopicError::Reserved) => Code::NotAuthorized,
            Self::Topic(_) | Self::TopicTooDeep { .. } => Code::BadTopic,
            Self::Auth(error) => auth_code(error),
            Self::Group(error) => group_code(error),
            Self::Access(error) => access_code(error),
            Self::Ledger(error) => ledger_code(error),
            Self::Store(StoreError::Full) => Code::DiskFull,
            Self::Store(_) | Self::TaskEnded => Code::Internal,
            Self::NotReady(_) => Code::NotReady,
        }
    }

    /// When to come back, seconds, where that is known.
    pub fn retry_after_s(&self) -> Option<u64> {
        match (self, self.code()) {
            (Self::Auth(AuthError::Throttled { retry_after_s }), _) => Some((*retry_after_s).max(1)),
            (_, Code::Throttled | Code::Busy | Code::QueueFull) => Some(1),
            (_, Code::ShuttingDown | Code::NotReady) => Some(5),
            (_, Code::DiskFull) => Some(30),
            _ => None,
        }
    }

    /// What happened and what to do next, for the one who called. Says nothing of the inside of the broker.
    pub fn detail(&self) -> String {
        let code = self.code();
        let happened = match code {
            Code::Internal => "the broker could not do this".to_owned(),
            _ => self.to_string(),
        };
        if code.next().is_empty() { happened } else { format!("{happened}. {}", code.next()) }
    }

    /// The problem document.
    pub fn problem(&self) -> Problem {
        problem(self.code(), self.detail())
    }

    /// Writes the cause to the log, where it is the broker's own. Refusals are the caller's matter and are counted only.
    pub fn log(&self, method: &str) {
        if self.code() == Code::Internal {
            tracing::error!(method, error = %self, cause = ?self, "call failed");
        }
    }
}

/// A problem document of a code.
pub fn problem(code: Code, detail: String) -> Problem {
    Problem {
        kind: code.urn(),
        title: code.title().to_owned(),
        status: code.status(),
        detail,
        code: code.as_str().to_owned(),
    }
}

/// The reason code of a PUBACK or SUBACK that refuses with `code`.
pub fn mqtt_reason(code: Code) -> ReasonCode {
    code.mqtt_reason()
}

fn address_code(error: &AddressError) -> Code {
    match error {
        AddressError::Malformed(_) => Code::BadRequest,
        AddressError::UnknownRecipient(_) => Code::UnknownRecipient,
        AddressError::NotAMember => Code::NotAMember,
        AddressError::OperatorIsNoMember | AddressError::NotAllowed(_) => Code::NotAuthorized,
        AddressError::Store(_) => Code::Internal,
    }
}

fn auth_code(error: &AuthError) -> Code {
    match error {
        AuthError::BadCredentials => Code::BadCredentials,
        AuthError::TokenInvalid => Code::TokenInvalid,
        AuthError::TokenExpired => Code::TokenExpired,
        AuthError::TokenReused => Code::TokenReused,
        AuthError::Ended => Code::SessionEnded,
        AuthError::Disabled => Code::AccountDisabled,
        AuthError::WrongDevice => Code::WrongDevice,
        AuthError::Throttled { .. } => Code::Throttled,
        AuthError::HandleTaken => Code::HandleTaken,
        AuthError::HandleInvalid(_) => Code::BadHandle,
        AuthError::PasswordLength { .. } => Code::BadPassword,
        AuthError::NotFound(_) => Code::NotFound,
        AuthError::WrongKind(_) => Code::WrongKind,
        AuthError::BadScope(_) => Code::BadScope,
        AuthError::Limit(_) => Code::LimitReached,
        AuthError::Ledger(error) => ledger_code(error),
        AuthError::Internal => Code::Internal,
    }
}

fn group_code(error: &GroupError) -> Code {
    match error {
        GroupError::NotFound => Code::NotAMember,
        GroupError::NotAllowed => Code::NotAuthorized,
        GroupError::UnknownUser(_) => Code::UnknownRecipient,
        GroupError::NotMember(_) => Code::NotFound,
        GroupError::BadName => Code::BadRequest,
        GroupError::HandleInvalid(_) => Code::BadHandle,
        GroupError::HandleTaken => Code::HandleTaken,
        GroupError::TooMany(_) | GroupError::BatchTooLarge(_) => Code::LimitReached,
        GroupError::Ledger(error) => ledger_code(error),
    }
}

fn access_code(error: &AccessError) -> Code {
    match error {
        AccessError::Rule { .. } => Code::BadRule,
        AccessError::TooMany { .. } | AccessError::TooLarge { .. } => Code::LimitReached,
        AccessError::Changed { .. } => Code::RulesChanged,
        AccessError::Ledger(error) => ledger_code(error),
        AccessError::Internal => Code::Internal,
    }
}

fn ledger_code(error: &LedgerError) -> Code {
    match error {
        LedgerError::Full => Code::DiskFull,
        LedgerError::Busy => Code::Busy,
        LedgerError::Store(_) => Code::Internal,
        LedgerError::Stopping => Code::ShuttingDown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parlance_plugin_api::access::RuleProblem;
    use parlance_schema::HandleError;

    /// Every refusal of the ports with the code that clients see.
    #[test]
    fn every_refusal_has_its_code() {
        let table: Vec<(ApiError, Code)> = vec![
            (ApiError::UnknownMethod("x".into()), Code::UnknownMethod),
            (ApiError::NotAuthenticated, Code::NotAuthenticated),
            (ApiError::RegistrationClosed, Code::RegistrationClosed),
            (ApiError::NotAllowed(Action::Send), Code::NotAuthorized),
            (SendRefusal::NotMember.into(), Code::NotAMember),
            (SendRefusal::IdReused { seq: 3 }.into(), Code::IdReused),
            (SendRefusal::TooLarge { bytes_max: 9 }.into(), Code::MessageTooLarge),
            (SendRefusal::QueueFull.into(), Code::QueueFull),
            (SendRefusal::RetainedFull.into(), Code::RetainedFull),
            (ApiError::TopicNotAllowed("no"), Code::NotAuthorized),
            (SendRefusal::Ledger(LedgerError::Full).into(), Code::DiskFull),
            (LedgerError::Busy.into(), Code::Busy),
            (LedgerError::Stopping.into(), Code::ShuttingDown),
            (LedgerError::Store("/secret/path".into()).into(), Code::Internal),
            (StoreError::Full.into(), Code::DiskFull),
            (AddressError::UnknownRecipient("@x".into()).into(), Code::UnknownRecipient),
            (AddressError::NotAMember.into(), Code::NotAMember),
            (AddressError::Malformed("!".into()).into(), Code::BadRequest),
            (AddressError::OperatorIsNoMember.into(), Code::NotAuthorized),
            (PayloadError::Empty.into(), Code::BadPayload),
            (TopicError::Filter.into(), Code::BadTopic),
            (TopicError::Reserved.into(), Code::NotAuthorized),
            (ApiError::TopicTooDeep { levels_max: 32 }, Code::BadTopic),
            (AuthError::BadCredentials.into(), Code::BadCredentials),
            (AuthError::TokenExpired.into(), Code::TokenExpired),
            (AuthError::TokenInvalid.into(), Code::TokenInvalid),
            (AuthError::TokenReused.into(), Code::TokenReused),
            (AuthError::Ended.into(), Code::SessionEnded),
            (AuthError::Disabled.into(), Code::AccountDisabled),
            (AuthError::WrongDevice.into(), Code::WrongDevice),
            (AuthError::Throttled { retry_after_s: 7 }.into(), Code::Throttled),
            (AuthError::HandleTaken.into(), Code::HandleTaken),
            (AuthError::HandleInvalid(HandleError).into(), Code::BadHandle),
            (AuthError::PasswordLength { min: 8, max: 256 }.into(), Code::BadPassword),
            (AuthError::NotFound("key").into(), Code::NotFound),
            (AuthError::WrongKind("no").into(), Code::WrongKind),
            (AuthError::BadScope("x".into()).into(), Code::BadScope),
            (AuthError::Limit("no").into(), Code::LimitReached),
            (AuthError::Ledger(LedgerError::Full).into(), Code::DiskFull),
            (AuthError::Internal.into(), Code::Internal),
            (GroupError::NotFound.into(), Code::NotAMember),
            (GroupError::NotAllowed.into(), Code::NotAuthorized),
            (GroupError::UnknownUser("x".into()).into(), Code::UnknownRecipient),
            (GroupError::NotMember("x".into()).into(), Code::NotFound),
            (GroupError::BadName.into(), Code::BadRequest),
            (GroupError::HandleTaken.into(), Code::HandleTaken),
            (GroupError::TooMany(9).into(), Code::LimitReached),
            (GroupError::BatchTooLarge(9).into(), Code::LimitReached),
            (AccessError::Rule { number: 1, problem: RuleProblem::Reserved }.into(), Code::BadRule),
            (AccessError::TooMany { rules_max: 9 }.into(), Code::LimitReached),
            (AccessError::TooLarge { bytes_max: 9 }.into(), Code::LimitReached),
            (AccessError::Changed { revision: 9 }.into(), Code::RulesChanged),
            (AccessError::Ledger(LedgerError::Full).into(), Code::DiskFull),
            (AccessError::Internal.into(), Code::Internal),
            (ApiError::TaskEnded, Code::Internal),
            (ApiError::NotReady("no".into()), Code::NotReady),
        ];
        for (error, code) in table {
            assert_eq!(error.code(), code, "{error:?}");
            let problem = error.problem();
            assert_eq!(problem.status, code.status());
            assert_eq!(problem.kind, format!("urn:parlance:error:{}", problem.code));
            assert!(!problem.detail.is_empty() && !problem.title.is_empty());
        }
    }

    #[test]
    fn the_inside_of_the_broker_is_not_told() {
        let inside = [
            ApiError::from(LedgerError::Store("/var/lib/parlance: I/O error".into())),
            ApiError::from(StoreError::Io(std::io::Error::other("/var/lib/parlance"))),
            ApiError::from(AuthError::Ledger(LedgerError::Store("/var/lib/parlance".into()))),
        ];
        for error in inside {
            assert!(!error.detail().contains("/var/lib"), "{}", error.detail());
        }
    }

    #[test]
    fn what_passes_says_when_to_come_back() {
        assert_eq!(ApiError::from(AuthError::Throttled { retry_after_s: 7 }).retry_after_s(), Some(7));
        assert_eq!(ApiError::from(LedgerError::Busy).retry_after_s(), Some(1));
        assert_eq!(ApiError::NotAMember.retry_after_s(), None);
    }
}
