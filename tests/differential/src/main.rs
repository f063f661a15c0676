//! `cargo run -p parlance-differential -- --scripts 2000`: the table for docs/differential.md.

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;
use parlance_differential::{Peer, PeerError, Peers, Place, run};
use parlance_tests::Server;

/// Random scripts of packets against Parlance, mosquitto and rumqttd.
#[derive(Parser)]
struct Options {
    /// How many.
    #[arg(long, default_value_t = 2_000)]
    scripts: u64,
    /// Number of the first one.
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// Stop after so many differences that nothing explains.
    #[arg(long, default_value_t = 20)]
    unexplained_max: usize,
    /// Compare this broker in the place of Parlance, at its address.
    #[arg(long)]
    ours: Option<SocketAddr>,
    /// Compare rumqttd with mosquitto, without Parlance: to see what the rules would have to say.
    #[arg(long)]
    peers_only: bool,
    /// Only this peer: mosquitto or rumqttd.
    #[arg(long)]
    peer: Option<String>,
    /// Show the script of `first`, and play nothing.
    #[arg(long)]
    show: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    if options.show {
        println!("{:#?}", parlance_differential::Script::of(options.first));
        return ExitCode::SUCCESS;
    }
    let started: Result<Vec<Peers>, PeerError> = {
        let wanted = |peer: &Peer| options.peer.as_deref().is_none_or(|name| name == peer.name());
        Peer::ALL.into_iter().filter(wanted).map(Peers::start).collect()
    };
    let mut peers = match started {
        Ok(peers) => peers,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut kept = None;
    let mut server = None;
    let ours = match options.ours {
        Some(address) => Place::of(address),
        None if options.peers_only => kept.insert(peers.remove(0)).place,
        None => Place::of(server.insert(Server::start(Server::options().open()).await).open()),
    };
    let numbers = options.first..options.first + options.scripts;
    let report =
        tokio::task::spawn_blocking(move || run(numbers, ours, &peers, options.unexplained_max)).await;
    match report {
        Ok(report) => {
            println!("{report}");
            if report.unexplained.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
