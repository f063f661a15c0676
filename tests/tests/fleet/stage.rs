//! What a step works with: the server, the client under test, and the other side.

use crate::{
    broker::Broker,
    client::{Client, Kind},
    peer::Peer,
};
use parlance_mqtt::Version;

/// One step of one client.
pub(crate) struct Stage<'a> {
    pub(crate) broker: &'a mut Broker,
    pub(crate) kind: Kind,
    pub(crate) version: Version,
    /// The step, in a form that topics and client ids can have.
    name: String,
}

impl<'a> Stage<'a> {
    pub(crate) fn new(broker: &'a mut Broker, kind: Kind, version: Version, step: &str) -> Self {
        let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '-' };
        Self { broker, kind, version, name: step.chars().map(plain).collect() }
    }

    /// A topic of this step alone.
    pub(crate) fn topic(&self, last: &str) -> String {
        format!("app/{}/{last}", self.name)
    }

    /// A client under test, not connected yet.
    pub(crate) async fn client(&self, role: &str) -> Client {
        let (address, login) = (self.broker.address(), self.broker.client_login());
        Client::start(self.kind, self.version, address, format!("{}-{role}", self.name), login).await
    }

    /// The other side, with a clean session.
    pub(crate) async fn peer(&self, role: &str) -> Peer {
        self.peer_with(role, true).await
    }

    /// The other side; a session that is not clean stays.
    pub(crate) async fn peer_with(&self, role: &str, clean: bool) -> Peer {
        let id = format!("{}-peer-{role}", self.name);
        Peer::connect(self.broker.address(), &self.broker.peer_login(), &id, clean).await
    }
}
