//! AUTH with the method `token`: a connection gets a new token before the old one expires, and goes on.

use super::{Connection, io::Transport};
use crate::api::{ApiError, Code};
use parlance_mqtt::{Auth, ReasonCode};
use parlance_plugin_api::identity::{Credential, Principal};

impl<S: Transport> Connection<S> {
    /// The client shows a new token.
    pub(super) fn authenticate(&mut self, auth: Auth) {
        if self.owner.open {
            // Nobody has a token here, and everybody is welcome.
            return self.session.authenticated(Ok(None));
        }
        if self.renewing {
            let words = "one authentication at a time";
            return self.session.authenticated(Err((ReasonCode::ProtocolError, Some(words.into()))));
        }
        self.renewing = true;
        let (authenticator, peer) = (self.context.authenticator.clone(), self.peer.clone());
        let (client_id, from) = (self.owner.client_id.clone(), self.door.from.ip());
        tokio::spawn(async move {
            let token = auth.data.unwrap_or_default();
            let outcome = authenticator.authenticate(Credential::Token(&token), Some(&client_id), from).await;
            peer.renewed(outcome.map_err(ApiError::from));
        });
    }

    /// The new token was looked at.
    pub(super) fn renewed(&mut self, outcome: Result<Principal, ApiError>) {
        self.renewing = false;
        let outcome = outcome.and_then(|principal| self.take_over(principal));
        if let Err(error) = &outcome {
            error.log("AUTH");
            metrics::counter!("parlance_renewals_refused_total", "why" => error.code().as_str()).increment(1);
        }
        self.session.authenticated(outcome.map(|()| None).map_err(|error| {
            let reason = match error.code() {
                Code::Internal | Code::Busy | Code::DiskFull | Code::ShuttingDown => ReasonCode::ServerBusy,
                _ => ReasonCode::NotAuthorized,
            };
            (reason, Some(error.detail().into()))
        }));
    }

    /// The connection lives by the new token from here on. It must be the same user's.
    fn take_over(&mut self, principal: Principal) -> Result<(), ApiError> {
        if principal.user != self.principal.user || principal.kind != self.principal.kind {
            return Err(ApiError::TopicNotAllowed("the token is another user's: connect anew with it"));
        }
        // First known, then looked at: what ends from now on closes the connection.
        self.peer.set_credential(principal.credential);
        self.context.authenticator.still_holds(&principal)?;
        self.principal = principal;
        // It was allowed to the old one.
        self.last_target = None;
        Ok(())
    }
}
