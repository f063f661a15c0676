//! What two topic filters have to do with each other, over all topics that there could be.
//!
//! A level of text that begins with `$` at the first level is not matched by a wildcard (MQTT-4.7.2-1).

use parlance_plugin_api::access::{TopicAction, TopicRights};

/// Whether some topic that a filter matches may be received. Exact, except where several denials cover together what
/// none of them covers alone: then a subscription is held that nothing is delivered to.
pub(crate) fn allows(rights: &TopicRights, filter: &str) -> bool {
    let mut denied = Vec::new();
    for rule in rights.about(TopicAction::Subscribe) {
        let about = rule.filter.as_str();
        if !rule.allow {
            if covers(about, filter) {
                return false;
            }
            denied.push(about);
        } else if let Some(common) = meet(about, filter)
            && !denied.iter().any(|denied| covers(denied, &common))
        {
            return true;
        }
    }
    false
}

/// The filter of the topics that two filters both match; `None` if there is no such topic. There never are two.
fn meet(a: &str, b: &str) -> Option<String> {
    // No topic is empty.
    common(a, b).filter(|common| !common.is_empty())
}

fn common(a: &str, b: &str) -> Option<String> {
    let (mut left, mut right) = (a.split('/'), b.split('/'));
    let mut common: Vec<&str> = Vec::new();
    loop {
        let first = common.is_empty();
        match (left.next(), right.next()) {
            // `#` matches the level above it, too.
            (None, None | Some("#")) | (Some("#"), None) => return Some(common.join("/")),
            (Some("#"), Some(level)) => {
                common.extend((!hidden(first, level)).then_some(level)?.split('/').chain(right));
                return Some(common.join("/"));
            }
            (Some(level), Some("#")) => {
                common.extend((!hidden(first, level)).then_some(level)?.split('/').chain(left));
                return Some(common.join("/"));
            }
            (Some("+"), Some(level)) | (Some(level), Some("+")) => {
                common.push((!hidden(first, level)).then_some(level)?);
            }
            (Some(level), Some(other)) if level == other => common.push(level),
            _ => return None,
        }
    }
}

/// Whether `a` matches every topic that `b` matches.
pub(crate) fn covers(a: &str, b: &str) -> bool {
    let (mut left, mut right) = (a.split('/'), spelled_out(b).split('/'));
    let mut first = true;
    loop {
        match (left.next(), right.next()) {
            (None, None) | (Some("#"), None) => return true,
            (Some("#"), Some(level)) => return !hidden(first, level),
            (Some("+"), Some(level)) if level != "#" && !hidden(first, level) => {}
            (Some(level), Some(other)) if level == other => {}
            _ => return false,
        }
        first = false;
    }
}

/// The same filter with all levels that each of its topics has: no topic is empty, so there always is a first level,
/// and a second one where the first is empty.
fn spelled_out(filter: &str) -> &str {
    match filter {
        "#" => "+/#",
        "/#" => "/+/#",
        other => other,
    }
}

fn hidden(first: bool, level: &str) -> bool {
    first && level.starts_with('$')
}

#[cfg(test)]
mod tests {
    use super::*;
    use parlance_plugin_api::access::{TopicFilter, TopicRight, matches};
    use proptest::prelude::*;

    /// Levels of filters; a topic may have others.
    const LEVELS: [&str; 4] = ["a", "b", "", "$SYS"];
    const FILTER_LEVELS_MAX: usize = 3;

    /// Every topic of one level more than the filters, also of levels that no filter has.
    fn topics() -> Vec<String> {
        let levels = || LEVELS.into_iter().chain(["z", "$z"]);
        let mut all: Vec<String> = levels().map(str::to_owned).collect();
        let mut longest = all.clone();
        for _ in 0..FILTER_LEVELS_MAX {
            longest = longest
                .iter()
                .flat_map(|topic| levels().map(move |level| format!("{topic}/{level}")))
                .collect();
            all.extend_from_slice(&longest);
        }
        all.retain(|topic| !topic.is_empty());
        all
    }

    fn filter() -> impl Strategy<Value = String> {
        let level = prop_oneof![3 => prop::sample::select(&LEVELS), 2 => Just("+")];
        let levels = prop::collection::vec(level, 0..=FILTER_LEVELS_MAX);
        let filter = (levels, any::<bool>()).prop_map(|(mut levels, open)| {
            levels.truncate(FILTER_LEVELS_MAX - usize::from(open));
            levels.extend(open.then_some("#"));
            levels.join("/")
        });
        filter.prop_filter("a filter is not empty", |filter| !filter.is_empty())
    }

    fn right(allow: bool, filter: &str) -> TopicRight {
        let filter = TopicFilter::try_from(filter).unwrap();
        TopicRight { number: 1, allow, publish: false, subscribe: true, filter }
    }

    fn some_topic_is_allowed(rights: &TopicRights, filter: &str) -> bool {
        let matched = topics().into_iter().filter(|topic| matches(filter, topic));
        matched.into_iter().any(|topic| rights.allows(TopicAction::Subscribe, &topic))
    }

    proptest! {
        #[test]
        fn the_meet_matches_what_both_match(a in filter(), b in filter()) {
            let common = meet(&a, &b);
            prop_assert_eq!(&common, &meet(&b, &a));
            for topic in topics() {
                let both = matches(&a, &topic) && matches(&b, &topic);
                let found = common.as_ref().is_some_and(|common| matches(common, &topic));
                prop_assert_eq!(found, both, "{} of {:?}", topic, common);
            }
            if let Some(common) = common {
                prop_assert!(TopicFilter::try_from(common).is_ok());
            }
        }

        #[test]
        fn a_filter_covers_another_if_it_matches_all_of_its_topics(a in filter(), b in filter()) {
            let all = topics().iter().filter(|topic| matches(&b, topic)).all(|topic| matches(&a, topic));
            prop_assert_eq!(covers(&a, &b), all);
        }

        #[test]
        fn a_filter_is_allowed_if_some_topic_of_it_is(
            rules in prop::collection::vec((any::<bool>(), filter()), 0..4),
            asked in filter(),
        ) {
            let denials = rules.iter().filter(|(allow, _)| !allow).count();
            let rights = TopicRights { rules: rules.iter().map(|(allow, filter)| right(*allow, filter)).collect() };
            let (found, exact) = (allows(&rights, &asked), some_topic_is_allowed(&rights, &asked));
            prop_assert!(found || !exact, "what is allowed is never refused");
            if denials <= 1 {
                prop_assert_eq!(found, exact);
            }
        }
    }

    #[test]
    fn a_denial_of_all_that_a_filter_matches_refuses_it() {
        let rights = TopicRights { rules: vec![right(false, "app/secret/#"), right(true, "app/#")] };
        for (filter, allowed) in [
            ("app/secret/#", false),
            ("app/secret", false),
            ("app/secret/+/x", false),
            ("app/#", true),
            ("app/+", true),
            ("#", true),
            ("other/#", false),
            ("$SYS/#", false),
        ] {
            assert_eq!(allows(&rights, filter), allowed, "{filter}");
        }
    }
}
