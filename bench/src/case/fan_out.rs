//! Fan-out: one writes, a thousand read. The figure is deliveries.

use super::{CaseError, gauge::Gauge, world::World};
use crate::{Outcome, Settings, Target};
use std::time::Duration;

/// What a group says of itself while its members come for the first time has arrived when nothing came for so long.
const QUIET: Duration = Duration::from_millis(500);

/// On Parlance a group of the writer and all readers.
pub(super) fn group(target: &Target, settings: &Settings, window: u16) -> Result<Outcome, CaseError> {
    let world = World::new(target, settings)?;
    if world.is_parlance() {
        run(world, window, Way::Group)
    } else {
        run(world, window, Way::Topic { durable: true })
    }
}

/// On a topic that has nothing to do with the messenger.
pub(super) fn free(
    target: &Target,
    settings: &Settings,
    window: u16,
    durable: bool,
) -> Result<Outcome, CaseError> {
    run(World::new(target, settings)?, window, Way::Topic { durable })
}

enum Way {
    Group,
    Topic { durable: bool },
}

fn run(mut world: World<'_>, window: u16, way: Way) -> Result<Outcome, CaseError> {
    let readers = world.settings.fan_out;
    let people = world.people("f", readers + 1)?;
    let mut crew = world.crew(false)?;
    crew.add(world.writer(&people[0], ""));
    let topic = match way {
        Way::Group => {
            let group = world.group("g", &people)?;
            crew.add_all(people[1..].iter().map(|person| world.listener(person, true)));
            format!("group/{group}/text")
        }
        Way::Topic { durable } => {
            let topic = world.free_topic()?;
            crew.add_all(
                people[1..].iter().map(|person| world.client(person, "", Some(topic.clone()), durable)),
            );
            topic
        }
    };
    crew.flow(0, window, &topic, u32::MAX, 1..readers + 1);
    crew.connect(0..readers + 1, world.settings.connecting)?;
    crew.run_until_quiet(QUIET)?;
    let mut outcome = Outcome::default();
    let gauge = Gauge::begin(&world, &crew)?;
    crew.publish();
    super::chat::measure(&world, &mut crew, &gauge, &mut outcome)?;
    Ok(outcome)
}
