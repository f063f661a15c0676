//! What does not depend on how much there is: the return of a device, and a message, in small and large.

use super::{
    CaseError,
    gauge::Gauge,
    world::{Person, World},
};
use crate::{
    Outcome, Settings, Target,
    load::{Crew, wire::Plan},
};
use std::{ops::Range, time::Instant};

/// Devices of the one writer that fill a conversation, and the window of each.
const FILLERS: u64 = 4;
const FILL_WINDOW: u16 = 128;
/// Messages of a group before a device returns to it.
const GROUP_STORED: u64 = 1_000;
/// Window of a writer while a conversation's messages are measured.
const WINDOW: u16 = 16;
/// Those who write in many conversations, and all people: every pair of a writer and one of the next thousand is
/// one conversation, and no pair comes twice.
const WRITERS: usize = 1_000;
const PEOPLE: usize = 2 * WRITERS + 1;

/// Two people with so many messages between them.
pub(super) struct Filled {
    pub(super) writer: Person,
    pub(super) reader: Person,
    /// How it was done, for the notes.
    pub(super) how: String,
    crew: Crew,
    /// The reader's client.
    listener: usize,
}

/// A conversation of so many messages, all of them delivered.
pub(super) fn fill(world: &mut World<'_>, messages: u64) -> Result<Filled, CaseError> {
    let mut people = world.people("p", 2)?.into_iter();
    let (Some(writer), Some(reader)) = (people.next(), people.next()) else {
        return Err(CaseError::NotHere("two people"));
    };
    if !world.is_parlance() {
        return Err(CaseError::NotHere("only Parlance has conversations"));
    }
    let mut crew = world.crew(false)?;
    let topic = world.topic_of(&reader);
    let listener = world.listener(&reader, true);
    let plans = (0..FILLERS).map(|number| world.writer(&writer, &format!("d{number}"))).collect();
    let (listener, how) = fill_topic(world, &mut crew, plans, listener, &topic, messages)?;
    Ok(Filled { writer, reader, how, crew, listener })
}

/// Clients 0 and following fill, the one behind them listens.
fn fill_topic(
    world: &World<'_>,
    crew: &mut Crew,
    writers: Vec<Plan>,
    listener: Plan,
    topic: &str,
    messages: u64,
) -> Result<(usize, String), CaseError> {
    let count = writers.len();
    crew.add_all(writers);
    crew.add(listener);
    for place in 0..count {
        let share = messages / count as u64 + u64::from((place as u64) < messages % count as u64);
        let share = u32::try_from(share).unwrap_or(u32::MAX);
        crew.flow(place, FILL_WINDOW, topic, share, count..count + 1);
    }
    crew.connect(0..count + 1, world.settings.connecting)?;
    let begin = Instant::now();
    crew.publish();
    crew.run_until_acknowledged()?;
    crew.drain()?;
    let seconds = begin.elapsed().as_secs_f64();
    let how = format!(
        "filled over MQTT by {count} devices with windows of {FILL_WINDOW} while the reader listened: {messages} messages in {seconds:.1} s"
    );
    Ok((count, how))
}

/// A device returns to a conversation of so many messages.
pub(super) fn reconnect(target: &Target, settings: &Settings, stored: u64) -> Result<Outcome, CaseError> {
    let mut world = World::new(target, settings)?;
    let mut filled = fill(&mut world, stored)?;
    let mut outcome = returns(&world, &mut filled.crew, filled.listener)?;
    outcome.notes.push(filled.how);
    Ok(outcome)
}

/// A device returns to a group of so many members.
pub(super) fn reconnect_group(
    target: &Target,
    settings: &Settings,
    members: u64,
) -> Result<Outcome, CaseError> {
    let mut world = World::new(target, settings)?;
    let members = usize::try_from(members).unwrap_or(usize::MAX).max(2);
    let people = world.people("m", members)?;
    let group = world.group("g", &people)?;
    let mut crew = world.crew(false)?;
    let writers = (0..FILLERS).map(|number| world.writer(&people[0], &format!("d{number}"))).collect();
    let listener = world.listener(&people[members - 1], true);
    let topic = format!("group/{group}/text");
    let (listener, how) = fill_topic(&world, &mut crew, writers, listener, &topic, GROUP_STORED)?;
    let mut outcome = returns(&world, &mut crew, listener)?;
    outcome.notes.push(format!("{members} members, one of them with a device; {how}"));
    Ok(outcome)
}

/// The listener leaves, misses some messages of flow 0, and comes back; many times.
fn returns(world: &World<'_>, crew: &mut Crew, listener: usize) -> Result<Outcome, CaseError> {
    let settings = world.settings;
    let gauge = Gauge::begin(world, crew)?;
    let device = listener..listener + 1;
    let mut cpu_s = 0.0;
    crew.clear_stats();
    for _ in 0..settings.reconnects {
        crew.disconnect(device.clone());
        crew.send_more(0..1, settings.missed_messages);
        crew.publish();
        crew.run_until_acknowledged()?;
        crew.pause();
        crew.expect_all();
        let before = gauge.threads()?;
        crew.connect(device.clone(), 1)?;
        crew.run_until_heard()?;
        cpu_s += gauge.threads()?.since_s(&before);
    }
    let mut outcome = Outcome::default();
    outcome.times("reconnect", &crew.stats().caught_up);
    if world.tree().is_some() {
        outcome.set("cpu_ms_per_reconnect", cpu_s * 1e3 / settings.reconnects.max(1) as f64);
    }
    outcome.judge(crew);
    Ok(outcome)
}

/// Messages in a conversation of so many.
pub(super) fn conversation(
    target: &Target,
    settings: &Settings,
    messages: u64,
) -> Result<Outcome, CaseError> {
    let mut world = World::new(target, settings)?;
    let mut filled = fill(&mut world, messages)?;
    let crew = &mut filled.crew;
    let device = crew.add(world.writer(&filled.writer, "x"));
    crew.flow(
        device,
        WINDOW,
        &world.topic_of(&filled.reader),
        u32::MAX,
        filled.listener..filled.listener + 1,
    );
    crew.connect(device..device + 1, 1)?;
    let mut outcome = Outcome::default();
    let gauge = Gauge::begin(&world, crew)?;
    crew.publish();
    super::chat::measure(&world, crew, &gauge, &mut outcome)?;
    outcome.notes.push(format!("one writer with a window of {WINDOW}; {}", filled.how));
    Ok(outcome)
}

/// Messages to so many conversations in turn.
pub(super) fn conversations(
    target: &Target,
    settings: &Settings,
    conversations: u64,
) -> Result<Outcome, CaseError> {
    let mut world = World::new(target, settings)?;
    let lanes = usize::try_from(conversations).unwrap_or(usize::MAX) / WRITERS;
    if lanes == 0 || lanes > WRITERS {
        return Err(CaseError::NotHere("a thousand conversations to a million"));
    }
    let people = world.people("p", PEOPLE)?;
    let mut crew = world.crew(false)?;
    crew.add_all(people.iter().map(|person| world.listener(person, true)));
    let flows = WRITERS * lanes;
    for flow in 0..flows {
        let writer = flow % WRITERS;
        let reader = (writer + 1 + flow / WRITERS) % PEOPLE;
        crew.flow(writer, 1, &world.topic_of(&people[reader]), 1, reader..reader + 1);
    }
    crew.connect(0..PEOPLE, settings.connecting)?;
    let begin = Instant::now();
    crew.publish();
    crew.run_until_acknowledged()?;
    crew.drain()?;
    let seconds = begin.elapsed().as_secs_f64();
    without_limit(&mut crew, 0..flows);
    let mut outcome = Outcome::default();
    let gauge = Gauge::begin(&world, &crew)?;
    crew.publish();
    super::chat::measure(&world, &mut crew, &gauge, &mut outcome)?;
    outcome.notes.push(format!(
        "{WRITERS} writers with a window of 1, each writing to {lanes} conversations in turn; filled with one message each over MQTT in {seconds:.1} s"
    ));
    Ok(outcome)
}

fn without_limit(crew: &mut Crew, flows: Range<usize>) {
    crew.send_more(flows, u32::MAX);
}
