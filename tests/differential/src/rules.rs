//! What is known to differ, and why: the clause of the specification, and who is right.

use std::fmt;

use crate::brokers::Peer;
use crate::compare::Difference;

/// Who does what the clause asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// Parlance; the other breaks the clause.
    Parlance,
    /// Both: the clause leaves it open.
    Both,
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Parlance => "Parlance",
            Self::Both => "both",
        })
    }
}

/// A class of differences that is understood.
pub struct Rule {
    /// Its name.
    pub id: &'static str,
    /// The broker that does it otherwise.
    pub peer: Peer,
    /// Clause of MQTT 5.0, unless 3.1.1 is named.
    pub clause: &'static str,
    /// Who is right.
    pub right: Right,
    /// What differs.
    pub what: &'static str,
    /// Whether a difference is of this class.
    applies: fn(&Difference<'_>) -> bool,
}

/// The table. The first rule that applies counts.
pub const RULES: &[Rule] = &[];

/// The rule that explains a difference.
pub fn explain(difference: &Difference<'_>) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.peer == difference.peer && (rule.applies)(difference))
}
