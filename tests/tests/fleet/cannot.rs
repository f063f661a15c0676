//! What a client cannot do, and why. A step that is not named here has to pass.

use crate::client::Kind;
use parlance_mqtt::Version;

/// A step that is left out for one client.
pub(crate) struct Cannot {
    pub(crate) kind: Kind,
    pub(crate) versions: &'static [Version],
    pub(crate) step: &'static str,
    pub(crate) why: &'static str,
}

pub(crate) const TABLE: &[Cannot] = &[];
