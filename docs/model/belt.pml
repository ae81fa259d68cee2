/*
 * Belt's delivery protocol (docs/PROTOCOL.md), small enough to be searched
 * exhaustively. README.md says what each part stands for and what was left
 * out; `check` runs the configurations and the mutations.
 *
 * Jobs are numbered by their order in ready. kind[job] is all that the
 * protocol can see: jobs of one kind mine equal bytes. Lists in Redis hold
 * jobs; requests, replies and ledgers hold kinds.
 */
#ifndef LANES
#define LANES 1
#endif
#ifndef JOBS
#define JOBS 2 /* at most 3 */
#endif
#ifndef WINDOW /* unfinished jobs that a lane may hold */
#define WINDOW JOBS
#endif
#ifndef FETCH_MAX /* jobs of one fetch; less than WINDOW: several at a time */
#define FETCH_MAX WINDOW
#endif
#ifndef CUTS /* connections lost */
#define CUTS 0
#endif
#ifndef PAUSES /* leases that run out though their lane lives */
#define PAUSES 0
#endif
#ifndef CRASHES /* workers killed; each begins again under fresh ids */
#define CRASHES 0
#endif
#ifndef SHEDS /* jobs to be given back before they ran */
#define SHEDS 0
#endif
#ifndef STOPS /* times that the queue is paused, and resumed */
#define STOPS 0
#endif
#ifndef RENEWS /* renewals beyond those that find something */
#define RENEWS 0
#endif
#ifndef LATE /* jobs pushed while the lanes are at work; others before */
#define LATE JOBS
#endif
#ifndef REAPERS
#define REAPERS 1
#endif
#ifndef REAP_MAX /* jobs that one call of reap moves */
#define REAP_MAX JOBS
#endif
#ifndef IDS /* ids of a lane: never used up, which is asserted */
#define IDS (1 + 2 * CUTS + 2 * PAUSES + CRASHES + RENEWS / 2)
#endif
#define ALL_IDS (LANES * IDS)
/* Slots of a ledger. A lane that was reaped unawares may hold a job twice. */
#if PAUSES > 0
#define LEDGER (JOBS + 1)
#else
#define LEDGER JOBS
#endif
#ifndef QUEUE /* requests under way on a connection: asserted */
#define QUEUE 5
#endif
#define BATCHES (JOBS + 1) /* not answered, of a lane: asserted */
/* Closed connections with requests left: asserted. */
#define GHOSTS (CUTS + PAUSES + CRASHES + RENEWS / 2)
#if GHOSTS == 0
#undef GHOSTS
#define GHOSTS 1
#endif
#define NONE 255

typedef List {
    byte n;
    byte e[JOBS]
};

/* ---- Redis ---- */
#define UNUSED 0
#define LEASED 1
#define EXPIRED 2 /* leased, run out */
#define REAPED 3  /* in `reaped` */
#define ENDED 4   /* nowhere (mutation) */

List ready;
List list[ALL_IDS];
byte id_state[ALL_IDS];
byte was[ALL_IDS];     /* in its description: the id that it replaced, + 1 */
byte settles[ALL_IDS]; /* counted by settle; less those the lane knows of */

#if STOPS > 0
bool q_paused;             /* config */
byte q_version = 1;        /* config */
byte complied[ALL_IDS];    /* in `lanes`; 0: with none */
bool returned;             /* nothing starts until it is resumed */
byte stops = STOPS;
#endif

#define holds_lease(v) (id_state[v] == LEASED || id_state[v] == EXPIRED)

/* ---- connections ---- */
#define REGISTER 1
#define REBIND 2
#define FETCH 3
#define SETTLE 4
#define RELEASE 5
#define UNBLOCK 6
#define RENEW 7
#define STAMP 8
#define LOOK 9 /* mutation */

/* Whether jobs may be given back, and BLMOVE is told to come back. */
#if SHEDS + STOPS > 0
#define GIVES_BACK
#endif

#define OK 1
#define FENCED 2
#define TAKEN 3
#define REFUSED 4
#define EMPTY 5
#define MORE 6
#define PAUSED 7

/* What settle answers when LREM finds nothing. */
#ifdef M_LREM_FENCE
#define NOT_THERE FENCED
#else
#define NOT_THERE REFUSED
#endif
#if defined(M_LREM_FENCE) || defined(M_NO_LEASE_CHECK)
#define NO_FENCE
#endif

/* op; id; other id, count, max or index; n; kinds, bit i is the i-th */
chan cmd[LANES] = [QUEUE] of { byte, byte, byte, byte, byte };
/* op; state; n or length; kinds; settles, or how many fetch was to bring */
chan reply[LANES] = [QUEUE] of { byte, byte, byte, byte, byte };

/* The wait connection: id + 1 of a BLMOVE under way; its answer. */
#define NIL 1
byte blmove[LANES];
bool blmove_waits[LANES]; /* Redis has it */
byte wait_reply[LANES];   /* 0, NIL or 2 + kind */

/* Connections that a lane has closed, whose requests may still run. */
chan ghost[GHOSTS] = [QUEUE] of { byte, byte, byte, byte, byte };
byte ghost_blmove[GHOSTS];

/* ---- lanes ---- */
#define DOWN 0
#define BINDING 1
#define UP 2

#define STAMPING 1
#define HELD 2 /* not finished */
#define FINISHED 3
#define GIVE_BACK 4
#if STOPS > 0
#define RUNNING 5
#else
#define RUNNING HELD /* the list does not show the difference */
#endif

typedef Lane {
    byte state;
    byte id;
    byte next_id;
    byte seq;
    bool leased;
    bool rebinding;
    byte n; /* the ledger */
    byte k[LEDGER];
    byte s[LEDGER];
    byte batches; /* not answered: n (0: a release) and kinds */
    byte bn[BATCHES];
    byte bk[BATCHES];
    byte fetching; /* jobs asked for, of all fetches under way */
    bool blocked;
    byte unblocking; /* 1 asked, 2 asked too early */
    bool was_empty;
    bool renewing;
    byte expected;
    byte more;
    byte mismatches;
#if STOPS > 0
    bool paused;   /* has heard */
    bool good;     /* its lease has not run out, as it reckons itself */
    byte version;  /* heard of by a renewal; 0: of none, since it was bound */
    byte complied  /* 0: with none */
#endif
};
Lane lane[LANES];

/* ---- what may still go wrong ---- */
byte cuts = CUTS;
byte pauses = PAUSES;
byte crashes = CRASHES;
byte sheds = SHEDS;
byte renews = RENEWS;

/* ---- for the properties only ---- */
byte kind[JOBS];
byte pushed;  /* jobs */
byte settled; /* bit set of jobs */

/*
 * Properties by name: always false, so that an assertion that fails shows
 * which one was broken.
 */
hidden byte nothing_is_lost;
hidden byte a_run_settles_once;
hidden byte only_what_ran_is_settled;
hidden byte without_lease_nothing_is_settled;
hidden byte the_ledger_is_the_list;
hidden byte order_is_kept;
hidden byte nothing_is_stranded;
hidden byte nothing_starts;
hidden byte bounds_of_the_model;

/* ---- scratch, dead between steps ---- */
hidden byte i, j, p, v, x, y, t;
hidden byte op, id, a, n, ks; /* a request */
hidden byte st, rn, rk, rs;   /* its reply */
hidden byte mine[2], told[2], fresh[2], commits[2];
#if STOPS > 0
hidden byte runs[2];
#endif

#define bit(mask, at) (((mask) >> (at)) & 1)

inline push_tail(L, job)
{
    L.e[L.n] = job;
    L.n++
}

inline push_head(L, job)
{
    y = L.n;
    do
    :: y > 0 -> L.e[y] = L.e[y - 1]; y--
    :: else -> break
    od;
    L.e[0] = job;
    L.n++
}

/* Takes the element at `at` off the list. */
inline take(L, at, ret)
{
    ret = L.e[at];
    y = at;
    do
    :: y + 1 < L.n -> L.e[y] = L.e[y + 1]; y++
    :: else -> break
    od;
    L.n--;
    L.e[L.n] = 0
}

/* The place of the first element of a kind, or NONE. */
inline find(L, sort, ret)
{
    ret = NONE;
    y = 0;
    do
    :: y < L.n && ret == NONE ->
        if
        :: kind[L.e[y]] == sort -> ret = y
        :: else
        fi;
        y++
    :: else -> break
    od
}

/* The place of the last element of a kind, or NONE. */
inline find_last(L, sort, ret)
{
    ret = NONE;
    y = L.n;
    do
    :: y > 0 && ret == NONE ->
        y--;
        if
        :: kind[L.e[y]] == sort -> ret = y
        :: else
        fi
    :: else -> break
    od
}

/* Kinds of a list, as a reply. */
inline tell(L)
{
    rn = L.n;
    rk = 0;
    y = 0;
    do
    :: y < L.n -> rk = rk | (kind[L.e[y]] << y); y++
    :: else -> break
    od
}

/* ---- scripts: of op, id, a, n, ks they make st, rn, rk, rs ---- */

inline script_register()
{
    if
    :: id_state[id] == UNUSED && list[id].n == 0 ->
        id_state[id] = LEASED;
        st = OK
    :: else -> st = TAKEN
    fi
}

inline script_rebind()
{
    if
    :: !holds_lease(id) ->
        if
        :: holds_lease(a) && was[a] == id + 1 ->
            st = OK;
            tell(list[a]);
            rs = settles[a]
        :: else -> st = FENCED
        fi
    :: holds_lease(id) && (id_state[a] != UNUSED || list[a].n > 0) ->
        st = TAKEN
    :: else ->
        id_state[a] = LEASED;
        was[a] = id + 1;
        was[id] = 0;
#if STOPS > 0
        complied[id] = 0;
#endif
        settles[a] = settles[id];
        settles[id] = 0;
        do
        :: list[id].n > 0 ->
            take(list[id], 0, t);
            push_tail(list[a], t)
        :: else -> break
        od;
#ifdef M_REBIND_FORGETS
        id_state[id] = ENDED;
#else
        id_state[id] = REAPED;
#endif
        st = OK;
        tell(list[a]);
        rs = settles[a]
    fi
}

inline script_fetch()
{
    if
    :: !holds_lease(id) -> st = FENCED
#if STOPS > 0
    :: holds_lease(id) && q_paused ->
        st = PAUSED;
        rs = a
#endif
    :: else ->
        do
        :: rn < a && ready.n > 0 ->
            take(ready, 0, t);
            push_tail(list[id], t);
            rk = rk | (kind[t] << rn);
            rn++
        :: else -> break
        od;
        st = (ready.n > 0 && rn > 0 -> MORE : EMPTY);
        rs = a
    fi
}

/* The first a of n are taken from the front, the others by value. */
inline script_settle()
{
    if
#ifndef NO_FENCE
    :: !holds_lease(id) -> st = FENCED
#endif
    :: a > 0 && (list[id].n < a || kind[list[id].e[a - 1]] !=
                 bit(ks, a - 1)) -> st = REFUSED
    :: else ->
        st = OK;
        settles[id]++;
        i = 0;
        do
        :: i < n ->
            if
            :: i < a -> p = 0
            :: else -> find(list[id], bit(ks, i), p)
            fi;
            if
            :: p == NONE -> st = NOT_THERE
            :: else ->
                take(list[id], p, t);
                assert(holds_lease(id) || without_lease_nothing_is_settled);
                assert(kind[t] == bit(ks, i) || only_what_ran_is_settled);
                settled = settled | (1 << t)
            fi;
            i++
        :: else -> break
        od;
        skip
    fi
}

/* The last one first, so that they stand in order at the head of ready. */
inline script_release()
{
    if
    :: !holds_lease(id) -> st = FENCED
    :: else ->
        st = OK;
        i = n;
        do
        :: i > 0 ->
            i--;
#ifdef M_RELEASE_TURNS
            x = n - 1 - i;
#else
            x = i;
#endif
#ifdef M_RELEASE_FIRST
            find(list[id], bit(ks, x), p);
#else
            find_last(list[id], bit(ks, x), p);
#endif
            if
            :: p == NONE -> st = REFUSED
            :: else ->
                take(list[id], p, t);
                push_head(ready, t)
            fi
        :: else -> break
        od;
        do
        :: i < n && st == OK ->
            assert(kind[ready.e[i]] == bit(ks, i) || order_is_kept);
            i++
        :: else -> break
        od
    fi
}

inline script_renew()
{
    if
    :: !holds_lease(id) -> st = FENCED
    :: else ->
        id_state[id] = LEASED;
        st = OK;
        rn = list[id].n;
#if STOPS > 0
        complied[id] = a;
        rk = q_paused;
        rs = q_version
#endif
    fi
}

inline script_stamp()
{
    if
    :: !holds_lease(id) -> st = FENCED
    :: holds_lease(id) && (a >= list[id].n || kind[list[id].e[a]] != ks) ->
        st = REFUSED
    :: else ->
        st = OK;
        rk = ks
    fi
}

/* Runs what stands in op, id, a, n, ks. */
inline execute()
{
    st = 0; rn = 0; rk = 0; rs = 0;
    printf("redis: op %d of id %d (%d, n %d, kinds %d)\n", op, id, a, n, ks);
    if
    :: op == REGISTER -> script_register()
    :: op == REBIND -> script_rebind()
    :: op == FETCH -> script_fetch()
    :: op == SETTLE -> script_settle()
    :: op == RELEASE -> script_release()
    :: op == RENEW -> script_renew()
    :: op == STAMP -> script_stamp()
    :: op == UNBLOCK
    :: op == LOOK ->
        if
        :: !holds_lease(id) -> st = FENCED
        :: else ->
            st = OK;
            tell(list[id]);
            rs = settles[id]
        fi
    fi;
    count_jobs()
}

/*
 * Forgets requests of closed connections that can do nothing any more: an id
 * that was ended never holds a lease again. Only saves states.
 */
inline lay_ghosts()
{
#ifndef NO_FENCE
    x = 0;
    do
    :: x < GHOSTS && len(ghost[x]) > 0 ->
        ghost[x] ? < op, id, _, _, _ >;
        if
        :: op == UNBLOCK || (op != REGISTER && id_state[id] == REAPED) ->
            ghost[x] ? _, _, _, _, _
        :: else -> x++
        fi
    :: x < GHOSTS && len(ghost[x]) == 0 -> x++
    :: else -> break
    od
#else
    skip
#endif
}

/* Each job is in exactly one list, or settled. */
inline count_jobs()
{
    i = 0;
    t = ready.n;
    do
    :: i < ALL_IDS -> t = t + list[i].n; i++
    :: else -> break
    od;
    i = 0;
    do
    :: i < JOBS -> t = t + bit(settled, i); i++
    :: else -> break
    od;
    assert(t == pushed || nothing_is_lost);
    check_order()
}

/*
 * With one fault, what comes back to ready goes before all that was behind it
 * in the first place. (With two, a lane may give back what it fetched after
 * what another one gives back later.)
 */
inline check_order()
{
    i = 1;
    do
#if CUTS + PAUSES + CRASHES <= 1 && !defined(GIVES_BACK)
    :: i < ready.n ->
        assert(ready.e[i - 1] < ready.e[i] || order_is_kept);
        i++
#endif
    :: else -> break
    od
}


/* ---- connections ---- */

inline run_blmove(lane_id)
{
    take(ready, 0, t);
    push_tail(list[lane_id], t);
    v = kind[t];
    printf("redis: BLMOVE of id %d takes job %d\n", lane_id, t);
    count_jobs()
}

/* Both connections of a lane: Redis runs each one's requests in order. */
proctype Connections(byte l)
{
end:
    do
    :: d_step {
        len(cmd[l]) > 0 ->
        cmd[l] ? op, id, a, n, ks;
        if
        :: op == UNBLOCK ->
            st = OK; rn = 0; rk = 0; rs = 0;
            if
            :: blmove[l] > 0 && blmove_waits[l] ->
                blmove[l] = 0;
                blmove_waits[l] = false;
                wait_reply[l] = NIL;
                rn = 1
            :: else
            fi
        :: else -> execute()
        fi;
        reply[l] ! op, st, rn, rk, rs;
        lay_ghosts();
        skip
       }
    :: d_step {
        blmove[l] > 0 && ready.n > 0 ->
        run_blmove(blmove[l] - 1);
        blmove[l] = 0;
        blmove_waits[l] = false;
        wait_reply[l] = 2 + v;
        skip
       }
#ifdef GIVES_BACK
    :: d_step {
        blmove[l] > 0 && !blmove_waits[l] -> blmove_waits[l] = true;
        skip
       }
#endif
    od
}

/* Requests of closed connections: some run, late; the others never arrive. */
proctype Ghost(byte g)
{
end:
    do
    :: d_step {
        len(ghost[g]) > 0 ->
        ghost[g] ? op, id, a, n, ks;
        execute();
        lay_ghosts();
        skip
       }
    :: d_step {
        len(ghost[g]) > 0 ->
        do
        :: len(ghost[g]) > 0 -> ghost[g] ? _, _, _, _, _
        :: else -> break
        od;
        skip
       }
    :: d_step {
        ghost_blmove[g] > 0 && ready.n > 0 ->
        run_blmove(ghost_blmove[g] - 1);
        ghost_blmove[g] = 0;
        skip
       }
    :: d_step { ghost_blmove[g] > 0 -> ghost_blmove[g] = 0 }
    od
}

/* ---- lanes ---- */

inline send(l, what, who, arg, count, kinds)
{
    assert(len(cmd[l]) < QUEUE || bounds_of_the_model);
    cmd[l] ! what, who, arg, count, kinds
}

/* Closes both connections. What was sent may still run. */
inline restart(l)
{
    printf("lane %d: closes its connections\n", l);
    if
    :: len(cmd[l]) > 0 || blmove[l] > 0 ->
        i = 0;
        do
        :: i < GHOSTS && (len(ghost[i]) > 0 || ghost_blmove[i] > 0) -> i++
        :: else -> break
        od;
        assert(i < GHOSTS || bounds_of_the_model);
        do
        :: len(cmd[l]) > 0 ->
            cmd[l] ? op, id, a, n, ks;
            ghost[i] ! op, id, a, n, ks
        :: else -> break
        od;
        ghost_blmove[i] = blmove[l];
        lay_ghosts()
    :: else
    fi;
    do
    :: len(reply[l]) > 0 -> reply[l] ? _, _, _, _, _
    :: else -> break
    od;
    blmove[l] = 0;
    blmove_waits[l] = false;
    wait_reply[l] = 0;
    lane[l].state = DOWN;
    lane[l].fetching = 0;
    lane[l].blocked = false;
    lane[l].unblocking = 0;
    lane[l].was_empty = false;
    lane[l].renewing = false;
    lane[l].expected = 0;
    lane[l].more = 0
}

inline clear_ledger(l)
{
    do
    :: lane[l].n > 0 ->
        lane[l].n--;
        lane[l].k[lane[l].n] = 0;
        lane[l].s[lane[l].n] = 0
    :: else -> break
    od
}

inline clear_batches(l)
{
    do
    :: lane[l].batches > 0 ->
        lane[l].batches--;
        lane[l].bn[lane[l].batches] = 0;
        lane[l].bk[lane[l].batches] = 0
    :: else -> break
    od
}

/* Fenced, or killed: nothing is ours any more. */
inline drop_all(l)
{
    restart(l);
    clear_ledger(l);
    clear_batches(l);
    lane[l].leased = false;
    lane[l].rebinding = false;
    lane[l].id = 0;
    lane[l].next_id = 0;
#if STOPS > 0
    lane[l].version = 0;
    lane[l].complied = 0;
#endif
    lane[l].mismatches = 0
}

inline bind(l)
{
#ifdef M_NO_REBIND
    if
    :: lane[l].leased -> send(l, LOOK, lane[l].id, 0, 0, 0)
    :: else ->
#else
    {
#endif
        if
        :: !lane[l].rebinding ->
            assert(lane[l].seq < IDS || bounds_of_the_model);
            lane[l].next_id = l * IDS + lane[l].seq;
            lane[l].seq++
        :: else
        fi;
        lane[l].rebinding = lane[l].leased;
        if
        :: lane[l].leased -> send(l, REBIND, lane[l].id, lane[l].next_id, 0, 0)
        :: else -> send(l, REGISTER, lane[l].next_id, 0, 0, 0)
        fi
#ifdef M_NO_REBIND
    fi;
#else
    };
#endif
    lane[l].state = BINDING
}

inline bound(l)
{
    lane[l].id = lane[l].next_id;
    lane[l].next_id = 0;
    lane[l].leased = true;
    lane[l].rebinding = false;
    lane[l].state = UP;
#if STOPS > 0
#ifdef M_FORGETS
    lane[l].paused = false;
#endif
    lane[l].version = 0;
    lane[l].complied = 0;
#ifdef M_GOOD_AT_ONCE
    lane[l].good = true;
#endif
#endif
    lane[l].mismatches = 0
}

#if STOPS > 0
/* What has not begun goes back, that in the jobs channel too. */
inline let_go(l)
{
    lane[l].paused = true;
#ifndef M_NO_RECALL
    i = 0;
    do
    :: i < lane[l].n ->
        if
        :: lane[l].s[i] == HELD -> lane[l].s[i] = GIVE_BACK
        :: else
        fi;
        i++
    :: else -> break
    od
#endif
}
#endif

inline append(l, sort, condition)
{
    assert(lane[l].n < LEDGER || bounds_of_the_model);
    lane[l].k[lane[l].n] = sort;
    lane[l].s[lane[l].n] = condition;
    lane[l].n++
}

#if STOPS > 0
#define append_held(l, sort) \
    append(l, sort, (lane[l].paused -> GIVE_BACK : HELD))
#else
#define append_held(l, sort) append(l, sort, HELD)
#endif

/* A job that came without a token (BLMOVE, rebind) is stamped first. */
inline take_in(l, sort)
{
#ifdef STAMPED
    send(l, STAMP, lane[l].id, lane[l].n, 0, sort);
    append(l, sort, STAMPING)
#else
    append_held(l, sort)
#endif
}

/*
 * Makes the ledger agree with the list that rebind returned (rn, rk). Of the
 * settles not answered the first rs mine run: Redis counts them.
 */
inline adopt(l)
{
    printf("lane %d: adopts %d jobs, kinds %d, of its settles %d ran\n", l,
           rn, rk, rs);
#if STOPS > 0
    runs[0] = 0; runs[1] = 0;
#endif
    mine[0] = 0; told[0] = 0; fresh[0] = 0; commits[0] = 0;
    mine[1] = 0; told[1] = 0; fresh[1] = 0; commits[1] = 0;
    settles[lane[l].id] = 0;
    i = 0;
    do
    :: i < lane[l].batches ->
        j = 0;
        do
        :: j < lane[l].bn[i] ->
            v = bit(lane[l].bk[i], j);
#ifdef M_GUESS
            told[v]++;
#endif
            if
            :: rs == 0 ->
#ifndef M_GUESS
                told[v]++;
#endif
                commits[v]++
            :: else
            fi;
            j++
        :: else -> break
        od;
        if
        :: lane[l].bn[i] > 0 && rs > 0 -> rs--
        :: else
        fi;
        i++
    :: else -> break
    od;
    clear_batches(l);
    i = 0;
    do
    :: i < lane[l].n ->
        v = lane[l].k[i];
        if
        :: lane[l].s[i] == HELD -> mine[v]++
#if STOPS > 0
        :: lane[l].s[i] == RUNNING -> runs[v]++
#endif
        :: lane[l].s[i] == FINISHED -> fresh[v]++; commits[v]++
        :: else
        fi;
        i++
    :: else -> break
    od;
    clear_ledger(l);
    i = 0;
    do
    :: i < rn ->
        v = bit(rk, i);
        if
#if STOPS > 0
        :: runs[v] > 0 -> runs[v]--; append(l, v, RUNNING)
        :: runs[v] == 0 && mine[v] > 0 -> mine[v]--; append(l, v, HELD)
        :: runs[v] == 0 && mine[v] == 0 && told[v] + fresh[v] > 0 ->
#else
        :: mine[v] > 0 -> mine[v]--; append(l, v, HELD)
        :: mine[v] == 0 && told[v] + fresh[v] > 0 ->
#endif
            if
            :: told[v] > 0 -> told[v]--
            :: else -> fresh[v]--
            fi;
            assert(commits[v] > 0 || a_run_settles_once);
            commits[v]--;
            append(l, v, FINISHED)
        :: else -> take_in(l, v)
        fi;
        i++
    :: else -> break
    od;
    assert(mine[0] + mine[1] == 0 || nothing_is_lost);
    assert(commits[0] + commits[1] == 0 || a_run_settles_once)
}

inline cut_out(l, at)
{
    x = at;
    do
    :: x + 1 < lane[l].n ->
        lane[l].k[x] = lane[l].k[x + 1];
        lane[l].s[x] = lane[l].s[x + 1];
        x++
    :: else -> break
    od;
    lane[l].n--;
    lane[l].k[lane[l].n] = 0;
    lane[l].s[lane[l].n] = 0
}

/* Takes the slot off, but gives up the place p: the twin there moves here. */
inline remove_at(l, at)
{
#ifndef M_NO_TWINS
    lane[l].s[at] = lane[l].s[p];
    y = p;
#else
    y = at;
#endif
    cut_out(l, y)
}

/* As LREM takes the first of equal ones off the list. */
inline remove(l, at)
{
    p = 0;
    do
    :: lane[l].k[p] != lane[l].k[at] -> p++
    :: else -> break
    od;
    remove_at(l, at)
}

/* As LREM takes the last one. */
inline remove_last(l, at)
{
    p = lane[l].n - 1;
    do
    :: lane[l].k[p] != lane[l].k[at] -> p--
    :: else -> break
    od;
    remove_at(l, at)
}

inline begin_batch(l, count)
{
    assert(lane[l].batches < BATCHES || bounds_of_the_model);
    lane[l].bn[lane[l].batches] = count;
    lane[l].bk[lane[l].batches] = (count > 0 -> ks : 0);
    lane[l].batches++
}

/* Answers come in the order of the calls. */
inline end_batch(l)
{
    i = 0;
    do
    :: i + 1 < lane[l].batches ->
        lane[l].bn[i] = lane[l].bn[i + 1];
        lane[l].bk[i] = lane[l].bk[i + 1];
        i++
    :: else -> break
    od;
    lane[l].batches--;
    lane[l].bn[lane[l].batches] = 0;
    lane[l].bk[lane[l].batches] = 0
}

/* With nothing under way the ledger mirrors the active list. */
inline check_mirror(l)
{
    if
    :: lane[l].state == UP && len(cmd[l]) == 0 && len(reply[l]) == 0 &&
       blmove[l] == 0 && wait_reply[l] == 0 && holds_lease(lane[l].id) ->
        assert(lane[l].n == list[lane[l].id].n || the_ledger_is_the_list);
        i = 0;
        do
        :: i < lane[l].n ->
            assert(lane[l].k[i] == kind[list[lane[l].id].e[i]] ||
                   the_ledger_is_the_list);
            i++
        :: else -> break
        od
    :: else
    fi
}

/* All that is finished in one call: the front by count, others by value. */
inline settle(l)
{
    printf("lane %d: settles\n", l);
    a = 0;
    n = 0;
    ks = 0;
    do
    :: n < lane[l].n && lane[l].s[n] == FINISHED ->
        ks = ks | (lane[l].k[n] << n);
        n++
    :: else -> break
    od;
#ifdef M_LREM_FENCE
    a = 0;
#else
    a = n;
#endif
    i = n;
    do
    :: i > 0 -> cut_out(l, 0); i--
    :: else -> break
    od;
    i = 0;
    do
    :: i < lane[l].n ->
        if
        :: lane[l].s[i] == FINISHED ->
            ks = ks | (lane[l].k[i] << n);
            n++;
            remove(l, i);
            i = 0
        :: else -> i++
        fi
    :: else -> break
    od;
    send(l, SETTLE, lane[l].id, a, n, ks);
    begin_batch(l, n)
}

inline release(l)
{
    printf("lane %d: releases\n", l);
    n = 0;
    ks = 0;
    i = 0;
    do
    :: i < lane[l].n ->
        if
        :: lane[l].s[i] == GIVE_BACK ->
            ks = ks | (lane[l].k[i] << n);
            n++
        :: else
        fi;
        i++
    :: else -> break
    od;
    i = 0;
    do
    :: i < lane[l].n ->
        if
        :: lane[l].s[i] == GIVE_BACK -> remove_last(l, i); i = 0
        :: else -> i++
        fi
    :: else -> break
    od;
    send(l, RELEASE, lane[l].id, 0, n, ks);
    begin_batch(l, 0);
    lane[l].was_empty = false
}

inline renew(l)
{
#if STOPS > 0
    send(l, RENEW, lane[l].id, lane[l].complied, 0, 0);
#else
    send(l, RENEW, lane[l].id, 0, 0, 0);
#endif
    lane[l].renewing = true;
    lane[l].expected = lane[l].n;
    lane[l].more = lane[l].fetching + lane[l].blocked
}

inline on_renewed(l)
{
    lane[l].renewing = false;
    if
#if STOPS > 0
    :: true /* those that messages ask for do not audit */
#else
    :: rn >= lane[l].expected && rn <= lane[l].expected + lane[l].more ->
        lane[l].mismatches = 0
    :: else -> lane[l].mismatches++
#endif
    fi;
    lane[l].expected = 0;
    lane[l].more = 0;
#if STOPS > 0
    lane[l].version = rs;
    if
    :: rk == 1 -> let_go(l)
    :: else ->
        lane[l].complied = rs;
        if
        :: lane[l].paused -> lane[l].was_empty = false
        :: else
        fi;
        lane[l].paused = false
    fi;
    lane[l].good = (id_state[lane[l].id] == LEASED);
#endif
    if
    :: lane[l].mismatches == 2 -> restart(l)
    :: else
    fi
}

inline on_stamped(l)
{
    i = 0;
    do
    :: i < lane[l].n && (lane[l].s[i] != STAMPING || lane[l].k[i] != rk) -> i++
    :: else -> break
    od;
    lane[l].s[i] = HELD
}

/* The next reply of the cmd connection. */
inline on_reply(l)
{
    reply[l] ? op, st, rn, rk, rs;
    printf("lane %d: op %d answers %d\n", l, op, st);
    if
    :: st == FENCED -> drop_all(l)
    :: st == REFUSED -> assert(the_ledger_is_the_list)
    :: st == TAKEN ->
        lane[l].rebinding = false;
        lane[l].state = DOWN
    :: op == REGISTER && st == OK -> bound(l)
    :: op == REBIND && st == OK ->
        bound(l);
        adopt(l)
    :: op == LOOK && st == OK ->
        lane[l].state = UP;
        adopt(l)
    :: op == FETCH && (st == MORE || st == EMPTY) ->
        lane[l].fetching = lane[l].fetching - rs;
        lane[l].was_empty = (st == EMPTY);
#if STOPS > 0
        lane[l].paused = false;
#endif
        i = 0;
        do
        :: i < rn -> append(l, bit(rk, i), HELD); i++
        :: else -> break
        od
#if STOPS > 0
    :: op == FETCH && st == PAUSED ->
        lane[l].fetching = lane[l].fetching - rs;
        let_go(l)
#endif
    :: op == SETTLE && st == OK ->
        settles[lane[l].id]--;
        end_batch(l)
    :: op == RELEASE && st == OK -> end_batch(l)
    :: op == UNBLOCK && st == OK ->
        if
        :: rn == 0 && lane[l].blocked -> lane[l].unblocking = 2
        :: else
        fi
    :: op == RENEW && st == OK -> on_renewed(l)
    :: op == STAMP && st == OK -> on_stamped(l)
    fi
}

inline on_wait_reply(l)
{
    v = wait_reply[l];
    wait_reply[l] = 0;
    lane[l].blocked = false;
    if
    :: v == NIL && lane[l].unblocking > 0 -> lane[l].was_empty = false
    :: v == NIL && lane[l].unblocking == 0
    :: v >= 2 ->
        take_in(l, v - 2);
        lane[l].was_empty = false
    fi;
    lane[l].unblocking = 0
}

#define is_up (lane[l].state == UP)
/* In a turn of the loop what is given back goes before more is asked for. */
#define gives_back (any_in(GIVE_BACK) && !any_in(STAMPING))
#define quiescent (lane[l].fetching == 0 && !lane[l].blocked)

/*
 * Reaped, and does not know it: all that it asks for is refused, so one kind of
 * call is enough to find out, and its handlers need not end. Only saves states.
 */
#define stale (lane[l].leased && id_state[lane[l].id] == REAPED)

#define in_state(at, v) (at < LEDGER && at < lane[l].n && lane[l].s[at] == v)
#define any_in(v) \
    (in_state(0, v) || in_state(1, v) || in_state(2, v) || in_state(3, v))
#define unfinished \
    (in_state(0, HELD) + in_state(1, HELD) + in_state(2, HELD) + \
     in_state(3, HELD) + in_state(0, STAMPING) + in_state(1, STAMPING) + \
     in_state(2, STAMPING) + in_state(3, STAMPING))
#if STOPS > 0
#define running \
    (in_state(0, RUNNING) + in_state(1, RUNNING) + in_state(2, RUNNING) + \
     in_state(3, RUNNING))
#define may_fetch (!lane[l].paused)
/* The pool looks at the lease of what it takes. */
#ifdef M_NO_LEASE_LOOK
#define is_good true
#else
#define is_good (lane[l].good)
#endif
#ifdef M_NO_RECALL
#define may_begin(at) (in_state(at, HELD) && is_good && !stale)
#else
#define may_begin(at) (in_state(at, HELD) && is_good && !lane[l].paused)
#endif
#else
#define running 0
#define may_fetch true
#endif
#define room (WINDOW - (unfinished) - (running) - lane[l].fetching)
/* Behind a fetch under way only a whole one goes; here also if none wait. */
#define may_go_ahead \
    (lane[l].fetching > 0 && !lane[l].blocked && !any_in(GIVE_BACK) && \
     room >= FETCH_MAX)

#if STOPS > 0
#define release_at(l, at) (at < BATCHES && lane[l].batches > at && lane[l].bn[at] == 0)
#if BATCHES > 4
#error five batches
#endif
#define releases(l) \
    (release_at(l, 0) || release_at(l, 1) || release_at(l, 2) || \
     release_at(l, 3))

inline start(l, at)
{
    printf("lane %d: starts a job\n", l);
    assert(!returned || nothing_starts);
    lane[l].s[at] = RUNNING
}
#endif

proctype LaneOf(byte l)
{
end:
    do
    :: d_step { lane[l].state == DOWN -> bind(l); skip }
    :: d_step {
        len(reply[l]) > 0 ->
        on_reply(l);
        check_mirror(l);
        skip
       }
    :: d_step {
        wait_reply[l] > 0 ->
        on_wait_reply(l);
        check_mirror(l);
        skip
       }
    /* fetch, or wait */
#ifdef M_BLOCK_AND_FETCH
    :: d_step {
        is_up && lane[l].fetching == 0 && !lane[l].was_empty &&
#else
    :: d_step {
        is_up && (quiescent && !gives_back || may_go_ahead) &&
        !lane[l].was_empty &&
#endif
        may_fetch && room > 0 && lane[l].n < LEDGER && !stale ->
        n = (room < FETCH_MAX -> room : FETCH_MAX);
        lane[l].fetching = lane[l].fetching + n;
        send(l, FETCH, lane[l].id, n, 0, 0);
        skip
       }
#ifdef M_BLOCK_AND_FETCH
    :: d_step {
        is_up && !lane[l].blocked && unfinished < WINDOW ->
#else
    :: d_step {
        is_up && quiescent && !gives_back && lane[l].was_empty &&
        may_fetch && (unfinished) + (running) < WINDOW ->
#endif
        blmove[l] = lane[l].id + 1;
        lane[l].blocked = true;
        skip
       }
#if STOPS > 0
    /* a thread begins what it took */
    :: d_step { may_begin(0) -> start(l, 0) }
#if LEDGER > 1
    :: d_step { may_begin(1) -> start(l, 1) }
#endif
#if LEDGER > 2
    :: d_step { may_begin(2) -> start(l, 2) }
#endif
#if LEDGER > 3
    :: d_step { may_begin(3) -> start(l, 3) }
#endif
#endif
    /* handlers end */
    :: d_step { in_state(0, RUNNING) && !stale -> lane[l].s[0] = FINISHED }
#if LEDGER > 1
    :: d_step { in_state(1, RUNNING) && !stale -> lane[l].s[1] = FINISHED }
#endif
#if LEDGER > 2
    :: d_step { in_state(2, RUNNING) && !stale -> lane[l].s[2] = FINISHED }
#endif
#if LEDGER > 3
    :: d_step { in_state(3, RUNNING) && !stale -> lane[l].s[3] = FINISHED }
#endif
    :: d_step { is_up && any_in(FINISHED) -> settle(l); skip }
#if SHEDS > 0
    :: d_step {
        sheds > 0 && in_state(0, HELD) && !stale ->
        lane[l].s[0] = GIVE_BACK;
        sheds--;
        skip
       }
#if LEDGER > 1
    :: d_step {
        sheds > 0 && in_state(1, HELD) && !stale ->
        lane[l].s[1] = GIVE_BACK;
        sheds--;
        skip
       }
#endif
#if LEDGER > 2
    :: d_step {
        sheds > 0 && in_state(2, HELD) && !stale ->
        lane[l].s[2] = GIVE_BACK;
        sheds--;
        skip
       }
#endif
#endif
#ifdef GIVES_BACK
    :: d_step {
        is_up && (any_in(GIVE_BACK) || !may_fetch) && lane[l].blocked &&
        (lane[l].unblocking == 0 ||
         (lane[l].unblocking == 2 && blmove_waits[l])) ->
        lane[l].unblocking = 1;
        send(l, UNBLOCK, 0, 0, 0, 0);
        skip
       }
    :: d_step {
#ifdef M_RELEASE_AND_FETCH
        is_up && gives_back && !lane[l].blocked ->
#else
        is_up && gives_back && quiescent ->
#endif
        release(l);
        skip
       }
#endif
    /* Renewals never end; those that find nothing change nothing. */
    :: d_step {
        is_up && !lane[l].renewing && id_state[lane[l].id] != LEASED ->
        renew(l);
        skip
       }
#if STOPS > 0
    /* One that tells something new comes in the end, as messages do. */
    :: d_step {
        is_up && !lane[l].renewing && lane[l].version != q_version ->
        renew(l);
        skip
       }
    :: d_step {
        is_up && !lane[l].renewing && lane[l].paused &&
        lane[l].version > 0 && lane[l].complied != lane[l].version &&
#ifndef M_COMPLY_FIRST
        quiescent && !any_in(STAMPING) && !any_in(GIVE_BACK) &&
        !releases(l) &&
#ifndef M_NO_RECALL
        !any_in(HELD) &&
#endif
#endif
        true ->
        lane[l].complied = lane[l].version;
        renew(l);
        skip
       }
#endif
#if RENEWS > 0
    :: d_step {
        is_up && !lane[l].renewing && renews > 0 ->
        renews--;
        renew(l);
        skip
       }
#endif
    od
}

/* ---- faults ---- */

/* No living lane speaks, or is about to speak, under this id. */
#define spoken_by(l, v) \
    ((lane[l].leased && lane[l].id == v) || \
     (lane[l].state == BINDING && lane[l].next_id == v) || \
     (lane[l].rebinding && lane[l].next_id == v))
#if LANES > 1
#define orphan(v) (!spoken_by(0, v) && !spoken_by(1, v))
#else
#define orphan(v) (!spoken_by(0, v))
#endif

#if CUTS + PAUSES + CRASHES > 0
proctype Faults(byte l)
{
end:
    do
#if CUTS > 0
    :: d_step {
        cuts > 0 && lane[l].state != DOWN ->
        cuts--;
        restart(l);
        skip
       }
#endif
#if CRASHES > 0
    :: d_step {
        crashes > 0 ->
        crashes--;
        drop_all(l);
#if STOPS > 0
        lane[l].paused = false;
        lane[l].good = false;
#endif
        skip
       }
#endif
#if PAUSES > 0
    /* The lane stands still, and its lease runs out. */
    :: d_step {
        pauses > 0 && lane[l].leased && id_state[lane[l].id] == LEASED ->
        pauses--;
#if STOPS > 0
        lane[l].good = false;
#endif
        id_state[lane[l].id] = EXPIRED;
        skip
       }
    :: d_step {
        pauses > 0 && lane[l].rebinding &&
        id_state[lane[l].next_id] == LEASED ->
        pauses--;
#if STOPS > 0
        lane[l].good = false;
#endif
        id_state[lane[l].next_id] = EXPIRED;
        skip
       }
#endif
    od
}
#endif

/* ---- reapers ---- */

#define dead(v) \
    (id_state[v] == EXPIRED || (id_state[v] == LEASED && orphan(v)))
#ifdef M_NO_STRAGGLERS
#define straggles(v) false
#else
#define straggles(v) (id_state[v] == REAPED && list[v].n > 0)
#endif

inline script_reap(victim)
{
    printf("redis: reap of id %d\n", victim);
    x = 0;
    do
    :: x < REAP_MAX && list[victim].n > 0 ->
        take(list[victim], list[victim].n - 1, t);
#ifdef M_REAP_TO_TAIL
        push_tail(ready, t);
#else
        push_head(ready, t);
#endif
        x++
    :: else -> break
    od;
    count_jobs()
}

/*
 * One reaper's eye on one id: it looks, later it calls, and the script checks
 * again. A lone reaper's call may as well come at once.
 */
proctype Reaper(byte victim)
{
#if REAPERS == 1
end:
    do
    :: d_step {
        dead(victim) ->
        id_state[victim] = REAPED;
        was[victim] = 0;
        script_reap(victim);
        lay_ghosts();
        skip
       }
    :: d_step { straggles(victim) -> script_reap(victim); skip }
#else
    byte call; /* 1: as expired or gone; 2: as straggler or rest */
end:
    do
    :: d_step { call == 0 && dead(victim) -> call = 1 }
    :: d_step { call == 0 && straggles(victim) -> call = 2 }
    :: d_step {
        call > 0 ->
        if
        :: call == 1 && dead(victim) ->
            id_state[victim] = REAPED;
            was[victim] = 0;
            script_reap(victim);
            lay_ghosts()
        :: call == 2 && straggles(victim) -> script_reap(victim)
        :: else
        fi;
        call = 0;
        skip
       }
#endif
    od
}

/* ---- */

#if STOPS > 0
/* Neither a lane without a lease nor one that complies starts anything. */
#define starts(v) \
    (v < ALL_IDS && id_state[v] == LEASED && complied[v] < q_version)
#if ALL_IDS > 6
#error more ids
#endif
#define some_starts \
    (starts(0) || starts(1) || starts(2) || starts(3) || starts(4) || starts(5))

/* belt pause, and belt resume. */
proctype Pauser()
{
    do
    :: d_step {
        stops > 0 && !q_paused ->
        stops--;
        q_paused = true;
        q_version++;
        skip
       }
    :: d_step { q_paused && !returned && !some_starts -> returned = true }
    :: d_step {
        returned ->
        returned = false;
        q_paused = false;
        q_version++;
        skip
       }
    :: stops == 0 && !q_paused -> break
    od
}
#endif

proctype Producer()
{
    do
    :: d_step {
        pushed < JOBS ->
        push_tail(ready, pushed);
        pushed++
       }
    :: pushed == JOBS -> break
    od
}

/* When nothing can happen any more, everything has. */
proctype Judge()
{
    timeout ->
    d_step {
        assert(settled == (1 << JOBS) - 1 || nothing_is_stranded);
        i = 0;
        do
        :: i < ALL_IDS ->
            assert(list[i].n == 0 || nothing_is_stranded);
            i++
        :: else -> break
        od;
        i = 0;
        do
        :: i < LANES ->
            assert((lane[i].state == UP && holds_lease(lane[i].id) &&
                    lane[i].n == 0 && lane[i].batches == 0) ||
                   nothing_is_stranded);
            i++
        :: else -> break
        od;
        skip
    }
}

init {
    byte m;
    atomic {
        /* The first job is of kind 0; each choice for the others. */
        m = 1;
        do
        :: m < JOBS -> m++
        :: m < JOBS -> kind[m] = 1; m++
        :: m == JOBS -> break
        od;
        do
        :: pushed < JOBS - LATE -> push_tail(ready, pushed); pushed++
        :: else -> break
        od;
        /* The lanes are registered; register itself comes after faults. */
        m = 0;
        do
        :: m < LANES ->
            lane[m].next_id = m * IDS;
            lane[m].seq = 1;
            id_state[m * IDS] = LEASED;
            bound(m);
            run Connections(m);
            run LaneOf(m);
#if CUTS + PAUSES + CRASHES > 0
            run Faults(m);
#endif
            m++
        :: else -> break
        od;
        m = 0;
        do
        :: m < GHOSTS -> run Ghost(m); m++
        :: else -> break
        od;
        m = 0;
        do
        :: m < ALL_IDS ->
            run Reaper(m);
#if REAPERS > 1
            run Reaper(m);
#endif
            m++
        :: else -> break
        od;
        m = 0;
        run Producer();
#if STOPS > 0
        run Pauser();
#endif
        run Judge()
    }
}
