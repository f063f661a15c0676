//! People who talk: each pair sends one message after the other at a steady pace and checks that it arrives, once and in
//! order.

use parlance_tests::{Client, Device, PATIENCE, Server};
use std::{
    fmt,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};

/// Between two messages of a pair.
const PACE: Duration = Duration::from_millis(100);
/// Longest wait for a message while the machine is under attack.
const ARRIVES_WITHIN: Duration = Duration::from_secs(60);

/// How long messages took, from the publish to its acknowledgement and to its arrival.
pub(crate) struct Report {
    acknowledged: Vec<Duration>,
    arrived: Vec<Duration>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = |times: &[Duration], part: f64| {
            let index = ((times.len() as f64 * part) as usize).min(times.len().saturating_sub(1));
            times.get(index).map_or(0.0, |time| time.as_secs_f64() * 1000.0)
        };
        let (mut acks, mut arrivals) = (self.acknowledged.clone(), self.arrived.clone());
        acks.sort_unstable();
        arrivals.sort_unstable();
        write!(
            f,
            "{} messages; acknowledged in {:.1} / {:.1} / {:.1} ms, arrived in {:.1} / {:.1} / {:.1} ms (p50 / p99 / most)",
            arrivals.len(),
            at(&acks, 0.5),
            at(&acks, 0.99),
            at(&acks, 1.0),
            at(&arrivals, 0.5),
            at(&arrivals, 0.99),
            at(&arrivals, 1.0),
        )
    }
}

type Times = Arc<Mutex<Vec<(Duration, Duration)>>>;

/// The pairs, talking.
pub(crate) struct Pairs {
    talking: JoinSet<()>,
    stop: watch::Sender<bool>,
    progress: Vec<watch::Receiver<u64>>,
    times: Times,
    reported: usize,
}

impl Pairs {
    /// Connects so many pairs and lets them talk until they are stopped.
    pub(crate) async fn start(server: &Server, count: usize) -> Self {
        let users = server.many_users("pair", count * 2).await;
        let (stop, stopped) = watch::channel(false);
        let times = Times::default();
        let (mut talking, mut progress) = (JoinSet::new(), Vec::new());
        for (index, pair) in users.chunks_exact(2).enumerate() {
            let (left, right) = (&pair[0], &pair[1]);
            let device = |name: &str| {
                let device = Device::new(format!("{name}-{index}"));
                // Both protocol versions talk.
                if index % 2 == 0 { device } else { device.v3() }
            };
            let mut reader = device("reader").connect(server, right).await;
            reader.subscribe("me/text/inbox/#").await;
            let writer = device("writer").connect(server, left).await;
            let (done, seen) = watch::channel(0);
            progress.push(seen);
            talking.spawn(talk(writer, reader, right.at(), stopped.clone(), done, times.clone()));
        }
        Self { talking, stop, progress, times, reported: 0 }
    }

    /// Waits until every pair has exchanged so many messages; reports those since the last report.
    pub(crate) async fn until_each_has(&mut self, messages: u64) -> Report {
        for progress in &mut self.progress {
            let reached = timeout(ARRIVES_WITHIN, progress.wait_for(|done| *done >= messages)).await;
            assert!(matches!(reached, Ok(Ok(_))), "a pair does not get on: {reached:?}");
        }
        let times = self.times.lock().expect("nobody panics with it");
        let since = &times[self.reported..];
        self.reported = times.len();
        let (acknowledged, arrived) = since.iter().copied().unzip();
        Report { acknowledged, arrived }
    }

    /// Lets them say goodbye; reports everything.
    pub(crate) async fn stop(mut self) -> Report {
        self.stop.send_replace(true);
        while let Some(ended) = self.talking.join_next().await {
            ended.expect("every message of a pair arrived");
        }
        let (acknowledged, arrived) =
            self.times.lock().expect("nobody panics with it").iter().copied().unzip();
        Report { acknowledged, arrived }
    }
}

async fn talk(
    mut writer: Client,
    mut reader: Client,
    to: String,
    stopped: watch::Receiver<bool>,
    done: watch::Sender<u64>,
    times: Times,
) {
    let topic = format!("user/{to}/text");
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut count = 0;
    while !*stopped.borrow() {
        pace.tick().await;
        count += 1;
        let text = format!("message {count}");
        let sent = Instant::now();
        let (acknowledged, arrived) = tokio::join!(
            async {
                writer.publish(&topic, text.clone()).await;
                sent.elapsed()
            },
            async {
                let delivery = timeout(ARRIVES_WITHIN, reader.next()).await.expect("a message in time");
                assert_eq!(delivery.text(), text, "once, in order");
                sent.elapsed()
            }
        );
        times.lock().expect("nobody panics with it").push((acknowledged, arrived));
        done.send_replace(count);
    }
    let goodbyes = async {
        writer.disconnect().await;
        reader.disconnect().await;
    };
    timeout(PATIENCE, goodbyes).await.expect("goodbyes are written");
}
