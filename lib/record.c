/* SPDX-License-Identifier: Apache-2.0 */

/* The record format; see record.h and docs/protocol.md section 1. */

#include <stdarg.h>
#include <stdio.h>

#include "quantity.h"
#include "record.h"
#include "strv.h"

static bool writer_reserve(RecordWriter *w, size_t n)
{
        size_t want;
        char *grown;

        if (w->error < 0)
                return false;
        if (w->allocated - w->size >= n)
                return true;
        want = MAX(MAX(w->allocated * 2, w->size + n), (size_t) 512);
        /* Not realloc(): what it leaves behind may be a secret. */
        grown = malloc(want);
        if (!grown) {
                w->error = -ENOMEM;
                return false;
        }
        if (w->data) {
                memcpy(grown, w->data, w->size);
                explicit_bzero(w->data, w->size);
                free(w->data);
        }
        w->data = grown;
        w->allocated = want;
        return true;
}

void record_put(RecordWriter *w, const char *key, const char *value)
{
        size_t k = strlen(key), v = strlen(value);

        assert(k > 0 && !strchr(key, '=') && !w->attached);
        if (!writer_reserve(w, k + v + 2))
                return;
        memcpy(w->data + w->size, key, k);
        w->data[w->size + k] = '=';
        memcpy(w->data + w->size + k + 1, value, v + 1);
        w->size += k + v + 2;
}

void record_putf(RecordWriter *w, const char *key, const char *format, ...)
{
        CLEANUP_FREE char *value = NULL;
        va_list ap;
        int n;

        va_start(ap, format);
        n = vasprintf(&value, format, ap);
        va_end(ap);
        if (n < 0) {
                value = NULL; /* undefined after a failure */
                if (w->error >= 0)
                        w->error = -ENOMEM;
                return;
        }
        record_put(w, key, value);
}

void record_put_u64(RecordWriter *w, const char *key, uint64_t value)
{
        record_putf(w, key, "%" PRIu64, value);
}

void record_put_strv(RecordWriter *w, const char *key, char *const *values)
{
        STRV_FOREACH(i, values)
        {
                record_put(w, key, *i);
        }
}

void record_attach(RecordWriter *w, const void *data, size_t size)
{
        size_t end = w->attached ? 0 : 1;

        if (!writer_reserve(w, end + size))
                return;
        if (end > 0)
                w->data[w->size++] = '\0';
        w->attached = true;
        if (size > 0)
                memcpy(w->data + w->size, data, size);
        w->size += size;
}

void record_start(RecordWriter *w, unsigned version)
{
        *w = (RecordWriter){ 0 };
        record_put_u64(w, "v", version);
}

int record_finish(RecordWriter *w)
{
        return w->error;
}

void record_done(RecordWriter *w)
{
        free(w->data);
        *w = (RecordWriter){ 0 };
}

bool record_next(const Record *r, size_t *pos, const char **ret_key, size_t *ret_key_len,
                const char **ret_value)
{
        const char *entry, *eq;

        if (*pos >= r->size)
                return false;
        entry = r->data + *pos;
        eq = strchr(entry, '='); /* record_parse() has seen that there is one */
        *ret_key = entry;
        *ret_key_len = (size_t) (eq - entry);
        *ret_value = eq + 1;
        *pos += strlen(entry) + 1;
        return true;
}

int record_parse(const void *data, size_t size, unsigned max_version, Record *ret)
{
        const char *text = data;
        uint64_t version;

        if (size == 0 || text[size - 1] != '\0')
                return -EBADMSG;
        for (size_t pos = 0; pos < size; pos += strlen(text + pos) + 1) {
                const char *eq = strchr(text + pos, '=');
                if (!eq || eq == text + pos)
                        return -EBADMSG;
        }
        if (!startswith(text, "v=") || parse_u64(text + 2, &version) < 0)
                return -EBADMSG;
        if (version == 0 || version > max_version)
                return -EPROTONOSUPPORT;
        *ret = (Record){ .data = text, .size = size, .version = (unsigned) version };
        return 0;
}

int record_parse_attached(const void *data, size_t size, unsigned max_version, Record *ret,
                const char **ret_attached, size_t *ret_attached_size)
{
        static const char end[2] = "\0";
        const char *found = memmem(data, size, end, sizeof(end));
        size_t n = found ? (size_t) (found - (const char *) data) + 1 : size;
        int r = record_parse(data, n, max_version, ret);

        if (r < 0)
                return r;
        *ret_attached = found ? found + sizeof(end) : NULL;
        *ret_attached_size = found ? size - n - 1 : 0;
        return 0;
}

const char *record_get(const Record *r, const char *key)
{
        size_t pos = 0, len, want = strlen(key);
        const char *k, *v;

        while (record_next(r, &pos, &k, &len, &v))
                if (len == want && memcmp(k, key, len) == 0)
                        return v;
        return NULL;
}

int record_get_u64(const Record *r, const char *key, uint64_t *ret)
{
        const char *v = record_get(r, key);

        if (!v)
                return -ENOENT;
        return parse_u64(v, ret) < 0 ? -EBADMSG : 0;
}

int record_get_strv(const Record *r, const char *key, char ***ret)
{
        CLEANUP_STRV char **values = NULL;
        size_t pos = 0, len, want = strlen(key);
        const char *k, *v;

        while (record_next(r, &pos, &k, &len, &v)) {
                int q;

                if (len != want || memcmp(k, key, len) != 0)
                        continue;
                q = strv_append(&values, v);
                if (q < 0)
                        return q;
        }
        *ret = TAKE_PTR(values);
        return 0;
}
