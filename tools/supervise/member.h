/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The group `tank` with a member, where the machine has none: what an installation and its
 * administrator do, for this process and its children alone. */

#define MEMBER_USER "tank-member"

/* Makes copies of /etc/passwd and /etc/group in @dir, adds the user, and lays them over the real
 * ones in a mount namespace of our own; other mounts of the machine go on to be seen in it. Does
 * nothing where the user is there already. */
int member_provide(const char *dir);
