//! What one session has subscribed to: few filters, the messenger's and free ones. Whom a free message goes to is looked
//! up elsewhere ([`crate::topics`]); here is what the client asked for.

use parlance_engine::SubscriptionOptions;
use parlance_mqtt::{QoS, TopicFilter, matches};
use parlance_plugin_api::{UserId, record::StoredSubscription};
use parlance_schema::{
    Format,
    topic::{Channel, Interest, parse_filter},
};

/// A subscription, understood.
#[derive(Debug, Clone)]
pub(crate) struct Subscription {
    pub(crate) filter: TopicFilter,
    pub(crate) qos: QoS,
    /// 0 for none.
    pub(crate) id: u32,
    pub(crate) no_local: bool,
    pub(crate) retain_as_published: bool,
    pub(crate) wish: Wish,
}

impl Subscription {
    /// The options, for free topics.
    pub(crate) fn options(&self) -> SubscriptionOptions {
        SubscriptionOptions {
            qos: self.qos,
            no_local: self.no_local,
            retain_as_published: self.retain_as_published,
            id: self.id,
        }
    }
}

/// What it asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wish {
    /// `me/{format}/{channel}/{rest}`.
    Mine { format: Format, channel: Channel, rest: Box<str> },
    /// Presence of a user, and how the filter wrote it.
    Presence { user: UserId, format: Format },
    /// Free topics.
    Free,
}

impl Wish {
    /// A filter of the `me/` kind, or a free one; the rest needs a directory.
    pub(crate) fn mine(interest: &Interest<'_>) -> Option<Self> {
        match interest {
            Interest::Mine { format, channel, rest } => {
                Some(Self::Mine { format: *format, channel: *channel, rest: (*rest).into() })
            }
            Interest::Free => Some(Self::Free),
            Interest::Presence(..) => None,
        }
    }
}

/// All subscriptions of a session.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    list: Vec<Subscription>,
}

/// One delivery that a signal becomes: the greatest QoS and every subscription identifier that leads to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) format: Format,
    pub(crate) qos: QoS,
}

impl Subscriptions {
    /// Adds, or replaces the one of the same filter (MQTT-3.8.4-3), which it answers.
    pub(crate) fn insert(&mut self, subscription: Subscription) -> Option<Subscription> {
        match self.list.iter_mut().find(|known| known.filter == subscription.filter) {
            Some(known) => Some(std::mem::replace(known, subscription)),
            None => {
                // Most sessions have one or two.
                self.list.reserve_exact(usize::from(self.list.len() < 2));
                self.list.push(subscription);
                None
            }
        }
    }

    /// Whether this filter is subscribed to already.
    pub(crate) fn contains(&self, filter: &TopicFilter) -> bool {
        self.list.iter().any(|known| known.filter == *filter)
    }

    /// Takes one out.
    pub(crate) fn remove(&mut self, filter: &TopicFilter) -> Option<Subscription> {
        let at = self.list.iter().position(|known| known.filter == *filter)?;
        Some(self.list.remove(at))
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Subscription> {
        self.list.iter()
    }

    fn mine(&self, format: Format, channel: Channel) -> impl Iterator<Item = (&Subscription, &str)> {
        self.list.iter().filter_map(move |subscription| match &subscription.wish {
            Wish::Mine { format: f, channel: c, rest } if *f == format && *c == channel => {
                Some((subscription, &**rest))
            }
            _ => None,
        })
    }

    /// Whether anything of the inbox is subscribed to.
    pub(crate) fn has_inbox(&self) -> bool {
        self.has(Channel::Inbox)
    }

    /// Whether anything of a channel is subscribed to.
    pub(crate) fn has(&self, wanted: Channel) -> bool {
        self.list
            .iter()
            .any(|subscription| matches!(subscription.wish, Wish::Mine { channel, .. } if channel == wanted))
    }

    /// Whether a free subscription is shared with others.
    pub(crate) fn has_shared(&self) -> bool {
        self.list.iter().any(|subscription| subscription.filter.shared().is_some())
    }

    /// The QoS of a format's inbox, if it is subscribed to.
    pub(crate) fn inbox_qos(&self, format: Format) -> Option<QoS> {
        self.mine(format, Channel::Inbox).map(|(subscription, _)| subscription.qos).max()
    }

    /// In which formats something on `{channel}/{rest}` is wanted. `rest` is made only where a filter looks at it.
    pub(crate) fn wanted<'a>(
        &'a self,
        channel: Channel,
        rest: impl Fn() -> String + 'a,
    ) -> impl Iterator<Item = Wanted> + 'a {
        Format::ALL.into_iter().filter_map(move |format| {
            let qos = self
                .mine(format, channel)
                .filter(|(_, filter)| *filter == "#" || matches(filter, &rest()))
                .map(|(subscription, _)| subscription.qos)
                .max()?;
            Some(Wanted { format, qos })
        })
    }

    /// Identifiers of the subscriptions that lead to `{channel}/{rest}` in a format (MQTT-3.3.4-4).
    pub(crate) fn ids(
        &self,
        format: Format,
        channel: Channel,
        rest: impl Fn() -> String,
        ids: &mut Vec<u32>,
    ) {
        ids.clear();
        let leading = self.mine(format, channel).filter(|(subscription, _)| subscription.id != 0);
        ids.extend(
            leading.filter(|(_, filter)| *filter == "#" || matches(filter, &rest())).map(|(s, _)| s.id),
        );
    }

    /// Presence of a user: in which formats and QoS.
    pub(crate) fn presence(&self, user: UserId) -> impl Iterator<Item = (&Subscription, Format)> {
        self.list.iter().filter_map(move |subscription| match subscription.wish {
            Wish::Presence { user: watched, format } if watched == user => Some((subscription, format)),
            _ => None,
        })
    }

    /// The form that outlives the connection.
    pub(crate) fn stored(&self) -> Vec<StoredSubscription> {
        let store = |subscription: &Subscription| StoredSubscription {
            filter: subscription.filter.as_str().to_owned(),
            qos: subscription.qos as u32,
            subscription_id: subscription.id,
            no_local: subscription.no_local,
            retain_as_published: subscription.retain_as_published,
        };
        self.list.iter().map(store).collect()
    }
}

/// Whether a topic lies within what a session may be answered on: its own reply channel.
pub(crate) fn is_reply_topic(topic: &str) -> Option<(Format, &str)> {
    match parse_filter(topic) {
        Ok(Interest::Mine { format, channel: Channel::Reply, rest }) if !rest.contains(['+', '#']) => {
            Some((format, rest))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscription(filter: &str, qos: QoS, id: u32) -> Subscription {
        let parsed = parse_filter(filter).unwrap();
        let wish = Wish::mine(&parsed).unwrap();
        let filter = TopicFilter::new(filter.to_owned()).unwrap();
        Subscription { filter, qos, id, no_local: false, retain_as_published: false, wish }
    }

    #[test]
    fn overlapping_filters_are_one_delivery_with_the_greatest_qos_and_all_identifiers() {
        let mut all = Subscriptions::default();
        all.insert(subscription("me/text/inbox/#", QoS::AtMostOnce, 1));
        all.insert(subscription("me/text/inbox/@team/+", QoS::AtLeastOnce, 2));
        all.insert(subscription("me/json/inbox/@bob/#", QoS::AtLeastOnce, 3));
        let rest = || "@team/@ann".to_owned();
        let wanted: Vec<_> = all.wanted(Channel::Inbox, rest).collect();
        assert_eq!(wanted, [Wanted { format: Format::Text, qos: QoS::AtLeastOnce }]);
        let mut ids = Vec::new();
        all.ids(Format::Text, Channel::Inbox, rest, &mut ids);
        assert_eq!(ids, [1, 2]);
    }

    #[test]
    fn the_same_filter_again_replaces_the_subscription() {
        let mut all = Subscriptions::default();
        all.insert(subscription("me/text/inbox/#", QoS::AtMostOnce, 1));
        all.insert(subscription("me/text/inbox/#", QoS::AtLeastOnce, 0));
        assert_eq!((all.len(), all.inbox_qos(Format::Text)), (1, Some(QoS::AtLeastOnce)));
    }
}
