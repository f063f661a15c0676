//! Calls of the API over HTTP.

use super::{
    error::CliError,
    place::{Place, admin_token, development_ca},
};
use crate::{
    api::{METHODS, Verb},
    config::Config,
};
use parlance_schema::api::{MintItem, MintTokensRequest, MintedTokens, Problem, Secret};
use reqwest::{Certificate, Client, Response};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::{fmt::Write, time::Duration};

/// How long a call may take: the server gives up earlier.
const CALL_TIME_MAX: Duration = Duration::from_secs(120);

/// How long connecting may take.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);

/// A server, and who calls it.
pub(super) struct Api {
    client: Client,
    server: String,
    token: Secret,
}

impl Api {
    /// The server of `place`, as its operator.
    pub(super) fn as_operator(place: &Place) -> Result<Self, CliError> {
        let config = place.config()?;
        let token = Secret(admin_token(&config)?);
        Ok(Self { token, ..Self::as_nobody(place, &config)? })
    }

    /// The server of `place`, as nobody: for what needs no login.
    pub(super) fn as_nobody(place: &Place, config: &Config) -> Result<Self, CliError> {
        let server = place.server(config)?;
        let mut builder =
            Client::builder().timeout(CALL_TIME_MAX).connect_timeout(CONNECT_TIME_MAX).no_proxy();
        if server.starts_with("https://")
            && let Some(certificate) = development_ca(config).and_then(|pem| Certificate::from_pem(&pem).ok())
        {
            builder = builder.tls_certs_merge([certificate]);
        }
        let client = builder.build().map_err(|source| CliError::Http { url: server.clone(), source })?;
        Ok(Self { client, server, token: Secret::default() })
    }

    /// The same server as the user `handle`, with a token that the operator mints for a moment.
    pub(super) async fn acting_as(self, handle: &str) -> Result<Self, CliError> {
        let token = self.mint(handle, Duration::from_secs(60)).await?;
        Ok(Self { token, ..self })
    }

    /// A token of the user `handle`.
    pub(super) async fn mint(&self, handle: &str, ttl: Duration) -> Result<Secret, CliError> {
        let items = vec![MintItem { user: at(handle), client_id: None }];
        let request = MintTokensRequest { items, ttl_s: ttl.as_secs() };
        let minted: MintedTokens = self.call("admin.mintTokens", &request).await?;
        let Some(minted) = minted.tokens.into_iter().next() else {
            return Err(CliError::NoToken {
                handle: at(handle),
                error: "the server answered none".to_owned(),
            });
        };
        let error = minted.error.unwrap_or_default();
        minted.token.ok_or(CliError::NoToken { handle: minted.user, error })
    }

    /// Where the server is.
    pub(super) fn server(&self) -> &str {
        &self.server
    }

    /// Calls a method of the API.
    pub(super) async fn call<Q: Serialize, A: DeserializeOwned>(
        &self,
        method: &'static str,
        request: &Q,
    ) -> Result<A, CliError> {
        let (verb, path) = METHODS
            .iter()
            .find(|known| known.name == method)
            .map(|known| (known.verb, known.path()))
            .expect("commands call methods of the table");
        let url = format!("{}{path}", self.server);
        let request = match verb {
            Verb::Get => self.client.get(format!("{url}{}", query(request))),
            Verb::Post => self.client.post(&url).json(request),
        };
        let sent = request.bearer_auth(&self.token.0).send().await;
        answer(&url, sent.map_err(|error| failed(&url, error))?).await
    }

    /// Gets a path that is no method, such as `/ready`.
    pub(super) async fn get<A: DeserializeOwned>(&self, path: &str) -> Result<A, CliError> {
        let url = format!("{}{path}", self.server);
        answer(&url, self.client.get(&url).send().await.map_err(|error| failed(&url, error))?).await
    }
}

fn failed(url: &str, source: reqwest::Error) -> CliError {
    // The URL stands in our own words already.
    let (url, source) = (url.to_owned(), source.without_url());
    if source.is_connect() { CliError::Unreachable { url, source } } else { CliError::Http { url, source } }
}

async fn answer<A: DeserializeOwned>(url: &str, response: Response) -> Result<A, CliError> {
    let status = response.status();
    let body = response.bytes().await.map_err(|error| failed(url, error))?;
    let not_parlance = || CliError::NotParlance { url: url.to_owned(), status: status.as_u16() };
    if status.is_success() {
        return serde_json::from_slice(&body).map_err(|_| not_parlance());
    }
    match serde_json::from_slice::<Problem>(&body) {
        Ok(problem) => Err(CliError::Problem(Box::new(problem))),
        Err(_) => Err(not_parlance()),
    }
}

/// `?name=value&…` of a flat request; what is absent is left out.
fn query<Q: Serialize>(request: &Q) -> String {
    let Ok(Value::Object(fields)) = serde_json::to_value(request) else { return String::new() };
    let mut query = String::new();
    for (name, value) in fields {
        let value = match value {
            Value::Null => continue,
            Value::String(text) => text,
            other => other.to_string(),
        };
        query.push(if query.is_empty() { '?' } else { '&' });
        query.push_str(&name);
        query.push('=');
        for byte in value.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    query.push(char::from(byte))
                }
                // Writing to a string does not fail.
                _ => drop(write!(query, "%{byte:02X}")),
            }
        }
    }
    query
}

/// A handle as the API takes it: with `@`, unless it is an id.
pub(super) fn at(user: &str) -> String {
    let is_name = !user.starts_with('@') && user.parse::<parlance_schema::UserId>().is_err();
    if is_name { format!("@{user}") } else { user.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parlance_schema::{
        UserId,
        api::{ApiKeysRequest, UsersRequest},
    };

    #[test]
    fn requests_become_queries() {
        assert_eq!(query(&UsersRequest::default()), "");
        let after = UserId::fresh();
        let page = UsersRequest { after: Some(after), limit: Some(500) };
        assert_eq!(query(&page), format!("?after={after}&limit=500"));
        assert_eq!(query(&ApiKeysRequest { user: "@bot".into() }), "?user=%40bot");
    }

    #[test]
    fn users_are_named_by_handle_or_id() {
        let id = UserId::fresh().to_string();
        for (user, expected) in [("bob", "@bob"), ("@bob", "@bob"), (&id, &id)] {
            assert_eq!(at(user), expected);
        }
    }
}
