//! The simulation itself is tested: the same seed is the same run, and each promise that is broken on purpose is found.

use parlance_sim::{Options, Outcome, faults::Mutation, many, run, trace::Keep};
use std::{collections::BTreeSet, thread};

const RECORDED: Options = Options { keep: Keep::All, mutation: None };
/// Seeds that a mutation may take until it shows.
const PATIENCE: u64 = 2_000;

fn recorded(seed: u64) -> Outcome {
    run(seed, RECORDED)
}

#[test]
fn the_same_seed_is_the_same_run_and_another_seed_is_another() {
    let seeds = || (0..12).map(|number| number * 7919);
    let first: Vec<Outcome> = seeds().map(recorded).collect();
    // On another thread, which has served others, and in another order.
    let again = thread::spawn(move || {
        run(1, RECORDED);
        let mut again: Vec<Outcome> = seeds().rev().map(recorded).collect();
        again.reverse();
        again
    });
    let again = again.join().unwrap();
    for (one, other) in first.iter().zip(&again) {
        let differs = one.lines.iter().zip(&other.lines).position(|(one, other)| one != other);
        assert_eq!(differs.map(|line| (&one.lines[line], &other.lines[line])), None, "seed {}", one.seed);
        assert_eq!((one.hash, one.counts), (other.hash, other.counts), "seed {}", one.seed);
    }
    let hashes: BTreeSet<u64> = first.iter().map(|outcome| outcome.hash).collect();
    assert_eq!(hashes.len(), first.len());
}

#[test]
fn what_is_kept_of_a_trace_does_not_change_the_run() {
    let kept = |keep| run(3, Options { keep, mutation: None });
    assert_eq!(kept(Keep::Nothing).hash, kept(Keep::All).hash);
    assert_eq!(kept(Keep::Tail).hash, kept(Keep::All).hash);
}

#[test]
fn many_runs_can_be_made_again_as_well() {
    let all = many(0..40, 2, None, true, |_| {});
    assert!(all.failures.is_empty(), "{:?}", all.failures);
    assert_eq!(all.runs, 40);
}

/// Runs seeds until a mutation is found with these words. The seed without it holds.
fn is_found(mutation: Mutation, words: &str) {
    for seed in 0..PATIENCE {
        let mutated = run(seed, Options { keep: Keep::Nothing, mutation: Some(mutation) });
        if let Some(found) = mutated.violations.iter().find(|violation| violation.contains(words)) {
            println!("{}: seed {seed}: {found}", mutation.word());
            assert_eq!(recorded(seed).violations, [] as [String; 0]);
            return;
        }
    }
    panic!("{mutation:?} was not found with {words:?} in {PATIENCE} seeds");
}

#[test]
fn acknowledging_before_it_is_durable_is_found() {
    is_found(Mutation::SyncsSkipped, "acknowledged and lost");
    is_found(Mutation::SyncsSkipped, "told as seq");
    is_found(Mutation::DiskSyncLies, "the server does not start: the store has reached position");
}

#[test]
fn giving_up_the_journal_before_the_store_is_durable_is_found() {
    is_found(Mutation::StoreSyncLies, "the server does not start: the journal begins at position");
}

#[test]
fn a_second_seq_for_a_message_id_is_found() {
    is_found(Mutation::IdsForgotten, "is there 2 times");
    is_found(Mutation::IdsForgotten, "has seq");
}

#[test]
fn positions_that_retreat_are_found() {
    is_found(Mutation::CursorsForgotten, "retreat");
}

#[test]
fn free_messages_that_are_lost_are_found() {
    is_found(Mutation::QueuesForgotten, "was never sent \"");
}

#[test]
fn what_is_published_twice_in_spite_of_qos_2_is_found() {
    is_found(Mutation::ReceivedForgotten, "is there 2 times");
}

#[test]
fn unread_counts_that_are_wrong_are_found() {
    is_found(Mutation::HeadsForgotten, "counted");
}

#[test]
fn messages_for_who_is_no_member_are_found() {
    is_found(Mutation::RemovalsForgotten, "was no member then");
}

#[test]
fn a_hole_in_a_log_is_found() {
    is_found(Mutation::LogForgotten, "a log is not dense");
}

#[test]
fn a_delivery_that_is_lost_is_found() {
    is_found(Mutation::DeliveryLost, "without seq");
    is_found(Mutation::DeliveryLost, "was never sent seq");
}

#[test]
fn deliveries_in_another_order_are_found() {
    is_found(Mutation::DeliveriesSwapped, "behind seq");
}

#[test]
fn a_message_that_says_something_else_is_found() {
    is_found(Mutation::DeliveryForged, "to others");
}
