//! Whom or where: from what a client writes to a conversation, deny by default.
//!
//! What a refusal says depends on the form of the address and on nothing that exists: a user who is not there and one
//! who cannot be written to, a group that is not there and one of which the caller is no member, are the same.
//! Membership itself is checked where it counts, at the ledger or the read.

use super::records;
use parlance_plugin_api::{
    ConversationId, ConversationKind, Handle, UserId,
    identity::{AccountKind, Action, Directory, Named, Principal},
    ledger::View,
    store::StoreError,
};
use parlance_schema::topic::Address;
use thiserror::Error;

/// Where something goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// The conversation.
    pub conversation: ConversationId,
    /// The other user of a direct conversation (oneself for notes to self), so that it can begin.
    pub peer: Option<UserId>,
}

/// What it is resolved for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To write or type there: the other user must exist and be enabled.
    Write,
    /// To move one's read position there.
    MarkRead,
    /// To read there.
    Read,
}

impl Purpose {
    fn action(self) -> Action {
        match self {
            Self::Write | Self::MarkRead => Action::Send,
            Self::Read => Action::Read,
        }
    }
}

/// Why an address leads nowhere.
#[derive(Debug, Error)]
pub enum AddressError {
    /// Neither an id nor a handle.
    #[error("{0} is neither an @handle nor the id of a user, group or conversation")]
    Malformed(String),
    /// Nobody who can be written to, and no group of the caller's.
    #[error("there is nobody, and no conversation of yours, called {0}")]
    UnknownRecipient(String),
    /// No such conversation, or not a member.
    #[error("there is no such conversation, or you are not a member of it")]
    NotAMember,
    /// The operator's token was used for what only members do.
    #[error("the operator is not a member of any conversation; log in as a user")]
    OperatorIsNoMember,
    /// The credential's scopes do not reach there.
    #[error("this credential does not allow it here")]
    NotAllowed(Action),
    /// Reading failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Resolves addresses for one caller. Answers from memory or with one point read.
#[derive(Clone, Copy)]
pub struct Resolver<'a> {
    view: &'a dyn View,
    directory: &'a dyn Directory,
    who: &'a Principal,
}

impl<'a> Resolver<'a> {
    /// For `who`.
    pub fn new(view: &'a dyn View, directory: &'a dyn Directory, who: &'a Principal) -> Self {
        Self { view, directory, who }
    }

    /// The `{id}` of `user/{id}/…` and `group/{id}/…`.
    pub fn address(&self, address: &Address, purpose: Purpose) -> Result<Target, AddressError> {
        let written = || address.to_string();
        let target = match address {
            Address::User(user) => self.user_target(*user, purpose, written),
            Address::UserHandle(handle) => match self.directory.resolve(handle) {
                Some(Named::User(user)) => self.user_target(user, purpose, written),
                _ => Err(AddressError::UnknownRecipient(written())),
            },
            Address::Conversation(id) => self.conversation_target(*id, purpose),
            Address::GroupHandle(handle) => match self.directory.resolve(handle) {
                Some(Named::Group(group)) => Ok(Target { conversation: group, peer: None }),
                _ => Err(AddressError::NotAMember),
            },
        }?;
        self.permit(target, purpose)
    }

    /// `to` and `conversation` of the API: `@handle` (the `@` may be left out), user id, group id or conversation id.
    pub fn text(&self, text: &str, purpose: Purpose) -> Result<Target, AddressError> {
        let target = match parse(text)? {
            Written::User(user) => self.user_target(user, purpose, || shown(text)),
            Written::Conversation(id) => self.conversation_target(id, purpose),
            Written::Handle(handle) => match self.directory.resolve(&handle) {
                Some(Named::User(user)) => self.user_target(user, purpose, || shown(text)),
                Some(Named::Group(group)) if self.is_member(group)? => {
                    Ok(Target { conversation: group, peer: None })
                }
                _ => Err(AddressError::UnknownRecipient(shown(text))),
            },
        }?;
        self.permit(target, purpose)
    }

    /// `group` of the API: group id or `@handle`. Who may do what in it is for the groups plugin to say.
    pub fn group(&self, text: &str) -> Result<ConversationId, AddressError> {
        let group = match parse(text)? {
            Written::Conversation(id) if id.kind() == ConversationKind::Group => id,
            Written::Handle(handle) => match self.directory.resolve(&handle) {
                Some(Named::Group(group)) => group,
                _ => return Err(AddressError::NotAMember),
            },
            _ => return Err(AddressError::NotAMember),
        };
        if !self.who.allows(Action::ManageGroups, Some(group)) {
            return Err(AddressError::NotAllowed(Action::ManageGroups));
        }
        Ok(group)
    }

    /// `user` and `users` of the API: a user who exists, enabled or not.
    pub fn user(&self, text: &str) -> Result<UserId, AddressError> {
        let user = match parse(text)? {
            Written::User(user) => Some(user),
            Written::Handle(handle) => match self.directory.resolve(&handle) {
                Some(Named::User(user)) => Some(user),
                _ => None,
            },
            Written::Conversation(_) => None,
        };
        user.filter(|user| self.directory.profile(*user).is_some())
            .ok_or_else(|| AddressError::UnknownRecipient(shown(text)))
    }

    /// A user who exists and is enabled: somebody who can be added to a group.
    pub fn enabled_user(&self, text: &str) -> Result<UserId, AddressError> {
        let user = self.user(text)?;
        if self.is_enabled(user) { Ok(user) } else { Err(AddressError::UnknownRecipient(shown(text))) }
    }

    fn user_target(
        &self,
        user: UserId,
        purpose: Purpose,
        written: impl FnOnce() -> String,
    ) -> Result<Target, AddressError> {
        let there = match purpose {
            Purpose::Write => self.is_enabled(user),
            Purpose::MarkRead | Purpose::Read => self.directory.profile(user).is_some(),
        };
        if !there {
            return Err(AddressError::UnknownRecipient(written()));
        }
        Ok(Target { conversation: ConversationId::direct(self.who.user, user), peer: Some(user) })
    }

    fn conversation_target(&self, id: ConversationId, purpose: Purpose) -> Result<Target, AddressError> {
        if id.kind() == ConversationKind::Group {
            return Ok(Target { conversation: id, peer: None });
        }
        let record = records::conversation(self.view, id)?.ok_or(AddressError::NotAMember)?;
        let peer = records::other_peer(&record, self.who.user).ok_or(AddressError::NotAMember)?;
        if purpose == Purpose::Write && !self.is_enabled(peer) {
            return Err(AddressError::UnknownRecipient(id.to_string()));
        }
        Ok(Target { conversation: id, peer: Some(peer) })
    }

    fn permit(&self, target: Target, purpose: Purpose) -> Result<Target, AddressError> {
        if self.who.kind == AccountKind::Admin {
            return Err(AddressError::OperatorIsNoMember);
        }
        if !self.who.allows(purpose.action(), Some(target.conversation)) {
            return Err(AddressError::NotAllowed(purpose.action()));
        }
        Ok(target)
    }

    fn is_member(&self, group: ConversationId) -> Result<bool, StoreError> {
        Ok(records::member(self.view, group, self.who.user)?.is_some())
    }

    fn is_enabled(&self, user: UserId) -> bool {
        self.directory.profile(user).is_some_and(|profile| !profile.disabled)
    }
}

/// What a text may mean. Ids come first; a handle that looks like one is written with `@`.
enum Written {
    User(UserId),
    Conversation(ConversationId),
    Handle(Handle),
}

fn parse(text: &str) -> Result<Written, AddressError> {
    if let Ok(user) = text.parse() {
        return Ok(Written::User(user));
    }
    if let Ok(conversation) = text.parse() {
        return Ok(Written::Conversation(conversation));
    }
    text.parse().map(Written::Handle).map_err(|_| AddressError::Malformed(shown(text)))
}

/// What the client wrote, as far as it fits into an error.
fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{code::Code, error::ApiError, testing::World};
    use parlance_plugin_api::identity::{Scope, Scopes};

    fn code<T>(result: Result<T, AddressError>) -> Result<T, Code> {
        result.map_err(|error| ApiError::from(error).code())
    }

    #[test]
    fn what_a_text_leads_to() {
        let mut world = World::default();
        let (alice, bob, carol) = (world.user("alice"), world.user("bob"), world.user("carol"));
        let gone = world.account("gone", true);
        let ours = world.group("ours", &[(alice, 1)]);
        let theirs = world.group("theirs", &[(bob, 1)]);
        let (mine, foreign) = (world.direct(alice, bob), world.direct(bob, carol));
        let with_gone = world.direct(alice, gone);
        let who = world.principal(alice);
        let resolver = Resolver::new(&world, &world, &who);
        let to = |conversation, peer| Ok(Target { conversation, peer });
        let notes = ConversationId::direct(alice, alice);
        let unknown = Err(Code::UnknownRecipient);
        for (text, write, read) in [
            ("@bob".to_owned(), to(mine, Some(bob)), to(mine, Some(bob))),
            ("Bob".to_owned(), to(mine, Some(bob)), to(mine, Some(bob))),
            (bob.to_string(), to(mine, Some(bob)), to(mine, Some(bob))),
            (mine.to_string(), to(mine, Some(bob)), to(mine, Some(bob))),
            ("@alice".to_owned(), to(notes, Some(alice)), to(notes, Some(alice))),
            ("@ours".to_owned(), to(ours, None), to(ours, None)),
            (ours.to_string(), to(ours, None), to(ours, None)),
            // Membership of a group named by its id is checked where it counts.
            (theirs.to_string(), to(theirs, None), to(theirs, None)),
            ("@theirs".to_owned(), unknown, unknown),
            ("@nobody".to_owned(), unknown, unknown),
            (UserId::fresh().to_string(), unknown, unknown),
            ("@gone".to_owned(), unknown, to(with_gone, Some(gone))),
            (gone.to_string(), unknown, to(with_gone, Some(gone))),
            (with_gone.to_string(), unknown, to(with_gone, Some(gone))),
            (foreign.to_string(), Err(Code::NotAMember), Err(Code::NotAMember)),
            (ConversationId::direct(alice, carol).to_string(), Err(Code::NotAMember), Err(Code::NotAMember)),
            ("no such thing".to_owned(), Err(Code::BadRequest), Err(Code::BadRequest)),
            (String::new(), Err(Code::BadRequest), Err(Code::BadRequest)),
        ] {
            assert_eq!(code(resolver.text(&text, Purpose::Write)), write, "write {text}");
            assert_eq!(code(resolver.text(&text, Purpose::Read)), read, "read {text}");
        }
    }

    #[test]
    fn what_a_topic_leads_to() {
        let mut world = World::default();
        let (alice, bob) = (world.user("alice"), world.user("bob"));
        let gone = world.account("gone", true);
        let theirs = world.group("theirs", &[(bob, 1)]);
        let who = world.principal(alice);
        let resolver = Resolver::new(&world, &world, &who);
        let handle = |text: &str| text.parse::<Handle>().unwrap();
        let direct = Target { conversation: ConversationId::direct(alice, bob), peer: Some(bob) };
        for (address, expected) in [
            (Address::User(bob), Ok(direct)),
            (Address::UserHandle(handle("bob")), Ok(direct)),
            (Address::User(gone), Err(Code::UnknownRecipient)),
            (Address::UserHandle(handle("nobody")), Err(Code::UnknownRecipient)),
            (Address::UserHandle(handle("theirs")), Err(Code::UnknownRecipient)),
            (Address::GroupHandle(handle("theirs")), Ok(Target { conversation: theirs, peer: None })),
            (Address::GroupHandle(handle("nobody")), Err(Code::NotAMember)),
            (Address::GroupHandle(handle("bob")), Err(Code::NotAMember)),
        ] {
            assert_eq!(code(resolver.address(&address, Purpose::Write)), expected, "{address}");
        }
    }

    #[test]
    fn scopes_reach_only_where_they_say() {
        let mut world = World::default();
        let (alice, bob, carol) = (world.user("alice"), world.user("bob"), world.user("carol"));
        let with_bob = ConversationId::direct(alice, bob);
        let mut who = world.principal(alice);
        let scope = |action, conversation| Scope { action, conversation };
        who.scopes = Scopes::Only(
            [scope(Action::Send, Some(with_bob)), scope(Action::Read, None)].into_iter().collect(),
        );
        let resolver = Resolver::new(&world, &world, &who);
        let to = |peer: UserId, purpose| code(resolver.text(&peer.to_string(), purpose)).map(|_| ());
        assert_eq!(to(bob, Purpose::Write), Ok(()));
        assert_eq!(to(carol, Purpose::Write), Err(Code::NotAuthorized));
        assert_eq!(to(carol, Purpose::MarkRead), Err(Code::NotAuthorized));
        assert_eq!(to(carol, Purpose::Read), Ok(()));
        let group = ConversationId::fresh_group().to_string();
        assert_eq!(code(resolver.group(&group)), Err(Code::NotAuthorized));
        who.kind = AccountKind::Admin;
        let resolver = Resolver::new(&world, &world, &who);
        assert_eq!(code(resolver.text("@bob", Purpose::Write)), Err(Code::NotAuthorized));
    }

    #[test]
    fn whom_a_group_call_names() {
        let mut world = World::default();
        let (alice, bob) = (world.user("alice"), world.user("bob"));
        let gone = world.account("gone", true);
        let group = world.group("ours", &[(alice, 1)]);
        let direct = world.direct(alice, bob);
        let who = world.principal(alice);
        let resolver = Resolver::new(&world, &world, &who);
        assert_eq!(code(resolver.group("@ours")), Ok(group));
        assert_eq!(code(resolver.group(&group.to_string())), Ok(group));
        assert_eq!(code(resolver.group("@bob")), Err(Code::NotAMember));
        assert_eq!(code(resolver.group(&direct.to_string())), Err(Code::NotAMember));
        assert_eq!(code(resolver.user("@gone")), Ok(gone));
        assert_eq!(code(resolver.enabled_user("@gone")), Err(Code::UnknownRecipient));
        assert_eq!(code(resolver.enabled_user("bob")), Ok(bob));
        assert_eq!(code(resolver.user("@ours")), Err(Code::UnknownRecipient));
    }
}
