/*
 * Lists of queues, as people write them: "mail,news", "mail:6,news:1" or
 * "mail.*,news".
 *
 * Thread: one at a time, which reads the configuration.
 */
#include "worker/queue_list.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"

static int check_name(const char *p, size_t len, bool *ret_pattern,
                      struct errbuf *eb)
{
    *ret_pattern = text_is_pattern(p, len);
    if (*ret_pattern || text_is_name(p, len))
        return 0;
    return errbuf_set(eb, ERR_INVALID,
                      "\"%.*s\" is no name of a queue: letters, digits, "
                      "\".\", \"_\", \"-\", at most %d, not a sign first",
                      (int)len, p, NAME_MAX_LEN);
}

int queue_list_name(const char *name, bool *ret_pattern, struct errbuf *eb)
{
    return check_name(name, strlen(name), ret_pattern, eb);
}

int queue_list_put(struct worker_config *cfg, const char *name, bool pattern,
                   int64_t weight, struct errbuf *eb)
{
    struct queue_spec q = {.weight = weight > 0 ? (unsigned)weight : 1,
                           .weighed = weight > 0,
                           .pattern = pattern};
    if (cfg->queue_count == QUEUES_MAX)
        return errbuf_set(eb, ERR_INVALID, "more than %d queues", QUEUES_MAX);
    memcpy(q.name, name, strlen(name) + 1);
    cfg->queues[cfg->queue_count++] = q;
    cfg->weighted = cfg->weighted || q.weighed;
    return 0;
}

static int add_queue(struct worker_config *cfg, const char *p, size_t len,
                     struct errbuf *eb)
{
    const char *colon = memchr(p, ':', len);
    size_t name_len = colon != NULL ? (size_t)(colon - p) : len;
    char name[NAME_MAX_LEN + 1] = "";
    int64_t weight = 0;
    bool pattern;
    int rc = check_name(p, name_len, &pattern, eb);
    if (rc != 0)
        return rc;
    memcpy(name, p, name_len);
    if (colon != NULL) {
        char *text = mem_dup(colon + 1, len - name_len - 1);
        rc = text_parse_int(text, 1, QUEUE_WEIGHT_MAX, "weight", &weight, eb);
        free(text);
        if (rc != 0)
            return errbuf_wrap(eb, rc, "queue %s", name);
    }
    for (unsigned i = 0; i < cfg->queue_count; i++) {
        if (strcmp(cfg->queues[i].name, name) == 0)
            return errbuf_set(eb, ERR_INVALID, "queue %s is named twice", name);
    }
    return queue_list_put(cfg, name, pattern, weight, eb);
}

int queue_list_add(struct worker_config *cfg, const char *list,
                   struct errbuf *eb)
{
    for (;;) {
        size_t n = strcspn(list, ",");
        int rc = add_queue(cfg, list, n, eb);
        if (rc != 0)
            return rc;
        if (list[n] == '\0')
            return 0;
        list += n + 1;
    }
}
