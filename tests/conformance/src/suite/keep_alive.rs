//! Keep Alive, PINGREQ.

use super::prelude::*;
use tokio::time::Instant;

tests! {
    silent_client_is_closed: ["3.1.2-24"] ["3.1.2-22" "3.2.2-22"];
    packets_keep_alive: ["3.1.2-24"] ["3.1.2-22"];
    keep_alive_0_is_off: ["3.1.2-24"] ["3.1.2-22"];
    pingreq_is_answered: ["3.12.4-1"] ["3.12.4-1"];
}

const KEEP_ALIVE_S: u16 = 2;

/// Connects with Keep Alive; a server may have its own.
async fn connect(cx: &Context, mut connect: Connect) -> Outcome<Client> {
    connect.keep_alive_s = KEEP_ALIVE_S;
    let (client, connack) = cx.accepted(connect).await?;
    match connack.properties.server_keep_alive_s {
        Some(other) if other != KEEP_ALIVE_S => unsupported!("the server sets Keep Alive to {other} s"),
        _ => Ok(client),
    }
}

async fn silent_client_is_closed(cx: &Context) -> Outcome {
    let topic = cx.topic("w");
    let mut subscriber = cx.subscriber(&topic, AtMostOnce).await?;
    let will = Some(will(&topic, "lost", AtMostOnce));
    let mut client = connect(cx, Connect { will, ..cx.clean() }).await?;
    let began = Instant::now();
    client.closed_with(&[ReasonCode::KeepAliveTimeout]).await?;
    let passed = began.elapsed();
    let earliest = Duration::from_millis(1_500 * u64::from(KEEP_ALIVE_S) - 100);
    ensure!(passed >= earliest, "closed after {passed:?}, one and a half Keep Alive is 3 s");
    // How coarse a timer may be is not said: beyond strictness, the wait for the end is the limit.
    let latest = Duration::from_millis(2_000 * u64::from(KEEP_ALIVE_S));
    ensure!(
        passed <= latest || !cx.target.strict,
        "closed after {passed:?}, one and a half Keep Alive is 3 s"
    );
    // As if the network had failed.
    subscriber.receive_payload("lost").await?;
    Ok(())
}

async fn packets_keep_alive(cx: &Context) -> Outcome {
    let mut client = connect(cx, cx.clean()).await?;
    let pause = Duration::from_millis(1_800);
    for _ in 0..2 {
        client.silent_for(pause).await?;
        client.ping().await?;
        // Packets without an answer count as well.
        client.silent_for(pause).await?;
        client.publish(&cx.topic("t"), "x", AtMostOnce).await?;
    }
    client.silent_for(pause).await?;
    client.ping().await
}

async fn keep_alive_0_is_off(cx: &Context) -> Outcome {
    let (mut client, connack) = cx.accepted(Connect { keep_alive_s: 0, ..cx.clean() }).await?;
    // A server may turn it on again; then it has to say so.
    let seconds = connack.properties.server_keep_alive_s.map_or(5, |seconds| seconds.min(5));
    client.silent_for(Duration::from_secs(seconds.into())).await?;
    client.ping().await
}

async fn pingreq_is_answered(cx: &Context) -> Outcome {
    let mut client = cx.connect().await?;
    for _ in 0..5 {
        client.ping().await?;
    }
    // Each one its own answer, in one burst.
    client.raw(&[0xC0, 0].repeat(5)).await?;
    for n in 0..5 {
        let packet = client.next().await?;
        ensure!(matches!(packet, Some(Packet::PingResp)), "PINGRESP {n} expected, {}", seen(packet.as_ref()));
    }
    client.silent_for(Duration::from_millis(200)).await
}
