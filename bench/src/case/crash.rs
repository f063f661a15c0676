//! The broker is killed in the middle of a chat and started again; its sessions come back. What it had acknowledged
//! and nobody gets is lost.
//!
//! Every writer has a reader of its own. Half of the readers listen all the time: theirs is what was on its way when the
//! broker was killed. The other half are away, with durable sessions, and get some hundred messages each, all of them
//! acknowledged long before: theirs is what the broker had said it keeps.
//!
//! The writers do not send again what was not acknowledged: nothing was promised for it, and so it is counted apart.

use super::{CaseError, world::World};
use crate::{
    Outcome, Restart, Settings,
    load::{Crew, Endpoint, Losses, check::Faults},
};
use std::{
    ops::Range,
    thread,
    time::{Duration, Instant},
};

/// Window of a writer.
const WINDOW: u16 = 16;
/// Messages to a reader who is away: fewer than any broker's queue of a session holds.
const MESSAGES_TO_ABSENT: u32 = 500;
/// How long the end of the last connection may take after the kill.
const CLOSED: Duration = Duration::from_secs(10);
/// All has arrived when nothing came for so long.
const QUIET: Duration = Duration::from_secs(2);

pub(super) fn crash(broker: &mut dyn Restart, settings: &Settings) -> Result<Outcome, CaseError> {
    let target = broker.start().map_err(CaseError::io("starting the broker"))?;
    let mut crew = writers_and_readers(&mut World::new(&target, settings)?)?;
    let writers = settings.clients;
    let (listening, readers) = (writers / 2, writers..2 * writers);
    crew.disconnect(readers.start + listening..readers.end);
    crew.publish();
    let load = settings.warm_up + settings.measure / 2;
    let killed = crew.run_while_open(load + CLOSED, || {
        thread::sleep(load);
        broker.kill()
    })?;
    killed.map_err(CaseError::io("killing the broker"))?;
    crew.pause();
    crew.cut(0..2 * writers);
    crew.clear_faults();

    let mut outcome = Outcome::default();
    outcome.set("acknowledged_per_s", crew.losses().acknowledged as f64 / load.as_secs_f64());
    let begin = Instant::now();
    let target = broker.start().map_err(CaseError::io("starting the broker again"))?;
    outcome.set("restart_s", begin.elapsed().as_secs_f64());
    crew.point_at(&Endpoint { address: target.mqtt, tls: None });
    crew.connect(readers, settings.connecting)?;
    crew.run_until_quiet(QUIET)?;
    judge(&crew, 0..listening, listening..writers, &mut outcome);
    Ok(outcome)
}

/// The writers, then as many readers; all of them connected.
fn writers_and_readers(world: &mut World<'_>) -> Result<Crew, CaseError> {
    let count = world.settings.clients;
    let writing = world.people("w", count)?;
    let reading = world.people("r", count)?;
    let mut crew = world.crew(false)?;
    crew.add_all(writing.iter().map(|person| world.writer(person, "")));
    crew.add_all(reading.iter().map(|person| world.listener(person, true)));
    for (writer, reader) in reading.iter().enumerate() {
        let limit = if writer < count / 2 { u32::MAX } else { MESSAGES_TO_ABSENT };
        let client = count + writer;
        crew.flow(writer, WINDOW, &world.topic_of(reader), limit, client..client + 1);
    }
    crew.connect(0..2 * count, world.settings.connecting)?;
    Ok(crew)
}

fn judge(crew: &Crew, listening: Range<usize>, away: Range<usize>, outcome: &mut Outcome) {
    let mut all = Losses::default();
    for (readers, flows) in [("listening", listening), ("away", away)] {
        let losses = crew.losses_of(flows);
        outcome.set(&format!("acknowledged_to_{readers}"), losses.acknowledged as f64);
        outcome.set(&format!("lost_to_{readers}"), losses.lost as f64);
        if losses.lost > 0 {
            outcome.faults.push(format!("{} acknowledged messages to readers {readers} lost", losses.lost));
        }
        all += losses;
    }
    let faults = crew.faults();
    outcome.set("sent", all.sent as f64);
    outcome.set("acknowledged", all.acknowledged as f64);
    outcome.set("acknowledged_lost", all.lost as f64);
    outcome.set("unacknowledged_and_not_delivered", all.unpromised as f64);
    outcome.set("doubled", faults.duplicated as f64);
    outcome.set("sessions_lost", faults.sessions_lost as f64);
    // MQTT allows that a message comes again after a connection has ended.
    outcome.faults.extend(Faults { duplicated: 0, ..faults }.describe());
}
