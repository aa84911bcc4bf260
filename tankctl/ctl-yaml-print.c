/* SPDX-License-Identifier: Apache-2.0 */

/* jansson values as YAML, through libyaml's emitter, which is told for each scalar whether it may
 * stand without quotes. That is decided by the same classification that reads, so that what is
 * printed means the same when it comes back. */

#include <yaml.h>

#include "ctl-text.h"
#include "ctl-yaml.h"

/* Words that older readers take for a boolean, and what begins like a number. Quoting them costs
 * nothing and spares the reader the question. */
static bool looks_like_more_than_text(const char *s)
{
        static const char *const words[] = { "y", "n", "yes", "no", "on", "off", "true", "false" };

        for (size_t i = 0; i < ARRAY_SIZE(words); i++)
                if (strcasecmp(s, words[i]) == 0)
                        return true;
        if (yaml_scalar_classify(s) != YAML_STRING)
                return true;
        return s[strspn(s, "+-.0123456789:")] == '\0';
}

static int emit(yaml_emitter_t *e, yaml_event_t *event)
{
        return yaml_emitter_emit(e, event) ? 0 : e->error == YAML_MEMORY_ERROR ? -ENOMEM : -EIO;
}

static int emit_scalar(
                yaml_emitter_t *e, const char *text, size_t length, yaml_scalar_style_t style)
{
        bool plain = style == YAML_ANY_SCALAR_STYLE || style == YAML_PLAIN_SCALAR_STYLE;
        yaml_event_t event;

        if (!yaml_scalar_event_initialize(&event, NULL, NULL, (const yaml_char_t *) text,
                            (int) length, plain, true, style))
                return -ENOMEM;
        return emit(e, &event);
}

static int emit_string(yaml_emitter_t *e, const char *s, size_t length)
{
        yaml_scalar_style_t style = YAML_ANY_SCALAR_STYLE;

        if (looks_like_more_than_text(s))
                style = YAML_DOUBLE_QUOTED_SCALAR_STYLE;
        return emit_scalar(e, s, length, style);
}

static int emit_value(yaml_emitter_t *e, const json_t *value);

/* What a reader looks for stands first; the stored form is sorted. */
static const char *const first_keys[] = { "kind", "name", "namespace", "labels", "annotations" };

static bool is_first_key(const char *key)
{
        for (size_t i = 0; i < ARRAY_SIZE(first_keys); i++)
                if (streq(first_keys[i], key))
                        return true;
        return false;
}

/* @value NULL: there is none. */
static int emit_member(yaml_emitter_t *e, const char *key, const json_t *value)
{
        int r;

        if (!value)
                return 0;
        r = emit_string(e, key, strlen(key));
        return r < 0 ? r : emit_value(e, value);
}

static int emit_object(yaml_emitter_t *e, const json_t *value)
{
        yaml_mapping_style_t style = json_object_size(value) > 0 ? YAML_BLOCK_MAPPING_STYLE
                                                                 : YAML_FLOW_MAPPING_STYLE;
        yaml_event_t event;
        const char *key;
        json_t *child;
        int r;

        if (!yaml_mapping_start_event_initialize(&event, NULL, NULL, true, style))
                return -ENOMEM;
        r = emit(e, &event);
        if (r < 0)
                return r;
        for (size_t i = 0; i < ARRAY_SIZE(first_keys); i++) {
                r = emit_member(e, first_keys[i], json_object_get(value, first_keys[i]));
                if (r < 0)
                        return r;
        }
        json_object_foreach ((json_t *) value, key, child) {
                if (is_first_key(key))
                        continue;
                r = emit_member(e, key, child);
                if (r < 0)
                        return r;
        }
        return yaml_mapping_end_event_initialize(&event) ? emit(e, &event) : -ENOMEM;
}

static int emit_array(yaml_emitter_t *e, const json_t *value)
{
        yaml_event_t event;
        json_t *child;
        size_t i;
        int r;

        if (!yaml_sequence_start_event_initialize(&event, NULL, NULL, true,
                            json_array_size(value) > 0 ? YAML_BLOCK_SEQUENCE_STYLE
                                                       : YAML_FLOW_SEQUENCE_STYLE))
                return -ENOMEM;
        r = emit(e, &event);
        if (r < 0)
                return r;
        json_array_foreach (value, i, child) {
                r = emit_value(e, child);
                if (r < 0)
                        return r;
        }
        return yaml_sequence_end_event_initialize(&event) ? emit(e, &event) : -ENOMEM;
}

static int emit_value(yaml_emitter_t *e, const json_t *value)
{
        char number[64];

        switch (json_typeof(value)) {
        case JSON_OBJECT: return emit_object(e, value);
        case JSON_ARRAY: return emit_array(e, value);
        case JSON_STRING:
                return emit_string(e, json_string_value(value), json_string_length(value));
        case JSON_INTEGER:
                (void) snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT,
                                json_integer_value(value));
                break;
        case JSON_REAL:
                (void) snprintf(number, sizeof(number), "%.17g", json_real_value(value));
                if (!strpbrk(number, ".e"))
                        strcat(number, ".0");
                break;
        case JSON_TRUE: return emit_scalar(e, "true", 4, YAML_PLAIN_SCALAR_STYLE);
        case JSON_FALSE: return emit_scalar(e, "false", 5, YAML_PLAIN_SCALAR_STYLE);
        case JSON_NULL: return emit_scalar(e, "null", 4, YAML_PLAIN_SCALAR_STYLE);
        }
        return emit_scalar(e, number, strlen(number), YAML_PLAIN_SCALAR_STYLE);
}

static int emit_document(yaml_emitter_t *e, const json_t *value, bool separator)
{
        yaml_event_t event;
        int r;

        if (!yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING))
                return -ENOMEM;
        r = emit(e, &event);
        if (r < 0)
                return r;
        if (!yaml_document_start_event_initialize(&event, NULL, NULL, NULL, !separator))
                return -ENOMEM;
        r = emit(e, &event);
        if (r >= 0)
                r = emit_value(e, value);
        if (r < 0)
                return r;
        if (!yaml_document_end_event_initialize(&event, true))
                return -ENOMEM;
        r = emit(e, &event);
        if (r < 0)
                return r;
        return yaml_stream_end_event_initialize(&event) ? emit(e, &event) : -ENOMEM;
}

int yaml_print(FILE *f, const json_t *value, bool separator)
{
        CLEANUP_FREE char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
        yaml_emitter_t e;
        int r;

        if (!text || !yaml_emitter_initialize(&e))
                return -ENOMEM;
        yaml_emitter_set_output_file(&e, f);
        /* What shows text in another order, the emitter takes for printable: then nothing but ASCII
         * is, and all else is escaped. */
        yaml_emitter_set_unicode(&e, text_is_harmless(text));
        yaml_emitter_set_width(&e, -1);
        r = emit_document(&e, value, separator);
        yaml_emitter_delete(&e);
        return r;
}
