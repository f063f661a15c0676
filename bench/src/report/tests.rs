//! The report of results that never happened.

use super::{
    markdown,
    notes::Notes,
    results::{Environment, FORMAT, Participant, Place, Results, Run, Size, SyncFigures},
    statistic::Summary,
    verdict::{self, Verdict},
    *,
};
use crate::{Outcome, peers::Peer};

const CHAT_16: Case = Case::Chat { window: 16 };
const CHAT_1: Case = Case::Chat { window: 1 };

fn results() -> Results {
    let sync = SyncFigures { per_s: 19_000.0, p50_ms: 0.05, p99_ms: 0.11 };
    Results {
        format: FORMAT,
        began_unix_s: 1_798_761_599,
        took_s: 1_980.0,
        environment: Environment {
            cores: 2,
            processor: "a processor".to_owned(),
            memory_bytes: 25_300_000_000,
            kernel: "Linux 6.18".to_owned(),
            system: "Debian".to_owned(),
            device: "/dev/vda".to_owned(),
            file_system: "ext4".to_owned(),
            commit: Some("abc1234".to_owned()),
            build: "release".to_owned(),
            busy_before: 0.004,
            sync_growing: SyncFigures { per_s: 9_800.0, ..sync },
            sync_preallocated: sync,
        },
        size: Size {
            quick: false,
            threads: 1,
            clients: 100,
            payload_bytes: 256,
            warm_up_s: 1.0,
            measure_s: 4.0,
            fan_out: 1_000,
            connections: 10_000,
            offline_sessions: 200,
            offline_messages: 500,
            storm_devices: 10_000,
            missed_messages: 20,
        },
        peers: [Peer::Parlance, Peer::Mosquitto]
            .map(|peer| Participant { peer, version: Some("1.2.3".to_owned()), absent: None })
            .into(),
        runs: Vec::new(),
        left_out: Vec::new(),
    }
}

impl Results {
    /// A round of a case for each of the values.
    fn with(mut self, case: Case, peer: Peer, metric: &Metric, values: &[f64]) -> Self {
        for (index, &value) in values.iter().enumerate() {
            let place = Place { case, peer, round: index as u32 + 1 };
            let run = match self.runs.iter_mut().find(|run| run.place == place) {
                Some(run) => run,
                None => {
                    let outcome = Some(Outcome::default());
                    self.runs.push(Run { place, took_s: 7.5, outcome, error: None });
                    self.runs.last_mut().unwrap()
                }
            };
            run.outcome.as_mut().unwrap().set(metric.key, value);
        }
        self
    }

    fn verdicts(&self, id: &str) -> (Verdict, Option<Verdict>) {
        let criteria = verdict::judge(self);
        let criterion = criteria.iter().find(|criterion| criterion.id == id).unwrap();
        (criterion.must_verdict(), criterion.aim_verdict())
    }

    fn page(&self) -> String {
        markdown::page(self, &Notes::default(), &Files::default())
    }
}

#[test]
fn the_median_is_the_middle_or_between_the_two_in_the_middle() {
    let of = |values: &[f64]| Summary::of(values.iter().copied());
    assert_eq!(of(&[]), None);
    assert_eq!(of(&[f64::NAN]), None);
    assert_eq!(of(&[9.0, 1.0, 4.0]), Some(Summary { median: 4.0, min: 1.0, max: 9.0, rounds: 3 }));
    assert_eq!(of(&[9.0, 1.0, 4.0, 6.0]), Some(Summary { median: 5.0, min: 1.0, max: 9.0, rounds: 4 }));
}

#[test]
fn a_ratio_is_of_medians() {
    let of = |values: &[f64]| Summary::of(values.iter().copied()).unwrap();
    assert_eq!(of(&[10.0, 20.0, 90.0]).ratio_to(&of(&[5.0])), Some(4.0));
    assert_eq!(of(&[10.0]).ratio_to(&of(&[0.0])), None);
}

#[test]
fn a_must_of_several_brokers_wants_all_of_them() {
    let messages = &metric::MESSAGES;
    let chat = |parlance: f64| {
        results()
            .with(CHAT_16, Peer::Parlance, messages, &[parlance])
            .with(CHAT_16, Peer::Mosquitto, messages, &[54_000.0])
            .with(CHAT_16, Peer::Rabbitmq, messages, &[5_400.0])
            .with(CHAT_16, Peer::Rumqttd, messages, &[210_000.0])
    };
    assert_eq!(chat(252_000.0).verdicts("chat-16"), (Verdict::Met, Some(Verdict::Met)));
    assert_eq!(chat(162_000.0).verdicts("chat-16"), (Verdict::Met, Some(Verdict::NotMet)));
    assert_eq!(chat(161_000.0).verdicts("chat-16").0, Verdict::NotMet);
    let without_rabbitmq = results().with(CHAT_16, Peer::Parlance, messages, &[300_000.0]).with(
        CHAT_16,
        Peer::Mosquitto,
        messages,
        &[54_000.0],
    );
    assert_eq!(without_rabbitmq.verdicts("chat-16").0, Verdict::NotMeasured);
    let slow = without_rabbitmq.with(CHAT_16, Peer::Parlance, messages, &[1.0]);
    assert_eq!(slow.verdicts("chat-16").0, Verdict::NotMet, "what is missing hides no failure");
}

#[test]
fn with_a_window_of_one_a_sync_is_allowed_for() {
    let chat = |rate: f64, p50: f64| {
        results()
            .with(CHAT_1, Peer::Parlance, &metric::MESSAGES, &[rate])
            .with(CHAT_1, Peer::Parlance, &metric::END_TO_END_P50, &[p50])
            .with(CHAT_1, Peer::Mosquitto, &metric::MESSAGES, &[50_000.0])
            .with(CHAT_1, Peer::Mosquitto, &metric::END_TO_END_P50, &[2.0])
    };
    // A hundred clients at 50,000/s wait 2 ms each; with a sync of 0.05 ms that is 48,780/s.
    assert_eq!(chat(48_781.0, 2.05).verdicts("chat-1-rate").0, Verdict::Met);
    assert_eq!(chat(48_780.0, 2.05).verdicts("chat-1-rate").0, Verdict::NotMet);
    assert_eq!(chat(48_781.0, 2.05).verdicts("chat-1-latency").0, Verdict::Met);
    assert_eq!(chat(48_781.0, 2.06).verdicts("chat-1-latency").0, Verdict::NotMet);
}

#[test]
fn a_curve_is_flat_or_not() {
    let curve = |last: f64| {
        let costs = [4.0, 4.4, last];
        let sizes = STORED.into_iter().zip(costs);
        sizes.fold(results(), |results, (stored, cost)| {
            results.with(Case::ReconnectCost { stored }, Peer::Parlance, &metric::RECONNECT_P50, &[cost])
        })
    };
    assert_eq!(curve(5.9).verdicts("reconnect-stored"), (Verdict::Met, None));
    assert_eq!(curve(6.1).verdicts("reconnect-stored"), (Verdict::NotMet, None));
    assert_eq!(results().verdicts("reconnect-stored"), (Verdict::NotMeasured, None));
}

#[test]
fn a_fault_or_a_failure_of_parlance_is_counted_and_one_of_others_is_shown() {
    let mut results = results().with(CHAT_16, Peer::Parlance, &metric::MESSAGES, &[1.0, 2.0]);
    assert_eq!(results.verdicts("faults").0, Verdict::Met);
    results = results.with(CHAT_16, Peer::Mosquitto, &metric::MESSAGES, &[1.0]);
    results.runs[2].outcome.as_mut().unwrap().faults.push("7 messages lost".to_owned());
    assert_eq!(results.verdicts("faults").0, Verdict::Met);
    let page = results.page();
    assert!(page.contains("- chat-16 on mosquitto, round 1: 7 messages lost"), "{page}");
    assert!(
        page.contains("| mosquitto | saved every 30 minutes | 1.00 | 0.67 × | 1, **1 with faults** |"),
        "{page}"
    );
    results.runs[1].outcome = None;
    results.runs[1].error = Some("it does not start".to_owned());
    assert_eq!(results.verdicts("faults").0, Verdict::NotMet);
    let page = results.page();
    assert!(page.contains("- chat-16 on parlance, round 2: **no figures**: it does not start"), "{page}");
    assert!(page.contains("**parlance is among them.**"), "{page}");
}

#[test]
fn a_table_has_medians_spreads_ratios_and_its_command() {
    let results = results()
        .with(CHAT_16, Peer::Parlance, &metric::MESSAGES, &[260_000.0, 250_000.0, 255_000.0])
        .with(CHAT_16, Peer::Mosquitto, &metric::MESSAGES, &[51_000.0])
        .with(CHAT_16, Peer::Mosquitto, &metric::ACK_P50, &[15.7]);
    let page = results.page();
    let table: Vec<&str> = page
        .lines()
        .filter(|line| line.contains("÷ Parlance") || line.contains("(250,000 – 260,000)"))
        .collect();
    assert_eq!(
        table,
        [
            "|  | a PUBACK means | messages/s | ÷ Parlance | PUBACK p50, ms | rounds |",
            "| **parlance** | synced before PUBACK | 255,000 (250,000 – 260,000) | 1.00 × | – | 3 |",
        ]
    );
    assert!(page.contains("| mosquitto | saved every 30 minutes | 51,000 | 0.20 × | 15.7 | 1 |"), "{page}");
    assert!(page.contains("```sh\ncargo xtask bench --no-setup --case chat-16 --rounds 3\n```"), "{page}");
}

#[test]
fn an_absent_broker_is_named_with_its_reason() {
    let mut results = results();
    results.peers[1].version = None;
    results.peers[1].absent = Some("no\nnetwork".to_owned());
    let page = results.page();
    assert!(page.contains("> **mosquitto is ABSENT from this run:** no network"), "{page}");
    assert!(!page.contains("max_queued_messages"), "{page}");
}

#[test]
fn an_aim_that_is_not_met_has_its_note_or_says_that_there_is_none() {
    let results = results().with(CHAT_16, Peer::Parlance, &metric::CPU, &[6.5]);
    assert_eq!(results.verdicts("cpu"), (Verdict::Met, Some(Verdict::NotMet)));
    assert!(results.page().contains("**No profile is recorded yet.**"));
    let notes = Notes::parse("## cpu\n\nHalf of it is sealing.\n");
    let page = markdown::page(&results, &notes, &Files::default());
    assert!(
        page.contains("**CPU s per million deliveries, chat window 16.** Half of it is sealing."),
        "{page}"
    );
}

#[test]
fn what_was_left_out_and_what_disturbed_is_said() {
    let mut results = results();
    results.left_out.extend([CHAT_16, CHAT_1].map(|case| Place { case, peer: Peer::Nats, round: 3 }));
    results.environment.busy_before = 0.6;
    results.environment.build = "debug".to_owned();
    let page = results.page();
    for text in [
        "- nats, round 3: left out, the time was over: chat-16, chat-1\n",
        "Other programs were running",
        "not a release build",
    ] {
        assert!(page.contains(text), "{text}");
    }
}

#[test]
fn a_report_is_written_anew_from_its_own_results() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("BENCHMARKS.md");
    let results = results().with(CHAT_16, Peer::Parlance, &metric::MESSAGES, &[260_000.0, 250_000.0]).with(
        CHAT_16,
        Peer::Mosquitto,
        &metric::MESSAGES,
        &[51_000.0],
    );
    write(&results, &page).unwrap();
    let first = fs::read_to_string(&page).unwrap();
    assert!(first.contains("![Chat, window 16](bench/chat-16.svg)"), "{first}");
    assert!(!first.contains("chat-16-cpu.svg"), "what was not measured is not drawn");
    let chart = fs::read_to_string(folder.path().join("bench/chat-16.svg")).unwrap();
    for text in ["255,000", "51,000", "mosquitto", "messages/s", "prefers-color-scheme:dark"] {
        assert!(chart.contains(text), "{text}");
    }
    let stale = folder.path().join("bench/crash.svg");
    fs::write(&stale, "of an earlier run").unwrap();
    fs::remove_file(&page).unwrap();
    run(&Options { results: folder.path().join("bench/results.json"), out: None }).unwrap();
    assert_eq!(fs::read_to_string(&page).unwrap(), first);
    assert!(!stale.exists());
}

#[test]
fn results_of_another_shape_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("results.json");
    let options = Options { results: file.clone(), out: None };
    assert!(matches!(run(&options), Err(ReportError::Read(..))));
    fs::write(&file, "{}").unwrap();
    assert!(matches!(run(&options), Err(ReportError::Parse(..))));
    fs::write(&file, serde_json::to_string(&Results { format: 99, ..results() }).unwrap()).unwrap();
    assert!(matches!(run(&options), Err(ReportError::Format(_, 99))));
}

#[test]
fn every_chart_is_drawn_and_is_well_formed() {
    let mut drawn = 0;
    for section in section::all() {
        for table in &section.tables {
            let mut results = results();
            for case in table.cases() {
                for metric in &table.columns {
                    results = results.with(case, Peer::Parlance, metric, &[3.0, 1_000.0]).with(
                        case,
                        Peer::Nats,
                        metric,
                        &[0.0],
                    );
                }
            }
            for chart in &table.charts {
                let drawing = chart::draw(&results, table, chart).unwrap();
                let (opened, closed) = (drawing.matches('<').count(), drawing.matches('>').count());
                assert_eq!(opened, closed, "{}", chart.file);
                assert!(!drawing.contains("NaN") && !drawing.contains("inf"), "{}", chart.file);
                drawn += 1;
            }
        }
    }
    assert!(drawn > 10);
}
