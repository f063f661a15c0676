//! What a test is.

use crate::{Outcome, context::Context};
use parlance_mqtt::Version;
use std::{fmt, pin::Pin};

/// A test that runs.
pub type Run<'a> = Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

/// Over which transports a test says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runs {
    /// Over all: what it is about is above the transport.
    Everywhere,
    /// Over WebSocket only: it is about frames.
    OverWebSocket,
}

/// One test of the suite.
pub struct Test {
    /// Its name, unique in the suite.
    pub name: &'static str,
    /// What it proves of 3.1.1, ids without `MQTT-`. None: it does not run for 3.1.1.
    pub v3: &'static [&'static str],
    /// What it proves of 5.0.
    pub v5: &'static [&'static str],
    /// Over which transports.
    pub runs: Runs,
    pub(crate) run: for<'a> fn(&'a Context) -> Run<'a>,
}

impl Test {
    /// The statements that it proves of a version, ids without `MQTT-`.
    pub fn proves(&self, version: Version) -> &'static [&'static str] {
        match version {
            Version::V3 => self.v3,
            Version::V5 => self.v5,
        }
    }
}

impl fmt::Debug for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Test").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The tests of a file: the functions' names, and what each proves of 3.1.1 and of 5.0.
macro_rules! tests {
    ($runs:expr; $($name:ident: [$($v3:literal)*] [$($v5:literal)*];)*) => {
        pub(super) const TESTS: &[$crate::registry::Test] = &[$($crate::registry::Test {
            name: stringify!($name),
            v3: &[$($v3),*],
            v5: &[$($v5),*],
            runs: $runs,
            run: |cx| Box::pin($name(cx)),
        }),*];
    };
    ($($name:ident: [$($v3:literal)*] [$($v5:literal)*];)*) => {
        $crate::registry::tests!($crate::registry::Runs::Everywhere; $($name: [$($v3)*] [$($v5)*];)*);
    };
}

pub(crate) use tests;
