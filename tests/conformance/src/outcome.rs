//! What a test answers.

/// Why a test did not pass.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The server did something else than the statement asks for.
    #[error("{0}")]
    Violation(String),
    /// The situation cannot be brought about with this server: it lacks, or says that it lacks, what the test needs.
    #[error("{0}")]
    Unsupported(String),
}

/// What a test, or a step of one, answers.
pub type Outcome<T = ()> = Result<T, Failure>;

/// Ends the test with a violation.
macro_rules! violation {
    ($($text:tt)+) => { return Err($crate::Failure::Violation(format!($($text)+))) };
}

/// Ends the test with a violation unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            $crate::outcome::violation!($($text)+);
        }
    };
}

/// Ends the test: with this server it cannot be run.
macro_rules! unsupported {
    ($($text:tt)+) => { return Err($crate::Failure::Unsupported(format!($($text)+))) };
}

pub(crate) use {ensure, unsupported, violation};
