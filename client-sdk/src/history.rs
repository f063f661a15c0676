//! History: what was said before.

use crate::{Client, Target, conversation::api_name, error::RpcError};
use parlance_schema::{
    api::{Messages, MessagesRequest},
    pb,
};

impl Client {
    /// A page of history: newest first, or with `after`, oldest first.
    pub async fn history(&self, request: &MessagesRequest) -> Result<Messages, RpcError> {
        self.rpc("messages", request).await
    }

    /// Walks back through a conversation from its newest message, or from below `before`.
    pub fn history_of(&self, conversation: &Target, before: Option<u64>) -> History<'_> {
        let request = MessagesRequest { conversation: api_name(conversation), before, ..Default::default() };
        History { client: self, request: Some(request) }
    }
}

/// A walk back through a conversation, a page at a time.
#[derive(Debug)]
pub struct History<'a> {
    client: &'a Client,
    /// `None` when there is nothing further back.
    request: Option<MessagesRequest>,
}

impl History<'_> {
    /// The next older page, newest first; `None` at the beginning of the conversation. After an error the same
    /// page is asked for again.
    pub async fn next(&mut self) -> Result<Option<Vec<pb::Message>>, RpcError> {
        let Some(request) = &mut self.request else { return Ok(None) };
        let page = self.client.history(request).await?;
        match page.messages.last() {
            Some(oldest) if page.more => request.before = Some(oldest.seq),
            _ => self.request = None,
        }
        Ok((!page.messages.is_empty()).then_some(page.messages))
    }
}
