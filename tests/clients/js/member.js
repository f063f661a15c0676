// A member of conversations on MQTT.js: MQTT 5 over WebSocket.
//
// Arguments: URL, handle, client id. Environment: TOKEN.
// Standard input: one JSON object {"topic", "payload"} for each message to publish with QoS 1; its end says goodbye.
// Standard output: {"ready": true}, then {"payload": …} for each message that comes and {"acked": seq} for each PUBACK.

import { createInterface } from "node:readline";
import mqtt from "mqtt";

const [url, username, clientId] = process.argv.slice(2);
const say = (what) => process.stdout.write(`${JSON.stringify(what)}\n`);
const fail = (error) => {
  console.error(error);
  process.exit(1);
};

const client = await mqtt.connectAsync(url, {
  protocolVersion: 5,
  clientId,
  username,
  password: process.env.TOKEN,
  clean: false,
  properties: { sessionExpiryInterval: 3600 },
  reconnectPeriod: 0,
});
client.on("error", fail);
client.on("packetreceive", ({ cmd, properties }) => {
  if (cmd === "puback") say({ acked: Number(properties.userProperties.seq) });
});
client.on("message", (topic, payload) => say({ payload: JSON.parse(payload.toString()) }));
const granted = await client.subscribeAsync("me/json/inbox/#", { qos: 1 });
if (granted.some(({ qos }) => qos > 2)) fail(granted);
say({ ready: true });

const sent = [];
for await (const line of createInterface({ input: process.stdin })) {
  const { topic, payload } = JSON.parse(line);
  sent.push(client.publishAsync(topic, JSON.stringify(payload), { qos: 1 }).catch(fail));
}
await Promise.all(sent);
await client.endAsync();
