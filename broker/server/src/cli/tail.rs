//! `parlance tail`.

use super::{error::CliError, mqtt::Login, place::Place, print, time};
use clap::Args;
use parlance_client::{Client, ConversationId, Event, Events, Target, pb};
use parlance_schema::{message::Down, text};
use std::{process::ExitCode, time::Duration};

/// How long the token serves that is made for watching: a long day.
const TOKEN_TTL: Duration = Duration::from_secs(7 * 86_400);

const EXAMPLES: &str = "\
Examples:
  parlance tail --as bob                          everything that bob receives, until Ctrl-C
  parlance tail --as bob @alice --last 20         his conversation with alice, the last 20 messages first
  parlance tail --as bob --device logger --json   a device of its own: what came while it was away comes first

This is a device of the user: what it shows counts as delivered.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Tail {
    /// Only this conversation: @handle, group/@handle or an id
    conversation: Option<Target>,
    #[command(flatten)]
    login: Login,
    /// First show this many messages of the conversation's history
    #[arg(long, value_name = "COUNT", requires = "conversation", default_value_t = 0)]
    last: usize,
    /// Be this device (client id) of the user and go on where it was, instead of only visiting
    #[arg(long, value_name = "CLIENT_ID")]
    device: Option<String>,
    /// One JSON object on each line, as on me/json/inbox
    #[arg(long)]
    json: bool,
}

impl Tail {
    pub(super) async fn run(self, place: &Place) -> Result<ExitCode, CliError> {
        let options = self.login.options(place, self.device.as_deref(), TOKEN_TTL).await?;
        let (client, events) = Client::connect(options).await?;
        // An operator looks once: where is it?
        let only = match &self.conversation {
            Some(Target::Conversation(id)) => Some(*id),
            Some(target) => Some(client.members(target, None).await?.conversation),
            None => None,
        };
        let shown = match (&self.conversation, self.last) {
            (Some(target), 1..) => self.show_history(&client, target).await?,
            _ => 0,
        };
        let ended = tokio::select! {
            ended = self.watch(events, only, shown) => ended,
            _ = tokio::signal::ctrl_c() => Ok(()),
        };
        let _ = client.close().await;
        ended.map(|()| ExitCode::SUCCESS)
    }

    /// Answers the newest seq shown.
    async fn show_history(&self, client: &Client, target: &Target) -> Result<u64, CliError> {
        let mut history = client.history_of(target, None);
        let mut messages = Vec::new();
        while messages.len() < self.last
            && let Some(page) = history.next().await?
        {
            messages.extend(page);
        }
        messages.truncate(self.last);
        messages.iter().rev().try_for_each(|message| self.show(message))?;
        Ok(messages.first().map_or(0, |newest| newest.seq))
    }

    async fn watch(
        &self,
        mut events: Events,
        only: Option<ConversationId>,
        shown: u64,
    ) -> Result<(), CliError> {
        let only = only.map(|id| id.to_string());
        let wanted = |message: &pb::Message| match &only {
            Some(only) => message.conversation == *only && message.seq > shown,
            None => true,
        };
        let mut away = false;
        while let Some(event) = events.next().await {
            match event {
                Event::Message { message, .. } if wanted(&message) => self.show(&message)?,
                Event::Account(event) => eprintln!("* {}", print::printable(&rendered(&event))),
                Event::Disconnected { reason, retry_in } => {
                    away = true;
                    eprintln!("* {reason}; trying again in {:.1} s", retry_in.as_secs_f32());
                }
                Event::Connected { .. } if away => {
                    away = false;
                    let missed =
                        if self.device.is_some() { "" } else { "; what came in between is in the history" };
                    eprintln!("* connected again{missed}");
                }
                Event::Closed { reason: Some(reason) } => return Err(reason.into()),
                _ => {}
            }
        }
        Ok(())
    }

    fn show(&self, message: &pb::Message) -> Result<(), CliError> {
        if self.json { print::json(message) } else { print::line(&shown(message)) }
    }
}

fn shown(message: &pb::Message) -> String {
    let text = print::printable(&rendered(message)).replace('\n', "\n    ");
    let sender = text::name(&message.sender_handle, &message.sender);
    let sender = if message.kind() == pb::Kind::Message { format!("{sender}: ") } else { String::new() };
    format!("{} {} {} {sender}{text}", time::utc(message.time_ms), message.conversation, message.seq)
}

fn rendered(down: &impl Down) -> String {
    String::from_utf8_lossy(&down.text()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_entry_and_harmless() {
        let message = pb::Message {
            conversation: "g1".into(),
            seq: 7,
            sender_handle: "bob".into(),
            time_ms: 0,
            text: "one\ntwo\x1b[2J".into(),
            ..Default::default()
        };
        assert_eq!(shown(&message), "1970-01-01 00:00:00 g1 7 @bob: one\n    two\u{fffd}[2J");
    }

    #[test]
    fn a_change_speaks_for_itself() {
        let change =
            pb::Change { action: "member_added".into(), user_handle: "carol".into(), ..Default::default() };
        let message = pb::Message {
            conversation: "g1".into(),
            seq: 8,
            kind: pb::Kind::Change as i32,
            sender_handle: "bob".into(),
            change: Some(change),
            ..Default::default()
        };
        assert_eq!(shown(&message), "1970-01-01 00:00:00 g1 8 * @bob added @carol");
    }
}
