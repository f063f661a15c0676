//! The access rules of free topics, for the operator. The table admits nobody else ([`super::METHODS`]).

use super::{ApiError, Caller, reading};
use crate::context::Context;
use parlance_mqtt::{TopicFilter, TopicName};
use parlance_plugin_api::{
    UserId,
    access::{AccessRules, Subject, TopicAction},
    identity::{AuthError, Directory, Named, Profile},
};
use parlance_schema::{
    api,
    topic::{Interest, Up, parse_filter, parse_up},
};
use std::sync::Arc;

pub(super) async fn rules(
    context: &Context,
    _: Caller<'_>,
    _: api::AccessRulesRequest,
) -> Result<api::AccessRules, ApiError> {
    Ok(context.access.list())
}

pub(super) async fn set(
    context: &Context,
    _: Caller<'_>,
    request: api::SetAccessRulesRequest,
) -> Result<api::AccessRules, ApiError> {
    Ok(context.access.set(request).await?)
}

pub(super) async fn check(
    context: &Context,
    _: Caller<'_>,
    request: api::CheckAccessRequest,
) -> Result<api::AccessChecked, ApiError> {
    let access = context.access.clone();
    reading(context, move |_, directory| checked(directory, &*access, request)).await
}

fn checked(
    directory: &dyn Directory,
    access: &dyn AccessRules,
    request: api::CheckAccessRequest,
) -> Result<api::AccessChecked, ApiError> {
    let action = match &*request.action {
        "publish" => TopicAction::Publish,
        "subscribe" => TopicAction::Subscribe,
        _ => return Err(ApiError::Field { field: "action", expected: "publish or subscribe" }),
    };
    let (user, profile) = account(directory, &request.user)?;
    let client_id = request.client_id.unwrap_or_default().into();
    let subject = Subject { user, handle: Some(profile.handle.clone()), kind: profile.kind, client_id };
    let rights = access.rights(&subject);
    let about = About::parse(action, &request.topic)?;
    Ok(match about {
        About::Topic(topic) => {
            let deciding = rights.deciding(action, &topic);
            let rule = deciding.map(|right| right.number);
            api::AccessChecked { allowed: deciding.is_some_and(|right| right.allow), rule }
        }
        About::Filter(filter) => {
            api::AccessChecked { allowed: access.allows_filter(&rights, &filter), rule: None }
        }
    })
}

/// What is asked about.
#[derive(Debug)]
enum About {
    Topic(TopicName),
    Filter(TopicFilter),
}

impl About {
    fn parse(action: TopicAction, topic: &str) -> Result<Self, ApiError> {
        let messengers = ApiError::Field {
            field: "topic",
            expected: "a free topic; at the messenger's (user/, group/, me/, rpc/) membership decides",
        };
        let name = TopicName::try_from(topic);
        match (action, name) {
            (TopicAction::Publish, Ok(name)) => match parse_up(&name)? {
                Up::Free => Ok(Self::Topic(name)),
                _ => Err(messengers),
            },
            (TopicAction::Publish, Err(_)) => {
                Err(ApiError::Field { field: "topic", expected: "a topic name, without wildcards" })
            }
            (TopicAction::Subscribe, name) => {
                let no_filter = |_| ApiError::Field { field: "topic", expected: "a topic filter" };
                let filter = TopicFilter::try_from(topic).map_err(no_filter)?;
                if parse_filter(&filter).ok() != Some(Interest::Free) {
                    return Err(messengers);
                }
                // A filter without wildcards is a topic, unless it is one that is shared.
                let topic = name.ok().filter(|_| filter.shared().is_none());
                Ok(topic.map_or(Self::Filter(filter), Self::Topic))
            }
        }
    }
}

/// The account of a handle, with or without `@`, or of an id.
fn account(directory: &dyn Directory, name: &str) -> Result<(UserId, Arc<Profile>), ApiError> {
    let id = name.parse().ok();
    let by_id = id.and_then(|user| Some((user, directory.profile(user)?)));
    let found = by_id.or_else(|| match directory.resolve(&name.parse().ok()?)? {
        Named::User(user) => Some((user, directory.profile(user)?)),
        Named::Group(_) => None,
    });
    found.ok_or(ApiError::Auth(AuthError::NotFound("account")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Code, testing::World};
    use async_trait::async_trait;
    use parlance_plugin_api::{
        access::{AccessError, TopicRight, TopicRights},
        event::Event,
    };

    /// One rule: who has the client id `phone` may publish to `app/{handle}/#` and subscribe there.
    struct OneRule;

    #[async_trait]
    impl AccessRules for OneRule {
        fn version(&self, _: UserId) -> u64 {
            0
        }

        fn rights(&self, subject: &Subject) -> Arc<TopicRights> {
            let handle = subject.handle.as_ref().unwrap();
            let filter = TopicFilter::try_from(format!("app/{handle}/#")).unwrap();
            let allow = &*subject.client_id == "phone";
            Arc::new(TopicRights {
                rules: vec![TopicRight { number: 7, allow, publish: true, subscribe: true, filter }],
            })
        }

        fn allows_filter(&self, rights: &TopicRights, filter: &TopicFilter) -> bool {
            rights.rules[0].allow && filter.as_str() == "app/+/x"
        }

        fn happened(&self, _: &Event) {}

        fn list(&self) -> api::AccessRules {
            api::AccessRules { revision: 0, file: Vec::new(), rules: Vec::new() }
        }

        async fn set(&self, _: api::SetAccessRulesRequest) -> Result<api::AccessRules, AccessError> {
            Ok(self.list())
        }

        fn reload(&self) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
            Ok(())
        }
    }

    fn ask(user: &str, action: &str, topic: &str) -> Result<(bool, Option<u32>), Code> {
        let mut world = World::default();
        let id = world.user("alice");
        let user = if user == "id" { id.to_string() } else { user.to_owned() };
        let request = api::CheckAccessRequest {
            user,
            client_id: Some("phone".into()),
            action: action.into(),
            topic: topic.into(),
        };
        let answer = checked(&world, &OneRule, request);
        answer.map(|checked| (checked.allowed, checked.rule)).map_err(|error| error.code())
    }

    #[test]
    fn a_topic_is_decided_by_a_rule_and_a_filter_as_a_whole() {
        for user in ["@alice", "alice", "id"] {
            assert_eq!(ask(user, "publish", "app/alice/x"), Ok((true, Some(7))));
            assert_eq!(ask(user, "subscribe", "app/alice/x"), Ok((true, Some(7))));
        }
        assert_eq!(ask("@alice", "publish", "app/bob/x"), Ok((false, None)));
        assert_eq!(ask("@alice", "subscribe", "app/+/x"), Ok((true, None)));
        assert_eq!(ask("@alice", "subscribe", "$share/g/app/alice/x"), Ok((false, None)));
        assert_eq!(ask("@alice", "subscribe", "$SYS/#"), Ok((false, None)));
    }

    #[test]
    fn what_cannot_be_asked_is_refused() {
        for (user, action, topic, code) in [
            ("@nobody", "publish", "app/x", Code::NotFound),
            ("", "publish", "app/x", Code::NotFound),
            ("@alice", "read", "app/x", Code::BadRequest),
            ("@alice", "both", "app/x", Code::BadRequest),
            ("@alice", "publish", "app/#", Code::BadRequest),
            ("@alice", "publish", "", Code::BadRequest),
            ("@alice", "publish", "user/@bob/text", Code::BadRequest),
            ("@alice", "subscribe", "me/text/inbox/#", Code::BadRequest),
            ("@alice", "subscribe", "a/#/b", Code::BadRequest),
            ("@alice", "publish", "$SYS/x", Code::NotAuthorized),
        ] {
            assert_eq!(ask(user, action, topic), Err(code), "{action} {topic}");
        }
    }
}
