/* SPDX-License-Identifier: Apache-2.0 */

/* store-peers sqlite DIR | etcd PORT, with SECONDS behind: what bench/store-bench and store-load
 * measure of tankd-store, of others that keep state durably on one machine:
 *
 *   SQLite   in this process, no bus and no other client: WAL, synchronous=FULL (a sync for each
 *            commit); a write is what the store writes: object, version and change, one transaction
 *   etcd     on loopback, through its JSON gateway, each write synced as it does by itself
 *
 * Prints rows of bench/run's table. */

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <unistd.h>

#include "measure.h"

#define OBJECTS    10000U
#define IN_ONE     1000U
#define WRITES     1000U
#define WATCHERS   32U
#define PAUSE_USEC 2000U
#define DEEP       64U

static double seconds_per_part;

static _Noreturn void fail(const char *what, const char *why)
{
        (void) fprintf(stderr, "store-peers: %s: %s\n", what, why);
        exit(EXIT_FAILURE);
}

static void document(unsigned name, uint64_t stamp, char ret[static 512])
{
        (void) snprintf(ret, 512,
                        "{\"kind\":\"benchmark\",\"name\":\"b%u\",\"annotations\":{\"n\":\"%"
                        "020llu\"},"
                        "\"containers\":[{\"name\":\"main\",\"image\":{\"rootfs\":\"/srv/rootfs\"},"
                        "\"command\":[\"redis-server\"],\"args\":[\"--dir\",\"/data\"],"
                        "\"env\":{\"LOG_LEVEL\":\"debug\"},\"limits\":{\"memory\":268435456}}]}",
                        name, (unsigned long long) stamp);
}

/* ---- SQLite -------------------------------------------------------------------------------- */

typedef struct Lite {
        sqlite3 *db;
        sqlite3_stmt *object, *version, *change, *get;
        long long revision;
} Lite;

static void lite_run(Lite *l, const char *sql)
{
        char *e = NULL;

        if (sqlite3_exec(l->db, sql, NULL, NULL, &e) != SQLITE_OK)
                fail(sql, e);
}

static sqlite3_stmt *lite_prepare(Lite *l, const char *sql)
{
        sqlite3_stmt *s = NULL;

        if (sqlite3_prepare_v2(l->db, sql, -1, &s, NULL) != SQLITE_OK)
                fail(sql, sqlite3_errmsg(l->db));
        return s;
}

static void lite_open(Lite *l, const char *dir)
{
        char path[4096];

        (void) snprintf(path, sizeof(path), "%s/peer.sqlite", dir);
        if (sqlite3_open(path, &l->db) != SQLITE_OK)
                fail(path, sqlite3_errmsg(l->db));
        lite_run(l, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
                    "CREATE TABLE object (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;"
                    "CREATE TABLE version (name TEXT, revision INTEGER, value TEXT,"
                    " PRIMARY KEY (name, revision)) WITHOUT ROWID;"
                    "CREATE TABLE change (revision INTEGER, i INTEGER, name TEXT,"
                    " PRIMARY KEY (revision, i)) WITHOUT ROWID;");
        l->object = lite_prepare(l, "INSERT OR REPLACE INTO object VALUES (?, ?)");
        l->version = lite_prepare(l, "INSERT INTO version VALUES (?, ?, ?)");
        l->change = lite_prepare(l, "INSERT INTO change VALUES (?, ?, ?)");
        l->get = lite_prepare(l, "SELECT value FROM object WHERE name = ?");
}

static void lite_step(Lite *l, sqlite3_stmt *s)
{
        if (sqlite3_step(s) != SQLITE_DONE)
                fail("write", sqlite3_errmsg(l->db));
        (void) sqlite3_reset(s);
}

static void lite_write(Lite *l, unsigned first, unsigned n, unsigned stamp)
{
        char name[16], text[512];

        lite_run(l, "BEGIN IMMEDIATE");
        l->revision++;
        for (unsigned i = 0; i < n; i++) {
                (void) snprintf(name, sizeof(name), "b%u", (first + i) % OBJECTS);
                document((first + i) % OBJECTS, stamp, text);
                (void) sqlite3_bind_text(l->object, 1, name, -1, SQLITE_STATIC);
                (void) sqlite3_bind_text(l->object, 2, text, -1, SQLITE_STATIC);
                lite_step(l, l->object);
                (void) sqlite3_bind_text(l->version, 1, name, -1, SQLITE_STATIC);
                (void) sqlite3_bind_int64(l->version, 2, l->revision);
                (void) sqlite3_bind_text(l->version, 3, text, -1, SQLITE_STATIC);
                lite_step(l, l->version);
                (void) sqlite3_bind_int64(l->change, 1, l->revision);
                (void) sqlite3_bind_int64(l->change, 2, i);
                (void) sqlite3_bind_text(l->change, 3, name, -1, SQLITE_STATIC);
                lite_step(l, l->change);
        }
        lite_run(l, "COMMIT");
}

static unsigned lite_list(Lite *l)
{
        sqlite3_stmt *s = lite_prepare(l, "SELECT name, value FROM object ORDER BY name");
        unsigned n = 0;

        while (sqlite3_step(s) == SQLITE_ROW)
                n += sqlite3_column_bytes(s, 1) > 0;
        (void) sqlite3_finalize(s);
        return n;
}

static void sqlite(const char *dir)
{
        Lite l = {};
        double begun;
        unsigned n, seen = 0;

        lite_open(&l, dir);
        begun = now_sec();
        for (n = 0; now_sec() - begun < seconds_per_part; n++)
                lite_write(&l, n % 1000, 1, n);
        print_row("SQLite, in process: durable writes in sequence", n / (now_sec() - begun), "");
        begun = now_sec();
        for (n = 0; n < OBJECTS / IN_ONE || now_sec() - begun < seconds_per_part; n++)
                lite_write(&l, n * IN_ONE % OBJECTS, IN_ONE, n);
        print_row("SQLite: transactions of 1,000: objects per second",
                        n * (double) IN_ONE / (now_sec() - begun), "");
        begun = now_sec();
        for (n = 0; now_sec() - begun < seconds_per_part; n++) {
                char name[16];

                (void) snprintf(name, sizeof(name), "b%u", n * 7919 % OBJECTS);
                (void) sqlite3_bind_text(l.get, 1, name, -1, SQLITE_STATIC);
                if (sqlite3_step(l.get) != SQLITE_ROW)
                        fail("get", sqlite3_errmsg(l.db));
                (void) sqlite3_reset(l.get);
        }
        print_row("SQLite: get: per second", n / (now_sec() - begun), "");
        begun = now_sec();
        for (n = 0; n == 0 || now_sec() - begun < seconds_per_part; n++)
                seen = lite_list(&l);
        print_pair("SQLite: list 10,000: ms, objects seen", (now_sec() - begun) * 1e3 / n, seen,
                        "");
        (void) sqlite3_finalize(l.object);
        (void) sqlite3_finalize(l.version);
        (void) sqlite3_finalize(l.change);
        (void) sqlite3_finalize(l.get);
        (void) sqlite3_close(l.db);
}

/* ---- etcd ---------------------------------------------------------------------------------- */

/* One connection that is kept. */
typedef struct Http {
        int fd;
        char *buffer;
        size_t n, allocated;
} Http;

static in_port_t etcd_port;

static void http_open(Http *h)
{
        struct sockaddr_in to = {
                .sin_family = AF_INET,
                .sin_port = htons(etcd_port),
                .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
        };
        int on = 1;

        *h = (Http){ .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), .allocated = 1U << 16 };
        h->buffer = malloc(h->allocated);
        if (h->fd < 0 || !h->buffer || connect(h->fd, (struct sockaddr *) &to, sizeof(to)) < 0 ||
                        setsockopt(h->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0)
                fail("etcd", strerror(errno));
}

static void http_close(Http *h)
{
        (void) close(h->fd);
        free(h->buffer);
}

static void http_send(Http *h, const char *path, const char *body)
{
        size_t n = strlen(body);
        char *text = NULL;
        int size;

        size = asprintf(&text,
                        "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                        "Content-Length: %zu\r\n\r\n%s",
                        path, n, body);
        if (size < 0)
                fail("etcd", "out of memory");
        for (char *p = text; size > 0;) {
                ssize_t w = write(h->fd, p, (size_t) size);

                if (w < 0)
                        fail("etcd", strerror(errno));
                p += w;
                size -= (int) w;
        }
        free(text);
        h->n = 0;
}

/* Adds what comes next; the buffer stays terminated. */
static void http_read(Http *h)
{
        ssize_t r;

        if (h->n + 65536 > h->allocated) {
                h->allocated = 2 * h->allocated + 65536;
                h->buffer = realloc(h->buffer, h->allocated);
                if (!h->buffer)
                        fail("etcd", "out of memory");
        }
        r = read(h->fd, h->buffer + h->n, h->allocated - h->n - 1);
        if (r <= 0)
                fail("etcd", r < 0 ? strerror(errno) : "it hung up");
        h->n += (size_t) r;
        h->buffer[h->n] = 0;
}

/* A whole answer: of a known length, or in chunks that end with an empty one. */
static const char *http_answer(Http *h)
{
        for (;;) {
                const char *body, *length;

                http_read(h);
                body = strstr(h->buffer, "\r\n\r\n");
                if (!body)
                        continue;
                body += 4;
                length = strcasestr(h->buffer, "\r\nContent-Length:");
                if (length && length < body) {
                        if (h->n - (size_t) (body - h->buffer) < strtoul(length + 17, NULL, 10))
                                continue;
                } else if (h->n < 5 || memcmp(h->buffer + h->n - 5, "0\r\n\r\n", 5) != 0)
                        continue;
                if (strncmp(h->buffer, "HTTP/1.1 200", 12) != 0)
                        fail("etcd", h->buffer);
                return body;
        }
}

static char *base64(const char *text)
{
        static const char digits[] =
                        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        size_t n = strlen(text);
        char *out = calloc(1, (n + 2) / 3 * 4 + 1), *p = out;

        if (!out)
                fail("etcd", "out of memory");
        for (size_t i = 0; i < n; i += 3) {
                unsigned a = (unsigned char) text[i],
                         b = i + 1 < n ? (unsigned char) text[i + 1] : 0,
                         c = i + 2 < n ? (unsigned char) text[i + 2] : 0;

                *p++ = digits[a >> 2];
                *p++ = digits[(a & 3) << 4 | b >> 4];
                *p++ = i + 1 < n ? digits[(b & 15) << 2 | c >> 6] : '=';
                *p++ = i + 2 < n ? digits[c & 63] : '=';
        }
        return out;
}

static void unbase64(const char *text, char *ret, size_t size)
{
        unsigned bits = 0, have = 0;
        size_t n = 0;

        for (; *text && *text != '"' && *text != '=' && n + 1 < size; text++) {
                char c = *text;
                unsigned v = c >= 'A' && c <= 'Z'   ? (unsigned) (c - 'A')
                             : c >= 'a' && c <= 'z' ? (unsigned) (c - 'a') + 26
                             : c >= '0' && c <= '9' ? (unsigned) (c - '0') + 52
                             : c == '+'             ? 62
                                                    : 63;

                bits = bits << 6 | v;
                have += 6;
                if (have >= 8) {
                        have -= 8;
                        ret[n++] = (char) (bits >> have & 255);
                }
        }
        ret[n] = 0;
}

static char *put_body(unsigned name, uint64_t stamp)
{
        char key[16], text[512], *k, *v, *body = NULL;

        (void) snprintf(key, sizeof(key), "b%u", name);
        document(name, stamp, text);
        k = base64(key);
        v = base64(text);
        if (asprintf(&body, "{\"key\":\"%s\",\"value\":\"%s\"}", k, v) < 0)
                fail("etcd", "out of memory");
        free(k);
        free(v);
        return body;
}

static void etcd_put(Http *h, unsigned name, uint64_t stamp)
{
        char *body = put_body(name, stamp);

        http_send(h, "/v3/kv/put", body);
        free(body);
}

/* @deep connections, each with one put under way. */
static double etcd_puts(unsigned deep)
{
        Http h[DEEP];
        double begun;
        unsigned n = 0;

        for (unsigned i = 0; i < deep; i++)
                http_open(&h[i]);
        begun = now_sec();
        for (unsigned i = 0; i < deep; i++, n++)
                etcd_put(&h[i], n % 1000, n);
        for (unsigned i = 0; now_sec() - begun < seconds_per_part; i = (i + 1) % deep) {
                (void) http_answer(&h[i]);
                etcd_put(&h[i], n % 1000, n);
                n++;
        }
        for (unsigned i = 0; i < deep; i++)
                (void) http_answer(&h[i]);
        for (unsigned i = 0; i < deep; i++)
                http_close(&h[i]);
        return n / (now_sec() - begun);
}

static void etcd_transaction(Http *h, unsigned first, unsigned stamp)
{
        size_t size = IN_ONE * 1024U, n = 0;
        char *body = malloc(size);

        if (!body)
                fail("etcd", "out of memory");
        n += (size_t) snprintf(body + n, size - n, "{\"success\":[");
        for (unsigned i = 0; i < IN_ONE; i++) {
                char *put = put_body(first + i, stamp);

                n += (size_t) snprintf(
                                body + n, size - n, "%s{\"request_put\":%s}", i ? "," : "", put);
                free(put);
        }
        (void) snprintf(body + n, size - n, "]}");
        http_send(h, "/v3/kv/txn", body);
        (void) http_answer(h);
        free(body);
}

static void etcd_get(Http *h, unsigned name)
{
        char key[16], body[64], *k;

        (void) snprintf(key, sizeof(key), "b%u", name);
        k = base64(key);
        (void) snprintf(body, sizeof(body), "{\"key\":\"%s\"}", k);
        free(k);
        http_send(h, "/v3/kv/range", body);
        if (!strstr(http_answer(h), "\"kvs\""))
                fail("etcd", "get: not there");
}

static unsigned etcd_list(Http *h)
{
        unsigned n = 0;

        http_send(h, "/v3/kv/range", "{\"key\":\"Yg==\",\"range_end\":\"Yw==\"}"); /* b to c */
        for (const char *p = http_answer(h); (p = strstr(p, "\"create_revision\"")); p++)
                n++;
        return n;
}

/* Whatever stamps have come, of changes that were not yet seen. */
static void take_stamps(Http *h, uint64_t *nsec, size_t *n, size_t max)
{
        uint64_t now = now_nsec();
        char *p = h->buffer, *end;
        char text[512];
        const char *stamp;

        while ((p = strstr(p, "\"value\":\"")) && (end = strchr(p + 9, '"'))) {
                unbase64(p + 9, text, sizeof(text));
                stamp = strstr(text, "\"n\":\"");
                if (stamp && *n < max)
                        nsec[(*n)++] = now - strtoull(stamp + 5, NULL, 10);
                p = end;
                h->n -= (size_t) (p - h->buffer);
                memmove(h->buffer, p, h->n + 1);
                p = h->buffer;
        }
}

static void etcd_watch(unsigned watchers)
{
        size_t n = 0, max = watchers * WRITES;
        uint64_t *nsec = malloc(max * sizeof(*nsec));
        struct pollfd fds[WATCHERS];
        Http writer, h[WATCHERS];
        char what[96];

        if (!nsec)
                fail("etcd", "out of memory");
        http_open(&writer);
        for (unsigned i = 0; i < watchers; i++) {
                http_open(&h[i]);
                http_send(&h[i], "/v3/watch",
                                "{\"create_request\":{\"key\":\"Yg==\",\"range_end\":\"Yw==\"}}");
                while (h[i].n == 0 || !strstr(h[i].buffer, "\"created\":true"))
                        http_read(&h[i]);
                fds[i] = (struct pollfd){ .fd = h[i].fd, .events = POLLIN };
        }
        for (unsigned w = 0; w < WRITES; w++) {
                double until;

                etcd_put(&writer, w, now_nsec());
                (void) http_answer(&writer);
                until = now_sec() + PAUSE_USEC / 1e6;
                /* All that are told of it, and not before that the next one. */
                while (n < (size_t) (w + 1) * watchers || now_sec() < until) {
                        bool all = n >= (size_t) (w + 1) * watchers;

                        if (poll(fds, watchers, all ? 1 : 5000) == 0 && !all)
                                fail("etcd", "a watcher heard nothing for five seconds");
                        for (unsigned i = 0; i < watchers; i++)
                                if (fds[i].revents) {
                                        http_read(&h[i]);
                                        take_stamps(&h[i], nsec, &n, max);
                                }
                }
        }
        (void) snprintf(what, sizeof(what),
                        "etcd: put sent to change seen, %u watcher%s, ms p50 / p99", watchers,
                        watchers == 1 ? "" : "s");
        print_latency(what, nsec, n, "");
        for (unsigned i = 0; i < watchers; i++)
                http_close(&h[i]);
        http_close(&writer);
        free(nsec);
}

static void etcd(const char *port)
{
        double begun;
        unsigned n, seen = 0;
        Http h;

        etcd_port = (in_port_t) strtoul(port, NULL, 10);
        print_row("etcd, JSON gateway: durable puts in sequence", etcd_puts(1), "");
        print_row("etcd: 8 under way, a connection each", etcd_puts(8), "");
        print_row("etcd: 64 under way, a connection each", etcd_puts(DEEP), "");
        http_open(&h);
        begun = now_sec();
        for (n = 0; n < OBJECTS / IN_ONE || now_sec() - begun < seconds_per_part; n++)
                etcd_transaction(&h, n * IN_ONE % OBJECTS, n);
        print_row("etcd: transactions of 1,000: keys per second",
                        n * (double) IN_ONE / (now_sec() - begun), "");
        begun = now_sec();
        for (n = 0; now_sec() - begun < seconds_per_part; n++)
                etcd_get(&h, n * 7919 % OBJECTS);
        print_row("etcd: get, one client in sequence: per second", n / (now_sec() - begun), "");
        begun = now_sec();
        for (n = 0; n == 0 || now_sec() - begun < seconds_per_part; n++)
                seen = etcd_list(&h);
        print_pair("etcd: list 10,000: ms, keys seen", (now_sec() - begun) * 1e3 / n, seen, "");
        http_close(&h);
        etcd_watch(1);
        etcd_watch(WATCHERS);
}

int main(int argc, char **argv)
{
        seconds_per_part = argc > 3 ? atof(argv[3]) : 3;
        if (argc >= 3 && argc <= 4 && seconds_per_part > 0 && strcmp(argv[1], "sqlite") == 0)
                sqlite(argv[2]);
        else if (argc >= 3 && argc <= 4 && seconds_per_part > 0 && strcmp(argv[1], "etcd") == 0)
                etcd(argv[2]);
        else {
                (void) fputs("usage: store-peers sqlite DIR | etcd PORT [SECONDS]\n", stderr);
                return 2;
        }
        return 0;
}
