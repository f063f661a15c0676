//! Free topics: what their tests share.

use parlance_tests::{
    Client, Device, Server,
    mqtt::{QoS, RetainHandling, SubscribeFilter, TopicFilter},
};

/// A server with a listener that is open to all.
pub(crate) async fn lab() -> Server {
    Server::start(Server::options().open()).await
}

/// A device that connects there.
pub(crate) fn device(server: &Server, client_id: &str) -> Device {
    Device::new(client_id).at(server.open())
}

/// A filter without special options.
pub(crate) fn filter(filter: &str, qos: QoS) -> SubscribeFilter {
    SubscribeFilter {
        filter: TopicFilter::new(filter.to_owned()).unwrap_or_else(|error| panic!("{filter}: {error}")),
        qos,
        no_local: false,
        retain_as_published: false,
        retain_handling: RetainHandling::Send,
    }
}

/// A connected device with one subscription of the greatest QoS.
pub(crate) async fn subscribed(device: &Device, topics: &str) -> Client {
    let mut client = device.connect_open().await;
    let code = client.try_subscribe(topics, QoS::ExactlyOnce).await;
    assert!(!code.is_error(), "{topics}: {code}");
    client
}

/// The payloads of the next `count` deliveries.
pub(crate) async fn payloads(client: &mut Client, count: usize) -> Vec<String> {
    client.next_many(count).await.iter().map(|delivery| delivery.text().to_owned()).collect()
}
