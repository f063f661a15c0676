/* libmosquitto in the fleet: the line protocol of ../README.md. One thread: it polls standard input and the socket. */

#include "line.h"

#include <mosquitto.h>
#include <mqtt_protocol.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* How often the library may look at its keep-alive. */
enum { MISC_MS = 200 };

static struct mosquitto *client;
static bool five;

static void check(const char *what, int rc)
{
    if (rc != MOSQ_ERR_SUCCESS)
        say_error(what, mosquitto_strerror(rc));
}

static void on_connect(struct mosquitto *mosq, void *data, int code, int flags, const mosquitto_property *properties)
{
    (void)mosq, (void)data, (void)flags, (void)properties;
    if (code == 0)
        say("connected");
    else
        say_error("connect", mosquitto_connack_string(code));
}

static void on_disconnect(struct mosquitto *mosq, void *data, int code, const mosquitto_property *properties)
{
    (void)mosq, (void)data, (void)properties;
    say(code == 0 ? "disconnected" : "lost");
}

static void on_subscribe(struct mosquitto *mosq, void *data, int mid, int count, const int *granted,
                         const mosquitto_property *properties)
{
    (void)mosq, (void)data, (void)mid, (void)count, (void)properties;
    cJSON *event = event_new("subscribed");
    cJSON_AddNumberToObject(event, "code", granted[0]);
    event_say(event);
}

static void on_unsubscribe(struct mosquitto *mosq, void *data, int mid, const mosquitto_property *properties)
{
    (void)mosq, (void)data, (void)mid, (void)properties;
    say("unsubscribed");
}

static void on_publish(struct mosquitto *mosq, void *data, int mid, int code, const mosquitto_property *properties)
{
    (void)mosq, (void)data, (void)mid, (void)properties;
    if (code < 0x80)
        say("published");
    else
        say_error("publish", mosquitto_reason_string(code));
}

static void told_text(cJSON *event, const char *name, const mosquitto_property *properties, int id)
{
    char *text;
    if (mosquitto_property_read_string(properties, id, &text, false) != NULL) {
        cJSON_AddStringToObject(event, name, text);
        free(text);
    }
}

static void told_user(cJSON *event, const mosquitto_property *properties)
{
    char *name, *value;
    const mosquitto_property *at =
        mosquitto_property_read_string_pair(properties, MQTT_PROP_USER_PROPERTY, &name, &value, false);
    cJSON *user = at == NULL ? NULL : cJSON_AddObjectToObject(event, "user");
    while (at != NULL) {
        cJSON_AddStringToObject(user, name, value);
        free(name);
        free(value);
        at = mosquitto_property_read_string_pair(at, MQTT_PROP_USER_PROPERTY, &name, &value, true);
    }
}

static void told_ids(cJSON *event, const mosquitto_property *properties)
{
    uint32_t id;
    const mosquitto_property *at =
        mosquitto_property_read_varint(properties, MQTT_PROP_SUBSCRIPTION_IDENTIFIER, &id, false);
    cJSON *ids = at == NULL ? NULL : cJSON_AddArrayToObject(event, "subscriptionIds");
    while (at != NULL) {
        cJSON_AddItemToArray(ids, cJSON_CreateNumber(id));
        at = mosquitto_property_read_varint(at, MQTT_PROP_SUBSCRIPTION_IDENTIFIER, &id, true);
    }
}

static void on_message(struct mosquitto *mosq, void *data, const struct mosquitto_message *message,
                       const mosquitto_property *properties)
{
    (void)mosq, (void)data;
    cJSON *event = event_new("message");
    cJSON_AddStringToObject(event, "topic", message->topic);
    cJSON_AddNumberToObject(event, "qos", message->qos);
    cJSON_AddBoolToObject(event, "retain", message->retain);
    event_payload(event, message->payload, (size_t)message->payloadlen);
    told_text(event, "contentType", properties, MQTT_PROP_CONTENT_TYPE);
    told_text(event, "responseTopic", properties, MQTT_PROP_RESPONSE_TOPIC);
    void *bytes;
    uint16_t length;
    if (mosquitto_property_read_binary(properties, MQTT_PROP_CORRELATION_DATA, &bytes, &length, false) != NULL) {
        event_bytes(event, "correlation", bytes, length);
        free(bytes);
    }
    uint8_t utf8;
    if (mosquitto_property_read_byte(properties, MQTT_PROP_PAYLOAD_FORMAT_INDICATOR, &utf8, false) != NULL)
        cJSON_AddBoolToObject(event, "utf8", utf8);
    uint32_t expiry;
    if (mosquitto_property_read_int32(properties, MQTT_PROP_MESSAGE_EXPIRY_INTERVAL, &expiry, false) != NULL)
        cJSON_AddNumberToObject(event, "expiry", expiry);
    told_user(event, properties);
    told_ids(event, properties);
    event_say(event);
}

static void make(const cJSON *order)
{
    client = mosquitto_new(order_text(order, "id"), order_is(order, "clean"), NULL);
    if (client == NULL)
        abort();
    five = order_number(order, "version") == 5;
    check("version",
          mosquitto_int_option(client, MOSQ_OPT_PROTOCOL_VERSION, five ? MQTT_PROTOCOL_V5 : MQTT_PROTOCOL_V311));
    check("login", mosquitto_username_pw_set(client, order_text(order, "user"), order_text(order, "password")));
    mosquitto_connect_v5_callback_set(client, on_connect);
    mosquitto_disconnect_v5_callback_set(client, on_disconnect);
    mosquitto_subscribe_v5_callback_set(client, on_subscribe);
    mosquitto_unsubscribe_v5_callback_set(client, on_unsubscribe);
    mosquitto_publish_v5_callback_set(client, on_publish);
    mosquitto_message_v5_callback_set(client, on_message);
}

static void add_int32(mosquitto_property **properties, const cJSON *order, const char *name, int id)
{
    if (order_has(order, name))
        check(name, mosquitto_property_add_int32(properties, id, (uint32_t)order_number(order, name)));
}

static void add_int16(mosquitto_property **properties, const cJSON *order, const char *name, int id)
{
    if (order_has(order, name))
        check(name, mosquitto_property_add_int16(properties, id, (uint16_t)order_number(order, name)));
}

static void add_text(mosquitto_property **properties, const cJSON *order, const char *name, int id)
{
    if (order_has(order, name))
        check(name, mosquitto_property_add_string(properties, id, order_text(order, name)));
}

static void connect_to(const cJSON *order)
{
    if (client == NULL)
        make(order);
    const cJSON *will = cJSON_GetObjectItemCaseSensitive(order, "will");
    if (will != NULL) {
        const char *payload = order_text(will, "payload");
        check("will", mosquitto_will_set(client, order_text(will, "topic"), (int)strlen(payload), payload,
                                         order_number(will, "qos"), order_is(will, "retain")));
    }
    mosquitto_property *properties = NULL;
    if (five) {
        add_int32(&properties, order, "expiry", MQTT_PROP_SESSION_EXPIRY_INTERVAL);
        add_int32(&properties, order, "maxPacket", MQTT_PROP_MAXIMUM_PACKET_SIZE);
        add_int16(&properties, order, "aliases", MQTT_PROP_TOPIC_ALIAS_MAXIMUM);
    }
    check("connect", mosquitto_connect_bind_v5(client, order_text(order, "host"), order_number(order, "port"),
                                               order_number(order, "keepAlive"), NULL, properties));
    mosquitto_property_free_all(&properties);
}

static void subscribe(const cJSON *order)
{
    mosquitto_property *properties = NULL;
    if (order_has(order, "subscriptionId")) {
        uint32_t id = (uint32_t)order_number(order, "subscriptionId");
        check("subscriptionId", mosquitto_property_add_varint(&properties, MQTT_PROP_SUBSCRIPTION_IDENTIFIER, id));
    }
    int qos = order_number(order, "qos");
    check("subscribe", mosquitto_subscribe_v5(client, NULL, order_text(order, "filter"), qos, 0, properties));
    mosquitto_property_free_all(&properties);
}

static mosquitto_property *publish_properties(const cJSON *order)
{
    mosquitto_property *properties = NULL;
    add_text(&properties, order, "contentType", MQTT_PROP_CONTENT_TYPE);
    add_text(&properties, order, "responseTopic", MQTT_PROP_RESPONSE_TOPIC);
    add_int32(&properties, order, "expiry", MQTT_PROP_MESSAGE_EXPIRY_INTERVAL);
    add_int16(&properties, order, "alias", MQTT_PROP_TOPIC_ALIAS);
    const char *correlation = order_text(order, "correlation");
    if (correlation != NULL)
        check("correlation", mosquitto_property_add_binary(&properties, MQTT_PROP_CORRELATION_DATA, correlation,
                                                           (uint16_t)strlen(correlation)));
    if (order_is(order, "utf8"))
        check("utf8", mosquitto_property_add_byte(&properties, MQTT_PROP_PAYLOAD_FORMAT_INDICATOR, 1));
    const cJSON *pair, *user = cJSON_GetObjectItemCaseSensitive(order, "user");
    cJSON_ArrayForEach(pair, user)
        check("user", mosquitto_property_add_string_pair(&properties, MQTT_PROP_USER_PROPERTY, pair->string,
                                                         pair->valuestring));
    return properties;
}

static void publish(const cJSON *order)
{
    size_t length;
    char *payload = order_payload(order, &length);
    const char *topic = order_text(order, "topic");
    mosquitto_property *properties = publish_properties(order);
    check("publish", mosquitto_publish_v5(client, NULL, topic[0] == '\0' ? NULL : topic, (int)length, payload,
                                          order_number(order, "qos"), order_is(order, "retain"), properties));
    mosquitto_property_free_all(&properties);
    free(payload);
}

static void obey(const cJSON *order)
{
    const char *what = order_text(order, "do");
    if (strcmp(what, "connect") == 0)
        connect_to(order);
    else if (strcmp(what, "subscribe") == 0)
        subscribe(order);
    else if (strcmp(what, "unsubscribe") == 0)
        check("unsubscribe", mosquitto_unsubscribe(client, NULL, order_text(order, "filter")));
    else if (strcmp(what, "publish") == 0)
        publish(order);
    else
        check("disconnect", mosquitto_disconnect(client));
}

/* Waits for a line or a packet. False at the end of standard input. */
static bool turn(void)
{
    int socket = client == NULL ? -1 : mosquitto_socket(client);
    short wanted = POLLIN;
    if (socket >= 0 && mosquitto_want_write(client))
        wanted |= POLLOUT;
    struct pollfd ready[2] = {{.fd = 0, .events = POLLIN}, {.fd = socket, .events = wanted}};
    poll(ready, 2, MISC_MS);
    /* An error of these is told by on_disconnect. */
    if (socket >= 0 && (ready[1].revents & (POLLIN | POLLHUP | POLLERR)) != 0)
        mosquitto_loop_read(client, 1);
    if (client != NULL && mosquitto_socket(client) >= 0) {
        mosquitto_loop_write(client, 1);
        mosquitto_loop_misc(client);
    }
    if (ready[0].revents == 0)
        return true;
    bool more = line_fill();
    for (cJSON *order = line_next(); order != NULL; order = line_next()) {
        obey(order);
        cJSON_Delete(order);
    }
    return more;
}

int main(void)
{
    mosquitto_lib_init();
    while (turn()) {
    }
    mosquitto_destroy(client);
    mosquitto_lib_cleanup();
    return 0;
}
