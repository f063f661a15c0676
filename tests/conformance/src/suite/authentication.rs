//! Enhanced authentication (5). Most of it needs a method that the server accepts; the suite is told one or not.

use super::prelude::*;
use parlance_mqtt::Auth;

tests! {
    unknown_method: [] ["3.1.4-2" "3.2.2-7" "4.12.0-1" "4.13.2-1"];
    no_method_no_auth: [] ["4.12.0-6"];
    auth_without_method: [] ["4.12.0-7"];
    auth_flags: [] ["3.15.1-1"];
    exchange: [] ["3.15.2-1" "4.12.0-2" "4.12.0-5"];
    small_auth: [] ["3.15.2-2" "3.15.2-3"];
    wrong_authentication_data: [] ["4.12.0-4"];
    reauthentication: [] ["4.12.0-5"];
    reauthentication_by_another_method: [] ["4.12.1-1"];
    failed_reauthentication: [] ["4.12.1-2"];
}

async fn unknown_method(cx: &Context) -> Outcome {
    let connect = Connect { authentication_method: Some("no such method".into()), ..cx.clean() };
    let mut client = cx.open().await?;
    client.send(&Packet::Connect(Box::new(connect))).await?;
    match client.next().await? {
        Some(Packet::ConnAck(connack)) => {
            let reasons = [ReasonCode::BadAuthenticationMethod, ReasonCode::NotAuthorized];
            ensure!(reasons.contains(&connack.reason), "CONNACK {}", connack.reason);
            client.closed().await?;
            Ok(())
        }
        None => Ok(()),
        other => violation!("a refusal expected, {}", seen(other.as_ref())),
    }
}

async fn no_method_no_auth(cx: &Context) -> Outcome {
    let (mut client, connack) = cx.accepted(cx.clean()).await?;
    let method = connack.properties.authentication_method;
    ensure!(method.is_none(), "Authentication Method {method:?} for a client that named none");
    client.silent().await
}

async fn auth_without_method(cx: &Context) -> Outcome {
    let method = wire::field("no such method");
    let properties = [&[0x15][..], &method].concat();
    for reason in [0x18, 0x19] {
        let mut body = vec![reason];
        wire::varint(&mut body, properties.len());
        body.extend_from_slice(&properties);
        cx.rejects(
            &wire::packet(0xF0, &body),
            &[ReasonCode::ProtocolError, ReasonCode::BadAuthenticationMethod],
        )
        .await?;
    }
    Ok(())
}

async fn auth_flags(cx: &Context) -> Outcome {
    let properties = [&[0x15][..], &wire::field("m")].concat();
    let mut body = vec![0x19];
    wire::varint(&mut body, properties.len());
    body.extend_from_slice(&properties);
    for first in [0xF1, 0xF2, 0xF8] {
        cx.rejects(&wire::packet(first, &body), MALFORMED).await?;
    }
    Ok(())
}

/// The method, and the data of the first step.
fn method(cx: &Context) -> Outcome<(Bytes, Bytes)> {
    match &cx.target.authentication {
        Some((method, data)) => Ok((method.clone().into(), data.clone().into())),
        None => unsupported!("no Authentication Method of this server is known"),
    }
}

/// Goes through the exchange of a CONNECT; every AUTH of the server is judged.
async fn authenticate(cx: &Context, maximum_packet_size: Option<u32>) -> Outcome<(Client, Bytes, Bytes)> {
    let (method, data) = method(cx)?;
    let connect = Connect {
        authentication_method: Some(method.clone()),
        authentication_data: Some(data.clone()),
        maximum_packet_size,
        ..cx.clean()
    };
    let mut client = cx.open().await?;
    client.limit(maximum_packet_size);
    client.send(&Packet::Connect(Box::new(connect))).await?;
    loop {
        match client.next().await? {
            Some(Packet::Auth(auth)) => {
                continues(&auth, &method)?;
                client.send(&step(ReasonCode::ContinueAuthentication, &method, &data)).await?;
            }
            Some(Packet::ConnAck(connack)) => {
                ensure!(connack.reason == ReasonCode::Success, "CONNACK {}", connack.reason);
                let named = connack.properties.authentication_method;
                ensure!(named.as_ref() == Some(&method), "CONNACK names the method {named:?}");
                return Ok((client, method, data));
            }
            other => violation!("AUTH or CONNACK expected, {}", seen(other.as_ref())),
        }
    }
}

fn step(reason: ReasonCode, method: &Bytes, data: &Bytes) -> Packet {
    Packet::Auth(Auth {
        reason,
        method: Some(method.clone()),
        data: Some(data.clone()),
        reason_string: None,
        user_properties: Vec::new(),
    })
}

fn continues(auth: &Auth, method: &Bytes) -> Outcome {
    ensure!(auth.reason == ReasonCode::ContinueAuthentication, "AUTH {} in an exchange", auth.reason);
    ensure!(auth.method.as_ref() == Some(method), "AUTH names the method {:?}", auth.method);
    Ok(())
}

async fn exchange(cx: &Context) -> Outcome {
    let (mut client, ..) = authenticate(cx, None).await?;
    client.ping().await
}

/// A limit with room for what an AUTH must have.
async fn small_auth(cx: &Context) -> Outcome {
    let (method, data) = method(cx)?;
    let room = u32::try_from(method.len() + data.len()).unwrap_or(u32::MAX).saturating_add(64);
    let (mut client, method, data) = authenticate(cx, Some(room)).await?;
    client.send(&step(ReasonCode::ReAuthenticate, &method, &data)).await?;
    client.next().await?;
    Ok(())
}

async fn wrong_authentication_data(cx: &Context) -> Outcome {
    let (method, _) = method(cx)?;
    let wrong = Bytes::from_static(b"wrong");
    let connect = Connect {
        authentication_method: Some(method.clone()),
        authentication_data: Some(wrong.clone()),
        ..cx.clean()
    };
    let mut client = cx.open().await?;
    client.send(&Packet::Connect(Box::new(connect))).await?;
    loop {
        match client.next().await? {
            Some(Packet::Auth(auth)) => {
                continues(&auth, &method)?;
                client.send(&step(ReasonCode::ContinueAuthentication, &method, &wrong)).await?;
            }
            Some(Packet::ConnAck(connack)) => {
                ensure!(connack.reason.is_error(), "wrong data is accepted");
                client.closed().await?;
                return Ok(());
            }
            None => return Ok(()),
            other => violation!("a refusal expected, {}", seen(other.as_ref())),
        }
    }
}

async fn reauthentication(cx: &Context) -> Outcome {
    let (mut client, method, data) = authenticate(cx, None).await?;
    client.send(&step(ReasonCode::ReAuthenticate, &method, &data)).await?;
    loop {
        match client.answer().await? {
            Some(Packet::Auth(auth)) if auth.reason == ReasonCode::Success => {
                ensure!(auth.method.as_ref() == Some(&method), "AUTH names the method {:?}", auth.method);
                return client.ping().await;
            }
            Some(Packet::Auth(auth)) => {
                continues(&auth, &method)?;
                client.send(&step(ReasonCode::ContinueAuthentication, &method, &data)).await?;
            }
            other => violation!("AUTH expected, {}", seen(other.as_ref())),
        }
    }
}

async fn reauthentication_by_another_method(cx: &Context) -> Outcome {
    let (mut client, _, data) = authenticate(cx, None).await?;
    client.send(&step(ReasonCode::ReAuthenticate, &"another".into(), &data)).await?;
    let reasons = [ReasonCode::ProtocolError, ReasonCode::BadAuthenticationMethod, ReasonCode::NotAuthorized];
    client.closed_with(&reasons).await
}

async fn failed_reauthentication(cx: &Context) -> Outcome {
    let (mut client, method, _) = authenticate(cx, None).await?;
    client.send(&step(ReasonCode::ReAuthenticate, &method, &"wrong".into())).await?;
    match client.closed().await? {
        Some(disconnect) => ensure!(disconnect.reason.is_error(), "DISCONNECT {}", disconnect.reason),
        None => ensure!(!cx.target.strict, "closed without a DISCONNECT"),
    }
    Ok(())
}
