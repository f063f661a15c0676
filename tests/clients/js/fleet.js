// MQTT.js in the fleet: the line protocol of ../README.md.

import { createInterface } from "node:readline";
import mqtt from "mqtt";

const LONG_BYTES = 1024;
const LETTERS = 26;

const say = (event, fields = {}) => process.stdout.write(`${JSON.stringify({ event, ...fields })}\n`);
const fail = (error) => say("error", { text: String(error) });

// What the library remembers of the session lives in these, over all connections.
const incomingStore = new mqtt.Store({ clean: false });
const outgoingStore = new mqtt.Store({ clean: false });
let client;
let leaving = false;

const fnv1a = (bytes) =>
  bytes.reduce((digest, byte) => Math.imul(digest ^ byte, 0x01000193) >>> 0, 0x811c9dc5);

const present = (fields) => Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));

const payload = (order) =>
  order.bytes === undefined
    ? Buffer.from(order.payload)
    : Buffer.from(Uint8Array.from({ length: order.bytes }, (_, at) => 97 + (at % LETTERS)));

function told(topic, body, { qos, retain, properties = {} }) {
  const long = body.length >= LONG_BYTES;
  const ids = properties.subscriptionIdentifier;
  say("message", {
    topic,
    qos,
    retain,
    ...(long ? { bytes: body.length, hash: fnv1a(body) } : { payload: body.toString() }),
    ...present({
      contentType: properties.contentType,
      responseTopic: properties.responseTopic,
      correlation: properties.correlationData?.toString(),
      user: properties.userProperties,
      utf8: properties.payloadFormatIndicator,
      expiry: properties.messageExpiryInterval,
      subscriptionIds: ids === undefined ? undefined : [ids].flat(),
    }),
  });
}

function connect(order) {
  const five = order.version === 5;
  leaving = false;
  if (client) {
    client.reconnect({ incomingStore, outgoingStore });
    return;
  }
  client = mqtt.connect({
    host: order.host,
    port: order.port,
    protocol: "mqtt",
    protocolVersion: five ? 5 : 4,
    clientId: order.id,
    username: order.user,
    password: order.password,
    clean: order.clean,
    keepalive: order.keepAlive,
    reconnectPeriod: 0,
    resubscribe: false,
    queueQoSZero: false,
    incomingStore,
    outgoingStore,
    ...(order.will && { will: { ...order.will, payload: Buffer.from(order.will.payload) } }),
    ...(five && {
      properties: present({
        sessionExpiryInterval: order.expiry,
        maximumPacketSize: order.maxPacket,
        topicAliasMaximum: order.aliases,
      }),
    }),
  });
  client.on("connect", () => say("connected"));
  client.on("close", () => say(leaving ? "disconnected" : "lost"));
  client.on("message", told);
  client.on("error", fail);
}

function publish(order) {
  const properties = present({
    contentType: order.contentType,
    responseTopic: order.responseTopic,
    correlationData: order.correlation === undefined ? undefined : Buffer.from(order.correlation),
    userProperties: order.user,
    payloadFormatIndicator: order.utf8,
    messageExpiryInterval: order.expiry,
    topicAlias: order.alias,
  });
  const options = { qos: order.qos, retain: order.retain };
  if (Object.keys(properties).length > 0) options.properties = properties;
  client.publish(order.topic, payload(order), options, (error) => (error ? fail(error) : say("published")));
}

function subscribe({ filter, qos, subscriptionId }) {
  const properties = subscriptionId === undefined ? undefined : { subscriptionIdentifier: subscriptionId };
  client.subscribe(filter, { qos, properties }, (error, granted) =>
    error ? fail(error) : say("subscribed", { code: granted[0].qos }),
  );
}

const orders = {
  connect,
  subscribe,
  publish,
  unsubscribe: ({ filter }) => client.unsubscribe(filter, (error) => (error ? fail(error) : say("unsubscribed"))),
  disconnect: () => {
    leaving = true;
    client.end();
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line);
  orders[order.do](order);
}
process.exit(0);
