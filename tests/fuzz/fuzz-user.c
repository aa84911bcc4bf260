/* SPDX-License-Identifier: Apache-2.0 */

/* Who a process runs as, from an image's /etc/passwd and /etc/group. Separated by NUL: the user, a
 * list of groups with commas, the first file; the rest is the second one. */

#include "fuzz.h"
#include "limit.h"
#include "shim-user.h"
#include "strv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        CLEANUP_FREE char *user = fuzz_text(&data, &size, 0), *list = fuzz_text(&data, &size, 0);
        CLEANUP_STRV char **groups = NULL;
        IdentityFile passwd, group;
        const uint8_t *part;
        SetupReport report = { 0 };
        Identity id = { 0 };
        char *state = NULL;
        int r;

        for (char *g = strtok_r(list, ",", &state); g; g = strtok_r(NULL, ",", &state))
                CHECK(strv_append(&groups, g) == 0);
        passwd.size = fuzz_part(&data, &size, 0, &part);
        passwd.data = (char *) part;
        group.size = size;
        group.data = (char *) data;

        r = identity_find(user, groups, &passwd, &group, &id, &report);
        if (r < 0) {
                CHECK(report.error == -r && report.stage[0]);
                CHECK(!id.groups && !id.home);
                return 0;
        }
        /* Never "leave it as it is", never more groups than the kernel takes. */
        CHECK(id.uid != (uid_t) -1 && id.gid != (gid_t) -1);
        CHECK(id.n_groups >= 1 && id.n_groups <= LIMIT_GROUPS_MAX);
        for (size_t i = 0; i < id.n_groups; i++)
                CHECK(id.groups[i] != (gid_t) -1);
        CHECK(id.home && id.home[0] == '/');
        identity_done(&id);
        return 0;
}
