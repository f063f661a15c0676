//! The access rules of free topics.

use crate::world::World;
use parlance_auth::{Access, AccessOptions, OpenAccessError};
use parlance_plugin_api::{
    ConversationId, UserId,
    access::{AccessError, AccessRules, RuleProblem, Subject, TopicAction, TopicFilter},
    identity::{AccountKind, Named},
    ledger::{LedgerError, Transaction, transact},
    record::{NameRecord, handle_pseudonym},
    store::Table,
    testing::PlainVault,
};
use parlance_schema::api::{self, AccessRule};
use prost::Message;
use std::{fs, path::Path, sync::Arc, task::Poll};
use tempfile::TempDir;

use TopicAction::{Publish, Subscribe};

fn rule(who: &str, action: &str, topic: &str) -> AccessRule {
    AccessRule { who: who.into(), action: action.into(), topic: topic.into(), deny: false }
}

fn deny(who: &str, action: &str, topic: &str) -> AccessRule {
    AccessRule { deny: true, ..rule(who, action, topic) }
}

fn request(rules: Vec<AccessRule>) -> api::SetAccessRulesRequest {
    api::SetAccessRulesRequest { rules, revision: None }
}

fn toml(rules: &[AccessRule]) -> String {
    let one = |rule: &AccessRule| {
        let AccessRule { who, action, topic, deny } = rule;
        format!("[[rule]]\nwho = {who:?}\naction = {action:?}\ntopic = {topic:?}\ndeny = {deny}\n")
    };
    rules.iter().map(one).collect()
}

/// Rules over a world, with a file that can be written.
struct Rules {
    world: World,
    folder: TempDir,
    access: Arc<Access>,
}

impl Rules {
    fn new() -> Self {
        let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
        let access = open(&world, folder.path()).unwrap();
        Self { world, folder, access }
    }

    fn write(&self, text: &str) {
        fs::write(self.folder.path().join("access.toml"), text).unwrap();
    }

    fn reopen(&self) -> Result<Arc<Access>, OpenAccessError> {
        open(&self.world, self.folder.path())
    }

    async fn set(&self, rules: Vec<AccessRule>) -> api::AccessRules {
        self.access.set(request(rules)).await.unwrap()
    }

    fn allows(&self, subject: &Subject, action: TopicAction, topic: &str) -> bool {
        self.access.rights(subject).allows(action, topic)
    }

    /// Commits a change, tells its events, and answers whose version moved.
    async fn commit(
        &self,
        watched: &[UserId],
        change: impl FnOnce(&mut dyn Transaction) + Send + 'static,
    ) -> Vec<UserId> {
        let before: Vec<_> = watched.iter().map(|user| self.access.version(*user)).collect();
        let decide = move |tx: &mut dyn Transaction| {
            change(tx);
            Ok::<_, LedgerError>(())
        };
        transact(&*self.world.ledger, decide).await.unwrap();
        self.world.ledger.take_events().iter().for_each(|event| self.access.happened(event));
        let moved =
            watched.iter().zip(before).filter(|(user, before)| self.access.version(**user) != *before);
        moved.map(|(user, _)| *user).collect()
    }
}

fn open(world: &World, folder: &Path) -> Result<Arc<Access>, OpenAccessError> {
    let options = AccessOptions { file: Some(folder.join("access.toml")), file_required: false };
    Access::open(world.ledger.clone(), world.auth.clone(), options)
}

fn subject(handle: &str, kind: AccountKind) -> Subject {
    Subject {
        user: UserId::fresh(),
        handle: Some(handle.parse().unwrap()),
        kind,
        client_id: format!("{handle}-client").into(),
    }
}

fn sensor() -> Subject {
    subject("sensor-1", AccountKind::Service)
}

#[tokio::test]
async fn what_no_rule_allows_is_denied() {
    let rules = Rules::new();
    assert!(!rules.allows(&sensor(), Publish, "app/x"));
    rules.set(vec![rule("service", "publish", "app/sensors/%u/#")]).await;
    let (sensor, alice) = (sensor(), subject("alice", AccountKind::Person));
    assert!(rules.allows(&sensor, Publish, "app/sensors/sensor-1/temperature"));
    for (who, action, topic) in [
        (&sensor, Publish, "app/sensors/sensor-2/temperature"),
        (&sensor, Subscribe, "app/sensors/sensor-1/temperature"),
        (&sensor, Publish, "app"),
        (&alice, Publish, "app/sensors/alice/x"),
    ] {
        assert!(!rules.allows(who, action, topic), "{topic}");
    }
}

#[tokio::test]
async fn each_rule_is_about_whom_it_names() {
    let rules = Rules::new();
    let (alice, bot) = (subject("alice", AccountKind::Person), subject("bot", AccountKind::Service));
    rules
        .set(vec![
            rule("*", "both", "all"),
            rule("person", "both", "persons"),
            rule("service", "both", "services"),
            rule("@alice", "both", "alices"),
            rule(&bot.user.to_string(), "both", "bots"),
            rule("*", "subscribe", "%i/%c/in"),
        ])
        .await;
    let topics = ["all", "persons", "services", "alices", "bots"];
    for (who, allowed) in
        [(&alice, vec!["all", "persons", "alices"]), (&bot, vec!["all", "services", "bots"])]
    {
        let found: Vec<_> = topics.into_iter().filter(|topic| rules.allows(who, Publish, topic)).collect();
        assert_eq!(found, allowed);
        assert!(rules.allows(who, Subscribe, &format!("{}/{}/in", who.user, who.client_id)));
    }
    // The operator and who has no account have rights of other kinds.
    for kind in [AccountKind::Admin, AccountKind::Anonymous] {
        assert!(!rules.allows(&subject("alice", kind), Publish, "all"), "{kind:?}");
    }
}

#[tokio::test]
async fn the_first_rule_that_matches_decides_and_those_of_the_file_come_first() {
    let rules = Rules::new();
    rules.write(&toml(&[deny("*", "publish", "app/secret"), rule("*", "publish", "app/open")]));
    rules.access.reload().unwrap();
    let listed = rules
        .set(vec![
            rule("*", "publish", "app/secret"),
            deny("@sensor-1", "publish", "app/#"),
            rule("*", "both", "app/#"),
        ])
        .await;
    assert_eq!((listed.file.len(), listed.rules.len(), listed.revision), (2, 3, 1));
    let (sensor, other) = (sensor(), subject("other", AccountKind::Service));
    for (who, action, topic, deciding) in [
        (&sensor, Publish, "app/secret", Some(1)),
        (&sensor, Publish, "app/open", Some(2)),
        (&sensor, Publish, "app/x", Some(4)),
        (&other, Publish, "app/x", Some(5)),
        (&sensor, Subscribe, "app/secret", Some(5)),
        (&sensor, Subscribe, "x", None),
    ] {
        let rights = rules.access.rights(who);
        assert_eq!(rights.deciding(action, topic).map(|right| right.number), deciding, "{topic}");
        assert_eq!(rights.allows(action, topic), matches!(deciding, Some(2 | 5)), "{topic}");
    }
}

#[tokio::test]
async fn a_change_is_live_and_durable() {
    let rules = Rules::new();
    let sensor = sensor();
    let before = rules.access.version(sensor.user);
    let set = rules.set(vec![rule("*", "both", "app/#")]).await;
    assert!(rules.access.version(sensor.user) > before);
    assert!(rules.allows(&sensor, Publish, "app/x"));
    let again = rules.reopen().unwrap();
    assert_eq!(again.list(), set);
    assert!(again.rights(&sensor).allows(Publish, "app/x"));
    assert_eq!(rules.set(Vec::new()).await.revision, 2);
    assert!(!rules.allows(&sensor, Publish, "app/x"));
    assert_eq!(rules.reopen().unwrap().list().rules, []);
}

#[tokio::test]
async fn what_is_refused_changes_nothing() {
    let rules = Rules::new();
    let set = rules.set(vec![rule("*", "both", "app/#")]).await;
    let version = rules.access.version(UserId([0; 16]));
    let bad = rules.access.set(request(vec![rule("*", "both", "a"), rule("*", "both", "user/#")])).await;
    let problem = RuleProblem::Messenger("user".into());
    assert_eq!(bad, Err(AccessError::Rule { number: 2, problem }));
    let stale = api::SetAccessRulesRequest { rules: Vec::new(), revision: Some(0) };
    assert_eq!(rules.access.set(stale).await, Err(AccessError::Changed { revision: 1 }));
    let many = vec![rule("*", "both", "a"); 10_001];
    assert_eq!(rules.access.set(request(many)).await, Err(AccessError::TooMany { rules_max: 10_000 }));
    let large = vec![rule("*", "both", &"a".repeat(1_000)); 3_000];
    assert_eq!(rules.access.set(request(large)).await, Err(AccessError::TooLarge { bytes_max: 2 << 20 }));
    rules.world.ledger.fail_with(Some(LedgerError::Full));
    assert_eq!(rules.access.set(request(Vec::new())).await, Err(AccessError::Ledger(LedgerError::Full)));
    rules.world.ledger.fail_with(None);
    assert_eq!(rules.access.list(), set);
    assert_eq!(rules.access.version(UserId([0; 16])), version);
    let right = api::SetAccessRulesRequest { rules: Vec::new(), revision: Some(1) };
    assert_eq!(rules.access.set(right).await.unwrap().revision, 2);
}

#[tokio::test]
async fn as_many_rules_as_are_allowed_serve() {
    let rules = Rules::new();
    let many = (0..10_000).map(|n| rule(&format!("@device-{n}"), "publish", &format!("app/{n}/#")));
    rules.set(many.collect()).await;
    let device = subject("device-9999", AccountKind::Service);
    let rights = rules.access.rights(&device);
    assert_eq!(rights.rules.iter().map(|right| right.number).collect::<Vec<_>>(), [10_000]);
    assert_eq!(rules.reopen().unwrap().list().rules.len(), 10_000);
}

#[tokio::test]
async fn what_is_set_at_once_is_live_as_it_is_stored() {
    let rules = Rules::new();
    let mut setting = tokio::task::JoinSet::new();
    for n in 0..32 {
        let access = rules.access.clone();
        setting.spawn(async move {
            access.set(request(vec![rule("*", "both", &format!("app/{n}"))])).await.map(|_| ())
        });
    }
    assert!(setting.join_all().await.into_iter().all(|set| set.is_ok()));
    let live = rules.access.list();
    assert_eq!(live.revision, 32);
    assert_eq!(rules.reopen().unwrap().list(), live);
}

#[tokio::test]
async fn a_caller_who_goes_away_leaves_no_difference_between_what_is_live_and_what_is_stored() {
    let rules = Rules::new();
    let mut setting = rules.access.set(request(vec![rule("*", "both", "a")]));
    let begun = std::future::poll_fn(|cx| Poll::Ready(setting.as_mut().poll(cx).is_pending())).await;
    assert!(begun, "it is not answered at once");
    drop(setting);
    while rules.access.list().revision == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(rules.reopen().unwrap().list(), rules.access.list());
}

/// Two users whose versions move apart.
fn two_users() -> (UserId, UserId) {
    let (mut one, mut other) = (UserId::fresh(), UserId::fresh());
    (one.0[15], other.0[15]) = (1, 2);
    (one, other)
}

#[tokio::test]
async fn the_members_of_a_group_have_its_rights_while_they_are_members() {
    let rules = Rules::new();
    let group = ConversationId::fresh_group();
    let (alice, bob) = two_users();
    let who = |user| Subject { user, ..subject("alice", AccountKind::Person) };
    rules.set(vec![rule(&format!("group:{group}"), "both", "app/team/#")]).await;
    assert!(!rules.allows(&who(alice), Publish, "app/team/x"));

    let added = rules.commit(&[alice, bob], move |tx| assert!(tx.add_member(group, alice, 0).unwrap())).await;
    assert_eq!(added, [alice]);
    assert!(rules.allows(&who(alice), Publish, "app/team/x"));
    assert!(!rules.allows(&who(bob), Publish, "app/team/x"));

    let removed = rules
        .commit(&[alice, bob], move |tx| assert!(tx.remove_member(group, alice).unwrap().is_some()))
        .await;
    assert_eq!(removed, [alice]);
    assert!(!rules.allows(&who(alice), Publish, "app/team/x"));

    // Direct conversations have no rules, and where no group is named nobody's rights move.
    let direct = ConversationId::direct(alice, bob);
    let moved =
        rules.commit(&[alice, bob], move |tx| assert!(tx.add_member(direct, alice, 0).unwrap())).await;
    assert_eq!(moved, []);
    rules.set(vec![rule("*", "both", "app/team/#")]).await;
    let moved = rules.commit(&[alice, bob], move |tx| assert!(tx.add_member(group, bob, 0).unwrap())).await;
    assert_eq!(moved, []);
}

#[tokio::test]
async fn a_rule_may_name_a_group_that_is_made_later() {
    let rules = Rules::new();
    let group = ConversationId::fresh_group();
    let (alice, bob) = two_users();
    let who = |user| Subject { user, ..subject("alice", AccountKind::Person) };
    rules.set(vec![deny("group:@team", "both", "app/quiet"), rule("*", "both", "app/#")]).await;
    assert!(rules.allows(&who(alice), Publish, "app/quiet"));
    let made = rules
        .commit(&[alice, bob], move |tx| {
            let key = handle_pseudonym(&PlainVault, &"team".parse().unwrap());
            tx.put(Table::Names, &key, &NameRecord::from(Named::Group(group)).encode_to_vec());
            assert!(tx.add_member(group, alice, 2).unwrap());
        })
        .await;
    assert_eq!(made, [alice]);
    assert!(!rules.allows(&who(alice), Publish, "app/quiet"));
    assert!(rules.allows(&who(bob), Publish, "app/quiet"));
}

#[tokio::test]
async fn a_membership_that_cannot_be_read_allows_nothing_and_is_tried_again() {
    let rules = Rules::new();
    let group = ConversationId::fresh_group();
    rules.set(vec![deny(&format!("group:{group}"), "both", "app/quiet"), rule("*", "both", "app/#")]).await;
    let sensor = sensor();
    let user = sensor.user;
    let key = parlance_plugin_api::record::member_key(group, user);
    rules.commit(&[], move |tx| tx.put(Table::Members, &key, b"\xff")).await;
    let version = rules.access.version(user);
    assert!(!rules.allows(&sensor, Publish, "app/x"));
    assert!(rules.access.version(user) > version);
    rules.commit(&[], move |tx| tx.delete(Table::Members, &key)).await;
    assert!(rules.allows(&sensor, Publish, "app/x"));
}

#[tokio::test]
async fn a_file_is_read_again_and_a_broken_one_changes_nothing() {
    let rules = Rules::new();
    let sensor = sensor();
    rules.set(vec![rule("*", "publish", "set")]).await;
    rules.write(&toml(&[rule("*", "publish", "file")]));
    let before = rules.access.version(sensor.user);
    assert!(!rules.allows(&sensor, Publish, "file"));
    rules.access.reload().unwrap();
    let after = rules.access.version(sensor.user);
    assert!(after > before);
    assert!(rules.allows(&sensor, Publish, "file") && rules.allows(&sensor, Publish, "set"));

    rules.write(&toml(&[rule("*", "publish", "other"), rule("*", "read", "file")]));
    let error = rules.access.reload().unwrap_err().to_string();
    assert!(error.contains("access.toml:8: `action`"), "{error}");
    rules.write(&toml(&[rule("*", "publish", "file")]));
    rules.access.reload().unwrap();
    assert_eq!(rules.access.version(sensor.user), after, "nothing has changed");
    assert!(rules.allows(&sensor, Publish, "file") && !rules.allows(&sensor, Publish, "other"));

    fs::remove_file(rules.folder.path().join("access.toml")).unwrap();
    rules.access.reload().unwrap();
    assert!(!rules.allows(&sensor, Publish, "file") && rules.allows(&sensor, Publish, "set"));
}

#[tokio::test]
async fn a_broker_does_not_begin_with_rules_that_it_does_not_understand() {
    let rules = Rules::new();
    rules.write("[[rule]]\nwho = \"*\"\n");
    assert!(matches!(rules.reopen(), Err(OpenAccessError::File(_))));
    rules.write("");
    assert!(rules.reopen().is_ok());
    rules.commit(&[], |tx| tx.put(Table::Meta, b"access.rules", b"\xff")).await;
    assert!(matches!(rules.reopen(), Err(OpenAccessError::Ledger(_))));
    // A rule whose `who` is x.
    rules.commit(&[], |tx| tx.put(Table::Meta, b"access.rules", b"\x12\x03\x0a\x01x")).await;
    assert!(matches!(rules.reopen(), Err(OpenAccessError::Stored { number: 1, .. })));
}

#[tokio::test]
async fn a_filter_is_allowed_where_some_topic_of_it_is() {
    let rules = Rules::new();
    rules.set(vec![deny("*", "subscribe", "app/secret/#"), rule("*", "both", "app/+/%u")]).await;
    let rights = rules.access.rights(&sensor());
    for (filter, allowed) in [
        ("app/x/sensor-1", true),
        ("app/+/+", true),
        ("#", true),
        ("app/x/sensor-2", false),
        ("app/secret/sensor-1", false),
        ("app/secret/+", false),
        ("other/#", false),
        ("$share/g/app/+/sensor-1", true),
        ("$share/g/other", false),
        ("$share/app/secret/#", false),
    ] {
        let filter = TopicFilter::try_from(filter).unwrap();
        assert_eq!(rules.access.allows_filter(&rights, &filter), allowed, "{filter}");
    }
}
