/* SPDX-License-Identifier: Apache-2.0 */

/* org.tankd.Store1.Secrets: the only way by which a value goes out. Messages are sensitive: sd-bus
 * overwrites them when it frees them. */

#include "store-dbus-reply.h"

#include "bus-options.h"
#include "data.h"
#include "document.h"
#include "error.h"
#include "limit.h"
#include "log.h"
#include "store-rotate.h"
#include "store-secret.h"

/* ---- Set ---- */

/* One more than may be is read, for the store to refuse. */
static int read_value(sd_bus_message *m, json_t *data, size_t *total, sd_bus_error *reterr)
{
        const void *bytes;
        const char *key;
        json_t *value;
        size_t size;
        int r;

        if ((r = sd_bus_message_read(m, "s", &key)) < 0 ||
                        (r = sd_bus_message_read_array(m, 'y', &bytes, &size)) < 0)
                return r;
        *total += size;
        if (json_object_size(data) > LIMIT_DATA_KEYS)
                return 0;
        if (json_object_get(data, key))
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "data: the key \"%.64s\" is there twice", key);
        r = data_encode(bytes ? bytes : "", size, &value);
        if (r < 0)
                return r;
        return json_object_set_new(data, key, value) < 0 ? -ENOMEM : 0;
}

static int read_data(sd_bus_message *m, json_t *data, size_t *ret_size, sd_bus_error *reterr)
{
        int r;

        r = sd_bus_message_enter_container(m, 'a', "{say}");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(m, 'e', "say")) > 0) {
                r = read_value(m, data, ret_size, reterr);
                if (r >= 0)
                        r = sd_bus_message_exit_container(m);
                if (r < 0)
                        return r;
        }
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int add_label(const char *key, const char *value, void *userdata)
{
        return json_object_set_new(userdata, key, json_string(value)) < 0 ? -ENOMEM : 0;
}

static int store_method_set_authorized(
                sd_bus_message *m, const BusCaller *caller, void *userdata, sd_bus_error *reterr)
{
        CLEANUP_JSON json_t *data = json_object(), *labels = json_object(), *doc = NULL;
        StoreOperation o = { .verb = STORE_APPLY };
        StoreBusApply apply = { .deadline_usec = UINT64_MAX };
        BusOptionTexts texts = { add_label, labels };
        bool labelled = false;
        SecretSet set = { .data = data };
        const BusOption options[] = {
                { "type", 's', &set.type, NULL },
                { "labels", 'm', &texts, &labelled },
                { "if-revision", 't', &o.if_revision, &o.has_if_revision },
                { "create-namespace", 'b', &apply.create_namespaces, NULL },
                { "deadline", 't', &apply.deadline_usec, NULL },
        };
        StoreBus *b = userdata;
        size_t size = 0;
        int r;

        if (!data || !labels)
                return -ENOMEM;
        if ((r = sd_bus_message_read(m, "ss", &set.namespace, &set.name)) < 0 ||
                        (r = read_data(m, data, &size, reterr)) < 0 ||
                        (r = bus_read_options(m, options, ARRAY_SIZE(options), reterr)) < 0)
                return r;
        metrics_in(b->metrics, size);
        set.labels = labelled ? labels : NULL;
        r = store_secret_compose(b->store, &set, &doc, reterr);
        if (r < 0)
                return r;
        o.parsed = doc;
        return store_bus_apply(b, m, caller, &o, &apply, reterr);
}
BUS_METHOD(store_method_set, BUS_SECRETS, store_bus_access)

/* ---- Reveal ---- */

typedef struct Revealing {
        sd_bus_message *reply;
        size_t size;
} Revealing;

static int append_value(const SealedValue *v, void *userdata)
{
        CLEANUP_FREE char *key = strndup(v->key, v->key_size);
        Revealing *revealing = userdata;
        sd_bus_message *m = revealing->reply;
        int r;

        if (!key)
                return -ENOMEM;
        if ((r = sd_bus_message_open_container(m, 'e', "say")) < 0 ||
                        (r = sd_bus_message_append(m, "s", key)) < 0 ||
                        (r = sd_bus_message_append_array(m, 'y', v->data, v->size)) < 0)
                return r;
        revealing->size += v->size;
        return sd_bus_message_close_container(m);
}

static int store_method_reveal_authorized(
                sd_bus_message *m, const BusCaller *caller, void *userdata, sd_bus_error *reterr)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *reply = NULL;
        uint64_t wanted = 0, revision = 0, generation = 0;
        const char *namespace, *name;
        bool given = false;
        const BusOption options[] = { { "revision", 't', &wanted, &given } };
        StoreBus *b = userdata;
        Revealing revealing = {};
        int r;

        if ((r = sd_bus_message_read(m, "ss", &namespace, &name)) < 0 ||
                        (r = bus_read_options(m, options, ARRAY_SIZE(options), reterr)) < 0)
                return r;
        if (given && wanted == 0)
                return tank_error_set(reterr, TANK_ERROR_INVALID_ARGUMENT,
                                "option \"revision\": must be greater than 0");
        if ((r = sd_bus_message_new_method_return(m, &reply)) < 0 ||
                        (r = sd_bus_message_sensitive(reply)) < 0 ||
                        (r = sd_bus_message_open_container(reply, 'a', "{say}")) < 0)
                return r;
        revealing.reply = reply;
        r = store_secret_reveal(b->store, namespace, name, wanted, append_value, &revealing,
                        &revision, &generation, reterr);
        if (r < 0)
                return r;
        metrics_out(b->metrics, revealing.size);
        /* Who got to see what shall be known afterwards. */
        log_info("uid %u was shown the secret %s/%s", (unsigned) caller->uid, namespace, name);
        if ((r = sd_bus_message_close_container(reply)) < 0 ||
                        (r = sd_bus_message_append(reply, "tt", revision, generation)) < 0)
                return r;
        return sd_bus_message_send(reply);
}
BUS_METHOD(store_method_reveal, BUS_SECRETS, store_bus_access)

/* ---- the key ---- */

static void on_rotated(const RotateResult *result, const sd_bus_error *error, void *userdata)
{
        Reply *reply = userdata;
        int r = 0;

        if (reply->message)
                r = error ? sd_bus_reply_method_error(reply->message, error)
                          : sd_bus_reply_method_return(reply->message, "stt", result->key_id,
                                            result->rewrapped, result->failed);
        if (r < 0)
                (void) log_warning_errno(r, "cannot answer RotateKey, ignoring");
        metrics_answered(&reply->call, 0, error != NULL);
        reply_free(reply);
}

static int store_method_rotate_key_authorized(
                sd_bus_message *m, const BusCaller *caller, void *userdata, sd_bus_error *reterr)
{
        StoreBus *b = userdata;
        Reply *reply;
        int r;

        r = bus_read_options(m, NULL, 0, reterr);
        if (r < 0)
                return r;
        reply = reply_new(b, m);
        if (!reply)
                return -ENOMEM;
        r = store_rotate_key(b->store, on_rotated, reply, reterr);
        if (r < 0) {
                reply_free(reply);
                return r;
        }
        reply->call = metrics_later(b->metrics);
        return 1;
}
BUS_METHOD(store_method_rotate_key, BUS_ADMIN, store_bus_access)

static int property_active_key(sd_bus *bus, const char *path, const char *interface,
                const char *property, sd_bus_message *reply, void *userdata, sd_bus_error *reterr)
{
        const Keyring *k = store_keyring(((StoreBus *) userdata)->store);
        const SealKey *active = k ? keyring_active(k) : NULL;
        char id[KEYRING_ID_TEXT_SIZE] = "";

        if (active)
                (void) keyring_format_id(active->id, id);
        return sd_bus_message_append(reply, "s", id);
}

static int property_keys(sd_bus *bus, const char *path, const char *interface, const char *property,
                sd_bus_message *reply, void *userdata, sd_bus_error *reterr)
{
        const Keyring *k = store_keyring(((StoreBus *) userdata)->store);
        int r;

        r = sd_bus_message_open_container(reply, 'a', "s");
        for (size_t i = 0; r >= 0 && k && i < keyring_count(k); i++) {
                char id[KEYRING_ID_TEXT_SIZE];

                r = sd_bus_message_append(reply, "s", keyring_format_id(keyring_get(k, i)->id, id));
        }
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

#define FLAGS (SD_BUS_VTABLE_UNPRIVILEGED | SD_BUS_VTABLE_SENSITIVE)

const sd_bus_vtable store_secrets_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("ActiveKey", "s", property_active_key, 0, 0),
        SD_BUS_PROPERTY("Keys", "as", property_keys, 0, 0),
        SD_BUS_METHOD_WITH_ARGS("Set",
                        SD_BUS_ARGS("s", namespace, "s", name, "a{say}", data, "a{sv}", options),
                        SD_BUS_RESULT("s", uid, "t", generation, "t", revision, "s", changed),
                        store_method_set, FLAGS),
        SD_BUS_METHOD_WITH_ARGS("Reveal", SD_BUS_ARGS("s", namespace, "s", name, "a{sv}", options),
                        SD_BUS_RESULT("a{say}", data, "t", revision, "t", generation),
                        store_method_reveal, FLAGS),
        SD_BUS_METHOD_WITH_ARGS("RotateKey", SD_BUS_ARGS("a{sv}", options),
                        SD_BUS_RESULT("s", key_id, "t", rewrapped, "t", failed),
                        store_method_rotate_key, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};
