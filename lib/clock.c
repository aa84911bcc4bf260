/* SPDX-License-Identifier: Apache-2.0 */

/* Clocks, RFC 3339, random and boot ids. */

#include <stdio.h>
#include <sys/random.h>

#include "clock.h"
#include "fd.h"

static uint64_t clock_usec(clockid_t id)
{
        struct timespec ts;

        (void) clock_gettime(id, &ts); /* cannot fail for these ids */
        return (uint64_t) ts.tv_sec * USEC_PER_SEC + (uint64_t) ts.tv_nsec / NSEC_PER_USEC;
}

uint64_t now_realtime_usec(void)
{
        return clock_usec(CLOCK_REALTIME);
}

uint64_t now_boottime_usec(void)
{
        return clock_usec(CLOCK_BOOTTIME);
}

static char *put_digits(char *p, unsigned value, unsigned n, char behind)
{
        for (unsigned i = n; i > 0; i--, value /= 10)
                p[i - 1] = (char) ('0' + value % 10);
        p[n] = behind;
        return p + n + 1;
}

/* Two stand in every document that is listed: printf takes ten times as long. */
const char *format_rfc3339(uint64_t usec, char buf[static RFC3339_SIZE])
{
        time_t t = (time_t) (usec / USEC_PER_SEC);
        struct tm tm;
        char *p = buf;

        if (!gmtime_r(&t, &tm) || tm.tm_year > 9999 - 1900)
                memset(&tm, 0, sizeof(tm));
        p = put_digits(p, (unsigned) (tm.tm_year + 1900), 4, '-');
        p = put_digits(p, (unsigned) (tm.tm_mon + 1), 2, '-');
        p = put_digits(p, (unsigned) tm.tm_mday, 2, 'T');
        p = put_digits(p, (unsigned) tm.tm_hour, 2, ':');
        p = put_digits(p, (unsigned) tm.tm_min, 2, ':');
        p = put_digits(p, (unsigned) tm.tm_sec, 2, '.');
        p = put_digits(p, (unsigned) (usec % USEC_PER_SEC), 6, 'Z');
        *p = '\0';
        return buf;
}

static bool parse_digits(const char **s, int n, int *ret)
{
        int v = 0;

        for (int i = 0; i < n; i++) {
                if ((*s)[i] < '0' || (*s)[i] > '9')
                        return false;
                v = v * 10 + ((*s)[i] - '0');
        }
        *s += n;
        *ret = v;
        return true;
}

static bool parse_char(const char **s, char c)
{
        if (**s != c)
                return false;
        (*s)++;
        return true;
}

int parse_rfc3339(const char *s, uint64_t *ret)
{
        struct tm tm = { 0 }, check;
        uint64_t usec = 0, scale = USEC_PER_SEC / 10;
        time_t t;

        if (!parse_digits(&s, 4, &tm.tm_year) || !parse_char(&s, '-') ||
                        !parse_digits(&s, 2, &tm.tm_mon) || !parse_char(&s, '-') ||
                        !parse_digits(&s, 2, &tm.tm_mday) || !parse_char(&s, 'T') ||
                        !parse_digits(&s, 2, &tm.tm_hour) || !parse_char(&s, ':') ||
                        !parse_digits(&s, 2, &tm.tm_min) || !parse_char(&s, ':') ||
                        !parse_digits(&s, 2, &tm.tm_sec))
                return -EINVAL;
        if (*s == '.') {
                int n = 0;

                for (s++; *s >= '0' && *s <= '9'; s++, n++) {
                        usec += (uint64_t) (*s - '0') * scale;
                        scale /= 10;
                }
                if (n == 0 || n > 6)
                        return -EINVAL;
        }
        if (*s != 'Z' || s[1] != '\0')
                return -EINVAL;
        tm.tm_year -= 1900;
        tm.tm_mon -= 1;
        check = tm;
        t = timegm(&check);
        /* timegm() carries 31 February over to March: what came out must be what went in. */
        if (t < 0 || check.tm_mday != tm.tm_mday || check.tm_mon != tm.tm_mon ||
                        check.tm_hour != tm.tm_hour || check.tm_min != tm.tm_min ||
                        check.tm_sec != tm.tm_sec)
                return -EINVAL;
        *ret = (uint64_t) t * USEC_PER_SEC + usec;
        return 0;
}

int boot_id(char ret[static ID128_SIZE])
{
        CLEANUP_FREE char *text = NULL;
        size_t n = 0;
        int r;

        r = read_file_at(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 64, &text, NULL);
        if (r < 0)
                return r;
        for (const char *p = text; *p && n < ID128_SIZE - 1; p++)
                if (*p != '-' && *p != '\n')
                        ret[n++] = *p;
        ret[n] = '\0';
        return id_is_valid(ret) ? 0 : -EBADMSG;
}

int random_id(char ret[static ID128_SIZE])
{
        static const char digits[] = "0123456789abcdef";
        unsigned char bytes[16];

        /* 16 bytes are never short or interrupted once the pool is up; before, it blocks. */
        if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t) sizeof(bytes))
                return -EIO;
        for (size_t i = 0; i < sizeof(bytes); i++) {
                ret[2 * i] = digits[bytes[i] >> 4];
                ret[2 * i + 1] = digits[bytes[i] & 15];
        }
        ret[ID128_SIZE - 1] = '\0';
        return 0;
}

bool id_is_valid(const char *s)
{
        return strspn(s, "0123456789abcdef") == ID128_SIZE - 1 && s[ID128_SIZE - 1] == '\0';
}
