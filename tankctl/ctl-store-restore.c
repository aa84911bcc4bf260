/* SPDX-License-Identifier: Apache-2.0 */

/* store restore: what is to be typed. */

#include <stdio.h>

#include "ctl.h"
#include "ctl-store.h"
#include "ctl-text.h"
#include "paths.h"

static void print_words(const char *command, const char *dir, const char *name)
{
        printf("%s", command);
        print_shell_word(stdout, dir);
        printf("%s", name);
}

/* What is typed stops at the first that fails: the key of an earlier restore, which lies where an
 * old store was put aside before, would open nothing. */
static void print_restore(const Paths *p, const char *from)
{
        printf("The store owns its directory, so the store restores it, into an empty one:\n\n"
               "  systemctl stop tankd-store &&\n");
        print_words("  mv -T ", p->state_dir, "/store");
        print_words(" ", p->state_dir, "/store.old &&\n");
        print_words("  install -d -m 0700 -o tank-store -g tank-store ", p->state_dir,
                        "/store &&\n");
        print_words("  ", p->libexec_dir, "/tankd-store --restore ");
        print_words("", from, " &&\n");
        print_words("  { test ! -e ", p->state_dir, "/store.old/secrets.key ||\n");
        print_words("    cp -p ", p->state_dir, "/store.old/secrets.key");
        print_words(" ", p->state_dir, "/store/; } &&\n");
        printf("  systemctl start tankd-store &&\n"
               "  tankctl doctor --accept-store\n\n"
               "What runs goes on meanwhile. Where a store.old is from an earlier time, move it "
               "away first.\n"
               "The key of the secrets is not in a backup: where its file is lost, bring it back "
               "from\n"
               "where it is kept, and where the key comes from elsewhere, there is none. "
               "tankd-store(8)\n"
               "tells more.\n");
}

int store_restore(const Arguments *a)
{
        CLEANUP(paths_done) Paths p = {};
        int r = paths_init(&p);

        if (r < 0)
                return ctl_file_failure("$TANK_STATE_DIR, $TANK_LIBEXEC_DIR", r);
        print_restore(&p, a->words[1] ? a->words[1] : "FILE");
        return 0;
}
