//! The suite against Parlance, over each transport, judged strictly: nothing may fail, and nothing is left untried.

use parlance_conformance::{Endpoint, Options, Results, Target, Transport, Trust, Verdict, run};
use parlance_tests::{Port, Server};
use std::{env, net::SocketAddr, path::PathBuf, time::Duration};

/// The longest that the suite may take against one server.
const SUITE_TIMEOUT: Duration = Duration::from_secs(60);

/// A server with two more listeners of a transport.
struct Laboratory {
    server: Server,
    transport: Transport,
    /// Open to anybody.
    open: SocketAddr,
    /// With a login.
    messenger: SocketAddr,
    _ports: [Port; 2],
}

impl Laboratory {
    async fn start(transport: Transport) -> Self {
        // Reserved, so that no listener of the same server is given them. QUIC takes the same numbers of UDP.
        let ports = [Port::reserve(), Port::reserve()];
        let (open, messenger) = (ports[0].address, ports[1].address);
        let mut options = Server::options();
        for (profile, address) in [("open", open), ("messenger", messenger)] {
            options = options.config(format!(
                "[[listener]]\nname = \"{profile}\"\naddress = \"{address}\"\n\
                 transport = \"{transport}\"\nprofile = \"{profile}\""
            ));
        }
        Self { server: Server::start(options).await, transport, open, messenger, _ports: ports }
    }

    fn target(&self, address: SocketAddr) -> Target {
        let trust = self.server.ca_file();
        let endpoint = Endpoint::new(address, self.transport, Trust::Roots(&trust)).expect("an endpoint");
        Target { strict: true, ..Target::new(endpoint) }
    }

    /// All tests; those of enhanced authentication need an account, which the laboratory has not.
    async fn results(&self) -> Results {
        let mut results = run(&self.target(self.open), &Options::default()).await;
        assert!(results.took < SUITE_TIMEOUT, "the suite took {:?}", results.took);
        let token = self.server.user("conformance").await.token.into_bytes();
        let authentication = Some(("token".to_owned(), token));
        let target = Target { authentication, ..self.target(self.messenger) };
        for filter in ["MQTT-3.15.2-", "MQTT-4.12.0-2", "MQTT-4.12.0-4", "MQTT-4.12.0-5", "MQTT-4.12.1-"] {
            let options = Options { filter: Some(filter.to_owned()), ..Options::default() };
            results.complete(run(&target, &options).await);
        }
        results
    }
}

async fn conforms_over(transport: Transport) {
    let laboratory = Laboratory::start(transport).await;
    let results = laboratory.results().await;
    if let Some(folder) = env::var_os("CONFORMANCE_REPORTS") {
        let file = PathBuf::from(folder).join(format!("parlance-{transport}.json"));
        results.write_json(&file).unwrap_or_else(|error| panic!("{error}"));
    }
    let open: Vec<String> = results
        .tests
        .iter()
        .filter(|(_, verdict)| **verdict != Verdict::Pass)
        .map(|((version, name), verdict)| format!("{version}/{name}: {verdict}"))
        .collect();
    assert!(open.is_empty(), "over {transport}: {open:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tcp() {
    conforms_over(Transport::Tcp).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls() {
    conforms_over(Transport::Tls).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_websocket() {
    conforms_over(Transport::Ws).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_secure_websocket() {
    conforms_over(Transport::Wss).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_quic() {
    conforms_over(Transport::Quic).await;
}
