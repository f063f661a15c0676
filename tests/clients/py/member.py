"""A member of conversations on paho-mqtt and MQTT 3.1.1.

Arguments: host, port, handle, client id. Environment: TOKEN.
Standard input: one JSON object {"topic", "payload"} for each message to publish with QoS 1; its end says goodbye.
Standard output: {"ready": true}, then {"payload": …} for each message that comes and {"acked": n} for each PUBACK.
"""

import json
import os
import sys
import threading

import paho.mqtt.client as mqtt

host, port, handle, client_id = sys.argv[1:5]
ready = threading.Event()
lock = threading.Lock()


def say(what):
    with lock:
        print(json.dumps(what), flush=True)


def on_connect(client, userdata, flags, reason, properties):
    if reason.is_failure:
        sys.exit(f"refused: {reason}")
    client.subscribe("me/json/inbox/#", qos=1)


def on_subscribe(client, userdata, mid, reasons, properties):
    if any(reason.is_failure for reason in reasons):
        sys.exit(f"the subscription is refused: {reasons}")
    say({"ready": True})
    ready.set()


def on_message(client, userdata, message):
    say({"payload": json.loads(message.payload)})


def on_publish(client, userdata, mid, reason, properties):
    say({"acked": mid})


client = mqtt.Client(
    mqtt.CallbackAPIVersion.VERSION2,
    client_id=client_id,
    clean_session=False,
    protocol=mqtt.MQTTv311,
)
client.username_pw_set(handle, os.environ["TOKEN"])
client.on_connect = on_connect
client.on_subscribe = on_subscribe
client.on_message = on_message
client.on_publish = on_publish
client.connect(host, int(port))
client.loop_start()
ready.wait()
for line in sys.stdin:
    order = json.loads(line)
    client.publish(order["topic"], json.dumps(order["payload"]), qos=1)
client.disconnect()
client.loop_stop()
