/* SPDX-License-Identifier: Apache-2.0 */

/* Quantities, parsed exactly: no floating point, no locale, nothing skipped. A text that is not
 * wholly of the form is refused, so that a typing error never becomes another amount. */

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>

#include "quantity.h"

__extension__ typedef unsigned __int128 uint128_t;

typedef struct Unit {
        const char *name;
        uint64_t factor;
} Unit;

/* Largest first: the parts of a duration come in this order, each at most once. */
static const Unit duration_units[] = {
        { "d", 86400 * USEC_PER_SEC },
        { "h", 3600 * USEC_PER_SEC },
        { "m", 60 * USEC_PER_SEC },
        { "s", USEC_PER_SEC },
        { "ms", USEC_PER_MSEC },
        { "us", 1 },
};

/* In the order in which a unit is chosen for an exact size: largest first, binary ones first. */
static const Unit size_units[] = {
        { "TiB", UINT64_C(1) << 40 },
        { "TB", UINT64_C(1000000000000) },
        { "GiB", UINT64_C(1) << 30 },
        { "GB", UINT64_C(1000000000) },
        { "MiB", UINT64_C(1) << 20 },
        { "MB", UINT64_C(1000000) },
        { "KiB", UINT64_C(1) << 10 },
        { "kB", UINT64_C(1000) },
        { "", 1 },
        { "KB", UINT64_C(1000) },
        { "B", 1 },
        { "T", UINT64_C(1) << 40 },
        { "G", UINT64_C(1) << 30 },
        { "M", UINT64_C(1) << 20 },
        { "K", UINT64_C(1) << 10 },
};

static bool is_digit(char c)
{
        return c >= '0' && c <= '9';
}

/* Reads the digits at **s and moves behind them. */
static int take_digits(const char **s, uint64_t *ret)
{
        uint64_t v = 0;
        const char *p = *s;

        if (!is_digit(*p))
                return -EINVAL;
        for (; is_digit(*p); p++)
                if (__builtin_mul_overflow(v, 10U, &v) ||
                                __builtin_add_overflow(v, (uint64_t) (*p - '0'), &v))
                        return -ERANGE;
        *s = p;
        *ret = v;
        return 0;
}

/* A decimal as whole + fraction/scale. */
typedef struct Decimal {
        uint64_t whole;
        uint64_t fraction;
        uint64_t scale;
} Decimal;

static int take_decimal(const char **s, Decimal *ret)
{
        Decimal d = { .scale = 1 };
        const char *p = *s;
        int r;

        r = take_digits(&p, &d.whole);
        if (r < 0)
                return r;
        if (*p == '.') {
                const char *first = ++p;

                r = take_digits(&p, &d.fraction);
                if (r < 0)
                        return r;
                if (p - first > 18)
                        return -ERANGE;
                for (; first < p; first++)
                        d.scale *= 10;
        }
        *s = p;
        *ret = d;
        return 0;
}

int parse_u64(const char *s, uint64_t *ret)
{
        uint64_t v;
        int r;

        r = take_digits(&s, &v);
        if (r < 0)
                return r;
        if (*s)
                return -EINVAL;
        *ret = v;
        return 0;
}

int parse_size(const char *s, uint64_t *ret)
{
        Decimal d;
        int r;

        r = take_decimal(&s, &d);
        if (r < 0)
                return r;

        for (size_t i = 0; i < ARRAY_SIZE(size_units); i++) {
                uint128_t part, sum;

                if (!streq(s, size_units[i].name))
                        continue;
                part = (uint128_t) d.fraction * size_units[i].factor;
                if (part % d.scale != 0)
                        return -EINVAL; /* not a whole number of bytes */
                sum = (uint128_t) d.whole * size_units[i].factor + part / d.scale;
                if (sum > UINT64_MAX)
                        return -ERANGE;
                *ret = (uint64_t) sum;
                return 0;
        }
        return -EINVAL;
}

int parse_duration(const char *s, uint64_t *ret)
{
        uint64_t sum = 0;
        size_t next = 0;

        if (!*s)
                return -EINVAL;
        while (*s) {
                uint64_t v;
                size_t n, i;
                int r;

                r = take_digits(&s, &v);
                if (r < 0)
                        return r;
                for (n = 0; s[n] >= 'a' && s[n] <= 'z'; n++)
                        ;
                for (i = next; i < ARRAY_SIZE(duration_units); i++)
                        if (strlen(duration_units[i].name) == n &&
                                        strncmp(s, duration_units[i].name, n) == 0)
                                break;
                if (i == ARRAY_SIZE(duration_units))
                        return -EINVAL;
                if (__builtin_mul_overflow(v, duration_units[i].factor, &v) ||
                                __builtin_add_overflow(sum, v, &sum) || sum == USEC_INFINITY)
                        return -ERANGE;
                s += n;
                next = i + 1;
        }
        *ret = sum;
        return 0;
}

int parse_cpus(const char *s, uint64_t period, uint64_t *ret_quota)
{
        uint128_t quota;
        Decimal d;
        int r;

        r = take_decimal(&s, &d);
        if (r < 0)
                return r;
        if (*s)
                return -EINVAL;

        /* To the nearest microsecond: 1/3 of a CPU has no exact quota. */
        quota = (uint128_t) d.whole * period +
                ((uint128_t) d.fraction * period + d.scale / 2) / d.scale;
        if (quota > UINT64_MAX)
                return -ERANGE;
        *ret_quota = (uint64_t) quota;
        return 0;
}

static int parse_realtime_signal(const char *s)
{
        uint64_t offset = 0;
        const char *rest;
        bool from_max = false;

        rest = startswith(s, "RTMIN");
        if (!rest) {
                rest = startswith(s, "RTMAX");
                if (!rest)
                        return -EINVAL;
                from_max = true;
        }
        if (*rest) {
                int r;

                if (*rest != (from_max ? '-' : '+'))
                        return -EINVAL;
                r = parse_u64(rest + 1, &offset);
                if (r < 0)
                        return r;
                if (offset > (uint64_t) (SIGRTMAX - SIGRTMIN))
                        return -ERANGE;
        }
        return from_max ? SIGRTMAX - (int) offset : SIGRTMIN + (int) offset;
}

int parse_signal(const char *s)
{
        const char *name;
        uint64_t number;

        if (is_digit(*s)) {
                int r = parse_u64(s, &number);
                if (r < 0)
                        return r;
                if (number < 1 || number >= NSIG)
                        return -ERANGE;
                return (int) number;
        }

        name = startswith(s, "SIG");
        if (!name)
                name = s;
        for (int i = 1; i < SIGSYS + 1; i++)
                if (streq_ptr(sigabbrev_np(i), name))
                        return i;
        if (streq(name, "IO"))
                return SIGIO;
        if (streq(name, "CLD"))
                return SIGCHLD;
        if (streq(name, "IOT"))
                return SIGIOT;
        return parse_realtime_signal(name);
}

const char *signal_name(int signo, char buf[static 16])
{
        const char *name = sigabbrev_np(signo);

        /* 32 and 33 belong to the C library and have no name; they stay numbers, which
         * parse_signal() reads back. */
        if (name)
                (void) snprintf(buf, 16, "SIG%s", name);
        else if (signo == SIGRTMIN)
                (void) snprintf(buf, 16, "SIGRTMIN");
        else if (signo > SIGRTMIN && signo <= SIGRTMAX)
                (void) snprintf(buf, 16, "SIGRTMIN+%d", signo - SIGRTMIN);
        else
                (void) snprintf(buf, 16, "%d", signo);
        return buf;
}

const char *format_duration(uint64_t usec, char buf[static FORMAT_DURATION_SIZE])
{
        size_t i = 0;
        uint64_t second;

        if (usec == USEC_INFINITY) {
                (void) snprintf(buf, FORMAT_DURATION_SIZE, "infinity");
                return buf;
        }
        if (usec == 0) {
                (void) snprintf(buf, FORMAT_DURATION_SIZE, "0s");
                return buf;
        }
        while (usec < duration_units[i].factor)
                i++;
        /* Below a minute one unit is enough for people. */
        second = i < 3 ? usec % duration_units[i].factor / duration_units[i + 1].factor : 0;
        if (second > 0)
                (void) snprintf(buf, FORMAT_DURATION_SIZE, "%" PRIu64 "%s%" PRIu64 "%s",
                                usec / duration_units[i].factor, duration_units[i].name, second,
                                duration_units[i + 1].name);
        else
                (void) snprintf(buf, FORMAT_DURATION_SIZE, "%" PRIu64 "%s",
                                usec / duration_units[i].factor, duration_units[i].name);
        return buf;
}

const char *format_duration_exact(uint64_t usec, char buf[static FORMAT_EXACT_SIZE])
{
        size_t used = 0;

        (void) snprintf(buf, FORMAT_EXACT_SIZE, "0s");
        for (size_t i = 0; i < ARRAY_SIZE(duration_units); i++) {
                uint64_t n = usec / duration_units[i].factor;

                if (n == 0)
                        continue;
                used += (size_t) snprintf(buf + used, FORMAT_EXACT_SIZE - used, "%" PRIu64 "%s", n,
                                duration_units[i].name);
                usec %= duration_units[i].factor;
        }
        return buf;
}

const char *format_size_exact(uint64_t bytes, char buf[static FORMAT_EXACT_SIZE])
{
        size_t i = 0;

        while (bytes == 0 ? size_units[i].factor > 1 : bytes % size_units[i].factor != 0)
                i++;
        (void) snprintf(buf, FORMAT_EXACT_SIZE, "%" PRIu64 "%s", bytes / size_units[i].factor,
                        size_units[i].name);
        return buf;
}
