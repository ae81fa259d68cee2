/*
 * Fuzzer: lists of queues, as in -q mail:6,news:1.
 *
 * What is accepted has names, patterns and weights that are allowed, none
 * twice, and as many as there is room for; written again it means the same.
 *
 * Thread: the fuzzer's only one.
 */
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "worker/queue_list.h"

static void check(const struct worker_config *cfg)
{
    assert(cfg->queue_count >= 1 && cfg->queue_count <= QUEUES_MAX);
    for (unsigned i = 0; i < cfg->queue_count; i++) {
        const struct queue_spec *q = &cfg->queues[i];
        size_t n = strnlen(q->name, sizeof(q->name));
        assert(n >= 1 && n <= NAME_MAX_LEN);
        assert(q->pattern != text_is_name(q->name, n));
        assert(q->weight >= 1 && q->weight <= 1000);
        assert(q->weight == 1 || q->weighed);
        assert(!q->weighed || cfg->weighted);
        for (unsigned k = 0; k < i; k++)
            assert(strcmp(cfg->queues[k].name, q->name) != 0);
    }
}

static void check_again(const struct worker_config *cfg)
{
    struct queue_spec queues[QUEUES_MAX] = {{.weight = 0}};
    struct worker_config again = {.queues = queues};
    struct buf text = {0};

    for (unsigned i = 0; i < cfg->queue_count; i++) {
        buf_printf(&text, "%s%s", i > 0 ? "," : "", cfg->queues[i].name);
        if (cfg->queues[i].weighed)
            buf_printf(&text, ":%u", cfg->queues[i].weight);
    }
    int rc = queue_list_add(&again, text.data, NULL);
    assert(rc == 0);
    assert(again.queue_count == cfg->queue_count);
    assert(again.weighted == cfg->weighted);
    assert(memcmp(queues, cfg->queues, cfg->queue_count * sizeof(queues[0])) ==
           0);
    buf_done(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct queue_spec queues[QUEUES_MAX];
    struct worker_config cfg = {.queues = queues};
    struct errbuf eb = {""};
    char *list = mem_dup(data, size);

    memset(queues, 0, sizeof(queues));
    if (queue_list_add(&cfg, list, &eb) == 0) {
        check(&cfg);
        check_again(&cfg);
    } else {
        assert(eb.text[0] != '\0');
        if (cfg.queue_count > 0)
            check(&cfg);
    }
    free(list);
    return 0;
}
