//! Client identifiers, and who takes over from whom.

use super::{data::context, prelude::*};
use crate::wire::{RawConnect, flag};
use uuid::Uuid;

tests! {
    client_ids_that_are_always_allowed: ["3.1.3-5"] ["3.1.3-5"];
    client_id_is_utf8: ["3.1.3-4"] ["3.1.3-4"];
    empty_client_id: ["3.1.3-6"] ["3.1.3-6" "3.1.3-7" "3.2.2-16"];
    empty_client_id_without_clean_session: ["3.1.3-7" "3.1.3-8"] [];
    rejected_client_id: ["3.1.3-9"] ["3.1.3-8"];
    user_name_is_utf8: ["3.1.3-11"] ["3.1.3-12"];
    will_topic_is_utf8: ["3.1.3-10"] ["3.1.3-11"];
    sessions_belong_to_client_ids: ["3.1.3-2"] ["3.1.3-2"];
    takeover: ["3.1.4-2"] ["3.1.4-3"];
}

async fn client_ids_that_are_always_allowed(cx: &Context) -> Outcome {
    const ALPHABET: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let random = Uuid::new_v4().into_bytes();
    let letter = |n: usize| char::from(ALPHABET[(usize::from(random[n % 16]) + n) % ALPHABET.len()]);
    // 23 characters, three times, so that every character of the alphabet is used.
    let mut ids: Vec<String> =
        ALPHABET.chunks(19).map(|part| String::from_utf8_lossy(part).into_owned()).collect();
    ids.iter_mut().for_each(|id| id.extend((0..23 - id.len()).map(letter)));
    ids.push(letter(5).to_string());
    for client_id in ids {
        let connected = cx.accepted(Connect { client_id: client_id.clone().into(), ..cx.clean() }).await;
        let (client, _) = connected.map_err(|failure| context(failure, &client_id))?;
        client.disconnect().await?;
    }
    Ok(())
}

async fn client_id_is_utf8(cx: &Context) -> Outcome {
    for bad in [&b"a\xED\xA0\x80"[..], b"a\xC0\xAF", b"a\xFF", b"a\0b"] {
        let refused = cx.refused(&RawConnect::new(cx.version, bad).bytes()).await;
        let connack = refused.map_err(|failure| context(failure, &format!("client id {bad:02X?}")))?;
        let reasons = [ReasonCode::MalformedPacket, ReasonCode::ClientIdentifierNotValid];
        if let Some(connack) = connack {
            ensure!(reasons.contains(&connack.reason), "CONNACK {} for client id {bad:02X?}", connack.reason);
        }
    }
    Ok(())
}

async fn empty_client_id(cx: &Context) -> Outcome {
    let empty = || Connect { client_id: Bytes::new(), ..cx.clean() };
    let mut client = cx.open().await?;
    let connack = client.handshake(empty()).await?;
    if connack.reason == ReasonCode::ClientIdentifierNotValid {
        unsupported!("a client id is wanted");
    }
    ensure!(connack.reason == ReasonCode::Success, "CONNACK {} for an empty client id", connack.reason);
    // Two at once: were they the same client, the first would be closed.
    let (mut other, other_connack) = cx.accepted(empty()).await?;
    other.ping().await?;
    client.ping().await?;
    if !cx.is_v5() {
        return Ok(());
    }
    let assigned = connack.properties.assigned_client_id;
    let Some(client_id) = assigned.clone() else { violation!("no Assigned Client Identifier") };
    ensure!(!client_id.is_empty(), "the Assigned Client Identifier is empty");
    ensure!(assigned != other_connack.properties.assigned_client_id, "two clients are assigned the same id");
    // It is a client id like any other: it can be taken over.
    let (mut third, _) = cx.accepted(Connect { client_id, ..cx.clean() }).await?;
    third.ping().await?;
    client.closed_with(&[ReasonCode::SessionTakenOver]).await?;
    other.ping().await?;
    let (_, named) = cx.accepted(cx.clean()).await?;
    let named = named.properties.assigned_client_id;
    ensure!(named.is_none(), "{named:?} is assigned to a client that has an id");
    Ok(())
}

async fn empty_client_id_without_clean_session(cx: &Context) -> Outcome {
    let mut connect = RawConnect::new(cx.version, "");
    connect.flags &= !flag::CLEAN;
    let mut client = cx.open().await?;
    client.raw(&connect.bytes()).await?;
    let answer = client.any_bytes().await?;
    ensure!(answer == [0x20, 2, 0, 2][..], "{answer:02X?} in the place of CONNACK 0x02 and the end");
    Ok(())
}

/// No id must be rejected. The longest there is, is one that a server with any limit rejects.
async fn rejected_client_id(cx: &Context) -> Outcome {
    let connect = RawConnect::new(cx.version, "x".repeat(65_535)).bytes();
    let mut client = cx.open().await?;
    client.raw(&connect).await?;
    match client.next().await? {
        Some(Packet::ConnAck(connack)) if connack.reason == ReasonCode::Success => {
            client.disconnect().await?;
            unsupported!("no client id is rejected, not even one of 65,535 bytes")
        }
        Some(Packet::ConnAck(connack)) => {
            let too_large = cx.is_v5() && connack.reason == ReasonCode::PacketTooLarge;
            ensure!(
                connack.reason == ReasonCode::ClientIdentifierNotValid || too_large,
                "CONNACK {} for a client id that is not wanted",
                connack.reason
            );
            client.closed().await?;
            Ok(())
        }
        None if cx.is_v5() => Ok(()),
        other => {
            violation!("CONNACK 0x02 expected for a client id that is not wanted, {}", seen(other.as_ref()))
        }
    }
}

async fn user_name_is_utf8(cx: &Context) -> Outcome {
    for bad in [&b"a\xED\xA0\x80"[..], b"a\xFF", b"a\0b"] {
        let connect = RawConnect::new(cx.version, cx.client_id()).flags(flag::USER_NAME).with(bad);
        let refused = cx.refused(&connect.bytes()).await;
        refused.map_err(|failure| context(failure, &format!("user name {bad:02X?}")))?;
    }
    Ok(())
}

async fn will_topic_is_utf8(cx: &Context) -> Outcome {
    for bad in [&b"\xED\xA0\x80"[..], b"\xFF", b"\0"] {
        let topic = [cx.topic("a").as_bytes(), bad].concat();
        let connect = RawConnect::new(cx.version, cx.client_id()).will(topic, b"w");
        let refused = cx.refused(&connect.bytes()).await;
        refused.map_err(|failure| context(failure, &format!("will topic ending in {bad:02X?}")))?;
    }
    Ok(())
}

/// Ids that differ by little are different clients.
async fn sessions_belong_to_client_ids(cx: &Context) -> Outcome {
    let client_id = cx.client_id();
    let topic = cx.topic("t");
    cx.leave_session(&client_id, &topic, AtLeastOnce).await?;
    for other in [client_id.to_uppercase(), format!("{client_id}x"), format!("{client_id} ")] {
        cx.session(&other, false).await?.disconnect().await?;
    }
    cx.publish(&topic, "mine", AtLeastOnce).await?;
    let mut client = cx.session(&client_id, true).await?;
    client.receive_payload("mine").await?;
    client.disconnect().await
}

async fn takeover(cx: &Context) -> Outcome {
    for connect in [cx.clean(), cx.lasting(&cx.client_id())] {
        let (mut first, _) = cx.accepted(connect.clone()).await?;
        first.ping().await?;
        let (mut second, _) = cx.accepted(connect).await?;
        first.closed_with(&[ReasonCode::SessionTakenOver]).await?;
        second.ping().await?;
    }
    Ok(())
}
