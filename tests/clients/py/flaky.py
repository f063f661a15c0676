"""A member of conversations on paho-mqtt that stays on a bad network: it connects again by itself.

Arguments: host, port, MQTT version (3 or 5), handle, client id. Environment: TOKEN.
Standard input: {"number", "topic", "payload"} for each message to publish with QoS 1; its end ends the program.
Standard output, a line each: "event" is "connected", "lost", "acked" with "number", "heard" with "message" (what came) and
"dup", "refused" with "text", or "alive" every few seconds.
"""

import json
import os
import sys
import threading

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

KEEP_ALIVE_S = 5
EXPIRY_S = 3600
ALIVE_EVERY_S = 5

host, port, version, handle, client_id = sys.argv[1:6]
five = version == "5"
writing = threading.Lock()
# Packet id → number of the message, and packet ids that were acknowledged before publish() had told them.
lock = threading.Lock()
numbers = {}
early = set()
subscribed = threading.Event()


def say(event, **fields):
    with writing:
        print(json.dumps({"event": event, **fields}), flush=True)


def on_connect(client, userdata, flags, reason, properties):
    if reason.is_failure:
        return say("refused", text=str(reason))
    say("connected")
    if not (flags.session_present and subscribed.is_set()):
        client.subscribe("me/json/inbox/#", qos=1)


def on_disconnect(client, userdata, flags, reason, properties):
    say("lost")


def on_subscribe(client, userdata, mid, reasons, properties):
    if any(reason.is_failure for reason in reasons):
        return say("refused", text=str(reasons))
    subscribed.set()


def on_message(client, userdata, message):
    say("heard", message=json.loads(message.payload), dup=bool(message.dup))


def on_publish(client, userdata, mid, reason, properties):
    if reason.is_failure:
        return say("refused", text=str(reason))
    with lock:
        number = numbers.pop(mid, None)
        if number is None:
            early.add(mid)
    if number is not None:
        say("acked", number=number)


def publish(client, order):
    mid = client.publish(order["topic"], order["payload"], qos=1).mid
    with lock:
        acknowledged = mid in early
        if acknowledged:
            early.remove(mid)
        else:
            numbers[mid] = order["number"]
    if acknowledged:
        say("acked", number=order["number"])


def alive():
    while True:
        say("alive")
        threading.Event().wait(ALIVE_EVERY_S)


client = mqtt.Client(
    mqtt.CallbackAPIVersion.VERSION2,
    client_id=client_id,
    clean_session=None if five else False,
    protocol=mqtt.MQTTv5 if five else mqtt.MQTTv311,
)
client.username_pw_set(handle, os.environ["TOKEN"])
client.reconnect_delay_set(min_delay=1, max_delay=1)
for name in ("connect", "disconnect", "subscribe", "message", "publish"):
    setattr(client, f"on_{name}", globals()[f"on_{name}"])
more = {}
if five:
    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = EXPIRY_S
    more = {"clean_start": False, "properties": properties}
client.connect_async(host, int(port), KEEP_ALIVE_S, **more)
client.loop_start()
threading.Thread(target=alive, daemon=True).start()
for line in sys.stdin:
    publish(client, json.loads(line))
