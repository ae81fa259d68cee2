#ifndef PRODUCER_SERVE_SERVER_PRIV_H
#define PRODUCER_SERVE_SERVER_PRIV_H

#include <stdatomic.h>
#include <sys/queue.h>
#include <time.h>

#include "common/base/buf.h"
#include "producer/serve/server.h"

/*
 * Between server.c (the port, time, the stop) and link.c (what happens in one
 * connection) only.
 */
struct event;
struct evhttp;
struct evhttp_bound_socket;
struct evhttp_connection;
struct evconnlistener;
struct bufferevent;

enum link_state {
    LINK_NEW,      /* evhttp may not have made its part yet */
    LINK_IDLE,     /* nothing has come of the next request */
    LINK_READING,  /* some has */
    LINK_FAULTY,   /* evhttp has said what is wrong, in HTML */
    LINK_HANDLING, /* all has; it belongs to its handler */
    LINK_WRITING,  /* its answer is on the way */
    LINK_NEXT,     /* evhttp is about to turn to what may have come since */
    LINK_REFUSED,  /* ours alone: the last answer is on the way */
    LINK_STATES
};

TAILQ_HEAD(links, link);

struct link {
    TAILQ_ENTRY(link) entry; /* in the list of its state */
    enum link_state state;
    int64_t since_ms; /* in this state */
    struct server *server;
    struct bufferevent *bev;         /* a reference: evhttp has the other */
    struct evhttp_connection *evcon; /* evhttp's */
    struct request *request;         /* being handled, or NULL */
    int fd;                          /* of bev; -1 while NEW */
    bool unwanted;                   /* one too many */
    bool has_head, chunked;          /* the request that is read */
    struct buf part;                 /* of a head that comes in pieces */
    size_t held; /* bytes of its request and answer, in server.held */
    size_t left; /* of the answer, when last looked at */
};

struct server {
    struct serve *serve;               /* borrowed */
    struct evhttp *http;               /* owned, with its listener */
    struct evhttp_bound_socket *bound; /* of http */
    struct evconnlistener *port;       /* of bound; NULL: closed */
    struct event *soon;  /* owned: there are NEW, NEXT or FAULTY links */
    struct event *sweep; /* owned */
    struct links links[LINK_STATES];
    struct link **by_fd; /* owned */
    size_t by_fd_cap;
    int64_t count; /* links */
    size_t held;   /* bytes of bodies and answers */
    atomic_bool stopping;
    char address[ADDRESS_TEXT_MAX];
    char date[32];
    time_t date_s; /* of date */
};

/* evhttp has a bufferevent with nothing in it yet: its link, owned by v. */
struct link *link_new(struct server *v, struct bufferevent *bev) ON_LOOP;
void link_move(struct link *l, enum link_state state) ON_LOOP;
/* evhttp has made its part of a NEW link, or could not. */
void link_born(struct link *l) ON_LOOP;
/* Turns to what has come behind a request that was answered. */
void link_next(struct link *l) ON_LOOP;
/* Says what evhttp said as we say it. */
void link_mend(struct link *l) ON_LOOP;
/* Answers what has not been handled with a problem, and closes. */
void link_refuse(struct link *l, int status, const char *kind,
                 const char *why) ON_LOOP;

/* Callbacks of evhttp; arg is the server. */
struct evhttp_request;
void link_on_request(struct evhttp_request *req, void *arg);

#endif
