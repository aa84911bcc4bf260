/* SPDX-License-Identifier: Apache-2.0 */

/* Calls to the store's key-value data. */

#include "base64.h"
#include "bus-names.h"
#include "ctl-kv.h"
#include "ctl-text.h"
#include "names.h"

const CtlPeer ctl_kv = {
        .program = "tankd-store",
        .name = TANK_STORE_NAME,
        .path = TANK_STORE_PATH,
        .interface = TANK_STORE_KEY_VALUE_INTERFACE,
};

json_t *kv_json(KvData bytes)
{
        CLEANUP_FREE char *text = NULL;
        const char *s = bytes.size > 0 ? bytes.data : "";

        if (utf8_is_valid(s, bytes.size))
                return json_stringn(s, bytes.size);
        return base64_encode(bytes.data, bytes.size, &text) < 0 ? NULL
                                                                : json_pack("{ss}", "base64", text);
}

int kv_read_bytes(sd_bus_message *m, KvData *ret)
{
        return sd_bus_message_read_array(m, 'y', &ret->data, &ret->size);
}

int kv_append_bytes(sd_bus_message *m, KvData bytes)
{
        return sd_bus_message_append_array(m, 'y', bytes.size > 0 ? bytes.data : NULL, bytes.size);
}

int kv_append_bytes_option(sd_bus_message *m, const char *name, KvData bytes)
{
        int r;

        if ((r = sd_bus_message_open_container(m, 'e', "sv")) < 0 ||
                        (r = sd_bus_message_append(m, "s", name)) < 0 ||
                        (r = sd_bus_message_open_container(m, 'v', "ay")) < 0 ||
                        (r = kv_append_bytes(m, bytes)) < 0 ||
                        (r = sd_bus_message_close_container(m)) < 0)
                return r;
        return sd_bus_message_close_container(m);
}

static int ask(sd_bus_message *m, const char *token, void *userdata)
{
        const KvListing *l = userdata;
        int r;

        if ((r = sd_bus_message_append(m, "s", l->store)) < 0 ||
                        (r = sd_bus_message_open_container(m, 'a', "{sv}")) < 0 ||
                        (r = sd_bus_message_append(m, "{sv}{sv}", "values", "b", l->values,
                                         "durable", "b", l->durable)) < 0)
                return r;
        if (l->prefix)
                r = kv_append_bytes_option(m, "prefix", (KvData){ l->prefix, strlen(l->prefix) });
        if (r >= 0 && *token)
                r = sd_bus_message_append(m, "{sv}", "continue", "s", token);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int read_entry(sd_bus_message *m, KvShown *ret)
{
        int r;

        r = sd_bus_message_enter_container(m, 'r', "ayaytt");
        if (r <= 0)
                return r;
        if ((r = kv_read_bytes(m, &ret->key)) < 0 || (r = kv_read_bytes(m, &ret->value)) < 0 ||
                        (r = sd_bus_message_read(m, "tt", &ret->revision, &ret->expires_usec)) < 0)
                return r;
        r = sd_bus_message_exit_container(m);
        return r < 0 ? r : 1;
}

/* Not absent, and not to be shown as if it were empty. */
static int tell_unreadable(sd_bus_message *m, KvListing *l)
{
        KvData key;
        int r;

        r = sd_bus_message_enter_container(m, 'a', "ay");
        while (r >= 0 && (r = sd_bus_message_at_end(m, false)) == 0) {
                CLEANUP_FREE char *text = NULL, *neutral = NULL;

                r = kv_read_bytes(m, &key);
                if (r < 0)
                        return r;
                text = strndup(key.size > 0 ? key.data : "", key.size);
                neutral = text ? text_neutral(text, NULL) : NULL;
                if (!neutral)
                        return -ENOMEM;
                ctl_error("%s: what is stored under the key '%s' cannot be read: remove it, and "
                          "set "
                          "it anew",
                                l->store, neutral);
                l->n_unreadable++;
        }
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int read_page(
                sd_bus_message *reply, void *userdata, const char **ret_next, sd_bus_error *reterr)
{
        KvListing *l = userdata;
        KvShown entry;
        uint64_t revision;
        int r;

        r = sd_bus_message_enter_container(reply, 'a', "(ayaytt)");
        while (r >= 0 && (r = read_entry(reply, &entry)) > 0)
                r = l->each(&entry, l->userdata);
        if (r < 0 || (r = sd_bus_message_exit_container(reply)) < 0 ||
                        (r = sd_bus_message_read(reply, "st", ret_next, &revision)) < 0 ||
                        (r = tell_unreadable(reply, l)) < 0)
                return r;
        if (!l->begun)
                l->revision = revision;
        l->begun = true;
        return 0;
}

int kv_list(sd_bus *bus, KvListing *l, sd_bus_error *reterr)
{
        static const CtlPages pages = { &ctl_kv, "List", ask, read_page };

        return ctl_bus_read_pages(bus, &pages, l, reterr);
}

int kv_each_store(sd_bus *bus,
                void (*each)(const char *store, uint64_t keys, uint64_t bytes, void *userdata),
                void *userdata, sd_bus_error *reterr)
{
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *m = NULL;
        CLEANUP(sd_bus_message_unrefpp) sd_bus_message *reply = NULL;
        uint64_t keys, bytes;
        const char *store;
        int r;

        if ((r = ctl_bus_new_call(bus, &ctl_kv, "Stores", &m)) < 0 ||
                        (r = ctl_bus_call(bus, m, &ctl_kv, &reply, reterr)) < 0)
                return r;
        r = sd_bus_message_enter_container(reply, 'a', "(stt)");
        while (r >= 0 && (r = sd_bus_message_read(reply, "(stt)", &store, &keys, &bytes)) > 0)
                each(store, keys, bytes, userdata);
        return r < 0 ? ctl_bus_bad_answer(r, &ctl_kv, reterr) : 0;
}
