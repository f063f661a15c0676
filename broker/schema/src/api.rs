//! Requests and answers of the API, the same over HTTP and over `rpc/{method}`: JSON, camelCase, unknown fields refused.
//!
//! Times are Unix milliseconds. Whom or where (`to`, `conversation`, `group`, `user`) is an id or `@handle`.

use crate::{ConversationId, UserId, pb};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

macro_rules! request {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        pub struct $name { $($(#[$field_doc])* pub $field: $type),* }
    };
}

macro_rules! answer {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
        #[serde(rename_all = "camelCase")]
        pub struct $name { $($(#[$field_doc])* pub $field: $type),* }
    };
}

// --- accounts -------------------------------------------------------------------------------------------------

/// A password: never shown by `Debug`, wiped when dropped by who holds it.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(secret)")
    }
}

request!(
    /// `register`: a new account.
    RegisterRequest {
        /// 2 to 32 of a-z 0-9 _ . -, beginning with a letter.
        handle: String,
        /// 8 to 256 characters.
        password: Secret,
    }
);
request!(
    /// `login` with handle and password.
    LoginRequest {
        /// The account's handle.
        handle: String,
        /// Its password.
        password: Secret,
        /// Binds the tokens to one device (MQTT client id). Without it they serve any device of the user.
        #[serde(default)]
        client_id: Option<String>,
    }
);
answer!(
    /// What `register`, `login` and `refresh` answer.
    Tokens {
        /// The account.
        user: UserId,
        /// Its handle.
        handle: String,
        /// Bearer token for HTTP, password for MQTT.
        access_token: Secret,
        /// When the access token expires.
        access_expires_ms: u64,
        /// Exchanged by `refresh` for a new pair; each serves once.
        refresh_token: Secret,
        /// When the refresh token expires.
        refresh_expires_ms: u64,
    }
);
request!(
    /// `refresh`: a new pair of tokens for a refresh token. Presenting one twice ends the whole family.
    RefreshRequest {
        /// The refresh token.
        refresh_token: Secret,
    }
);
request!(
    /// `logout`: ends the session of this token; `everywhere` ends every session of the user and disconnects its devices.
    LogoutRequest {
        /// All devices, not only this one.
        #[serde(default)]
        everywhere: bool,
    }
);
request!(
    /// `changePassword`: ends all other sessions.
    ChangePasswordRequest {
        /// The present password.
        old_password: Secret,
        /// The new one, 8 to 256 characters.
        new_password: Secret,
    }
);
answer!(
    /// `me`: who I am.
    Me {
        /// My id.
        user: UserId,
        /// My handle.
        handle: String,
        /// `person`, `service` or `admin`.
        kind: String,
        /// What this token may do; empty means everything that the account may.
        scopes: Vec<String>,
    }
);
answer!(
    /// A device of the user.
    Device {
        /// Its MQTT client id.
        client_id: String,
        /// Connected now.
        online: bool,
        /// First seen.
        created_ms: u64,
        /// Last connected.
        last_seen_ms: u64,
    }
);
answer!(
    /// `devices`.
    Devices {
        /// All known devices, newest first.
        devices: Vec<Device>,
    }
);
request!(
    /// `removeDevice`: disconnects it, forgets its session and positions, and ends the tokens bound to it.
    RemoveDeviceRequest {
        /// MQTT client id.
        client_id: String,
    }
);

// --- messages -------------------------------------------------------------------------------------------------

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
/// Bytes with a media type.
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DataPart {
    /// Media type.
    pub content_type: String,
    /// Base64.
    pub bytes: String,
}

request!(
    /// `sendMessage`. Exactly one of `text` and `data`.
    SendMessageRequest {
        /// `@handle`, user id, group id or conversation id.
        to: String,
        /// Text.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<String>,
        /// Anything else.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        data: Option<DataPart>,
        /// My own id of the message, at most 64 bytes: a retry with it is answered with the first seq.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<String>,
    }
);
answer!(
    /// Where a message was put. Durable when this is answered.
    Sent {
        /// The conversation.
        conversation: ConversationId,
        /// Its position there.
        seq: u64,
        /// When it was accepted.
        time_ms: u64,
        /// It had been stored before; this is the first seq.
        repeated: bool,
    }
);
request!(
    /// `messages`: a page of history. Newest first; with `after`, oldest first.
    MessagesRequest {
        /// `@handle`, user id, group id or conversation id.
        conversation: String,
        /// Only below this seq.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<u64>,
        /// Only above this seq.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<u64>,
        /// 1 to 200, default 50.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<u32>,
    }
);

/// `messages`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Messages {
    /// The conversation.
    pub conversation: ConversationId,
    /// Its newest seq.
    pub head: u64,
    /// Messages as on `me/json/inbox/…`.
    #[schema(value_type = Vec<Object>)]
    pub messages: Vec<pb::Message>,
    /// There are more in this direction.
    pub more: bool,
}

request!(
    /// `markRead`: everything up to `seq` was read.
    MarkReadRequest {
        /// `@handle`, user id, group id or conversation id.
        conversation: String,
        /// Up to this seq.
        seq: u64,
    }
);
answer!(
    /// My position after `markRead`. Positions never retreat.
    Position {
        /// The conversation.
        conversation: ConversationId,
        /// Delivered to some device of mine.
        delivered: u64,
        /// Read by me.
        read: u64,
        /// How many I have not read.
        unread: u64,
    }
);
request!(
    /// `conversations`: mine, a page at a time.
    ConversationsRequest {
        /// Continue behind this conversation (`next` of the page before).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<ConversationId>,
        /// 1 to 500, default 100.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<u32>,
    }
);
answer!(
    /// A conversation as its member sees it.
    Conversation {
        /// Its id.
        id: ConversationId,
        /// `direct` or `group`.
        kind: String,
        /// The group's name, or the other person's handle.
        name: String,
        /// The group's or the other person's handle, if any.
        handle: Option<String>,
        /// Newest seq.
        head: u64,
        /// First seq that I may see.
        joined_seq: u64,
        /// Delivered to some device of mine.
        delivered: u64,
        /// Read by me.
        read: u64,
        /// How many I have not read.
        unread: u64,
        /// When the newest message was accepted.
        time_ms: u64,
    }
);
answer!(
    /// `conversations`.
    Conversations {
        /// A page.
        conversations: Vec<Conversation>,
        /// Pass as `after` for the next page; absent at the end.
        next: Option<ConversationId>,
    }
);

// --- groups ---------------------------------------------------------------------------------------------------

request!(
    /// `createGroup`. The creator is its owner.
    CreateGroupRequest {
        /// 1 to 100 characters.
        name: String,
        /// Public handle, optional.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        handle: Option<String>,
        /// Whom to add: `@handle` or user id.
        #[serde(default)]
        members: Vec<String>,
    }
);
answer!(
    /// A group.
    Group {
        /// Its id.
        id: ConversationId,
        /// Its name.
        name: String,
        /// Its handle, if any.
        handle: Option<String>,
        /// How many members.
        members: u32,
    }
);
request!(
    /// `addMembers`: owner and admins may. Each sees the group from the entry that added it.
    AddMembersRequest {
        /// Group id or `@handle`.
        group: String,
        /// Whom: `@handle` or user id.
        users: Vec<String>,
    }
);
request!(
    /// `removeMember`: owner and admins may.
    RemoveMemberRequest {
        /// Group id or `@handle`.
        group: String,
        /// Whom.
        user: String,
    }
);
request!(
    /// `leaveGroup`.
    LeaveGroupRequest {
        /// Group id or `@handle`.
        group: String,
    }
);
request!(
    /// `members` of a conversation of mine, in the order of their ids, a page at a time.
    MembersRequest {
        /// `@handle`, user id, group id or conversation id.
        conversation: String,
        /// Continue behind this one (`next` of the page before).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<UserId>,
        /// 1 to 1,000, default 500.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<u32>,
    }
);
answer!(
    /// A member.
    Member {
        /// User id.
        user: UserId,
        /// Handle.
        handle: String,
        /// `owner`, `admin` or `member`.
        role: String,
        /// First seq that this member may see.
        joined_seq: u64,
        /// Delivered to some device of this member.
        delivered: u64,
        /// Read by this member.
        read: u64,
    }
);
answer!(
    /// `members`.
    Members {
        /// The conversation.
        conversation: ConversationId,
        /// A page of its members.
        members: Vec<Member>,
        /// Pass as `after` for the next page; absent at the end.
        next: Option<UserId>,
    }
);
answer!(
    /// `addMembers`: how it went.
    MembersAdded {
        /// Who was added.
        added: Vec<UserId>,
        /// Who was a member already.
        already: Vec<UserId>,
    }
);

// --- operators ------------------------------------------------------------------------------------------------

request!(
    /// One account to create.
    NewUser {
        /// Handle.
        handle: String,
        /// Password; without one the account can log in only by minted token.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        password: Option<Secret>,
        /// A service account: no password, used by API keys.
        #[serde(default)]
        service: bool,
    }
);
request!(
    /// `admin.addUsers`: up to 500 at once.
    AddUsersRequest {
        /// The accounts.
        users: Vec<NewUser>,
    }
);
answer!(
    /// The outcome for one item of a batch.
    Outcome {
        /// The handle as given.
        handle: String,
        /// The account, when it worked.
        user: Option<UserId>,
        /// The error, when it did not.
        error: Option<String>,
    }
);
answer!(
    /// Outcomes in the order asked.
    Outcomes {
        /// One per item.
        outcomes: Vec<Outcome>,
    }
);
request!(
    /// `admin.users`: all accounts, a page at a time.
    UsersRequest {
        /// Continue behind this one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<UserId>,
        /// 1 to 500, default 100.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<u32>,
    }
);
answer!(
    /// An account.
    User {
        /// Id.
        user: UserId,
        /// Handle.
        handle: String,
        /// `person`, `service` or `admin`.
        kind: String,
        /// Cannot log in.
        disabled: bool,
        /// When it was made.
        created_ms: u64,
    }
);
answer!(
    /// `admin.users`.
    Users {
        /// A page.
        users: Vec<User>,
        /// Pass as `after` for the next page.
        next: Option<UserId>,
    }
);
request!(
    /// `admin.setDisabled`: a disabled account is disconnected at once and cannot log in.
    SetDisabledRequest {
        /// `@handle` or user id.
        user: String,
        /// On or off.
        disabled: bool,
    }
);
request!(
    /// One access token to mint.
    MintItem {
        /// `@handle` or user id.
        user: String,
        /// Binds it to one device.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        client_id: Option<String>,
    }
);
request!(
    /// `admin.mintTokens`: access tokens without a login, up to 2,000 at once.
    MintTokensRequest {
        /// For whom.
        items: Vec<MintItem>,
        /// How long they serve, seconds; at most 10 years.
        ttl_s: u64,
    }
);
answer!(
    /// A minted token, or why not.
    Minted {
        /// As asked.
        user: String,
        /// As asked.
        client_id: Option<String>,
        /// The token.
        token: Option<Secret>,
        /// The error.
        error: Option<String>,
    }
);
answer!(
    /// `admin.mintTokens`.
    MintedTokens {
        /// When they expire.
        expires_ms: u64,
        /// In the order asked.
        tokens: Vec<Minted>,
    }
);
request!(
    /// `admin.createApiKey` for a service account.
    CreateApiKeyRequest {
        /// `@handle` or user id of the service account.
        user: String,
        /// A name to recognise it by.
        name: String,
        /// What it may do: `messages.send`, `messages.read`, `groups.manage`; each may end in `:{conversation id}`.
        scopes: Vec<String>,
    }
);
answer!(
    /// An API key. The secret is shown once.
    ApiKey {
        /// Its id, for `admin.revokeApiKey`.
        id: String,
        /// Its name.
        name: String,
        /// Its scopes.
        scopes: Vec<String>,
        /// When it was made.
        created_ms: u64,
        /// The key itself: bearer token for HTTP, password for MQTT. Only in the answer that made it.
        key: Option<Secret>,
    }
);
request!(
    /// `admin.apiKeys` of a service account.
    ApiKeysRequest {
        /// `@handle` or user id.
        user: String,
    }
);
answer!(
    /// `admin.apiKeys`.
    ApiKeys {
        /// Without their secrets.
        keys: Vec<ApiKey>,
    }
);
request!(
    /// `admin.revokeApiKey`: connections that use it are closed.
    RevokeApiKeyRequest {
        /// Its id.
        id: String,
    }
);
answer!(
    /// A damaged record.
    Damage {
        /// The kind of record.
        table: String,
        /// Its key, hexadecimal.
        key: String,
        /// What is wrong.
        problem: String,
    }
);
request!(
    /// `admin.verifyStore`: reads a stretch of the store and opens every record.
    VerifyStoreRequest {
        /// Continue here (`next` of the answer before).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cursor: Option<String>,
    }
);
answer!(
    /// `admin.verifyStore`.
    Verified {
        /// Records read in this stretch.
        records: u64,
        /// What was damaged among them.
        damage: Vec<Damage>,
        /// Where to continue; absent at the end.
        next: Option<String>,
    }
);

request!(
    /// A rule about free topics. The rules are looked at in their order; the first that matches decides. Nothing matches: denied.
    AccessRule {
        /// Whom it is about: `*` everybody who is logged in, `person`, `service`, `@handle`, a user id, or `group:{id or @handle}` for its members.
        who: String,
        /// `publish`, `subscribe` or `both`.
        action: String,
        /// A topic filter; `%u` stands for the handle, `%i` for the user id, `%c` for the client id, each a whole level or part of one.
        /// A client id that cannot stand there (it is empty or has `/`, `+` or `#`) is allowed nothing by it, and denied whatever stands there.
        topic: String,
        /// `true` denies.
        #[serde(default)]
        deny: bool,
    }
);
answer!(
    /// `admin.accessRules`, `admin.setAccessRules`.
    AccessRules {
        /// Counts the changes of `rules`.
        revision: u64,
        /// Those of the file, which come first.
        file: Vec<AccessRule>,
        /// Those that calls have set.
        rules: Vec<AccessRule>,
    }
);
request!(
    /// `admin.setAccessRules`: replaces the rules that calls have set; live at once, also for connected clients.
    SetAccessRulesRequest {
        /// The rules in their order.
        rules: Vec<AccessRule>,
        /// Only if the rules are at this revision: so that nobody's change is lost.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        revision: Option<u64>,
    }
);
request!(
    /// `admin.accessRules`.
    AccessRulesRequest {}
);
request!(
    /// `admin.checkAccess`: what the rules say about somebody and a topic.
    CheckAccessRequest {
        /// `@handle` or user id.
        user: String,
        /// The client id that `%c` stands for; none: an id that no rule knows.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        client_id: Option<String>,
        /// `publish` or `subscribe`.
        action: String,
        /// A topic name, or with `subscribe` a filter.
        topic: String,
    }
);
answer!(
    /// `admin.checkAccess`.
    AccessChecked {
        /// Whether it is allowed. For a filter: whether some topic that it matches is.
        allowed: bool,
        /// The rule that decides about a topic name, from 1, those of the file before those that calls have set;
        /// absent when none matches.
        rule: Option<u32>,
    }
);

/// Nothing more to say than that it was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Done {}

/// An error: RFC 9457 over HTTP, the same object as the reply of an RPC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// `urn:parlance:error:{code}`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Short, for a person; the same for each code.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What happened here and what to do.
    pub detail: String,
    /// The stable code, as in topics.md.
    pub code: String,
}
