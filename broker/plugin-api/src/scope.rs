//! Scopes as words: `messages.send`, `messages.read`, `groups.manage`, each with an optional `:{conversation id}`.

use crate::{
    ConversationId,
    identity::{Action, AuthError, Scope},
};
use std::{fmt, str::FromStr};

/// How much of a wrong scope is said back, in characters.
const ECHO_CHARS_MAX: usize = 64;

fn word(action: Action) -> &'static str {
    match action {
        Action::Send => "messages.send",
        Action::Read => "messages.read",
        Action::ManageGroups => "groups.manage",
        Action::ManageAccount => "account.manage",
        Action::Administer => "administer",
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(word(self.action))?;
        match self.conversation {
            Some(conversation) => write!(f, ":{conversation}"),
            None => Ok(()),
        }
    }
}

/// Only what a key may be given parses: accounts and the broker are never managed by one.
impl FromStr for Scope {
    type Err = AuthError;

    fn from_str(text: &str) -> Result<Self, AuthError> {
        let bad = || AuthError::BadScope(text.chars().take(ECHO_CHARS_MAX).collect());
        let (name, conversation) = match text.split_once(':') {
            Some((name, id)) => (name, Some(id.parse::<ConversationId>().map_err(|_| bad())?)),
            None => (text, None),
        };
        let action = [Action::Send, Action::Read, Action::ManageGroups]
            .into_iter()
            .find(|action| word(*action) == name)
            .ok_or_else(bad)?;
        Ok(Self { action, conversation })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_grantable_scopes_parse() {
        let there = ConversationId::fresh_group();
        for text in ["messages.send", "messages.read", "groups.manage", &format!("messages.read:{there}")] {
            assert_eq!(text.parse::<Scope>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "messages",
            "account.manage",
            "administer",
            "messages.send:",
            "messages.send:x",
            "Messages.send",
        ] {
            assert_eq!(text.parse::<Scope>(), Err(AuthError::BadScope(text.into())), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_and_what_parses_prints_the_same(text: String) {
            if let Ok(scope) = text.parse::<Scope>() {
                prop_assert_eq!(scope.to_string(), text);
            }
        }
    }
}
