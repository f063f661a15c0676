"""paho-mqtt in the fleet: the line protocol of ../README.md."""

import paho.mqtt.client as mqtt

import fleet

client = None
leaving = False


def on_connect(client, userdata, flags, reason, properties):
    if reason.is_failure:
        fleet.say("error", text=str(reason))
    else:
        fleet.say("connected")


def on_disconnect(client, userdata, flags, reason, properties):
    fleet.say("disconnected" if leaving else "lost")


def on_subscribe(client, userdata, mid, reasons, properties):
    fleet.say("subscribed", code=reasons[0].value)


def on_unsubscribe(client, userdata, mid, reasons, properties):
    fleet.say("unsubscribed")


def on_publish(client, userdata, mid, reason, properties):
    if reason.is_failure:
        fleet.say("error", text=str(reason))
    else:
        fleet.say("published")


def on_message(client, userdata, message):
    properties = getattr(message, "properties", None)
    fleet.message(message.topic, message.payload, message.qos, message.retain, properties)


def make(order):
    clean = None if order["version"] == 5 else order["clean"]
    client = mqtt.Client(
        mqtt.CallbackAPIVersion.VERSION2,
        client_id=order["id"],
        clean_session=clean,
        protocol=fleet.protocol(order),
        reconnect_on_failure=False,
    )
    client.username_pw_set(order["user"], order["password"])
    for name in ("connect", "disconnect", "subscribe", "unsubscribe", "publish", "message"):
        setattr(client, f"on_{name}", globals()[f"on_{name}"])
    return client


def connect(order):
    global client, leaving
    leaving = False
    client = client or make(order)
    if "will" in order:
        will = order["will"]
        client.will_set(will["topic"], will["payload"], will["qos"], will["retain"])
    # The network thread of a connection that ended has to be gone before the next one starts.
    client.loop_stop()
    more = {"clean_start": order["clean"], "properties": fleet.connect_properties(order)}
    client.connect(order["host"], order["port"], order["keepAlive"], **(more if order["version"] == 5 else {}))
    client.loop_start()


def publish(order):
    sent = client.publish(
        order["topic"], fleet.payload(order), order["qos"], order["retain"], fleet.publish_properties(order)
    )
    # A lost connection is told by on_disconnect; the message stays in the client.
    if sent.rc not in (mqtt.MQTT_ERR_SUCCESS, mqtt.MQTT_ERR_NO_CONN):
        fleet.say("error", text=mqtt.error_string(sent.rc))


for order in fleet.orders():
    try:
        match order["do"]:
            case "connect":
                connect(order)
            case "subscribe":
                client.subscribe(order["filter"], order["qos"], properties=fleet.subscribe_properties(order))
            case "unsubscribe":
                client.unsubscribe(order["filter"])
            case "publish":
                publish(order)
            case "disconnect":
                leaving = True
                client.disconnect()
    except Exception as error:
        fleet.say("error", text=repr(error))
