/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What each verb does; each returns tankctl's exit code. */

#include "ctl.h"

int verb_apply(const Arguments *a);
int verb_validate(const Arguments *a);
int verb_diff(const Arguments *a);
int verb_seed(const Arguments *a);
int verb_delete(const Arguments *a);
int verb_history(const Arguments *a);
int verb_rollback(const Arguments *a);

int verb_get(const Arguments *a);
int verb_describe(const Arguments *a);
int verb_events(const Arguments *a);
int verb_watch(const Arguments *a);
int verb_wait(const Arguments *a);
int verb_restart(const Arguments *a);
int verb_kill(const Arguments *a);

int verb_secret(const Arguments *a);

int verb_exec(const Arguments *a);
int verb_sessions(const Arguments *a);
int verb_attach(const Arguments *a);
int verb_logs(const Arguments *a);

int verb_kv(const Arguments *a);

int verb_completion(const Arguments *a);
int verb_doctor(const Arguments *a);
int verb_store(const Arguments *a);
int verb_version(const Arguments *a);
int verb_help(const Arguments *a);
