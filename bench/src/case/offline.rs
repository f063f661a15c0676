//! Who was away: sessions that come back to what was sent meanwhile.

use super::{CaseError, gauge::Gauge, world::World};
use crate::{Outcome, Settings, Target, load::Crew};
use std::time::{Duration, Instant};

/// Those who write while the others are away, and the window of each.
const SENDERS: usize = 100;
const WINDOW: u16 = 64;
/// Devices of the storm that are connecting at a time: the accept queue of a listener may be no longer.
const RETURNING_AT_ONCE: usize = 1_024;

/// Two hundred sessions that missed five hundred messages each.
pub(super) fn offline(target: &Target, settings: &Settings) -> Result<Outcome, CaseError> {
    let (sessions, messages) = (settings.offline_sessions, settings.offline_messages);
    let mut returned = away(target, settings, sessions, messages, settings.connecting)?;
    let seconds = returned.seconds;
    returned.outcome.set("drained_s", seconds);
    returned.outcome.set("messages_per_s", f64::from(messages) * sessions as f64 / seconds);
    Ok(returned.outcome)
}

/// Ten thousand devices that missed twenty.
pub(super) fn storm(target: &Target, settings: &Settings) -> Result<Outcome, CaseError> {
    let (devices, messages) = (settings.storm_devices, settings.missed_messages);
    let mut returned = away(target, settings, devices, messages, RETURNING_AT_ONCE)?;
    returned.outcome.set("drained_s", returned.seconds);
    returned.outcome.set("devices_per_s", devices as f64 / returned.seconds);
    let note = format!(
        "{RETURNING_AT_ONCE} devices connecting at a time; reconnect_… from the beginning of the storm, own_… from the device's own SYN"
    );
    returned.outcome.notes.push(note);
    Ok(returned.outcome)
}

struct Returned {
    outcome: Outcome,
    /// From the first connection to the last message.
    seconds: f64,
}

/// Everybody comes, leaves, is written to, and comes back.
fn away(
    target: &Target,
    settings: &Settings,
    readers: usize,
    messages: u32,
    at_once: usize,
) -> Result<Returned, CaseError> {
    let mut world = World::new(target, settings)?;
    let mut crew = world.crew(false)?;
    let senders = SENDERS.min(readers);
    let gauge = Gauge::begin(&world, &crew)?;
    let storing = write_to_absent(&mut world, &mut crew, senders, readers, messages)?;
    let everybody = senders..senders + readers;
    let stored = crew.stats();
    crew.clear_stats();
    crew.expect_all();
    let before = gauge.usage()?;
    crew.count_from_now();
    let begin = Instant::now();
    crew.connect(everybody.clone(), at_once)?;
    let all = crew.run_until_heard()?;
    let seconds = begin.elapsed().as_secs_f64();
    let used = gauge.usage()?.since(&before);
    let stats = crew.stats();
    let mut outcome = Outcome::default();
    if !all {
        outcome.faults.push("not everybody got everything".to_owned());
    }
    outcome.times("reconnect", &stats.returned);
    outcome.times("own", &stats.caught_up);
    outcome.set("stored_s", storing.as_secs_f64());
    outcome.times("store_ack", &stored.ack);
    outcome.used(&used, stats.delivered);
    outcome.judge(&crew);
    gauge.end(&crew, &mut outcome)?;
    crew.disconnect(everybody);
    Ok(Returned { outcome, seconds })
}

/// Everybody comes once, the readers leave, and are written to; answers how long the writing took.
fn write_to_absent(
    world: &mut World<'_>,
    crew: &mut Crew,
    senders: usize,
    readers: usize,
    messages: u32,
) -> Result<Duration, CaseError> {
    let writing = world.people("w", senders)?;
    let reading = world.people("r", readers)?;
    crew.add_all(writing.iter().map(|person| world.writer(person, "")));
    crew.add_all(reading.iter().map(|person| world.listener(person, true)));
    for (place, reader) in reading.iter().enumerate() {
        let client = senders + place;
        crew.flow(place % senders, WINDOW, &world.topic_of(reader), messages, client..client + 1);
    }
    let connecting = world.settings.connecting;
    crew.connect(0..senders + readers, connecting)?;
    crew.disconnect(senders..senders + readers);
    let begin = Instant::now();
    crew.publish();
    crew.run_until_acknowledged()?;
    crew.pause();
    Ok(begin.elapsed())
}
