//! What was asked of Parlance, and whether the figures of this run answer it. Nothing here is typed in but the demands.

use super::{
    metric::{self, Metric},
    number,
    results::{Results, Run},
};
use crate::{Case, peers::Peer};

/// How much a cost may differ between the smallest and the largest size and still be called the same: what two runs of
/// the same size differ by on a machine whose two cores are shared with the load generator.
pub(crate) const SAME_WITHIN: f64 = 1.5;

/// Stored messages before a reconnect.
pub(crate) const STORED: [u64; 3] = [1_000, 100_000, 1_000_000];
/// Members of the group of a reconnect.
pub(crate) const MEMBERS: [u64; 3] = [10, 100, 1_000];
/// Messages of a conversation.
pub(crate) const MESSAGES: [u64; 3] = [100, 10_000, 1_000_000];
/// Conversations.
pub(crate) const CONVERSATIONS: [u64; 4] = [1_000, 10_000, 100_000, 1_000_000];

/// A bound on a figure.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

/// What is asked.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Demand {
    /// In words.
    words: String,
    /// None where what it is measured by was not measured.
    bound: Option<Bound>,
}

/// Whether it is so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Met,
    NotMet,
    NotMeasured,
}

/// A line of the table: one figure, and what is asked of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Criterion {
    /// For the notes on what holds a figure back.
    pub(crate) id: &'static str,
    pub(crate) title: String,
    figure: Option<f64>,
    written: String,
    must: Vec<Demand>,
    aim: Vec<Demand>,
}

impl Criterion {
    fn new(id: &'static str, title: impl Into<String>, metric: &Metric, figure: Option<f64>) -> Self {
        let written = figure.map_or_else(|| "–".to_owned(), |figure| metric.write(figure));
        Self { id, title: title.into(), figure, written, must: Vec::new(), aim: Vec::new() }
    }

    fn must(mut self, demand: Demand) -> Self {
        self.must.push(demand);
        self
    }

    fn aim(mut self, demand: Demand) -> Self {
        self.aim.push(demand);
        self
    }

    pub(crate) fn must_verdict(&self) -> Verdict {
        self.verdict(&self.must)
    }

    pub(crate) fn aim_verdict(&self) -> Option<Verdict> {
        (!self.aim.is_empty()).then(|| self.verdict(&self.aim))
    }

    /// As good as the worst of them.
    fn verdict(&self, demands: &[Demand]) -> Verdict {
        let Some(figure) = self.figure else { return Verdict::NotMeasured };
        let met = demands.iter().map(|demand| match demand.bound {
            None => Verdict::NotMeasured,
            Some(Bound::AtLeast(least)) if figure >= least => Verdict::Met,
            Some(Bound::AtMost(most)) if figure <= most => Verdict::Met,
            Some(_) => Verdict::NotMet,
        });
        let met: Vec<Verdict> = met.collect();
        let first = |wanted| met.contains(&wanted).then_some(wanted);
        first(Verdict::NotMet).or_else(|| first(Verdict::NotMeasured)).unwrap_or(Verdict::Met)
    }

    /// A row of the table.
    pub(crate) fn row(&self) -> Vec<String> {
        let words = |demands: &[Demand]| {
            demands.iter().map(|demand| demand.words.clone()).collect::<Vec<_>>().join("; ")
        };
        let aim = self.aim_verdict().map_or_else(String::new, |verdict| verdict.to_string());
        vec![
            self.title.clone(),
            format!("**{}**", self.written),
            words(&self.must),
            self.must_verdict().to_string(),
            words(&self.aim),
            aim,
        ]
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Met => "met",
            Self::NotMet => "**NOT MET**",
            Self::NotMeasured => "**not measured**",
        })
    }
}

fn at_least(metric: &Metric, bound: Option<f64>, words: &str) -> Demand {
    let figure = bound.map_or_else(|| "?".to_owned(), |bound| metric.write(bound));
    let words = if words.is_empty() { format!("≥ {figure}") } else { format!("≥ {figure} ({words})") };
    Demand { words, bound: bound.map(Bound::AtLeast) }
}

fn at_most(metric: &Metric, bound: Option<f64>, words: &str) -> Demand {
    let figure = bound.map_or_else(|| "?".to_owned(), |bound| metric.write(bound));
    let words = if words.is_empty() { format!("≤ {figure}") } else { format!("≤ {figure} ({words})") };
    Demand { words, bound: bound.map(Bound::AtMost) }
}

/// All lines, in the order of the table.
pub(crate) fn judge(results: &Results) -> Vec<Criterion> {
    let mut criteria = Vec::new();
    criteria.push(chat_16(results));
    criteria.extend(chat_1(results));
    criteria.extend(rate(results));
    criteria.push(simple(
        results,
        "cpu",
        "CPU s per million deliveries, chat window 16",
        Case::Chat { window: 16 },
        &metric::CPU,
        8.0,
        5.0,
    ));
    criteria.push(fan_out(results));
    let idle = "idle connection, growth of RSS";
    criteria.push(simple(
        results,
        "idle",
        idle,
        Case::Idle { tls: false },
        &metric::PER_CONNECTION,
        3_000.0,
        1_500.0,
    ));
    let idle = "idle TLS connection, growth of RSS";
    criteria.push(simple(
        results,
        "idle-tls",
        idle,
        Case::Idle { tls: true },
        &metric::PER_CONNECTION,
        16_000.0,
        8_000.0,
    ));
    criteria.push(connects(results));
    criteria.push(offline(results));
    let disk = "written to the device per 256-byte message, compaction included";
    criteria.push(simple(
        results,
        "disk",
        disk,
        Case::Chat { window: 16 },
        &metric::DISK_SETTLED,
        1_000.0,
        600.0,
    ));
    criteria.extend(curves(results));
    criteria.extend(faults(results));
    criteria
}

fn own(results: &Results, case: Case, metric: &Metric) -> Option<f64> {
    results.median(case, Peer::Parlance, metric.key)
}

fn chat_16(results: &Results) -> Criterion {
    let (case, metric) = (Case::Chat { window: 16 }, &metric::MESSAGES);
    let times = |peer, factor: f64| results.median(case, peer, metric.key).map(|figure| figure * factor);
    Criterion::new("chat-16", "chat, window 16, messages/s", metric, own(results, case, metric))
        .must(at_least(metric, times(Peer::Mosquitto, 3.0), "3 × mosquitto"))
        .must(at_least(metric, times(Peer::Rabbitmq, 25.0), "25 × RabbitMQ"))
        .aim(at_least(metric, times(Peer::Rumqttd, 1.2), "1.2 × rumqttd"))
}

/// With a window of 1 a client waits for each acknowledgement, so one sync is added to what mosquitto's clients wait.
fn chat_1(results: &Results) -> [Criterion; 2] {
    let case = Case::Chat { window: 1 };
    let clients = results.size.clients as f64;
    let sync_ms = results.environment.sync_preallocated.p50_ms;
    let (metric, p50) = (&metric::MESSAGES, &metric::END_TO_END_P50);
    let of = |peer, metric: &Metric| results.median(case, peer, metric.key);
    let slower = of(Peer::Mosquitto, metric).map(|rate| clients / (clients / rate + sync_ms / 1e3));
    let later = of(Peer::Mosquitto, p50).map(|ms| ms + sync_ms);
    let rate =
        Criterion::new("chat-1-rate", "chat, window 1, messages/s", metric, own(results, case, metric))
            .must(at_least(metric, slower, "mosquitto's, + one sync"))
            .aim(at_least(metric, of(Peer::Mosquitto, metric), "mosquitto's"))
            .aim(at_least(metric, of(Peer::Rumqttd, metric), "rumqttd's"));
    let latency =
        Criterion::new("chat-1-latency", "chat, window 1, end to end p50, ms", p50, own(results, case, p50))
            .must(at_most(p50, later, "mosquitto's, + one sync"))
            .aim(at_most(p50, of(Peer::Mosquitto, p50), "mosquitto's"))
            .aim(at_most(p50, of(Peer::Rumqttd, p50), "rumqttd's"));
    [rate, latency]
}

fn rate(results: &Results) -> [Criterion; 2] {
    let case = Case::Rate { per_second: 1_000 };
    let line = |id, title, metric, must, aim| simple(results, id, title, case, metric, must, aim);
    [
        line("rate-p50", "1,000 messages/s, PUBACK p50, ms", &metric::ACK_P50, 0.4, 0.2),
        line("rate-p99", "1,000 messages/s, PUBACK p99, ms", &metric::ACK_P99, 1.0, 0.5),
    ]
}

/// A figure that is to stay below two numbers.
fn simple(
    results: &Results,
    id: &'static str,
    title: &str,
    case: Case,
    metric: &Metric,
    must: f64,
    aim: f64,
) -> Criterion {
    Criterion::new(id, title, metric, own(results, case, metric))
        .must(at_most(metric, Some(must), ""))
        .aim(at_most(metric, Some(aim), ""))
}

fn fan_out(results: &Results) -> Criterion {
    let (case, metric) = (Case::FanOut { window: 8 }, &metric::DELIVERIES);
    let rumqttd = results.median(case, Peer::Rumqttd, metric.key);
    Criterion::new("fan-out", "fan-out 1 → 1,000, window 8, deliveries/s", metric, own(results, case, metric))
        .must(at_least(metric, rumqttd, "rumqttd's"))
        .aim(at_least(metric, rumqttd.map(|figure| 2.0 * figure), "2 × rumqttd's"))
}

fn connects(results: &Results) -> Criterion {
    let (case, metric) = (Case::Connects { tls: false }, &metric::CONNECTS);
    Criterion::new("connects", "connects/s with token login", metric, own(results, case, metric))
        .must(at_least(metric, Some(10_000.0), ""))
        .aim(at_least(metric, Some(18_000.0), ""))
}

fn offline(results: &Results) -> Criterion {
    let (case, metric) = (Case::Offline, &metric::DRAINED);
    let mosquitto = results.median(case, Peer::Mosquitto, metric.key);
    Criterion::new("offline", "offline 200 × 500, drained, s", metric, own(results, case, metric))
        .must(at_most(metric, mosquitto, "mosquitto's"))
        .aim(at_most(metric, mosquitto.map(|figure| figure / 2.0), "half of mosquitto's"))
}

/// Costs that are to be the same at every size.
fn curves(results: &Results) -> [Criterion; 4] {
    let curve = |id, title: &str, metric: &Metric, cases: Vec<Case>| {
        let figures: Option<Vec<f64>> = cases.into_iter().map(|case| own(results, case, metric)).collect();
        let spread = figures.and_then(|figures| {
            let (low, high) =
                (figures.iter().copied().reduce(f64::min)?, figures.iter().copied().reduce(f64::max)?);
            (low > 0.0).then(|| high / low)
        });
        let mut criterion = Criterion::new(id, title, metric, spread);
        criterion.written = spread.map_or_else(|| "–".to_owned(), number::ratio);
        let words = format!("≤ {} between the cheapest and the dearest size", number::ratio(SAME_WITHIN));
        criterion.must(Demand { words, bound: Some(Bound::AtMost(SAME_WITHIN)) })
    };
    [
        curve(
            "reconnect-stored",
            "cost of a reconnect, 10³ to 10⁶ stored messages",
            &metric::RECONNECT_P50,
            STORED.map(|stored| Case::ReconnectCost { stored }).into(),
        ),
        curve(
            "reconnect-members",
            "cost of a reconnect, groups of 10 to 1,000 members",
            &metric::RECONNECT_P50,
            MEMBERS.map(|members| Case::ReconnectGroup { members }).into(),
        ),
        curve(
            "conversation-messages",
            "a message's CPU, conversations of 10² to 10⁶ messages",
            &metric::CPU,
            MESSAGES.map(|messages| Case::ConversationCost { messages }).into(),
        ),
        curve(
            "conversation-count",
            "a message's CPU, 10³ to 10⁶ conversations",
            &metric::CPU,
            CONVERSATIONS.map(|conversations| Case::ConversationCount { conversations }).into(),
        ),
    ]
}

/// The rules that no figure may cost.
fn faults(results: &Results) -> [Criterion; 2] {
    let none = |metric| at_most(metric, Some(0.0), "");
    let runs = results.runs.iter().filter(|run| run.place.peer == Peer::Parlance);
    let broken: Vec<bool> = runs.map(Run::is_broken).collect();
    let count = (!broken.is_empty()).then(|| broken.iter().filter(|&&broken| broken).count() as f64);
    let lost = own(results, Case::Crash, &metric::LOST);
    [
        Criterion::new("lost", "acknowledged, then lost in kill -9", &metric::LOST, lost)
            .must(none(&metric::LOST)),
        Criterion::new(
            "faults",
            "runs with a message lost, doubled or out of order, or that failed",
            &metric::LOST,
            count,
        )
        .must(none(&metric::LOST)),
    ]
}
