/* SPDX-License-Identifier: Apache-2.0 */

/* Keeping the database: copies, looking at it, giving up what is old. Most of it takes longer than
 * a call of the loop: the message is kept in an Reply until a job answers. When the connection
 * goes first, the errand stays behind without a message and the job goes on. */

#include "store-dbus-admin.h"

#include "bus-options.h"
#include "error.h"
#include "log.h"
#include "store-backup.h"
#include "store-compact.h"
#include "store-export.h"
#include "store-import.h"
#include "store-dbus-reply.h"
#include "store-retention.h"
#include "store-verify.h"

/* @r: what sending came to. */
static void errand_done(Reply *e, int r, bool failed)
{
        if (r < 0)
                (void) log_warning_errno(r, "cannot answer a call, ignoring");
        metrics_answered(&e->call, 0, failed);
        reply_free(e);
}

static void errand_fail(Reply *e, const sd_bus_error *error)
{
        errand_done(e, e->message ? sd_bus_reply_method_error(e->message, error) : 0, true);
}

/* @r: of beginning what answers @e. */
static int errand_begun(Reply *e, int r)
{
        if (r < 0) {
                reply_free(e);
                return r;
        }
        e->call = metrics_later(e->bus->metrics);
        return 1;
}

static int read_no_options(sd_bus_message *m, sd_bus_error *reterr)
{
        return bus_read_options(m, NULL, 0, reterr);
}

/* ---- copies ---- */

static void on_backup(const BackupResult *result, const sd_bus_error *error, void *userdata)
{
        Reply *e = userdata;

        if (error)
                errand_fail(e, error);
        else
                errand_done(e,
                                e->message ? sd_bus_reply_method_return(e->message, "tt",
                                                             result->revision, result->bytes)
                                           : 0,
                                false);
}

static int store_admin_method_backup_authorized(
                sd_bus_message *m, const BusCaller *caller, void *userdata, sd_bus_error *reterr)
{
        StoreBus *b = userdata;
        Reply *e;
        int r, fd;

        if ((r = sd_bus_message_read(m, "h", &fd)) < 0 || (r = read_no_options(m, reterr)) < 0)
                return r;
        e = reply_new(b, m);
        return e ? errand_begun(e, store_backup(b->store, fd, on_backup, e, reterr)) : -ENOMEM;
}
BUS_METHOD_SHARED(store_admin_method_backup, BUS_ADMIN, store_bus_access)

static int reply_export(Reply *e, const ExportResult *result)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *reply = NULL;
        int r;

        if (!e->message)
                return 0;
        if ((r = sd_bus_message_new_method_return(e->message, &reply)) < 0 ||
                        (r = sd_bus_message_append(reply, "tt", result->count, result->revision)) <
                                        0 ||
                        (r = sd_bus_message_append_strv(reply, (char **) result->problems)) < 0)
                return r;
        return sd_bus_message_send(reply);
}

static void on_export(const ExportResult *result, const sd_bus_error *error, void *userdata)
{
        Reply *e = userdata;

        if (error)
                errand_fail(e, error);
        else
                errand_done(e, reply_export(e, result), false);
}

static int store_admin_method_export_authorized(
                sd_bus_message *m, const BusCaller *caller, void *userdata, sd_bus_error *reterr)
{
        StoreBus *b = userdata;
        ExportOptions o = {};
        const BusOption options[] = {
                { "namespace", 's', &o.namespace, NULL },
                { "reveal", 'b', &o.reveal, NULL },
                { "type", 's', &o.type, NULL },
        };
        Reply *e;
        int r, fd;

        if ((r = sd_bus_message_read(m, "h", &fd)) < 0 ||
                        (r = bus_read_options(m, options, ARRAY_SIZE(options), reterr)) < 0)
                return r;
        if (o.reveal && !bus_caller_may(caller, BUS_SECRETS))
                return tank_error_set(reterr, TANK_ERROR_ACCESS_DENIED,
                                "option \"reveal\": needs the right 'secrets': be root");
        /* Who got to see what shall be known afterwards. */
        if (o.reveal)
                log_info("uid %u exports secrets with their values", (unsigned) caller->uid);
        e = reply_new(b, m);
        return e ? errand_begun(e, store_export(b->store, fd, &o, on_export, e, reterr)) : -ENOMEM;
}
BUS_METHOD_SHARED(store_admin_method_export, BUS_ADMIN, store_bus_access)

/* What was written before it failed stays: that is part of the sentence. */
static void fail_import(Reply *e, const ImportResult *result, const sd_bus_error *error)
{
        CLEANUP(sd_bus_error_free) sd_bus_error told = SD_BUS_ERROR_NULL;
        uint64_t n = result->created + result->updated;

        if (n == 0) {
                errand_fail(e, error);
                return;
        }
        (void) tank_error_set(&told, error->name,
                        "%s; %llu documents were written before: mend it and import again",
                        error->message, (unsigned long long) n);
        errand_fail(e, &told);
}

static void on_import(const ImportResult *result, const sd_bus_error *error, void *userdata)
{
        Reply *e = userdata;

        if (error)
                fail_import(e, result, error);
        else
                errand_done(e,
                                e->message ? sd_bus_reply_method_return(e->message, "ttt",
                                                             result->created, result->updated,
                                                             result->unchanged)
                                           : 0,
                                false);
}

static int store_admin_method_import_authorized(
                sd_bus_message *m, const BusCaller *caller, void *userdata, sd_bus_error *reterr)
{
        StoreBus *b = userdata;
        ImportOptions o = {
                .by = caller->uid,
                .privileged = bus_caller_may(caller, BUS_PRIVILEGED),
                .secrets = bus_caller_may(caller, BUS_SECRETS),
                .size = IMPORT_ANY_SIZE,
        };
        const BusOption options[] = {
                { "dry-run", 'b', &o.dry_run, NULL },
                { "size", 't', &o.size, NULL },
        };
        Reply *e;
        int r, fd;

        if ((r = sd_bus_message_read(m, "h", &fd)) < 0 ||
                        (r = bus_read_options(m, options, ARRAY_SIZE(options), reterr)) < 0)
                return r;
        e = reply_new(b, m);
        return e ? errand_begun(e, store_import(b->store, fd, &o, on_import, e, reterr)) : -ENOMEM;
}
BUS_METHOD_SHARED(store_admin_method_import, BUS_ADMIN, store_bus_access)

/* ---- looking at it ---- */

static int send_verified(sd_bus_message *m, const Verifier *v)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *reply = NULL;
        int r;

        if ((r = sd_bus_message_new_method_return(m, &reply)) < 0 ||
                        (r = sd_bus_message_append_strv(reply, (char **) verifier_problems(v))) <
                                        0 ||
                        (r = sd_bus_message_append(reply, "t", verifier_rows(v))) < 0)
                return r;
        return sd_bus_message_send(reply);
}

static void on_verified(const Verifier *v, const sd_bus_error *error, void *userdata)
{
        Reply *e = userdata;

        if (error)
                errand_fail(e, error);
        else
                errand_done(e, e->message ? send_verified(e->message, v) : 0, false);
}

static int store_admin_method_verify_authorized(
                sd_bus_message *m, const BusCaller *caller, void *userdata, sd_bus_error *reterr)
{
        StoreBus *b = userdata;
        Reply *e;
        int r = read_no_options(m, reterr);

        if (r < 0)
                return r;
        e = reply_new(b, m);
        return e ? errand_begun(e, store_verify(b->store, on_verified, e, reterr)) : -ENOMEM;
}
BUS_METHOD_SHARED(store_admin_method_verify, BUS_ADMIN, store_bus_access)

/* ---- giving up what is old ---- */

static void on_compacted(uint64_t compacted, const sd_bus_error *error, void *userdata)
{
        Reply *e = userdata;

        if (error)
                errand_fail(e, error);
        else
                errand_done(e,
                                e->message ? sd_bus_reply_method_return(e->message, "t", compacted)
                                           : 0,
                                false);
}

static int store_admin_method_compact_authorized(
                sd_bus_message *m, const BusCaller *caller, void *userdata, sd_bus_error *reterr)
{
        StoreBus *b = userdata;
        uint64_t revision = store_revision(b->store);
        const BusOption options[] = { { "revision", 't', &revision, NULL } };
        Reply *e;
        int r = bus_read_options(m, options, ARRAY_SIZE(options), reterr);

        if (r < 0)
                return r;
        e = reply_new(b, m);
        return e ? errand_begun(e, store_compact(b->store, revision, on_compacted, e, reterr))
                 : -ENOMEM;
}
BUS_METHOD_SHARED(store_admin_method_compact, BUS_ADMIN, store_bus_access)

static void on_rule_set(const sd_bus_error *error, void *userdata)
{
        Reply *e = userdata;

        if (error)
                errand_fail(e, error);
        else
                errand_done(e, e->message ? sd_bus_reply_method_return(e->message, NULL) : 0,
                                false);
}

static int store_admin_method_set_retention_authorized(
                sd_bus_message *m, const BusCaller *caller, void *userdata, sd_bus_error *reterr)
{
        StoreBus *b = userdata;
        Retention rule;
        const char *type;
        Reply *e;
        int r;

        r = sd_bus_message_read(m, "stt", &type, &rule.versions, &rule.age_usec);
        if (r < 0)
                return r;
        e = reply_new(b, m);
        return e ? errand_begun(e, store_set_retention(
                                                   b->store, type, &rule, on_rule_set, e, reterr))
                 : -ENOMEM;
}
BUS_METHOD_SHARED(store_admin_method_set_retention, BUS_ADMIN, store_bus_access)

static int append_rule(const char *type, const Retention *rule, void *userdata)
{
        return sd_bus_message_append(userdata, "(stt)", type, rule->versions, rule->age_usec);
}

static int store_admin_method_get_retention_authorized(
                sd_bus_message *m, const BusCaller *caller, void *userdata, sd_bus_error *reterr)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *reply = NULL;
        StoreBus *b = userdata;
        int r;

        if ((r = sd_bus_message_new_method_return(m, &reply)) < 0 ||
                        (r = sd_bus_message_open_container(reply, 'a', "(stt)")) < 0 ||
                        (r = rules_list(store_rules(b->store), append_rule, reply)) < 0 ||
                        (r = sd_bus_message_close_container(reply)) < 0)
                return r;
        return sd_bus_message_send(reply);
}
BUS_METHOD_SHARED(store_admin_method_get_retention, BUS_ADMIN, store_bus_access)

static int store_admin_method_set_log_retention_authorized(
                sd_bus_message *m, const BusCaller *caller, void *userdata, sd_bus_error *reterr)
{
        StoreBus *b = userdata;
        LogRetention rule;
        Reply *e;
        int r;

        r = sd_bus_message_read(m, "tt", &rule.rows, &rule.bytes);
        if (r < 0)
                return r;
        e = reply_new(b, m);
        return e ? errand_begun(e, store_set_log_retention(b->store, &rule, on_rule_set, e, reterr))
                 : -ENOMEM;
}
BUS_METHOD_SHARED(store_admin_method_set_log_retention, BUS_ADMIN, store_bus_access)

static int store_admin_method_get_log_retention_authorized(
                sd_bus_message *m, const BusCaller *caller, void *userdata, sd_bus_error *reterr)
{
        LogRetention rule = rules_of_log(store_rules(((StoreBus *) userdata)->store));

        return sd_bus_reply_method_return(m, "tt", rule.rows, rule.bytes);
}
BUS_METHOD_SHARED(store_admin_method_get_log_retention, BUS_ADMIN, store_bus_access)

static int store_admin_method_reset_authorized(
                sd_bus_message *m, const BusCaller *caller, void *userdata, sd_bus_error *reterr)
{
        int r = store_reset(((StoreBus *) userdata)->store);

        if (r == -EOPNOTSUPP)
                return tank_error_set(reterr, TANK_ERROR_NOT_SUPPORTED,
                                "the database is on disk: only one in memory (tankd-store "
                                "--memory) can be reset");
        if (r < 0)
                return tank_error_set_errno(reterr, r, "the database cannot be made anew");
        return sd_bus_reply_method_return(m, NULL);
}
BUS_METHOD_SHARED(store_admin_method_reset, BUS_ADMIN, store_bus_access)
