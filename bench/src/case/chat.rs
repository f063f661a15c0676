//! Chat: client *i* writes to client *i* + 1, all of them at the same time; and the same at a fixed rate.
//!
//! Every client has a durable session and listens to what is written to it. After the warm-up everything is counted
//! for the time of the measurement; then sending stops, what is under way arrives, and what did not is lost.

use super::{CaseError, gauge::Gauge, world::World};
use crate::{Outcome, Settings, Target, load::Crew};

/// Window of a client at a fixed rate: as good as none.
const OPEN_LOOP_WINDOW: u16 = 1_000;

pub(super) fn chat(target: &Target, settings: &Settings, window: u16) -> Result<Outcome, CaseError> {
    let mut world = World::new(target, settings)?;
    let mut crew = ring(&mut world, window)?;
    let mut outcome = Outcome::default();
    let gauge = Gauge::begin(&world, &crew)?;
    crew.publish();
    measure(&world, &mut crew, &gauge, &mut outcome)?;
    Ok(outcome)
}

pub(super) fn rate(target: &Target, settings: &Settings, per_second: u32) -> Result<Outcome, CaseError> {
    let mut world = World::new(target, settings)?;
    let mut crew = ring(&mut world, OPEN_LOOP_WINDOW)?;
    let mut outcome = Outcome::default();
    let gauge = Gauge::begin(&world, &crew)?;
    crew.publish_at(per_second.into()).map_err(CaseError::io("a timer"))?;
    measure(&world, &mut crew, &gauge, &mut outcome)?;
    Ok(outcome)
}

/// Connected clients in a ring; the flow of each goes to the next.
pub(super) fn ring(world: &mut World<'_>, window: u16) -> Result<Crew, CaseError> {
    let count = world.settings.clients;
    let people = world.people("c", count)?;
    let mut crew = world.crew(false)?;
    crew.add_all(people.iter().map(|person| world.listener(person, true)));
    for sender in 0..count {
        let reader = (sender + 1) % count;
        crew.flow(sender, window, &world.topic_of(&people[reader]), u32::MAX, reader..reader + 1);
    }
    crew.connect(0..count, world.settings.connecting)?;
    Ok(crew)
}

/// Warm-up, measurement, the end of the chat.
pub(super) fn measure(
    world: &World<'_>,
    crew: &mut Crew,
    gauge: &Gauge,
    outcome: &mut Outcome,
) -> Result<(), CaseError> {
    crew.run_for(world.settings.warm_up)?;
    crew.clear_stats();
    let before = gauge.usage()?;
    let time = crew.run_for(world.settings.measure)?;
    let used = gauge.usage()?.since(&before);
    let stats = crew.stats();
    outcome.rates(&stats, time);
    outcome.times("ack", &stats.ack);
    outcome.times("end_to_end", &stats.end_to_end);
    outcome.times("late", &stats.late);
    outcome.used(&used, stats.delivered);
    crew.drain()?;
    outcome.judge(crew);
    gauge.end(crew, outcome)
}
