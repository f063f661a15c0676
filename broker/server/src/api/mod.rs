//! Every call that clients make, once, for HTTP (`POST /sendMessage`) and for RPC over MQTT (`rpc/sendMessage`).
//!
//! [`METHODS`] is the table: a name, who may call it, what it takes and what it answers. HTTP routes, RPC and the
//! OpenAPI document all follow from it. Requests and answers are those of [`parlance_schema::api`].

mod access;
mod accounts;
pub mod address;
mod code;
pub mod error;
mod groups;
pub mod history;
mod messages;
mod methods;
mod operators;
pub mod overview;
mod records;
pub mod render;
#[cfg(test)]
pub(crate) mod testing;
mod verify;

use crate::context::Context;
use parlance_plugin_api::{
    identity::{Action, Directory, Principal},
    ledger::View,
    record::DeviceId,
};
use parlance_schema::api::Problem;
use serde::de::DeserializeOwned;
use std::net::IpAddr;

pub use code::Code;
pub use error::{ApiError, mqtt_reason, problem};
pub use methods::{Access, METHODS, Method, Verb};

/// Who calls.
#[derive(Debug, Clone, Copy)]
pub struct Caller<'a> {
    /// Who is logged in.
    pub principal: Option<&'a Principal>,
    /// From where, for slowing down attempts.
    pub from: IpAddr,
    /// The MQTT device, which is not sent its own messages. `None` over HTTP.
    pub device: Option<DeviceId>,
}

impl<'a> Caller<'a> {
    /// Who is logged in.
    ///
    /// # Errors
    /// [`ApiError::NotAuthenticated`] when nobody is.
    pub fn who(&self) -> Result<&'a Principal, ApiError> {
        self.principal.ok_or(ApiError::NotAuthenticated)
    }
}

/// A request as it came.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// A JSON object; nothing at all stands for `{}`.
    Json(&'a [u8]),
    /// The query of a URI.
    Query(&'a str),
}

impl Input<'_> {
    fn parse<T: DeserializeOwned>(self) -> Result<T, ApiError> {
        match self {
            Self::Json(body) => {
                let body = if body.trim_ascii().is_empty() { b"{}" } else { body };
                serde_json::from_slice(body).map_err(|error| ApiError::Malformed(error.to_string()))
            }
            Self::Query(query) => parse_query(query),
        }
    }
}

fn parse_query<T: DeserializeOwned>(query: &str) -> Result<T, ApiError> {
    let malformed = |error: &dyn std::fmt::Display| ApiError::Malformed(error.to_string());
    let uri = axum::http::Uri::builder().path_and_query(format!("/?{query}")).build();
    let uri = uri.map_err(|error| malformed(&error))?;
    let query =
        axum::extract::Query::<T>::try_from_uri(&uri).map_err(|error| malformed(&error.body_text()))?;
    Ok(query.0)
}

/// The method of a name.
///
/// # Errors
/// [`ApiError::UnknownMethod`].
pub fn find(name: &str) -> Result<&'static Method, ApiError> {
    let unknown = || ApiError::UnknownMethod(name.chars().take(64).collect());
    METHODS.iter().find(|method| method.name == name).ok_or_else(unknown)
}

/// Calls a method by name with a JSON body: what an RPC does. The answer is JSON.
///
/// # Errors
/// The problem document to answer with.
pub async fn call(
    context: &Context,
    caller: Caller<'_>,
    method: &str,
    body: &[u8],
) -> Result<Vec<u8>, Problem> {
    let outcome = match find(method) {
        Ok(method) => method.call(context, caller, Input::Json(body)).await,
        Err(unknown) => Err(unknown),
    };
    outcome.map_err(|error| error.problem())
}

/// Reads from the store on a thread that may block.
async fn reading<T: Send + 'static>(
    context: &Context,
    read: impl FnOnce(&dyn View, &dyn Directory) -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let (ledger, directory) = (context.ledger.clone(), context.directory.clone());
    // A simulation has one thread.
    #[cfg(feature = "simulation")]
    if crate::simulation::now_ms().is_some() {
        return read(&*ledger, &*directory);
    }
    let task = tokio::task::spawn_blocking(move || read(&*ledger, &*directory));
    task.await.map_err(|_| ApiError::TaskEnded)?
}

/// Whether a credential allows an action everywhere.
fn permit(who: &Principal, action: Action) -> Result<(), ApiError> {
    if who.allows(action, None) { Ok(()) } else { Err(ApiError::NotAllowed(action)) }
}

/// A page size within its bounds, or the default.
fn page_size(asked: Option<u32>, default: u32, max: u32, expected: &'static str) -> Result<u32, ApiError> {
    match asked {
        None => Ok(default),
        Some(limit) if (1..=max).contains(&limit) => Ok(limit),
        Some(_) => Err(ApiError::Field { field: "limit", expected }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parlance_schema::api::{ConversationsRequest, MessagesRequest, RegisterRequest};

    #[test]
    fn a_query_and_a_body_say_the_same() {
        let query: MessagesRequest = Input::Query("conversation=%40bob&before=7&limit=3").parse().unwrap();
        let body: MessagesRequest =
            Input::Json(br#"{"conversation": "@bob", "before": 7, "limit": 3}"#).parse().unwrap();
        assert_eq!(query, body);
        assert_eq!(query.conversation, "@bob");
        let nothing: ConversationsRequest = Input::Json(b" \n").parse().unwrap();
        assert_eq!(nothing, Input::Query("").parse().unwrap());
    }

    #[test]
    fn what_does_not_parse_says_what_is_wrong() {
        for (input, word) in [
            (Input::Json(b"{"), "EOF"),
            (Input::Json(br#"{"handle": "bob"}"#), "password"),
            (Input::Json(br#"{"handle": "bob", "password": "x", "admin": true}"#), "admin"),
            (Input::Query("handle=bob&password=x&admin=1"), "admin"),
        ] {
            let error = input.parse::<RegisterRequest>().unwrap_err();
            assert_eq!(error.code(), Code::BadRequest);
            assert!(error.detail().contains(word), "{}", error.detail());
        }
        let error = Input::Query("conversation=x&limit=many").parse::<MessagesRequest>().unwrap_err();
        assert!(error.detail().contains("limit"), "{}", error.detail());
    }

    #[test]
    fn page_sizes_are_bounded() {
        assert_eq!(page_size(None, 50, 200, "").unwrap(), 50);
        assert_eq!(page_size(Some(200), 50, 200, "").unwrap(), 200);
        for bad in [0, 201] {
            let error = page_size(Some(bad), 50, 200, "1 to 200").unwrap_err();
            assert_eq!(error.code(), Code::BadRequest);
            assert!(error.detail().contains("limit: 1 to 200"));
        }
    }

    #[test]
    fn an_unknown_method_is_named_as_far_as_it_fits() {
        let error = find(&"x".repeat(1000)).err().unwrap();
        assert_eq!(error.code(), Code::UnknownMethod);
        assert!(error.detail().len() < 200);
    }
}
