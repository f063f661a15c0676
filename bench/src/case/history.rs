//! Pages of history are read over HTTP while a chat runs.

use super::{CaseError, chat, cost::fill, gauge::Gauge, http::Http, world::World};
use crate::{Outcome, Settings, Target, load::histogram::Histogram};
use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Instant,
};

/// Messages of the conversation that is read, and of a page.
const STORED: u32 = 20_000;
const PAGE: u32 = 50;
/// Connections that read, one page after the other.
const READERS: u64 = 4;
/// Window of the chat.
const WINDOW: u16 = 16;

pub(super) fn history(target: &Target, settings: &Settings) -> Result<Outcome, CaseError> {
    let mut world = World::new(target, settings)?;
    let filled = fill(&mut world, STORED.into())?;
    let mut crew = chat::ring(&mut world, WINDOW)?;
    let address = target.http.ok_or(CaseError::NotHere("no HTTP address"))?;
    let mut readers = Vec::new();
    for number in 0..READERS {
        let http = Http::connect(address, filled.reader.token.as_deref().unwrap_or_default())?;
        readers.push(Reader { http, with: filled.writer.name.clone(), seed: number + 1 });
    }
    readers[0].check()?;

    let gauge = Gauge::begin(&world, &crew)?;
    let mut outcome = Outcome::default();
    crew.publish();
    crew.run_for(settings.warm_up)?;
    crew.clear_stats();
    let alone = crew.run_for(settings.measure)?;
    outcome.set("chat_alone_messages_per_s", crew.stats().delivered as f64 / alone.as_secs_f64());
    crew.clear_stats();
    let before = gauge.usage()?;
    let stop = AtomicBool::new(false);
    let begin = Instant::now();
    let (time, read) = thread::scope(|scope| {
        let stop = &stop;
        let reading: Vec<_> =
            readers.into_iter().map(|reader| scope.spawn(move || reader.read_until(stop))).collect();
        let time = crew.run_for(settings.measure);
        stop.store(true, Ordering::Relaxed);
        let join = |thread: thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        (time, reading.into_iter().map(join).collect::<Result<Vec<Read>, CaseError>>())
    });
    let (time, read, reading_s) = (time?, read?, begin.elapsed().as_secs_f64());
    let used = gauge.usage()?.since(&before);
    let mut pages = Histogram::default();
    read.iter().for_each(|read| pages.merge(&read.times));
    let bytes: usize = read.iter().map(|read| read.bytes).sum();
    outcome.set("pages_per_s", pages.total() as f64 / reading_s);
    outcome.set("page_bytes", bytes as f64 / pages.total().max(1) as f64);
    outcome.times("page", &pages);
    let stats = crew.stats();
    outcome.rates(&stats, time);
    outcome.times("ack", &stats.ack);
    outcome.times("end_to_end", &stats.end_to_end);
    outcome.used(&used, stats.delivered);
    outcome.notes.push(format!(
        "pages of {PAGE} at random places of {STORED} messages, {READERS} readers; {}",
        filled.how
    ));
    crew.drain()?;
    outcome.judge(&crew);
    Ok(outcome)
}

struct Reader {
    http: Http,
    /// The other one of the conversation.
    with: String,
    seed: u64,
}

struct Read {
    times: Histogram,
    bytes: usize,
}

impl Reader {
    /// A page is what it should be: as many as were asked for, without a gap.
    fn check(&mut self) -> Result<(), CaseError> {
        let path = self.path(STORED / 2);
        let page = self.http.get(&path)?;
        let messages = page["messages"].as_array().map_or(&[][..], Vec::as_slice);
        let mut seqs: Vec<u64> = messages.iter().filter_map(|message| message["seq"].as_u64()).collect();
        seqs.sort_unstable();
        let from = u64::from(STORED / 2 - PAGE);
        let expected: Vec<u64> = (from..u64::from(STORED / 2)).collect();
        if seqs == expected {
            Ok(())
        } else {
            Err(CaseError::Api { path, status: 200, said: format!("{seqs:?}") })
        }
    }

    fn read_until(mut self, stop: &AtomicBool) -> Result<Read, CaseError> {
        let mut read = Read { times: Histogram::default(), bytes: 0 };
        while !stop.load(Ordering::Relaxed) {
            self.seed =
                self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let before = PAGE + 1 + ((self.seed >> 33) as u32) % (STORED - PAGE);
            let path = self.path(before);
            let begin = Instant::now();
            read.bytes += self.http.fetch(&path)?;
            read.times.record(begin.elapsed().as_nanos() as u64);
        }
        Ok(read)
    }

    fn path(&self, before: u32) -> String {
        format!("/messages?conversation=@{}&before={before}&limit={PAGE}", self.with)
    }
}
