/* The line protocol of ../README.md, for the C programs of the fleet. */
#ifndef FLEET_LINE_H
#define FLEET_LINE_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

/* The next order that is complete, or NULL. The caller deletes it. Never waits: line_fill does. */
cJSON *line_next(void);

/* Reads what there is on standard input; false at its end. */
bool line_fill(void);

/* Fields of an order. */
const char *order_text(const cJSON *order, const char *name);
int order_number(const cJSON *order, const char *name);
bool order_is(const cJSON *order, const char *name);
bool order_has(const cJSON *order, const char *name);

/* The payload that a publish is told to have; the caller frees it. */
char *order_payload(const cJSON *order, size_t *length);

/* A new event, its payload, and the end of it: written as one line and deleted. */
cJSON *event_new(const char *name);
void event_payload(cJSON *event, const void *payload, size_t length);
void event_bytes(cJSON *event, const char *name, const void *bytes, size_t length);
void event_say(cJSON *event);

/* Events without fields, and the one for what the library refuses. */
void say(const char *name);
void say_error(const char *what, const char *why);

#endif
