#ifndef WORKER_CRON_PRIV_H
#define WORKER_CRON_PRIV_H

#include "common/job/cron_entry.h"
#include "worker/cron.h"
#include "worker/lane.h"

/* What cron.c, which looks, and cron_tick.c share. Loop thread only. */
enum {
    CRON_PAGE = 50,        /* entries of one look */
    CRON_FAILED_MS = 5000, /* until what Redis refused is tried again */
    CRON_ZONE_MS = 60000   /* the same of a zone that is not known here */
};

/* A look that is under way. It frees itself when no call is left. */
struct look {
    struct cron_watch *watch; /* NULL: it was freed meanwhile */
    unsigned calls;           /* that are not answered */
    unsigned count;           /* of entries */
    unsigned waiting;         /* of them, those that stay in front */
    bool full;                /* there may be more behind them */
    int64_t next_ms;          /* Redis' clock: when to look again */
    size_t sent;
    struct look_entry {
        struct look *look;
        char name[CRON_NAME_MAX_LEN + 1];
        int64_t due_ms; /* -1: no instant */
    } entries[CRON_PAGE];
};

/* Whether its lane is there and up. */
bool look_is_up(const struct look *look);
struct lane *look_lane(const struct look *look);

/* There is to be another one, at the latest then. */
void look_again_at(struct look *look, int64_t redis_ms);
void look_again_in(struct look *look, int64_t ms);

/*
 * The last thing in the callback of each call, which has raised calls: the
 * look may be freed.
 */
void look_end(struct look *look) ON_LOOP;

/* Says it unless that was said lately. */
void cron_complain(struct look *look, const char *name, const char *text,
                   const char *so);

/*
 * Whether a zone was looked for lately and is not known here; and what is done
 * when it has just been looked for: that is said once, whoever needs it.
 */
bool cron_lacks_zone(const struct look *look, const char *zone);
void cron_note_lack(struct look *look, const char *name, const char *zone,
                    const char *why);

/* ---- cron_tick.c ---- */
/* Does what entry i, which is due, and has this text, asks for. */
void cron_attend(struct look *look, unsigned i, struct bytes text) ON_LOOP;
/* Lets an instant go that has no entry. */
void cron_drop_due(struct look *look, unsigned i) ON_LOOP;

#endif
