//! Whoever guesses passwords waits: by account, and by address. Tokens serve meanwhile.

use super::way::{WAYS, Way};
use parlance_tests::{
    Broker, Device, PATIENCE, Server, User, eventually,
    mqtt::{ReasonCode, Version},
};
use reqwest::{Method, StatusCode, header::RETRY_AFTER};
use serde_json::json;

/// Failures of one account that cost nothing, and of one address.
const FREE_ACCOUNT: usize = 5;
const FREE_ADDRESS: usize = 50;
/// Failures are counted as attempts begin: the one that is over the limit is tried, the next one waits.
const OVER: usize = 1;
/// The waits double: by so many failures they are longer than what a test takes. Far below what an address has free.
const LONG: usize = FREE_ACCOUNT + 6;

/// A login over MQTT; `None`: let in.
async fn connect(broker: &Broker, way: Way, name: &str, secret: &str, anybody: &User) -> Option<ReasonCode> {
    let device = way.device("guess").login(Some(name), Some(secret));
    device.try_connect(broker, anybody).await.err().map(|closed| closed.reason().expect("a CONNACK"))
}

/// A login over HTTP: the status, and when to come back.
async fn login(broker: &Broker, name: &str, password: &str) -> (StatusCode, Option<u64>) {
    let request = json!({"handle": name, "password": password});
    let sent = broker.request(Method::POST, "/login").json(&request).send().await.expect("an answer");
    let retry_after = sent.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    (sent.status(), retry_after)
}

/// Guesses until the account waits for some seconds; answers for how many.
async fn slow_down(broker: &Broker, name: &str, seconds_min: u64) -> u64 {
    let mut wrong = 0;
    eventually(PATIENCE, "guessing is slowed down for long", async || {
        let (status, retry_after) = login(broker, name, "a wrong password").await;
        match status {
            StatusCode::UNAUTHORIZED => {
                assert_eq!(retry_after, None);
                wrong += 1;
                assert!(wrong <= LONG, "{wrong} guesses and no long wait");
                None
            }
            StatusCode::TOO_MANY_REQUESTS => {
                Some(retry_after.expect("Retry-After")).filter(|seconds| *seconds >= seconds_min)
            }
            other => panic!("{other}"),
        }
    })
    .await
}

fn throttled(version: Version) -> ReasonCode {
    // 3.1.1 has no word for it: "server unavailable" lets a client come back.
    if version == Version::V3 { ReasonCode::ServerUnavailable } else { ReasonCode::QuotaExceeded }
}

/// Those who have a token, or another account, do not notice.
async fn others_come_in(broker: &Broker, alice: &User) {
    for way in WAYS {
        let device = way.device("own");
        device.connect(broker, alice).await.disconnect().await;
    }
    broker.call(&alice.token, "me", json!({})).await;
}

#[tokio::test]
async fn guessing_at_an_account_waits() {
    let server = Server::start(Server::options()).await;
    let (alice, bob) = (server.register("alice").await, server.register("bob").await);
    let right = alice.password.as_deref().expect("registered");
    let all_ways = WAYS.into_iter().cycle();
    for (guess, way) in (0..FREE_ACCOUNT + OVER).zip(all_ways) {
        let refused = connect(&server, way, "alice", "a wrong password", &alice).await;
        assert_eq!(refused, Some(ReasonCode::BadUserNameOrPassword), "guess {guess} over {way:?}");
    }
    slow_down(&server, "alice", 8).await;
    // The right password waits as well, or one would know it from a wrong one; however the account is written.
    let id = alice.id.to_string();
    for way in WAYS {
        for name in ["alice", "@alice", "ALICE", &id] {
            let refused = connect(&server, way, name, right, &alice).await;
            assert_eq!(refused, Some(throttled(way.version)), "{name} over {way:?}");
        }
    }
    others_come_in(&server, &alice).await;
    let secret = bob.password.as_deref().expect("registered");
    assert_eq!(connect(&server, WAYS[0], "bob", secret, &bob).await, None, "another account");
    eventually(PATIENCE, "the right password serves again", async || {
        connect(&server, WAYS[1], "alice", right, &alice).await.is_none().then_some(())
    })
    .await;
}

/// The same count over HTTP and MQTT, with problem document and `Retry-After`.
#[tokio::test]
async fn guessing_over_http_is_told_when_to_come_back() {
    let server = Server::start(Server::options()).await;
    let alice = server.register("alice").await;
    let retry_after = slow_down(&server, "alice", 4).await;
    assert!(retry_after <= 300);
    let right = alice.password.as_deref().expect("registered");
    assert_eq!(login(&server, "@alice", right).await.0, StatusCode::TOO_MANY_REQUESTS);
    let problem = server.try_call("", "login", json!({"handle": "alice", "password": right})).await;
    let problem = problem.expect_err("throttled");
    assert_eq!((&*problem.code, problem.status), ("throttled", 429));
    assert_eq!(connect(&server, WAYS[1], "alice", right, &alice).await, Some(ReasonCode::QuotaExceeded));
    // An account's own token is no way round: its old password is a guess as well.
    let change = json!({"oldPassword": "a wrong password", "newPassword": "another password"});
    let problem =
        server.try_call(&alice.token, "changePassword", change.clone()).await.expect_err("throttled");
    assert_eq!(problem.code, "throttled");
    let mut phone = Device::new("phone").connect(&server, &alice).await;
    phone.subscribe("me/json/reply/#").await;
    phone.publish("rpc/changePassword", change.to_string()).await;
    assert_eq!(phone.next().await.json()["code"], "throttled");
    others_come_in(&server, &alice).await;
}

/// One guess at each of many accounts: the address waits.
#[tokio::test]
async fn guessing_from_an_address_waits() {
    let server = Server::start(Server::options()).await;
    let alice = server.register("alice").await;
    let right = alice.password.as_deref().expect("registered");
    let mut failures = 0;
    let mut ways = WAYS.into_iter().cycle();
    let waits = eventually(PATIENCE * 4, "the address is slowed down for long", async || {
        let name = format!("account{failures}");
        let way = ways.next().expect("a cycle");
        match connect(&server, way, &name, "a wrong password", &alice).await {
            Some(ReasonCode::BadUserNameOrPassword) => {
                failures += 1;
                None
            }
            Some(reason) => {
                assert_eq!(reason, throttled(way.version), "over {way:?}");
                assert!(failures > FREE_ADDRESS, "after {failures} failures");
                let (status, retry_after) = login(&server, "nobody", "a wrong password").await;
                failures += usize::from(status == StatusCode::UNAUTHORIZED);
                retry_after.filter(|seconds| *seconds >= 8)
            }
            None => panic!("{name} was let in"),
        }
    })
    .await;
    assert!(waits <= 900);
    assert_eq!(connect(&server, WAYS[1], "alice", right, &alice).await, Some(ReasonCode::QuotaExceeded));
    assert_eq!(login(&server, "alice", right).await.0, StatusCode::TOO_MANY_REQUESTS);
    others_come_in(&server, &alice).await;
}
