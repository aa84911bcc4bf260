/* SPDX-License-Identifier: Apache-2.0 */

/* How a session ended, as an exit code and, where that is not the program's own, in words. */

#include "ctl.h"
#include "ctl-session.h"
#include "error.h"
#include "log.h"

static int setup_failed(const char *what, const SessionEnd *end)
{
        bool exec = streq(end->stage, "exec");

        if (*end->message)
                ctl_error("%s: %s%s", what, exec ? "cannot execute " : "", end->message);
        else
                ctl_error("%s: setup failed in %s: %s", what, end->stage, errno_words(end->code));
        if (!exec)
                return EXIT_CODE_REFUSED;
        return end->code == ENOENT ? EXIT_CODE_NO_COMMAND : EXIT_CODE_CANNOT_EXECUTE;
}

static int detached(const char *what, const SessionEnd *end)
{
        if (end->unsent > 0)
                ctl_error("detached from %s; %zu bytes that were typed are lost, it does not read",
                                what, end->unsent);
        else
                ctl_error("detached from %s; it goes on", what);
        return EXIT_CODE_DONE;
}

int session_exit_code(const SessionEnd *end, const char *what)
{
        if (end->local_signal)
                return 128 + end->local_signal;
        if (end->write_error) {
                ctl_error("output is lost, it cannot be written: %s",
                                errno_words(end->write_error));
                return EXIT_CODE_REFUSED;
        }
        if (end->detached)
                return detached(what, end);
        if (end->cut) {
                ctl_error("detached from %s by somebody's \"tankctl sessions kill\"; it goes on",
                                what);
                return EXIT_CODE_REFUSED;
        }
        if (!end->known) {
                ctl_error("the session in %s is lost: its shim is gone, and its container with it",
                                what);
                return EXIT_CODE_REFUSED;
        }
        if (streq(end->kind, "setup-failed"))
                return setup_failed(what, end);
        if (streq(end->kind, "oom-killed"))
                ctl_error("%s was killed: it used more memory than it may", what);
        return streq(end->kind, "exited") ? end->code : 128 + end->code;
}
