/* Paho C (MQTTClient) in the fleet: the line protocol of ../README.md. The library calls back on a thread of its own. */

#include "line.h"

#include <MQTTClient.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GOODBYE_MS = 5000 };

static MQTTClient client;
static bool five;

static void refused(const char *what, int rc)
{
    say_error(what, MQTTClient_strerror(rc));
}

static void on_lost(void *context, char *cause)
{
    (void)context, (void)cause;
    say("lost");
}

static void on_delivered(void *context, MQTTClient_deliveryToken token)
{
    (void)context, (void)token;
    say("published");
}

static void told_text(cJSON *event, const char *name, const MQTTLenString *text)
{
    event_bytes(event, name, text->data, (size_t)text->len);
}

static void told_property(cJSON *event, const MQTTProperty *property)
{
    cJSON *list;
    switch (property->identifier) {
    case MQTTPROPERTY_CODE_CONTENT_TYPE:
        told_text(event, "contentType", &property->value.data);
        break;
    case MQTTPROPERTY_CODE_RESPONSE_TOPIC:
        told_text(event, "responseTopic", &property->value.data);
        break;
    case MQTTPROPERTY_CODE_CORRELATION_DATA:
        told_text(event, "correlation", &property->value.data);
        break;
    case MQTTPROPERTY_CODE_PAYLOAD_FORMAT_INDICATOR:
        cJSON_AddBoolToObject(event, "utf8", property->value.byte);
        break;
    case MQTTPROPERTY_CODE_MESSAGE_EXPIRY_INTERVAL:
        cJSON_AddNumberToObject(event, "expiry", property->value.integer4);
        break;
    case MQTTPROPERTY_CODE_SUBSCRIPTION_IDENTIFIER:
        list = cJSON_GetObjectItemCaseSensitive(event, "subscriptionIds");
        list = list != NULL ? list : cJSON_AddArrayToObject(event, "subscriptionIds");
        cJSON_AddItemToArray(list, cJSON_CreateNumber(property->value.integer4));
        break;
    case MQTTPROPERTY_CODE_USER_PROPERTY:
        list = cJSON_GetObjectItemCaseSensitive(event, "user");
        list = list != NULL ? list : cJSON_AddObjectToObject(event, "user");
        char name[256];
        snprintf(name, sizeof name, "%.*s", property->value.data.len, property->value.data.data);
        told_text(list, name, &property->value.value);
        break;
    default:
        break;
    }
}

static int on_message(void *context, char *topic, int length, MQTTClient_message *message)
{
    (void)context;
    cJSON *event = event_new("message");
    event_bytes(event, "topic", topic, length > 0 ? (size_t)length : strlen(topic));
    cJSON_AddNumberToObject(event, "qos", message->qos);
    cJSON_AddBoolToObject(event, "retain", message->retained);
    event_payload(event, message->payload, (size_t)message->payloadlen);
    for (int at = 0; at < message->properties.count; at++)
        told_property(event, &message->properties.array[at]);
    event_say(event);
    MQTTClient_freeMessage(&message);
    MQTTClient_free(topic);
    return 1;
}

static void add_number(MQTTProperties *properties, const cJSON *order, const char *name, enum MQTTPropertyCodes code)
{
    if (!order_has(order, name))
        return;
    MQTTProperty property = {.identifier = code};
    int number = order_number(order, name);
    if (MQTTProperty_getType(code) == MQTTPROPERTY_TYPE_TWO_BYTE_INTEGER)
        property.value.integer2 = (unsigned short)number;
    else
        property.value.integer4 = (unsigned int)number;
    MQTTProperties_add(properties, &property);
}

static MQTTLenString text_of(const char *text)
{
    return (MQTTLenString){.data = (char *)text, .len = (int)strlen(text)};
}

static void add_text(MQTTProperties *properties, const cJSON *order, const char *name, enum MQTTPropertyCodes code)
{
    if (!order_has(order, name))
        return;
    MQTTProperty property = {.identifier = code};
    property.value.data = text_of(order_text(order, name));
    MQTTProperties_add(properties, &property);
}

static void make(const cJSON *order)
{
    char address[128];
    snprintf(address, sizeof address, "tcp://%s:%d", order_text(order, "host"), order_number(order, "port"));
    five = order_number(order, "version") == 5;
    MQTTClient_createOptions options = MQTTClient_createOptions_initializer;
    options.MQTTVersion = five ? MQTTVERSION_5 : MQTTVERSION_3_1_1;
    const char *id = order_text(order, "id");
    int rc = MQTTClient_createWithOptions(&client, address, id, MQTTCLIENT_PERSISTENCE_NONE, NULL, &options);
    if (rc == MQTTCLIENT_SUCCESS)
        rc = MQTTClient_setCallbacks(client, NULL, on_lost, on_message, on_delivered);
    if (rc != MQTTCLIENT_SUCCESS)
        refused("create", rc);
}

static int connect_five(MQTTClient_connectOptions *options, const cJSON *order)
{
    MQTTProperties properties = MQTTProperties_initializer;
    add_number(&properties, order, "expiry", MQTTPROPERTY_CODE_SESSION_EXPIRY_INTERVAL);
    add_number(&properties, order, "maxPacket", MQTTPROPERTY_CODE_MAXIMUM_PACKET_SIZE);
    add_number(&properties, order, "aliases", MQTTPROPERTY_CODE_TOPIC_ALIAS_MAXIMUM);
    MQTTResponse response = MQTTClient_connect5(client, options, &properties, NULL);
    int rc = response.reasonCode;
    MQTTResponse_free(response);
    MQTTProperties_free(&properties);
    return rc;
}

static void connect_to(const cJSON *order)
{
    if (client == NULL)
        make(order);
    MQTTClient_connectOptions three = MQTTClient_connectOptions_initializer;
    MQTTClient_connectOptions options5 = MQTTClient_connectOptions_initializer5;
    MQTTClient_connectOptions options = five ? options5 : three;
    options.MQTTVersion = five ? MQTTVERSION_5 : MQTTVERSION_3_1_1;
    if (five)
        options.cleanstart = order_is(order, "clean");
    else
        options.cleansession = order_is(order, "clean");
    options.keepAliveInterval = order_number(order, "keepAlive");
    options.username = order_text(order, "user");
    options.password = order_text(order, "password");
    options.reliable = 0;
    MQTTClient_willOptions will = MQTTClient_willOptions_initializer;
    const cJSON *told = cJSON_GetObjectItemCaseSensitive(order, "will");
    if (told != NULL) {
        will.topicName = order_text(told, "topic");
        will.message = order_text(told, "payload");
        will.qos = order_number(told, "qos");
        will.retained = order_is(told, "retain");
        options.will = &will;
    }
    int rc = five ? connect_five(&options, order) : MQTTClient_connect(client, &options);
    if (rc == MQTTCLIENT_SUCCESS)
        say("connected");
    else
        refused("connect", rc);
}

static void subscribe(const cJSON *order)
{
    const char *filter = order_text(order, "filter");
    int qos = order_number(order, "qos"), code;
    if (five) {
        MQTTProperties properties = MQTTProperties_initializer;
        add_number(&properties, order, "subscriptionId", MQTTPROPERTY_CODE_SUBSCRIPTION_IDENTIFIER);
        MQTTResponse response = MQTTClient_subscribe5(client, filter, qos, NULL, &properties);
        code = response.reasonCode;
        MQTTResponse_free(response);
        MQTTProperties_free(&properties);
    } else {
        /* Here the library tells success, but not which QoS was granted. */
        int rc = MQTTClient_subscribe(client, filter, qos);
        code = rc == MQTTCLIENT_SUCCESS ? qos : rc;
    }
    if (code < 0) {
        refused("subscribe", code);
        return;
    }
    cJSON *event = event_new("subscribed");
    cJSON_AddNumberToObject(event, "code", code);
    event_say(event);
}

static void unsubscribe(const cJSON *order)
{
    const char *filter = order_text(order, "filter");
    int rc;
    if (five) {
        MQTTResponse response = MQTTClient_unsubscribe5(client, filter, NULL);
        rc = response.reasonCode;
        MQTTResponse_free(response);
    } else {
        rc = MQTTClient_unsubscribe(client, filter);
    }
    if (rc == MQTTCLIENT_SUCCESS)
        say("unsubscribed");
    else
        refused("unsubscribe", rc);
}

static int publish_five(MQTTClient_message *message, const cJSON *order)
{
    MQTTProperties *properties = &message->properties;
    add_text(properties, order, "contentType", MQTTPROPERTY_CODE_CONTENT_TYPE);
    add_text(properties, order, "responseTopic", MQTTPROPERTY_CODE_RESPONSE_TOPIC);
    add_text(properties, order, "correlation", MQTTPROPERTY_CODE_CORRELATION_DATA);
    add_number(properties, order, "expiry", MQTTPROPERTY_CODE_MESSAGE_EXPIRY_INTERVAL);
    add_number(properties, order, "alias", MQTTPROPERTY_CODE_TOPIC_ALIAS);
    if (order_is(order, "utf8")) {
        MQTTProperty property = {.identifier = MQTTPROPERTY_CODE_PAYLOAD_FORMAT_INDICATOR, .value.byte = 1};
        MQTTProperties_add(properties, &property);
    }
    const cJSON *pair, *user = cJSON_GetObjectItemCaseSensitive(order, "user");
    cJSON_ArrayForEach(pair, user) {
        MQTTProperty property = {.identifier = MQTTPROPERTY_CODE_USER_PROPERTY};
        property.value.data = text_of(pair->string);
        property.value.value = text_of(pair->valuestring);
        MQTTProperties_add(properties, &property);
    }
    MQTTResponse response = MQTTClient_publishMessage5(client, order_text(order, "topic"), message, NULL);
    int rc = response.reasonCode;
    MQTTResponse_free(response);
    MQTTProperties_free(properties);
    return rc;
}

static void publish(const cJSON *order)
{
    MQTTClient_message message = MQTTClient_message_initializer;
    size_t length;
    char *payload = order_payload(order, &length);
    message.payload = payload;
    message.payloadlen = (int)length;
    message.qos = order_number(order, "qos");
    message.retained = order_is(order, "retain");
    int rc = five ? publish_five(&message, order)
                  : MQTTClient_publishMessage(client, order_text(order, "topic"), &message, NULL);
    if (rc != MQTTCLIENT_SUCCESS)
        refused("publish", rc);
    else if (message.qos == 0)
        say("published");
    free(payload);
}

static void leave(void)
{
    int rc = five ? MQTTClient_disconnect5(client, GOODBYE_MS, MQTTREASONCODE_SUCCESS, NULL)
                  : MQTTClient_disconnect(client, GOODBYE_MS);
    if (rc == MQTTCLIENT_SUCCESS)
        say("disconnected");
    else
        refused("disconnect", rc);
}

static void obey(const cJSON *order)
{
    const char *what = order_text(order, "do");
    if (strcmp(what, "connect") == 0)
        connect_to(order);
    else if (strcmp(what, "subscribe") == 0)
        subscribe(order);
    else if (strcmp(what, "unsubscribe") == 0)
        unsubscribe(order);
    else if (strcmp(what, "publish") == 0)
        publish(order);
    else
        leave();
}

int main(void)
{
    while (line_fill()) {
        for (cJSON *order = line_next(); order != NULL; order = line_next()) {
            obey(order);
            cJSON_Delete(order);
        }
    }
    MQTTClient_destroy(&client);
    return 0;
}
