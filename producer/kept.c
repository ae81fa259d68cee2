/*
 * Kept: what Redis keeps of a job, as it was last told.
 *
 * Thread: that of the client.
 */
#include "producer/kept.h"

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "common/base/mem.h"
#include "common/base/text.h"

enum { EXIT_MAX = 255 };

static const char *const names[] = {
#define KEPT_NAME(name) #name,
    KEPT_FIELDS(KEPT_NAME)
#undef KEPT_NAME
};

static void on_fields(void *arg, const struct reply *r);

bool kept_field_find(const char *name, enum kept_field *ret)
{
    for (size_t i = 0; i < KEPT_FIELD_COUNT; i++) {
        if (strcmp(names[i], name) == 0) {
            *ret = (enum kept_field)i;
            return true;
        }
    }
    return false;
}

void kept_args(const char *key, struct args *a)
{
    args_str(a, "HMGET");
    args_str(a, key);
    for (size_t i = 0; i < KEPT_FIELD_COUNT; i++)
        args_str(a, names[i]);
}

void kept_read(struct kept *k, const struct reply *r)
{
    for (size_t i = 0; i < KEPT_FIELD_COUNT && i < reply_len(r); i++) {
        const char *p;
        size_t n;
        if (!reply_str(reply_at(r, i), &p, &n))
            continue;
        k->values[i] = mem_dup(p, n);
        k->lens[i] = n;
    }
}

static void on_fields(void *arg, const struct reply *r)
{
    kept_read(arg, r);
}

void kept_ask(struct client *c, const struct keys *keys, const char *id,
              struct kept *k)
{
    struct args a = {0};
    char key[KEY_MAX];

    if (!keys_job(keys, id, key))
        return;
    kept_args(key, &a);
    client_call(c, &a, on_fields, k);
    args_done(&a);
}

void kept_copy(struct kept *to, const struct kept *from)
{
    for (size_t i = 0; i < KEPT_FIELD_COUNT; i++) {
        if (!from->values[i])
            continue;
        to->values[i] = mem_dup(from->values[i], from->lens[i]);
        to->lens[i] = from->lens[i];
    }
}

void kept_done(struct kept *k)
{
    for (size_t i = 0; i < KEPT_FIELD_COUNT; i++)
        free(k->values[i]);
    *k = (struct kept){0};
}

bool kept_is(const struct kept *k, const char *state)
{
    return k->values[KEPT_state] && strcmp(k->values[KEPT_state], state) == 0;
}

bool kept_is_over(const struct kept *k)
{
    return kept_is(k, "done") || kept_is(k, "dead") ||
           kept_is(k, "cancelled") || kept_is(k, "expired");
}

int64_t kept_int(const struct kept *k, enum kept_field f, int64_t none)
{
    int64_t n;

    if (k->values[f] && text_parse_int(k->values[f], INT64_MIN, INT64_MAX,
                                       names[f], &n, NULL) == 0)
        return n;
    return none;
}

int kept_exit_status(const struct kept *k)
{
    if (kept_is(k, "done"))
        return EX_OK;
    int64_t code = kept_int(k, KEPT_exit, 1);
    return code > 0 && code <= EXIT_MAX ? (int)code : 1;
}
