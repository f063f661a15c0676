//! What the clients of a script do.

use parlance_mqtt::{QoS, RetainHandling, Version};

use crate::malformed::{KINDS, Malformed};
use crate::random::Random;

/// Clients of a script.
pub(crate) const CLIENTS: usize = 3;
/// Steps of a script, the connects at its begin not counted.
const STEPS: usize = 14;

/// Topics, below the script's own prefix.
pub(crate) const TOPICS: [&str; 6] = ["a", "a/b", "a/b/c", "b", "b/", "w"];
const FILTERS: [&str; 12] = ["a", "a/b", "a/+", "a/#", "+", "#", "+/b", "b", "b/+", "a/b/c", "+/+/c", "w"];

/// One script. `Debug` shows it in the way in which one would tell it.
#[derive(Debug, Clone)]
pub struct Script {
    /// Where it came from.
    pub seed: u64,
    /// Protocol version of each client.
    pub versions: [Version; CLIENTS],
    /// What is done, one after the other.
    pub steps: Vec<(usize, Step)>,
}

/// What a client does.
#[derive(Debug, Clone)]
pub enum Step {
    /// Connects; a client that is connected goes first.
    Connect(Connect),
    /// Subscribes with one packet.
    Subscribe(Vec<Subscription>),
    /// Unsubscribes with one packet.
    Unsubscribe(Vec<&'static str>),
    /// Publishes.
    Publish(Publish),
    /// Answers from now on, or does not. What came meanwhile stays unanswered until it comes again.
    Answer(bool),
    /// Says goodbye; `with_will`: and wants the will (5).
    Disconnect {
        /// Reason 0x04.
        with_will: bool,
    },
    /// Closes the socket without a word.
    Drop,
    /// Breaks a rule.
    Break(Malformed),
}

/// How a client connects.
#[derive(Debug, Clone)]
pub struct Connect {
    /// Clean Session or Clean Start.
    pub clean: bool,
    /// Session Expiry Interval (5).
    pub expiry_s: u32,
    /// QoS and RETAIN of a will.
    pub will: Option<(QoS, bool)>,
}

/// One filter of a SUBSCRIBE.
#[derive(Debug, Clone)]
pub struct Subscription {
    /// Below the prefix.
    pub filter: &'static str,
    /// As a shared subscription with this one member.
    pub shared: bool,
    /// Wanted.
    pub qos: QoS,
    /// (5)
    pub no_local: bool,
    /// (5)
    pub retain_as_published: bool,
    /// (5)
    pub handling: RetainHandling,
    /// Subscription Identifier of the packet (5).
    pub id: Option<u32>,
}

/// A publish.
#[derive(Debug, Clone)]
pub struct Publish {
    /// Below the prefix.
    pub topic: &'static str,
    /// Of the publish.
    pub qos: QoS,
    /// RETAIN.
    pub retain: bool,
    /// An empty payload: with RETAIN it deletes.
    pub empty: bool,
    /// With properties that travel with the message (5).
    pub properties: bool,
}

const QOS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

impl Script {
    /// The script of a number.
    pub fn of(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let versions = std::array::from_fn(|_| random.of(&[Version::V3, Version::V5]));
        let mut steps: Vec<_> =
            (0..CLIENTS).map(|client| (client, Step::Connect(connect(&mut random)))).collect();
        for (client, version) in versions.iter().enumerate() {
            if random.chance(70) {
                steps.push((client, subscribe(&mut random, *version)));
            }
        }
        for _ in 0..STEPS {
            let client = random.below(CLIENTS);
            steps.push((client, step(&mut random, versions[client])));
        }
        // Everybody comes back at the end: what sessions kept is part of the trace.
        for client in 0..CLIENTS {
            steps.push((client, Step::Answer(true)));
            let back = Connect { clean: false, expiry_s: 600, will: None };
            steps.push((client, Step::Connect(back)));
        }
        Self { seed, versions, steps }
    }

    /// The same without what rumqttd does not survive, as a whole and with all its clients: broken rules, clients of both
    /// versions together (a property that comes to a 3.1.1 client ends its task), shared subscriptions, wills, and sessions that go on.
    pub fn gentle(&self) -> Self {
        let kept = |(_, step): &&(usize, Step)| !matches!(step, Step::Break(_));
        let gentle = |(client, step): &(usize, Step)| {
            let step = match step.clone() {
                Step::Publish(publish) => Step::Publish(Publish { properties: false, ..publish }),
                Step::Connect(_) => Step::Connect(Connect { clean: true, expiry_s: 0, will: None }),
                Step::Disconnect { .. } => Step::Disconnect { with_will: false },
                Step::Subscribe(mut subscriptions) => {
                    subscriptions.iter_mut().for_each(|subscription| subscription.shared = false);
                    Step::Subscribe(subscriptions)
                }
                other => other,
            };
            (*client, step)
        };
        let steps = self.steps.iter().filter(kept).map(gentle).collect();
        Self { steps, versions: [self.versions[0]; CLIENTS], ..self.clone() }
    }

    /// What all its topics begin with.
    pub fn prefix(&self) -> String {
        format!("differential/{:x}", self.seed)
    }

    /// Name of a client.
    pub fn client_id(&self, client: usize) -> String {
        format!("d{:x}-{client}", self.seed)
    }
}

fn connect(random: &mut Random) -> Connect {
    Connect {
        clean: random.chance(50),
        expiry_s: random.of(&[0, 600]),
        will: random.chance(30).then(|| (random.of(&QOS), random.chance(30))),
    }
}

fn step(random: &mut Random, version: Version) -> Step {
    match random.below(100) {
        0..12 => Step::Connect(connect(random)),
        12..30 => subscribe(random, version),
        30..35 => Step::Unsubscribe((0..1 + random.below(2)).map(|_| random.of(&FILTERS)).collect()),
        35..82 => Step::Publish(Publish {
            topic: random.of(&TOPICS),
            qos: random.of(&QOS),
            retain: random.chance(30),
            empty: random.chance(10),
            properties: version == Version::V5 && random.chance(40),
        }),
        82..86 => Step::Answer(random.chance(50)),
        86..90 => Step::Disconnect { with_will: version == Version::V5 && random.chance(30) },
        90..94 => Step::Drop,
        _ => Step::Break(random.of(&KINDS)),
    }
}

fn subscribe(random: &mut Random, version: Version) -> Step {
    let v5 = version == Version::V5;
    let id = (v5 && random.chance(40)).then(|| 1 + random.below(300) as u32);
    let handling = [RetainHandling::Send, RetainHandling::SendIfNew, RetainHandling::DoNotSend];
    let count = 1 + random.below(2);
    let subscriptions = (0..count).map(|_| {
        let shared = v5 && random.chance(8);
        Subscription {
            filter: random.of(&FILTERS),
            shared,
            qos: random.of(&QOS),
            no_local: v5 && !shared && random.chance(20),
            retain_as_published: v5 && random.chance(30),
            handling: if v5 { random.of(&handling) } else { RetainHandling::Send },
            id,
        }
    });
    Step::Subscribe(subscriptions.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_one_script() {
        let text = |seed| format!("{:?}", Script::of(seed));
        assert_eq!(text(7), text(7));
        assert_ne!(text(7), text(8));
    }
}
