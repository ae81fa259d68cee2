/*
 * Workers: the fleet, as far as it serves queues that may be used.
 *
 * Thread: see route.h.
 */
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "producer/serve/request.h"
#include "producer/serve/rows.h"
#include "producer/serve/serve.h"
#include "producer/worker_list.h"

enum { WORKERS_MAX = 10000 };

/*
 * Leaves those of its queues that the token may use. Returns whether the
 * worker may be shown: it serves one of them, or none at all yet.
 */
static bool keep_usable(const struct request *r, struct worker_info *w)
{
    char *queues = w->fields[WORKER_queues];
    struct buf kept = {0};

    if (!queues || *queues == '\0')
        return true;
    for (char *p = queues, *next; p; p = next) {
        next = strchr(p, ',');
        size_t n = next ? (size_t)(next - p) : strlen(p);
        if (next)
            *next++ = '\0';
        if (!text_is_name(p, n) || !request_may_use(r, p))
            continue;
        buf_printf(&kept, "%s%s", kept.len > 0 ? "," : "", p);
    }
    bool any = kept.len > 0;
    free(queues);
    w->fields[WORKER_queues] = buf_take(&kept);
    return any;
}

static int write_page(struct client *c, const struct request *r,
                      struct out *out, int64_t from, bool *ret_more)
{
    struct worker_page *page = NULL;
    struct keys keys;

    keys_init(&keys, request_serve(r)->ns, "default");
    int status = worker_page_read(c, &keys, from, &page);
    for (size_t i = 0; status == 0 && i < page->count; i++) {
        if (keep_usable(r, &page->workers[i]))
            worker_out(out, &page->workers[i], page->now_ms);
    }
    *ret_more = status == 0 && page->more;
    worker_page_free(page);
    return status;
}

void look_workers(struct client *c, const struct request *r, struct answer *a)
{
    static const char *const names[] = {NULL};
    bool more = true;
    int status = 0;

    if (!request_check_query(r, names, a))
        return;
    struct out *out = rows_begin(a, "workers", worker_columns);
    for (int64_t from = 0; status == 0 && more && from < WORKERS_MAX;
         from += WORKERS_AT_ONCE)
        status = write_page(c, r, out, from, &more);
    out_end(out);
    if (status != 0)
        return;
    buf_printf(&a->body, ",\"more\":%s", more ? "true" : "false");
    rows_finish(a, 200);
}
