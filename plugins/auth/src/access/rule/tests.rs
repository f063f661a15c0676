use super::*;
use parlance_plugin_api::access::matches;
use proptest::prelude::*;

fn rule(who: &str, action: &str, topic: &str) -> Result<Rule, RuleProblem> {
    let (who, action, topic) = (who.to_owned(), action.to_owned(), topic.to_owned());
    Rule::parse(api::AccessRule { who, action, topic, deny: false })
}

fn subject(client_id: &str) -> Subject {
    Subject {
        user: UserId([7; 16]),
        handle: Some("sensor-1".parse().unwrap()),
        kind: AccountKind::Service,
        client_id: client_id.into(),
    }
}

fn filter(topic: &str, client_id: &str, deny: bool) -> Option<String> {
    let (who, action, topic) = ("*".to_owned(), "both".to_owned(), topic.to_owned());
    let rule = Rule::parse(api::AccessRule { who, action, topic, deny }).unwrap();
    rule.filter(&subject(client_id)).map(|filter| filter.to_string())
}

#[test]
fn whom_a_rule_is_about() {
    let (user, group) = (UserId::fresh(), ConversationId::fresh_group());
    for (text, who) in [
        ("*".to_owned(), Who::Everybody),
        ("person".to_owned(), Who::Kind(AccountKind::Person)),
        ("service".to_owned(), Who::Kind(AccountKind::Service)),
        ("@Bob".to_owned(), Who::Handle("bob".parse().unwrap())),
        (user.to_string(), Who::User(user)),
        (format!("group:{group}"), Who::Group(GroupName::Id(group))),
        ("group:@team".to_owned(), Who::Group(GroupName::Handle("team".parse().unwrap()))),
    ] {
        assert_eq!(rule(&text, "both", "a").unwrap().who, who);
    }
    let direct = ConversationId::direct(UserId::fresh(), UserId::fresh());
    for text in
        ["", "bob", "@", "admin", "anonymous", "group:", "group:team", &format!("group:{direct}"), "Person"]
    {
        assert_eq!(rule(text, "both", "a"), Err(RuleProblem::Who(text.to_owned())));
    }
    let long = "x".repeat(65);
    assert_eq!(rule(&long, "both", "a"), Err(RuleProblem::TooLong { key: "who", bytes_max: 64 }));
}

#[test]
fn rules_are_about_free_topics() {
    for topic in ["#", "+/#", "app/#", "a", "/", "users/#", "+", "%c/#", "100%%", "app/user/#"] {
        assert!(rule("*", "both", topic).is_ok(), "{topic}");
    }
    for (topic, first) in [
        ("user/#", "user"),
        ("user", "user"),
        ("group/+/text", "group"),
        ("me/text/inbox/#", "me"),
        ("rpc/send", "rpc"),
        ("user/%u/presence", "user"),
    ] {
        assert_eq!(rule("*", "both", topic), Err(RuleProblem::Messenger(first.to_owned())), "{topic}");
    }
    assert!(rule("*", "subscribe", "$SYS/#").is_ok());
    for action in ["publish", "both"] {
        assert_eq!(rule("*", action, "$SYS/#"), Err(RuleProblem::SystemComesDown));
    }
    assert_eq!(rule("*", "subscribe", "$other/#"), Err(RuleProblem::Reserved));
    assert_eq!(rule("*", "subscribe", "$share/g/a"), Err(RuleProblem::Shared));
    for topic in ["", "a/#/b", "a+", "a\0"] {
        assert!(matches!(rule("*", "both", topic), Err(RuleProblem::Topic(_))), "{topic:?}");
    }
    for (topic, what) in [("a/%", "%"), ("%x", "%x"), ("%/u", "%")] {
        assert_eq!(rule("*", "both", topic), Err(RuleProblem::Substitution(what.to_owned())));
    }
    assert_eq!(rule("*", "read", "a"), Err(RuleProblem::Action("read".to_owned())));
    let deep = vec!["a"; 129].join("/");
    assert_eq!(rule("*", "both", &deep), Err(RuleProblem::TooDeep { levels_max: 128 }));
    let long = "a".repeat(1_025);
    assert_eq!(rule("*", "both", &long), Err(RuleProblem::TooLong { key: "topic", bytes_max: 1_024 }));
}

#[test]
fn values_are_substituted() {
    let user = UserId([7; 16]);
    assert_eq!(filter("app/%u/#", "c", false).unwrap(), "app/sensor-1/#");
    assert_eq!(filter("%c-%u/%i/50%%/+", "c1", false).unwrap(), format!("c1-sensor-1/{user}/50%/+"));
    assert_eq!(filter("%c", "%u", false).unwrap(), "%u", "what was put in is not looked at again");
    let nameless = Subject { handle: None, ..subject("c") };
    assert_eq!(rule("*", "both", "app/%u").unwrap().filter(&nameless), None);
}

#[test]
fn a_client_id_is_no_way_to_other_topics() {
    for client_id in ["", "a/b", "+", "#", "a+", "\0", "/", "../x"] {
        assert_eq!(filter("app/%c/in", client_id, false), None, "{client_id:?}");
        assert_eq!(filter("app/x%c/in", client_id, true).unwrap(), "app/+/in", "{client_id:?}");
    }
    assert_eq!(filter("%c/uptime", "$SYS", false), None);
    assert_eq!(filter("app/%c", "$SYS", false).unwrap(), "app/$SYS");
    assert_eq!(filter("x%c/a", "$SYS", false).unwrap(), "x$SYS/a");
}

proptest! {
    /// What a rule allows one client id is at the place of that client id, or nowhere.
    #[test]
    fn a_right_stays_in_its_place(client_id in "[ab/+#$\0%ucé]{0,4}", topic in "[ab$]{1,2}(/[ab$]{0,2}){0,3}") {
        if let Some(filter) = filter("app/%c/in", &client_id, false) {
            prop_assert_eq!(&filter, &format!("app/{client_id}/in"));
            prop_assert_eq!(matches(&filter, &topic), topic == filter);
        }
        if let Some(filter) = filter("%c", &client_id, false) {
            prop_assert!(!filter.starts_with('$'));
            prop_assert_eq!(matches(&filter, &topic), topic == client_id);
        }
    }

    #[test]
    fn no_text_panics(who: String, action in "publish|both|.{0,9}", topic: String) {
        let _ = rule(&who, &action, &topic);
    }
}
