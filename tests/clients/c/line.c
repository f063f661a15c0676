#include "line.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LONG_BYTES = 1024, LETTERS = 26, CHUNK = 4096 };

static char *buffer;
static size_t filled, capacity;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* A test program without memory has nothing left to say. */
static void *must(void *memory)
{
    if (memory == NULL)
        abort();
    return memory;
}

bool line_fill(void)
{
    if (capacity - filled < CHUNK) {
        capacity = filled + 2 * CHUNK;
        buffer = must(realloc(buffer, capacity));
    }
    ssize_t count = read(STDIN_FILENO, buffer + filled, CHUNK);
    if (count <= 0)
        return false;
    filled += (size_t)count;
    return true;
}

cJSON *line_next(void)
{
    char *end = filled == 0 ? NULL : memchr(buffer, '\n', filled);
    if (end == NULL)
        return NULL;
    cJSON *order = must(cJSON_ParseWithLength(buffer, (size_t)(end - buffer)));
    filled -= (size_t)(end + 1 - buffer);
    memmove(buffer, end + 1, filled);
    return order;
}

static const cJSON *field(const cJSON *order, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(order, name);
}

const char *order_text(const cJSON *order, const char *name)
{
    return cJSON_GetStringValue(field(order, name));
}

int order_number(const cJSON *order, const char *name)
{
    return (int)cJSON_GetNumberValue(field(order, name));
}

bool order_is(const cJSON *order, const char *name)
{
    return cJSON_IsTrue(field(order, name));
}

bool order_has(const cJSON *order, const char *name)
{
    return field(order, name) != NULL;
}

char *order_payload(const cJSON *order, size_t *length)
{
    if (!order_has(order, "bytes")) {
        const char *text = order_text(order, "payload");
        *length = strlen(text);
        return must(strdup(text));
    }
    *length = (size_t)order_number(order, "bytes");
    char *payload = must(malloc(*length + 1));
    for (size_t at = 0; at < *length; at++)
        payload[at] = (char)('a' + at % LETTERS);
    return payload;
}

cJSON *event_new(const char *name)
{
    cJSON *event = must(cJSON_CreateObject());
    cJSON_AddStringToObject(event, "event", name);
    return event;
}

void event_bytes(cJSON *event, const char *name, const void *bytes, size_t length)
{
    char *text = must(calloc(length + 1, 1));
    if (length > 0)
        memcpy(text, bytes, length);
    cJSON_AddStringToObject(event, name, text);
    free(text);
}

static uint32_t fnv1a(const unsigned char *bytes, size_t length)
{
    uint32_t digest = 0x811c9dc5;
    for (size_t at = 0; at < length; at++)
        digest = (digest ^ bytes[at]) * 0x01000193;
    return digest;
}

void event_payload(cJSON *event, const void *payload, size_t length)
{
    if (length < LONG_BYTES) {
        event_bytes(event, "payload", payload, length);
        return;
    }
    cJSON_AddNumberToObject(event, "bytes", (double)length);
    cJSON_AddNumberToObject(event, "hash", fnv1a(payload, length));
}

void event_say(cJSON *event)
{
    char *line = must(cJSON_PrintUnformatted(event));
    pthread_mutex_lock(&lock);
    puts(line);
    fflush(stdout);
    pthread_mutex_unlock(&lock);
    cJSON_free(line);
    cJSON_Delete(event);
}

void say(const char *name)
{
    event_say(event_new(name));
}

void say_error(const char *what, const char *why)
{
    cJSON *event = event_new("error");
    char text[256];
    snprintf(text, sizeof text, "%s: %s", what, why == NULL ? "" : why);
    cJSON_AddStringToObject(event, "text", text);
    event_say(event);
}
