#ifndef TESTS_SUPPORT_SCHEMA_H
#define TESTS_SUPPORT_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

/*
 * As much of JSON Schema (2020-12) as openapi.json uses: $ref within the
 * document, type, enum, required, properties, additionalProperties, items,
 * oneOf. It is stricter in one thing: a member that is not among properties is
 * wrong unless additionalProperties says otherwise, so that a description
 * cannot fall behind what is described.
 */

/* Lends what a reference, "#/components/schemas/Job", names, or NULL. */
const json_t *schema_at(const json_t *doc, const char *ref);

/* Lends o, or what it refers to if it is a {"$ref": …}; NULL: nothing. */
const json_t *schema_follow(const json_t *doc, const json_t *o);

/* The same, for those functions of jansson that only read and say otherwise. */
json_t *schema_writable(const json_t *o);

/* Whether value fits; if not why says where and what. */
bool schema_fits(const json_t *doc, const json_t *schema, const json_t *value,
                 char *why, size_t size);

#endif
