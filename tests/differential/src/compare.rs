//! Where two traces differ.

use std::collections::BTreeSet;

use parlance_mqtt::Version;

use crate::brokers::Peer;
use crate::script::Script;
use crate::trace::{Event, Stream, Trace};

/// One stream that is not the same.
#[derive(Debug, Clone)]
pub struct Difference<'a> {
    /// The other broker.
    pub peer: Peer,
    /// What was played.
    pub script: &'a Script,
    /// Which client.
    pub client: usize,
    /// Its how manieth connection.
    pub connection: usize,
    /// Protocol version of the client.
    pub version: Version,
    /// What of it.
    pub stream: Stream,
    /// With Parlance.
    pub ours: &'a [Event],
    /// With the other.
    pub theirs: &'a [Event],
}

/// All differences of two traces of one script, in the order of the connections.
pub fn differences<'a>(
    script: &'a Script,
    peer: Peer,
    ours: &'a Trace,
    theirs: &'a Trace,
) -> Vec<Difference<'a>> {
    let keys: BTreeSet<_> = [ours, theirs]
        .into_iter()
        .flat_map(|trace| &trace.connections)
        .flat_map(|(at, connection)| connection.streams.keys().map(move |stream| (*at, stream.clone())))
        .collect();
    let mut found = Vec::new();
    for ((client, connection), stream) in keys {
        let ours = events(ours, (client, connection), &stream);
        let theirs = events(theirs, (client, connection), &stream);
        if ours != theirs {
            let version = script.versions[client];
            found.push(Difference { peer, script, client, connection, version, stream, ours, theirs });
        }
    }
    found
}

fn events<'a>(trace: &'a Trace, at: (usize, usize), stream: &Stream) -> &'a [Event] {
    let connection = trace.connections.get(&at);
    connection.and_then(|connection| connection.streams.get(stream)).map_or(&[], Vec::as_slice)
}
