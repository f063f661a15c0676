"""What the two Python programs of the fleet share: the line protocol (../README.md) on paho-mqtt's types."""

import json
import sys
import threading

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

LONG_BYTES = 1024

_lock = threading.Lock()


def say(event, **fields):
    with _lock:
        print(json.dumps({"event": event, **fields}), flush=True)


def fnv1a(payload):
    digest = 0x811C9DC5
    for byte in payload:
        digest = ((digest ^ byte) * 0x01000193) & 0xFFFFFFFF
    return digest


def payload(order):
    if "bytes" not in order:
        return order["payload"].encode()
    letters = bytes(range(ord("a"), ord("z") + 1))
    count = order["bytes"]
    return (letters * (count // len(letters) + 1))[:count]


def protocol(order):
    return mqtt.MQTTv5 if order["version"] == 5 else mqtt.MQTTv311


def connect_properties(order):
    if order["version"] != 5:
        return None
    properties = Properties(PacketTypes.CONNECT)
    names = {"expiry": "SessionExpiryInterval", "maxPacket": "MaximumPacketSize", "aliases": "TopicAliasMaximum"}
    for field, name in names.items():
        if field in order:
            setattr(properties, name, order[field])
    return properties


def subscribe_properties(order):
    if "subscriptionId" not in order:
        return None
    properties = Properties(PacketTypes.SUBSCRIBE)
    properties.SubscriptionIdentifier = order["subscriptionId"]
    return properties


def publish_properties(order):
    properties = Properties(PacketTypes.PUBLISH)
    names = {
        "contentType": "ContentType",
        "responseTopic": "ResponseTopic",
        "expiry": "MessageExpiryInterval",
        "alias": "TopicAlias",
    }
    for field, name in names.items():
        if field in order:
            setattr(properties, name, order[field])
    if "correlation" in order:
        properties.CorrelationData = order["correlation"].encode()
    if "utf8" in order:
        properties.PayloadFormatIndicator = int(order["utf8"])
    if "user" in order:
        properties.UserProperty = list(order["user"].items())
    return None if properties.isEmpty() else properties


def message(topic, body, qos, retain, properties):
    fields = {"topic": topic, "qos": qos, "retain": bool(retain)}
    if len(body) >= LONG_BYTES:
        fields |= {"bytes": len(body), "hash": fnv1a(body)}
    else:
        fields["payload"] = body.decode()
    if properties is not None:
        carried = properties.json()
        names = {
            "ContentType": "contentType",
            "ResponseTopic": "responseTopic",
            "MessageExpiryInterval": "expiry",
            "SubscriptionIdentifier": "subscriptionIds",
        }
        fields |= {field: carried[name] for name, field in names.items() if name in carried}
        if hasattr(properties, "CorrelationData"):
            fields["correlation"] = properties.CorrelationData.decode()
        if hasattr(properties, "PayloadFormatIndicator"):
            fields["utf8"] = bool(properties.PayloadFormatIndicator)
        if hasattr(properties, "UserProperty"):
            fields["user"] = dict(properties.UserProperty)
    say("message", **fields)


def orders():
    for line in sys.stdin:
        yield json.loads(line)
