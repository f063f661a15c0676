//! Many connections: how fast they are let in, and what each weighs while nothing happens.

use super::{CaseError, gauge::Gauge, world::World};
use crate::{Outcome, Settings, Target};
use std::time::{Duration, Instant};

/// Connections that come and go before anything is measured: what the broker makes once is made then.
const FIRST: usize = 200;
/// How long all is left alone before memory is looked at.
const REST: Duration = Duration::from_secs(2);

/// Growth of the broker's memory with each connection that has one subscription.
pub(super) fn idle(target: &Target, settings: &Settings, tls: bool) -> Result<Outcome, CaseError> {
    let mut world = World::new(target, settings)?;
    let count = settings.connections;
    let people = world.people("i", count)?;
    let mut crew = world.crew(tls)?;
    crew.add_all(people.iter().map(|person| world.listener(person, false)));
    let gauge = Gauge::begin(&world, &crew)?;
    let first = 0..FIRST.min(count);
    crew.connect(first.clone(), settings.connecting)?;
    crew.disconnect(first);
    crew.run_for(REST)?;
    let before = gauge.rss_bytes()?.ok_or(CaseError::NotHere("the broker's process is not known"))?;
    let begin = Instant::now();
    crew.connect(0..count, settings.connecting)?;
    let time = begin.elapsed();
    let used = gauge.usage()?;
    crew.run_for(REST)?;
    let rested = gauge.usage()?.since(&used);
    let after = gauge.rss_bytes()?.unwrap_or(before);
    let mut outcome = Outcome::default();
    outcome.set("bytes_per_connection", after.saturating_sub(before) as f64 / count as f64);
    outcome.set("rss_before_bytes", before as f64);
    outcome.set("rss_after_bytes", after as f64);
    outcome.set("connects_and_subscribes_per_s", count as f64 / time.as_secs_f64());
    if let Some(cpu_s) = rested.broker_s {
        outcome.set("idle_cpu_percent", cpu_s / REST.as_secs_f64() * 100.0);
    }
    outcome.judge(&crew);
    crew.disconnect(0..count);
    Ok(outcome)
}

/// From the SYN to the CONNACK, some hundred connections at a time; they stay open.
pub(super) fn connects(target: &Target, settings: &Settings, tls: bool) -> Result<Outcome, CaseError> {
    let mut world = World::new(target, settings)?;
    let count = settings.connections;
    let people = world.people("n", count + FIRST)?;
    let mut crew = world.crew(tls)?;
    crew.add_all(people.iter().map(|person| world.writer(person, "")));
    let gauge = Gauge::begin(&world, &crew)?;
    crew.connect(count..count + FIRST, settings.connecting)?;
    crew.clear_stats();
    let before = gauge.usage()?;
    let begin = Instant::now();
    crew.connect(0..count, settings.connecting)?;
    let time = begin.elapsed();
    let used = gauge.usage()?.since(&before);
    let mut outcome = Outcome::default();
    outcome.set("connects_per_s", count as f64 / time.as_secs_f64());
    outcome.times("connect", &crew.stats().connect);
    if let Some(cpu_s) = used.broker_s {
        outcome.set("cpu_ms_per_connect", cpu_s * 1e3 / count as f64);
    }
    outcome.set("generator_cpu_ms_per_connect", used.generator_s * 1e3 / count as f64);
    outcome.notes.push(format!("{} connections being made at a time", settings.connecting));
    outcome.judge(&crew);
    crew.disconnect(0..count + FIRST);
    Ok(outcome)
}
