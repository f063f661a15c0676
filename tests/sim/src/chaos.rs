//! What goes wrong, when its time comes.

use crate::{
    disk::Crash,
    faults::Operation,
    people::{group_id, principal, user_id},
    random::Random,
    scenario::Scenario,
    stage::Stage,
    tell,
};
use parlance_server::simulation::{Clock, now_ms, set_clock};
use std::{ops::Range, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep};

/// How far a wall clock jumps at most, milliseconds.
const JUMP_MS_MAX: u64 = 3_600_000;

/// Something that can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The process dies.
    ProcessDies,
    /// The power goes at some moment.
    PowerGoes,
    /// The power goes in the middle of a change of the disk.
    PowerGoesWhileWriting,
    /// The server is stopped in order, and started again.
    Stop,
    /// A connection breaks.
    Cut,
    /// A connection stands still.
    Stall,
    /// An operation of the disk or the store fails for a while.
    Errors,
    /// The disk is full for a while.
    Full,
    /// Members of groups come and go.
    Members,
    /// The wall clock jumps.
    Clock,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::ProcessDies,
        Self::PowerGoes,
        Self::PowerGoesWhileWriting,
        Self::Stop,
        Self::Cut,
        Self::Stall,
        Self::Errors,
        Self::Full,
        Self::Members,
        Self::Clock,
    ];

    /// Whether publishes may be refused for it.
    pub fn refuses(self) -> bool {
        matches!(self, Self::Stop | Self::Errors | Self::Full | Self::Members)
    }
}

/// Lets things go wrong until the scenario's time is over.
pub async fn rage(stage: Arc<Stage>, mut random: Random, scenario: Arc<Scenario>) {
    let (kinds, every_ms): (&[Kind], Range<u64>) = (&scenario.kinds, scenario.every_ms.clone());
    let until = Instant::now() + Duration::from_millis(scenario.lasts_ms);
    while Instant::now() < until && !stage.book.has_failed() {
        sleep(random.millis(every_ms.clone())).await;
        if !kinds.is_empty() {
            let kind = *random.pick(kinds);
            happen(&stage, kind, &mut random).await;
        }
    }
}

async fn happen(stage: &Arc<Stage>, kind: Kind, random: &mut Random) {
    let machine = &stage.machine;
    match kind {
        Kind::ProcessDies => machine.crash(Crash::Process),
        Kind::PowerGoes => machine.crash(Crash::Power),
        Kind::PowerGoesWhileWriting => machine.faults().cut_power_in(random.within(0..12) as u32),
        Kind::Stop => {
            tell!(stage.trace, "the server is told to stop");
            machine.stop().await;
        }
        Kind::Cut => {
            let links = machine.links();
            if !links.is_empty() {
                let link = random.pick(&links).clone();
                tell!(stage.trace, "connection {} is cut", link.number);
                link.cut(random);
            }
        }
        Kind::Stall => {
            let links = machine.links();
            if !links.is_empty() {
                let (link, lasts) = (random.pick(&links).clone(), random.millis(50..20_000));
                let (up, down) = *random.pick(&[(true, true), (true, false), (false, true)]);
                tell!(stage.trace, "connection {} stalls for {lasts:?} (up {up}, down {down})", link.number);
                link.freeze(up, down, Instant::now() + lasts);
            }
        }
        Kind::Errors => errors(stage, random),
        Kind::Full => full(stage, random),
        Kind::Members => members(stage, random),
        Kind::Clock => {
            let jump = random.within(0..2 * JUMP_MS_MAX);
            let unix_ms = (now_ms().unwrap_or_default() + jump).saturating_sub(JUMP_MS_MAX);
            tell!(stage.trace, "the clock jumps to {unix_ms}");
            stage.note_jump();
            set_clock(Some(Clock { at: Instant::now(), unix_ms }));
        }
    }
}

fn errors(stage: &Arc<Stage>, random: &mut Random) {
    let (operation, lasts) = (*random.pick(&Operation::ALL), random.millis(10..4_000));
    let per_mille = *random.pick(&[50, 300, 1000]);
    tell!(stage.trace, "{operation:?} fails {per_mille} times in a thousand for {lasts:?}");
    stage.machine.faults().fail(operation, per_mille);
    let stage = stage.clone();
    tokio::spawn(async move {
        sleep(lasts).await;
        tell!(stage.trace, "{operation:?} works");
        stage.machine.faults().fail(operation, 0);
    });
}

fn full(stage: &Arc<Stage>, random: &mut Random) {
    let lasts = random.millis(10..8_000);
    tell!(stage.trace, "the disk is full for {lasts:?}");
    stage.machine.faults().set_full(true);
    stage.note_full();
    let stage = stage.clone();
    tokio::spawn(async move {
        sleep(lasts).await;
        tell!(stage.trace, "the disk has space");
        stage.machine.faults().set_full(false);
    });
}

/// Somebody is added to a group, removed from it, or leaves it.
fn members(stage: &Arc<Stage>, random: &mut Random) {
    let Some(server) = stage.machine.server() else { return };
    if stage.groups.is_empty() || stage.users < 2 {
        return;
    }
    let number = random.index(stage.groups.len());
    let (group, user) = (group_id(number), 1 + random.index(stage.users - 1));
    let what = random.within(0..5);
    let trace = stage.trace.clone();
    tokio::spawn(async move {
        let groups = server.context().groups.clone();
        let owner = principal(0);
        let outcome = match what {
            0 | 1 => groups.add(&owner, group, vec![user_id(user)]).await.map(drop),
            2 | 3 => groups.remove(&owner, group, user_id(user)).await.map(drop),
            _ => groups.leave(&principal(user), group).await.map(drop),
        };
        let words = ["added", "added", "removed", "removed", "leaves"][what as usize];
        tell!(trace, "u{user} {words} (group {number}): {outcome:?}");
    });
}
