//! Retained messages: a tree of topic levels.

use crate::levels::{ChildrenIter, Levels, NodeId, ROOT, Sorted, Vacant};
use parlance_mqtt::{TopicFilter, TopicName};
use std::cmp::Ordering;

/// One retained message for each topic name that has one (MQTT-3.3.1-5).
#[derive(Debug)]
pub struct Retained<M> {
    tree: Levels<Option<M>, Sorted>,
    count: usize,
}

impl<M> Vacant for Option<M> {
    fn is_vacant(&self) -> bool {
        self.is_none()
    }
}

impl<M> Default for Retained<M> {
    fn default() -> Self {
        Self::new()
    }
}

impl<M> Retained<M> {
    /// None.
    pub fn new() -> Self {
        Self { tree: Levels::new(), count: 0 }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Sets the message of a topic; the one that it replaces comes back.
    ///
    /// Each level costs memory: refuse names of more than [`LEVELS_MAX`](crate::LEVELS_MAX) before.
    pub fn insert(&mut self, topic: &TopicName, message: M) -> Option<M> {
        let at = self.tree.grow(topic.levels());
        let replaced = self.tree.value_mut(at).replace(message);
        self.count += usize::from(replaced.is_none());
        replaced
    }

    /// Takes the message of a topic away.
    pub fn remove(&mut self, topic: &str) -> Option<M> {
        let at = self.tree.find(topic.split('/'))?;
        let removed = self.tree.value_mut(at).take()?;
        self.count -= 1;
        self.tree.prune(topic.split('/'));
        Some(removed)
    }

    /// The message of a topic.
    pub fn get(&self, topic: &str) -> Option<&M> {
        self.tree.value(self.tree.find(topic.split('/'))?).as_ref()
    }

    /// Visits the messages whose topics match a filter, in the order of the levels' texts, until `visit`
    /// answers false. For `$share/group/filter` the filter counts.
    ///
    /// A filter without wildcards costs its levels. One with wildcards looks at each topic that its beginning
    /// matches, so with a million topics it costs a tenth of a second, whatever is visited.
    pub fn matching(&self, filter: &TopicFilter, visit: &mut dyn FnMut(&M) -> bool) {
        self.walk(filter, Behind::All, visit);
    }

    /// Like [`Self::matching`], but only what comes behind a topic in that order: a walk that was stopped goes on so.
    /// The topic need not be there any more.
    pub fn matching_behind(&self, filter: &TopicFilter, topic: &str, visit: &mut dyn FnMut(&M) -> bool) {
        self.walk(filter, Behind::Levels(topic), visit);
    }

    fn walk(&self, filter: &TopicFilter, behind: Behind<'_>, visit: &mut dyn FnMut(&M) -> bool) {
        let filter = filter.shared().map_or(filter.as_str(), |(_, inner)| inner);
        let mut walk = Walk { tree: &self.tree, frames: Vec::new(), visit };
        let mut going = walk.arrive(ROOT, Wanted::Levels(filter), behind);
        while going && let Some((node, wanted, behind)) = walk.next() {
            going = walk.arrive(node, wanted, behind);
        }
    }
}

/// What of a subtree comes behind a topic.
#[derive(Clone, Copy)]
enum Behind<'t> {
    /// All of it.
    All,
    /// All but its root, which is the topic.
    Below,
    /// What comes behind these levels below its root.
    Levels(&'t str),
}

impl<'t> Behind<'t> {
    /// The text of the first child that has something behind the topic.
    fn first(self) -> &'t str {
        match self {
            Self::All | Self::Below => "",
            Self::Levels(levels) => levels.split_once('/').map_or(levels, |(level, _)| level),
        }
    }

    /// The same for a child; `None`: nothing of it.
    fn of_child(self, name: &str) -> Option<Self> {
        let Self::Levels(levels) = self else { return Some(Self::All) };
        let (level, rest) = match levels.split_once('/') {
            Some((level, rest)) => (level, Self::Levels(rest)),
            None => (levels, Self::Below),
        };
        match name.cmp(level) {
            Ordering::Less => None,
            Ordering::Equal => Some(rest),
            Ordering::Greater => Some(Self::All),
        }
    }
}

/// What of a filter is still to be matched below a node.
#[derive(Clone, Copy)]
enum Wanted<'f> {
    /// These levels.
    Levels(&'f str),
    /// Nothing: the node itself.
    This,
    /// `#`: the node itself and all below.
    All,
}

/// Children of a node that are still to be seen.
struct Frame<'a, 'f> {
    children: ChildrenIter<'a>,
    wanted: Wanted<'f>,
    behind: Behind<'f>,
    /// They are first levels, where a wildcard does not match `$…` (MQTT-4.7.2-1).
    first: bool,
}

/// A walk through the tree. It holds one frame for each level.
struct Walk<'a, 'f, 'v, M> {
    tree: &'a Levels<Option<M>, Sorted>,
    frames: Vec<Frame<'a, 'f>>,
    visit: &'v mut dyn FnMut(&M) -> bool,
}

impl<'f, M> Walk<'_, 'f, '_, M> {
    fn next(&mut self) -> Option<(NodeId, Wanted<'f>, Behind<'f>)> {
        loop {
            let frame = self.frames.last_mut()?;
            let (first, behind) = (frame.first, frame.behind);
            let mut seen = frame.children.by_ref().filter(|(name, _)| !(first && name.starts_with('$')));
            match seen.find_map(|(name, child)| Some((child, behind.of_child(name)?))) {
                Some((child, behind)) => return Some((child, frame.wanted, behind)),
                None => self.frames.pop(),
            };
        }
    }

    /// Whether to go on.
    fn arrive(&mut self, mut node: NodeId, mut wanted: Wanted<'f>, mut behind: Behind<'f>) -> bool {
        loop {
            let levels = match wanted {
                Wanted::Levels(levels) => levels,
                Wanted::This => return self.show(node, behind),
                Wanted::All => {
                    self.descend(node, Wanted::All, behind);
                    return self.show(node, behind);
                }
            };
            let (level, rest) = match levels.split_once('/') {
                Some((level, rest)) => (level, Wanted::Levels(rest)),
                None => (levels, Wanted::This),
            };
            match level {
                "#" => wanted = Wanted::All,
                "+" => {
                    self.descend(node, rest, behind);
                    return true;
                }
                text => match self.tree.child(node, text).zip(behind.of_child(text)) {
                    Some((child, rest_behind)) => (node, wanted, behind) = (child, rest, rest_behind),
                    None => return true,
                },
            }
        }
    }

    fn descend(&mut self, node: NodeId, wanted: Wanted<'f>, behind: Behind<'f>) {
        let children = self.tree.children(node, behind.first());
        self.frames.push(Frame { children, wanted, behind, first: node == ROOT });
    }

    fn show(&mut self, node: NodeId, behind: Behind<'f>) -> bool {
        if !matches!(behind, Behind::All) {
            return true;
        }
        self.tree.value(node).as_ref().is_none_or(|message| (self.visit)(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parlance_mqtt::matches;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn name(text: &str) -> TopicName {
        TopicName::try_from(text).unwrap()
    }

    fn found(retained: &Retained<String>, filter: &str) -> Vec<String> {
        let mut all = Vec::new();
        retained.matching(&TopicFilter::try_from(filter).unwrap(), &mut |message| {
            all.push(message.clone());
            true
        });
        all
    }

    fn of(names: &[&str]) -> Retained<String> {
        let mut retained = Retained::new();
        for topic in names {
            assert_eq!(retained.insert(&name(topic), (*topic).to_owned()), None);
        }
        retained
    }

    #[test]
    fn wildcards_do_not_match_system_topics() {
        let retained = of(&["a", "$SYS/uptime", "a/$b"]);
        assert_eq!(found(&retained, "#"), ["a", "a/$b"]);
        assert_eq!(found(&retained, "+/uptime"), [""; 0]);
        assert_eq!(found(&retained, "+/+"), ["a/$b"]);
        assert_eq!(found(&retained, "$SYS/#"), ["$SYS/uptime"]);
        assert_eq!(found(&retained, "$SYS/+"), ["$SYS/uptime"]);
    }

    #[test]
    fn stops_when_told_to() {
        let names: Vec<String> = (0..100).map(|n| format!("a/{n:03}")).collect();
        let retained = of(&names.iter().map(String::as_str).collect::<Vec<_>>());
        for filter in ["a/+", "#", "a/#"] {
            let mut seen = Vec::new();
            retained.matching(&TopicFilter::try_from(filter).unwrap(), &mut |message| {
                seen.push(message.clone());
                seen.len() < 7
            });
            assert_eq!(seen, names[..7], "{filter}");
        }
    }

    #[test]
    fn thousands_of_levels_do_not_overflow_the_stack() {
        let deep = vec!["x"; 32_000].join("/");
        let mut retained = of(&[&deep]);
        assert_eq!(found(&retained, "#"), [&*deep]);
        assert_eq!(found(&retained, &vec!["+"; 32_000].join("/")), [&*deep]);
        assert_eq!(found(&retained, &vec!["+"; 31_999].join("/")), [""; 0]);
        assert_eq!(retained.remove(&deep).as_deref(), Some(&*deep));
        assert_eq!((retained.len(), retained.tree.count()), (0, 0));
        drop(of(&[&deep]));
    }

    fn level() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec!["a", "b", "c", "", "$SYS", "aa"])
    }

    fn topic() -> impl Strategy<Value = String> {
        let some = prop::collection::vec(level(), 1..5).prop_map(|levels| levels.join("/"));
        some.prop_filter("a topic is not empty", |topic| !topic.is_empty())
    }

    fn filter() -> impl Strategy<Value = String> {
        let levels = prop::collection::vec(prop_oneof![2 => level(), 1 => Just("+")], 0..5);
        let all = (levels, any::<bool>()).prop_map(|(mut levels, open)| {
            levels.extend(open.then_some("#"));
            levels.join("/")
        });
        all.prop_filter("a filter is not empty", |filter| !filter.is_empty())
    }

    proptest! {
        #[test]
        fn finds_what_a_scan_finds(
            steps in prop::collection::vec((prop::bool::weighted(0.7), topic(), any::<u8>()), 0..60),
            filters in prop::collection::vec(filter(), 1..10),
        ) {
            let (mut retained, mut map) = (Retained::new(), BTreeMap::new());
            for (put, topic, value) in steps {
                if put {
                    let entry = (topic.clone(), value);
                    prop_assert_eq!(retained.insert(&name(&topic), entry.clone()), map.insert(topic.clone(), entry));
                } else {
                    prop_assert_eq!(retained.remove(&topic), map.remove(&topic));
                }
                prop_assert_eq!(retained.get(&topic), map.get(&topic));
                prop_assert_eq!(retained.len(), map.len());
            }
            for filter in filters {
                let shared = format!("$share/group/{filter}");
                for filter in [&filter, &shared] {
                    let mut in_order = Vec::new();
                    retained.matching(&TopicFilter::try_from(&**filter).unwrap(), &mut |message| {
                        in_order.push(message.clone());
                        true
                    });
                    let levels = |topic: &str| topic.split('/').map(str::to_owned).collect::<Vec<_>>();
                    let inner = filter.trim_start_matches("$share/group/");
                    let mut wanted: Vec<_> = map.values().filter(|(topic, _)| matches(inner, topic)).cloned().collect();
                    wanted.sort_by_key(|(topic, _)| levels(topic));
                    prop_assert_eq!(&in_order, &wanted);
                    // Behind any topic, in the tree or not, is what comes behind it in the order of the levels.
                    for (topic, _) in map.values().chain([&("b/+".to_owned(), 0), &("aa/$SYS/x".to_owned(), 0)]) {
                        let mut rest = Vec::new();
                        retained.matching_behind(&TopicFilter::try_from(&**filter).unwrap(), topic, &mut |message| {
                            rest.push(message.clone());
                            true
                        });
                        let later = in_order.iter().filter(|(known, _)| levels(known) > levels(topic));
                        prop_assert_eq!(rest, later.cloned().collect::<Vec<_>>(), "{} behind {}", filter, topic);
                    }
                }
            }
            for topic in map.into_keys() {
                retained.remove(&topic);
            }
            prop_assert_eq!((retained.len(), retained.tree.count()), (0, 0));
        }
    }
}
