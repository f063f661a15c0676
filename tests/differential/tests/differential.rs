//! A short run: the same scripts every time, so that what fails here fails again.

use parlance_differential::{Peer, Peers, Place, run};
use parlance_tests::Server;

/// Scripts of the run against mosquitto; rumqttd, which is started for each, gets a quarter of them.
const SCRIPTS: u64 = 160;

#[tokio::test(flavor = "multi_thread")]
async fn differences_are_explained() {
    let server = Server::start(Server::options().open()).await;
    let ours = Place::of(server.open());
    let reports = tokio::task::spawn_blocking(move || {
        [(Peer::Mosquitto, SCRIPTS), (Peer::Rumqttd, SCRIPTS / 4)].map(|(peer, scripts)| {
            let peer = Peers::start(peer).unwrap_or_else(|error| panic!("{error}"));
            let report = run(1..1 + scripts, ours, &[peer], 5);
            assert!(report.scripts >= scripts || !report.unexplained.is_empty());
            report
        })
    });
    for report in reports.await.expect("the scripts are played") {
        assert!(report.unexplained.is_empty(), "{report}");
        assert!(!report.explained.is_empty(), "brokers that never differ were not compared");
    }
}
