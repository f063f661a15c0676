//! The order of messages and of acknowledgements.

use super::prelude::*;

tests! {
    messages_come_in_order: ["4.6.0-5" "4.6.0-6"] ["4.6.0-5" "4.6.0-6"];
    queued_messages_come_in_order: ["4.6.0-6"] ["4.6.0-5" "4.6.0-6"];
    acknowledgements_come_in_order: ["4.6.0-2" "4.6.0-3" "4.6.0-4"] [];
}

const MESSAGES: usize = 100;

fn in_order(came: &[Publish]) -> Outcome {
    let came = payloads(came);
    let expected: Vec<String> = (0..came.len()).map(|n| n.to_string()).collect();
    ensure!(came == expected, "the order is {came:?}");
    Ok(())
}

/// Several publishers at once, each on its own topic, to one subscriber and by every QoS.
async fn messages_come_in_order(cx: &Context) -> Outcome {
    let mut subscriber = cx.subscriber(&cx.topic("+"), ExactlyOnce).await?;
    for qos in EVERY_QOS {
        let mut publishers = [cx.connect().await?, cx.connect().await?, cx.connect().await?];
        for n in 0..MESSAGES {
            for (p, publisher) in publishers.iter_mut().enumerate() {
                // Sent without waiting, so that many are on their way at once.
                let number = u16::try_from(n + 1).unwrap_or(1);
                let packet_id = (qos != AtMostOnce).then(|| id(number));
                let topic = cx.topic(&format!("t{p}"));
                let publish = Publish { packet_id, ..message(&topic, n.to_string(), qos) };
                publisher.send(&Packet::Publish(publish)).await?;
                if n % 10 == 9 {
                    drain(publisher, qos, number - 9).await?;
                }
            }
        }
        let came = subscriber.receive_many(3 * MESSAGES).await?;
        for p in 0..3 {
            let topic = topic_name(&cx.topic(&format!("t{p}")));
            let of_topic: Vec<Publish> =
                came.iter().filter(|message| message.topic.as_ref() == Some(&topic)).cloned().collect();
            ensure!(of_topic.len() == MESSAGES, "{} messages came on {topic}", of_topic.len());
            in_order(&of_topic)?;
        }
    }
    subscriber.silent().await
}

/// Completes ten exchanges that were begun.
async fn drain(publisher: &mut Client, qos: QoS, from: u16) -> Outcome {
    for number in from..from + 10 {
        match qos {
            AtMostOnce => return Ok(()),
            AtLeastOnce => publisher.puback(id(number)).await.map(drop)?,
            ExactlyOnce => publisher.pubrec(id(number)).await.map(drop)?,
        }
    }
    if qos == ExactlyOnce {
        for number in from..from + 10 {
            publisher.send(&Packet::PubRel(Ack::success(id(number)))).await?;
        }
        for number in from..from + 10 {
            publisher.pubcomp(id(number)).await?;
        }
    }
    Ok(())
}

async fn queued_messages_come_in_order(cx: &Context) -> Outcome {
    for (n, qos) in [AtLeastOnce, ExactlyOnce].into_iter().enumerate() {
        let (client_id, topic) = (cx.client_id(), cx.topic(&format!("t{n}")));
        cx.leave_session(&client_id, &topic, qos).await?;
        let mut publisher = cx.connect().await?;
        for n in 0..MESSAGES / 2 {
            publisher.publish(&topic, n.to_string(), qos).await?;
        }
        let mut client = cx.session(&client_id, true).await?;
        // More while the queue is read.
        for n in MESSAGES / 2..MESSAGES {
            publisher.publish(&topic, n.to_string(), qos).await?;
        }
        in_order(&client.receive_many(MESSAGES).await?)?;
        client.silent().await?;
        client.disconnect().await?;
    }
    Ok(())
}

/// The rules for a client that sends, kept by a server that receives and sends.
async fn acknowledgements_come_in_order(cx: &Context) -> Outcome {
    let topic = cx.topic("t");
    let mut client = cx.connect().await?;
    for (qos, base) in [(AtLeastOnce, 0), (ExactlyOnce, 100)] {
        for number in 1..=20 {
            let publish = Publish { packet_id: Some(id(base + number)), ..message(&topic, "x", qos) };
            client.send(&Packet::Publish(publish)).await?;
        }
        for number in 1..=20 {
            match qos {
                AtLeastOnce => client.puback(id(base + number)).await.map(drop)?,
                _ => client.pubrec(id(base + number)).await.map(drop)?,
            }
        }
    }
    // PUBRELs of the server in the order of the PUBRECs, which is not that of the messages.
    let mut subscriber = cx.subscriber(&topic, ExactlyOnce).await?;
    for n in 0..6 {
        cx.publish(&topic, n.to_string(), ExactlyOnce).await?;
    }
    let mut ids = Vec::new();
    for _ in 0..6 {
        let Some(packet_id) = subscriber.delivery().await?.packet_id else { violation!("no packet id") };
        ids.insert(ids.len() / 2, packet_id);
    }
    for packet_id in &ids {
        subscriber.send(&Packet::PubRec(Ack::success(*packet_id))).await?;
    }
    for packet_id in ids {
        subscriber.pubrel(packet_id).await?;
    }
    Ok(())
}
