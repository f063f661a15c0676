//! Enhanced authentication after CONNECT (5, MQTT-4.12.1): the client proves anew who it is.

use bytes::Bytes;
use parlance_mqtt::{Auth, Packet, ReasonCode, encoded_len};

use super::Session;
use crate::{Domain, Output, WillFate};

impl<D: Domain> Session<D> {
    /// One re-authentication at a time, by the method of the CONNECT (MQTT-4.12.1-1). The server asks for no
    /// second step, so that nothing continues one (0x18), and only a server says success (0x00).
    pub(super) fn handle_auth(&mut self, auth: Auth) {
        let agreed = self.config.authentication_method.as_ref();
        // MQTT-4.12.0-7: no AUTH without a method agreed on.
        let same_method = agreed.is_some() && auth.method.as_ref() == agreed;
        if !same_method || auth.reason != ReasonCode::ReAuthenticate || self.authenticating {
            return self.violation(ReasonCode::ProtocolError);
        }
        self.authenticating = true;
        self.control.push_back(Output::Authenticate(auth));
    }

    /// The answer to [`Output::Authenticate`]: data for the client with `Ok`, or the reason for which the connection
    /// ends (MQTT-4.12.1-2), and words about it. An answer to no question is ignored.
    pub fn authenticated(&mut self, outcome: Result<Option<Bytes>, (ReasonCode, Option<Bytes>)>) {
        if self.is_closed() || !std::mem::take(&mut self.authenticating) {
            return;
        }
        let data = match outcome {
            Ok(data) => data,
            Err((reason, reason_string)) => return self.end(reason, reason_string, WillFate::Publish),
        };
        let answer = Packet::Auth(Auth {
            reason: ReasonCode::Success,
            method: self.config.authentication_method.clone(),
            data,
            reason_string: None,
            user_properties: Vec::new(),
        });
        let max = self.config.client_packet_max.map_or(usize::MAX, |max| max as usize);
        match encoded_len(&answer, self.config.version) {
            Ok(len) if len <= max => self.control.push_back(Output::Send(answer)),
            // MQTT-3.1.2-24: it cannot be told.
            _ => self.end(ReasonCode::PacketTooLarge, None, WillFate::Publish),
        }
    }
}
