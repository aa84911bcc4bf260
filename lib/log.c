/* SPDX-License-Identifier: Apache-2.0 */

/* Log lines: one write(2) each, so that lines of several processes do not mix. */

#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "quantity.h"

static const char *log_program = "tank";
static int log_max_level = LOG_INFO;
static bool log_prefix;

static const char *const level_names[] = { "emerg", "alert", "crit", "err", "warning", "notice",
        "info", "debug" };

const char *errno_words(int error)
{
        const char *s = strerrordesc_np(error < 0 ? -error : error);
        return s ? s : "Unknown error";
}

int log_set_level_from_string(const char *s)
{
        uint64_t n;

        for (size_t i = 0; i < ARRAY_SIZE(level_names); i++)
                if (streq(s, level_names[i])) {
                        log_max_level = (int) i;
                        return 0;
                }
        if (parse_u64(s, &n) < 0 || n > LOG_DEBUG)
                return -EINVAL;
        log_max_level = (int) n;
        return 0;
}

/* $JOURNAL_STREAM holds device and inode of the journal's socket; only when standard error is that
 * very one does anybody take the prefixes off. */
static bool stderr_is_journal(void)
{
        const char *e = secure_getenv("JOURNAL_STREAM");
        unsigned long long dev, ino;
        struct stat st;

        return e && sscanf(e, "%llu:%llu", &dev, &ino) == 2 && fstat(STDERR_FILENO, &st) == 0 &&
               st.st_dev == dev && st.st_ino == ino;
}

void log_setup(const char *program)
{
        const char *e = secure_getenv("TANK_LOG_LEVEL");

        log_program = program;
        log_prefix = stderr_is_journal();
        if (e && log_set_level_from_string(e) < 0)
                log_warning("TANK_LOG_LEVEL=%s is no level (emerg … debug, 0-7), ignoring", e);
}

/* One message is one line, whatever it quotes: a newline would forge another one, an escape would
 * reach the terminal of whoever reads. */
static void make_plain(char *s, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if ((unsigned char) s[i] < 0x20 || s[i] == 0x7f)
                        s[i] = '?';
}

void log_full(int level, int error, const char *format, ...)
{
        char line[2048];
        int saved = errno, n;
        size_t used;
        va_list ap;

        if (level > log_max_level)
                return;
        n = log_prefix ? snprintf(line, sizeof(line), "<%d>", level)
                       : snprintf(line, sizeof(line), "%s: ", log_program);
        used = (size_t) MAX(n, 0);
        va_start(ap, format);
        n = vsnprintf(line + used, sizeof(line) - used, format, ap);
        va_end(ap);
        used = MIN(used + (size_t) MAX(n, 0), sizeof(line) - 2);
        if (error) {
                n = snprintf(line + used, sizeof(line) - used, ": %s", errno_words(error));
                used = MIN(used + (size_t) MAX(n, 0), sizeof(line) - 2);
        }
        make_plain(line, used);
        line[used++] = '\n';
        (void) !write(STDERR_FILENO, line,
                        used); /* nowhere to report that standard error is gone */
        errno = saved;
}
