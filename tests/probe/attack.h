/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Applets of the probe that attack; see attack.c. */

int applet_compat(int argc, char **argv);
int applet_clone_parent(int argc, char **argv);
int applet_deep(int argc, char **argv);
int applet_hunt(int argc, char **argv);
int applet_connect(int argc, char **argv);
