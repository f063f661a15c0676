"""aiomqtt in the fleet: the line protocol of ../README.md."""

import asyncio
import json
import sys

import aiomqtt
import paho.mqtt.client as mqtt

import fleet

PATIENCE_S = 30


class Program:
    def __init__(self):
        self.client = None
        self.reader = None
        self.calls = set()

    def make(self, order):
        five = order["version"] == 5
        will = order.get("will")
        return aiomqtt.Client(
            order["host"],
            order["port"],
            username=order["user"],
            password=order["password"],
            identifier=order["id"],
            protocol=aiomqtt.ProtocolVersion.V5 if five else aiomqtt.ProtocolVersion.V311,
            clean_session=None if five else order["clean"],
            clean_start=order["clean"] if five else mqtt.MQTT_CLEAN_START_FIRST_ONLY,
            keepalive=order["keepAlive"],
            properties=fleet.connect_properties(order),
            will=will and aiomqtt.Will(will["topic"], will["payload"], will["qos"], will["retain"]),
            timeout=PATIENCE_S,
        )

    async def connect(self, order):
        self.client = self.client or self.make(order)
        await self.client.__aenter__()
        fleet.say("connected")
        self.reader = asyncio.create_task(self.read())

    async def read(self):
        try:
            async for message in self.client.messages:
                fleet.message(
                    str(message.topic), message.payload, message.qos, message.retain, message.properties
                )
        except aiomqtt.MqttError as error:
            await self.client.__aexit__(type(error), error, None)
            fleet.say("lost")

    async def disconnect(self):
        self.reader.cancel()
        await asyncio.gather(self.reader, return_exceptions=True)
        await self.client.__aexit__(None, None, None)
        fleet.say("disconnected")

    async def subscribe(self, order):
        granted = await self.client.subscribe(
            order["filter"], order["qos"], properties=fleet.subscribe_properties(order)
        )
        fleet.say("subscribed", code=getattr(granted[0], "value", granted[0]))

    async def unsubscribe(self, order):
        await self.client.unsubscribe(order["filter"])
        fleet.say("unsubscribed")

    async def publish(self, order):
        properties = fleet.publish_properties(order)
        try:
            await self.client.publish(
                order["topic"], fleet.payload(order), order["qos"], order["retain"], properties=properties
            )
        except aiomqtt.MqttError as error:
            if self.reader.done():
                return fleet.say("unfinished", text=str(error))
            raise
        fleet.say("published")

    async def call(self, order):
        try:
            match order["do"]:
                case "connect":
                    await self.connect(order)
                case "disconnect":
                    await self.disconnect()
                case "subscribe":
                    await self.subscribe(order)
                case "unsubscribe":
                    await self.unsubscribe(order)
                case "publish":
                    await self.publish(order)
        except Exception as error:
            fleet.say("error", text=repr(error))

    async def run(self):
        lines = asyncio.StreamReader(limit=1 << 24)
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
        # A publish whose answer is held back must not keep the next order waiting.
        while line := await lines.readline():
            call = asyncio.create_task(self.call(json.loads(line)))
            self.calls.add(call)
            call.add_done_callback(self.calls.discard)


asyncio.run(Program().run())
