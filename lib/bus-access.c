/* SPDX-License-Identifier: Apache-2.0 */

/* The credential check; see bus-access.h.
 *
 * A caller is a unique name. The bus never gives a unique name twice and a connection's credentials
 * are those of the moment it connected, so a remembered answer stays right for as long as our own
 * connection lives; the oldest are forgotten at LIMIT_CALLERS_CACHED. Calls of a caller whose
 * credentials are being fetched wait in its queue, in order; and so do those of everybody while
 * more arrives than is served (bus-turns).
 *
 * What polkit answers about a caller and a right is remembered with the caller, until polkit says
 * that something changed. A call that is refused for a right which polkit has not been asked for
 * goes back to the head of its queue, which is held; with the answer it is served anew. Each right
 * is asked for at most twice for one call: what polkit says by itself, and then, if the call allows
 * it and it may help, what people say. */

#include <grp.h>
#include <stdio.h>
#include <unistd.h>

#include "bus-access.h"
#include "bus-polkit.h"
#include "bus-turns.h"
#include "bus-util.h"
#include "clock.h"
#include "error.h"
#include "limit.h"
#include "log.h"

typedef struct Caller Caller;
struct Caller {
        BusQueue queue; /* first: it is how the caller is found */
        Caller *hash_next;
        Caller *newer, *older; /* by age */
        BusAccess *access;
        sd_bus_slot *slot; /* the call under way */
        bool known;
        BusCaller who;
        unsigned granted, denied; /* rights, as bits, by polkit's lasting answers */
        unsigned challenge;       /* of those denied: a password may help */

        /* Of the call at the head of its queue. */
        BusRight asking;
        bool asking_people;
        uint64_t asked_at;      /* BusAccess.n_changes */
        unsigned once, refused; /* granted to it alone; not to be asked for again */
        char *trouble;          /* why polkit could not be asked */
        char name[];
};

#define BIT(right) (1U << (right))

#define BUCKETS 256U

struct BusAccess {
        sd_bus *bus;
        BusTurns *turns;
        Caller *buckets[BUCKETS];
        Caller *newest, *oldest;
        unsigned n_callers;
        gid_t tank_gid;
        bool asked_tank_gid, has_tank_gid;
        BusPolkit *polkit;
        uint64_t n_changes; /* how often it said that something changed */
        unsigned n_checks;  /* questions to it under way */
        BusObserver observer;
};

bool bus_caller_may(const BusCaller *c, BusRight right)
{
        if (c->root || (c->granted & BIT(right)))
                return true;
        switch (right) {
        case BUS_INSPECT:
        case BUS_MANAGE:
        case BUS_ATTACH: return c->group_tank;
        case BUS_SECRETS:
        case BUS_ADMIN:
        case BUS_PRIVILEGED:
        case _BUS_RIGHT_MAX: return false;
        }
        return false;
}

int bus_caller_check_privileged(
                const BusCaller *c, bool privileged, const char *pod, sd_bus_error *reterr)
{
        if (!privileged || bus_caller_may(c, BUS_PRIVILEGED))
                return 0;
        return tank_error_set(reterr, TANK_ERROR_ACCESS_DENIED,
                        "pod %s uses privileged fields: this needs the right 'privileged': be root",
                        pod);
}

static const char *const right_words[_BUS_RIGHT_MAX] = {
        [BUS_INSPECT] = "inspect",
        [BUS_MANAGE] = "manage",
        [BUS_ATTACH] = "attach",
        [BUS_SECRETS] = "secrets",
        [BUS_ADMIN] = "admin",
        [BUS_PRIVILEGED] = "privileged",
};

/* The right that a refusal is about, _BUS_RIGHT_MAX for none: its sentence says it to people. */
static BusRight refused_right(const sd_bus_error *e)
{
        char word[32];

        if (!sd_bus_error_has_name(e, TANK_ERROR_ACCESS_DENIED))
                return _BUS_RIGHT_MAX;
        for (BusRight right = 0; right < _BUS_RIGHT_MAX; right++) {
                (void) snprintf(word, sizeof(word), "'%s'", right_words[right]);
                if (strstr(e->message, word))
                        return right;
        }
        return _BUS_RIGHT_MAX;
}

bool bus_caller_is_open(const BusCaller *c, const sd_bus_error *e)
{
        BusRight right = refused_right(e);

        return right != _BUS_RIGHT_MAX && (c->open & BIT(right));
}

int tank_group(gid_t *ret)
{
        struct group *g;

        errno = 0;
        g = getgrnam("tank");
        if (!g)
                return errno > 0 ? -errno : -ENOENT;
        *ret = g->gr_gid;
        return 0;
}

static unsigned bucket_of(const char *name)
{
        uint32_t h = 2166136261U;

        for (; *name; name++)
                h = (h ^ (unsigned char) *name) * 16777619U;
        return h % BUCKETS;
}

/* Asked when somebody but root calls: looking a group up loads the name service's libraries, which
 * would stay in each of a thousand shims that nobody calls. */
static bool is_tank_gid(BusAccess *a, gid_t gid)
{
        if (!a->asked_tank_gid) {
                a->has_tank_gid = tank_group(&a->tank_gid) >= 0;
                a->asked_tank_gid = true;
        }
        return a->has_tank_gid && gid == a->tank_gid;
}

static void answer_closing(sd_bus_message *m)
{
        (void) sd_bus_reply_method_errorf(
                        m, TANK_ERROR_UNAVAILABLE, "the connection to the bus is being closed");
}

static void answer_unknown(sd_bus_message *m)
{
        (void) sd_bus_reply_method_errorf(m, TANK_ERROR_ACCESS_DENIED,
                        "the credentials of the caller cannot be told");
}

static void caller_free(Caller *c)
{
        BusAccess *a = c->access;
        Caller **i = &a->buckets[bucket_of(c->name)];

        while (*i != c)
                i = &(*i)->hash_next;
        *i = c->hash_next;
        if (c->newer)
                c->newer->older = c->older;
        else
                a->newest = c->older;
        if (c->older)
                c->older->newer = c->newer;
        else
                a->oldest = c->newer;
        a->n_callers--;
        if (c->queue.held)
                a->n_checks--;
        sd_bus_slot_unref(c->slot);
        free(c->trouble);
        bus_queue_clear(a->turns, &c->queue, answer_closing);
        free(c);
}

BusAccess *bus_access_free(BusAccess *a)
{
        if (!a)
                return NULL;
        while (a->oldest)
                caller_free(a->oldest);
        bus_polkit_free(a->polkit);
        bus_turns_free(a->turns);
        sd_bus_unref(a->bus);
        free(a);
        return NULL;
}

static Caller *caller_find(BusAccess *a, const char *name)
{
        for (Caller *c = a->buckets[bucket_of(name)]; c; c = c->hash_next)
                if (streq(c->name, name))
                        return c;
        return NULL;
}

static Caller *caller_new(BusAccess *a, const char *name)
{
        size_t n = strlen(name) + 1;
        Caller *c, **bucket = &a->buckets[bucket_of(name)];

        /* The oldest goes, unless somebody waits for it. */
        if (a->n_callers >= LIMIT_CALLERS_CACHED)
                for (c = a->oldest; c; c = c->newer)
                        if (c->known && c->queue.n == 0) {
                                caller_free(c);
                                break;
                        }
        c = calloc(1, sizeof(Caller) + n);
        if (!c)
                return NULL;
        memcpy(c->name, name, n);
        c->access = a;
        c->hash_next = *bucket;
        *bucket = c;
        c->older = a->newest;
        if (a->newest)
                a->newest->newer = c;
        else
                a->oldest = c;
        a->newest = c;
        a->n_callers++;
        return c;
}

void bus_access_observe(BusAccess *a, const BusObserver *o)
{
        a->observer = *o;
}

bool bus_access_idle(BusAccess *a)
{
        return bus_turns_idle(a->turns);
}

static int run_checked(
                sd_bus_message *m, const BusCaller *who, const BusCall *call, sd_bus_error *reterr)
{
        BusRight right = (BusRight) call->right;

        if (!bus_caller_may(who, right))
                return tank_error_set(reterr, TANK_ERROR_ACCESS_DENIED,
                                "%s.%s needs the right '%s': be root%s",
                                sd_bus_message_get_interface(m), sd_bus_message_get_member(m),
                                right_words[right],
                                right <= BUS_ATTACH ? " or in the group 'tank'" : "");
        return ((BusMethodHandler) call->handler)(m, who, call->userdata, reterr);
}

/* ---- polkit ---- */

static void on_polkit_changed(void *userdata)
{
        BusAccess *a = userdata;

        a->n_changes++;
        for (Caller *c = a->oldest; c; c = c->newer)
                c->granted = c->denied = c->challenge = 0;
}

static void on_polkit_answered(const BusPolkitAnswer *answer, void *userdata)
{
        Caller *c = userdata;
        BusAccess *a = c->access;
        unsigned bit = BIT(c->asking);
        bool lasting = answer->lasting && c->asked_at == a->n_changes;

        c->slot = sd_bus_slot_unref(c->slot);
        a->n_checks--;
        if (answer->trouble && !c->trouble)
                c->trouble = strdup(answer->trouble);
        if (answer->granted) {
                *(lasting ? &c->granted : &c->once) |= bit;
                if (lasting)
                        c->denied &= ~bit;
        } else if (lasting && !c->asking_people) {
                c->denied |= bit;
                if (answer->challenge)
                        c->challenge |= bit;
        } else
                c->refused |= bit;
        bus_queue_ready(a->turns, &c->queue);
}

/* One user's connections must not keep everybody else's from being asked about. */
static bool may_ask(const BusAccess *a, const Caller *c)
{
        unsigned n = 0;

        for (const Caller *o = a->oldest; o; o = o->newer)
                n += o->queue.held && o->who.uid == c->who.uid;
        return a->n_checks < LIMIT_POLKIT_CHECKS && n < LIMIT_POLKIT_CHECKS_EACH;
}

/* Asks for @right, and puts @m back until there is an answer. */
static int ask_polkit(Caller *c, sd_bus_message *m, const BusCall *call, BusRight right)
{
        BusAccess *a = c->access;
        char action[64];
        int r;

        if (!may_ask(a, c))
                return -EBUSY;
        if (!a->polkit) {
                r = bus_polkit_new(a->bus, on_polkit_changed, a, &a->polkit);
                if (r < 0)
                        return r;
        }
        c->asking = right;
        c->asking_people = c->denied & BIT(right);
        c->asked_at = a->n_changes;
        (void) snprintf(action, sizeof(action), "org.tankd.%s", right_words[right]);
        r = bus_polkit_ask(a->polkit, c->name, action, c->asking_people, on_polkit_answered, c,
                        &c->slot);
        if (r < 0)
                return r;
        r = bus_queue_hold(a->turns, &c->queue, m, call);
        if (r < 0) {
                c->slot = sd_bus_slot_unref(c->slot);
                return r;
        }
        a->n_checks++;
        return 0;
}

/* The caller, with what polkit has said so far. */
static BusCaller caller_now(const Caller *c, sd_bus_message *m)
{
        BusCaller who = c->who;

        if (who.root)
                return who;
        who.granted = c->granted | c->once;
        who.open = ~(c->granted | c->denied);
        if (c->challenge && sd_bus_message_get_allow_interactive_authorization(m) > 0)
                who.open |= c->denied & c->challenge;
        who.open &= ~(c->once | c->refused);
        return who;
}

static void call_done(Caller *c)
{
        c->once = c->refused = 0;
        free(c->trouble);
        c->trouble = NULL;
}

static void tell_trouble(const Caller *c, sd_bus_error *reterr)
{
        CLEANUP(sd_bus_error_free) sd_bus_error e = *reterr;

        *reterr = SD_BUS_ERROR_NULL;
        (void) tank_error_set(
                        reterr, e.name, "%s (polkit cannot be asked: %s)", e.message, c->trouble);
}

/* ---- serving ---- */

static int run_handler(Caller *c, sd_bus_message *m, const BusCall *call, sd_bus_error *reterr)
{
        BusAccess *a = c->access;
        const BusCaller who = caller_now(c, m);
        int r;

        if (a->observer.begin)
                a->observer.begin(m, call->arrived_usec, a->observer.userdata);
        r = run_checked(m, &who, call, reterr);
        if (bus_caller_is_open(&who, reterr)) {
                int k = ask_polkit(c, m, call, refused_right(reterr));

                if (k >= 0) {
                        sd_bus_error_free(reterr);
                        return 1; /* it will begin anew */
                }
                if (!c->trouble)
                        c->trouble = strdup(k == -EBUSY ? "too many wait for its answers, try again"
                                                        : errno_words(k));
        }
        if (c->trouble && sd_bus_error_has_name(reterr, TANK_ERROR_ACCESS_DENIED))
                tell_trouble(c, reterr);
        call_done(c);
        if (a->observer.end)
                a->observer.end(r < 0 || sd_bus_error_is_set(reterr), a->observer.userdata);
        return r;
}

/* Its turn has come. */
static void serve(BusQueue *q, sd_bus_message *m, const BusCall *call, void *userdata)
{
        sd_bus_error error = SD_BUS_ERROR_NULL;
        int r;

        r = run_handler((Caller *) q, m, call, &error);
        if (r < 0 || sd_bus_error_is_set(&error))
                (void) sd_bus_reply_method_errno(m, r, &error);
        sd_bus_error_free(&error);
}

int bus_access_new(sd_bus *bus, BusAccess **ret)
{
        CLEANUP(bus_access_freep) BusAccess *a = calloc(1, sizeof(BusAccess));
        int r;

        if (!a)
                return -ENOMEM;
        a->bus = sd_bus_ref(bus);
        r = bus_turns_new(bus, serve, a, &a->turns);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(a);
        return 0;
}

static int read_credentials(sd_bus_message *m, BusAccess *a, BusCaller *ret)
{
        BusCaller who = { .uid = (uid_t) -1 };
        bool have_uid = false;
        int r;

        r = sd_bus_message_enter_container(m, 'a', "{sv}");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                const char *key;

                r = sd_bus_message_read(m, "s", &key);
                if (r < 0)
                        return r;
                if (streq(key, "UnixUserID")) {
                        uint32_t uid;
                        r = sd_bus_message_read(m, "v", "u", &uid);
                        if (r < 0)
                                return r;
                        who.uid = uid;
                        /* Whoever is what we are can do as it likes with our files and memory. */
                        who.root = uid == 0 || uid == geteuid();
                        have_uid = true;
                } else if (streq(key, "UnixGroupIDs")) {
                        const uint32_t *gids;
                        size_t size;

                        r = sd_bus_message_enter_container(m, 'v', "au");
                        if (r >= 0)
                                r = sd_bus_message_read_array(m, 'u', (const void **) &gids, &size);
                        if (r >= 0)
                                r = sd_bus_message_exit_container(m);
                        if (r < 0)
                                return r;
                        for (size_t i = 0; i < size / sizeof(uint32_t) && !who.root; i++)
                                if (is_tank_gid(a, gids[i]))
                                        who.group_tank = true;
                } else {
                        r = sd_bus_message_skip(m, "v");
                        if (r < 0)
                                return r;
                }
                r = sd_bus_message_exit_container(m);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;
        if (!have_uid)
                return -ENODATA;
        *ret = who;
        return 0;
}

static int on_credentials(sd_bus_message *reply, void *userdata, sd_bus_error *reterr)
{
        Caller *c = userdata;
        BusAccess *a = c->access;
        BusCaller who;
        int r;

        c->slot = sd_bus_slot_unref(c->slot);
        if (sd_bus_message_is_method_error(reply, NULL))
                r = -EACCES; /* the caller left before we could ask: fail closed */
        else
                r = read_credentials(reply, a, &who);
        if (r >= 0) {
                c->known = true;
                c->who = who;
                bus_queue_ready(a->turns, &c->queue);
        } else {
                bus_queue_clear(a->turns, &c->queue, answer_unknown);
                caller_free(c);
        }
        return 0;
}

static int caller_ask(BusAccess *a, Caller *c)
{
        return sd_bus_call_method_async(a->bus, &c->slot, "org.freedesktop.DBus",
                        "/org/freedesktop/DBus", "org.freedesktop.DBus", "GetConnectionCredentials",
                        on_credentials, c, "s", c->name);
}

static int refuse_waiting(BusAccess *a, sd_bus_message *m, sd_bus_error *reterr)
{
        if (!sd_bus_message_get_expect_reply(m) || bus_turns_choked(a->turns))
                return 1; /* nobody reads what we answer */
        return tank_error_set(reterr, TANK_ERROR_LIMIT_EXCEEDED,
                        "too many calls wait to be served, of this caller or of all: "
                        "wait for answers, then try again");
}

int bus_access_dispatch(BusAccess *a, sd_bus_message *m, BusRight right, BusMethodHandler handler,
                void *userdata, sd_bus_error *reterr)
{
        const BusCall call = {
                .right = (int) right,
                .handler = (void (*)(void)) handler,
                .userdata = userdata,
                .arrived_usec = a->observer.begin ? now_boottime_usec() : 0,
        };
        const char *sender = sd_bus_message_get_sender(m);
        bool is_new = false;
        Caller *c;
        int r;

        if (!sender)
                return tank_error_set(reterr, TANK_ERROR_ACCESS_DENIED, "the caller has no name");
        c = caller_find(a, sender);
        if (c && c->known && !c->queue.held && bus_turns_idle(a->turns))
                return run_handler(c, m, &call, reterr);
        if (!c) {
                c = caller_new(a, sender);
                if (!c)
                        return -ENOMEM;
                is_new = true;
        }
        r = bus_queue_add(a->turns, &c->queue, m, &call);
        if (r >= 0 && is_new && caller_ask(a, c) < 0) {
                caller_free(c); /* answers */
                return 1;
        }
        if (r < 0 && is_new)
                caller_free(c);
        if (r == -ENOBUFS)
                return refuse_waiting(a, m, reterr);
        if (r < 0)
                return r;
        if (c->known && !c->queue.held)
                bus_queue_ready(a->turns, &c->queue);
        return 1;
}
