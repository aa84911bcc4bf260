/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What keeps the values of secrets from leaving this process by the back door. Keys and opened
 * values are a Plain (store-seal.h) of their own; on the way between it and the bus a value is in
 * a message, which sd-bus overwrites when it is marked sensitive, and in jansson's memory. */

#include "macro.h"

/* No core dumps, no other process of ours that looks into it; jansson's memory is overwritten when
 * it is freed; all memory stays out of swap where the limit is none. Before the first document is
 * read. What the machine does not allow is logged where it matters and goes without. */
void conceal_process(void);
