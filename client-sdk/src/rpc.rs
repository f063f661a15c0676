//! Requests: `rpc/{method}` up, the answer on `me/json/reply/{method}`.
//!
//! A request is not repeated after a lost connection: creating a group twice is not creating it once. It fails with
//! [`Failure::Interrupted`] then, and the caller, who knows whether it may be repeated, decides.

use crate::{
    Client,
    error::{Failure, RpcError},
};
use bytes::Bytes;
use parlance_schema::api::Problem;
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::timeout;

impl Client {
    /// Asks the broker. The types of requests and answers are in [`api`](crate::api).
    pub async fn rpc<Q, A>(&self, method: &str, request: &Q) -> Result<A, RpcError>
    where
        Q: Serialize + ?Sized,
        A: DeserializeOwned,
    {
        check_method(method)?;
        let payload = serde_json::to_vec(request).map_err(|e| json_error(method, &e))?;
        let after = self.core.options.rpc_timeout;
        match timeout(after, self.ask(method, payload)).await {
            Ok(answer) => read_answer(method, &answer?),
            Err(_) => Err(RpcError::TimedOut { method: method.to_owned(), after }),
        }
    }

    async fn ask(&self, method: &str, payload: Vec<u8>) -> Result<Bytes, Failure> {
        let permit = self.core.permit().await?;
        let mut question = self.core.ask(method, payload, permit)?;
        tokio::select! {
            biased;
            answer = &mut question.answer => return answer.unwrap_or(Err(Failure::Closed)),
            // A refusal is the end; an acknowledgement says that the answer is on its way.
            acknowledged = &mut question.acknowledged => {
                acknowledged.unwrap_or(Err(Failure::Closed))?;
            }
        }
        (&mut question.answer).await.unwrap_or(Err(Failure::Closed))
    }
}

/// A method is one level of a topic.
fn check_method(method: &str) -> Result<(), RpcError> {
    let valid =
        !method.is_empty() && method.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if valid { Ok(()) } else { Err(RpcError::NoMethod { method: method.to_owned() }) }
}

fn read_answer<A: DeserializeOwned>(method: &str, payload: &[u8]) -> Result<A, RpcError> {
    if let Ok(problem) = serde_json::from_slice::<Problem>(payload)
        && problem.kind.starts_with("urn:parlance:error:")
    {
        return Err(RpcError::Problem(Box::new(problem)));
    }
    serde_json::from_slice(payload).map_err(|e| json_error(method, &e))
}

fn json_error(method: &str, error: &serde_json::Error) -> RpcError {
    RpcError::Json { method: method.to_owned(), problem: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parlance_schema::api::Done;

    #[test]
    fn an_answer_is_told_from_a_problem() {
        assert_eq!(read_answer::<Done>("leaveGroup", b"{}"), Ok(Done {}));
        let problem = br#"{"type":"urn:parlance:error:not_member","title":"Not a member","status":403,
            "detail":"You are not a member","code":"not_member"}"#;
        match read_answer::<Done>("leaveGroup", problem) {
            Err(RpcError::Problem(problem)) => {
                assert_eq!((problem.status, problem.code.as_str()), (403, "not_member"))
            }
            other => panic!("{other:?}"),
        }
        assert!(matches!(read_answer::<Done>("leaveGroup", b"not json"), Err(RpcError::Json { .. })));
    }

    #[test]
    fn a_method_is_one_level_of_a_topic() {
        assert!(check_method("admin.verifyStore").is_ok());
        for method in ["", "a/b", "+", "#", "a b"] {
            assert!(check_method(method).is_err(), "{method}");
        }
    }
}
