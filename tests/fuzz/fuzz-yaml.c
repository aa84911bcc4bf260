/* SPDX-License-Identifier: Apache-2.0 */

/* What people write: YAML into documents with positions, validated; and back into YAML. */

#include "ctl-yaml.h"
#include "document.h"
#include "fuzz.h"
#include "fuzz-spec-check.h"

static void check_position(const char *text, size_t size, YamlPosition p)
{
        size_t lines = 1;

        for (size_t i = 0; i < size; i++)
                lines += text[i] == '\n' || text[i] == '\r' || (text[i] & 0xc0) == 0xc0;
        CHECK(p.line >= 1 && p.column >= 1);
        CHECK(p.line <= lines + 1 && p.column <= 2 * size + 2);
}

/* What is printed reads back as the same value. */
static void check_printed(const json_t *value)
{
        CLEANUP(yaml_document_freep) YamlDocument *d = NULL;
        CLEANUP(yaml_reader_freep) YamlReader *reader = NULL;
        CLEANUP_FREE char *text = NULL;
        YamlError e = { 0 };
        size_t size;
        FILE *f = open_memstream(&text, &size);
        int r;

        CHECK(f);
        r = yaml_print(f, value, true);
        CHECK(fclose(f) == 0 && r == 0);
        CHECK(yaml_reader_new(text, size, &reader, &e) == 0);
        if (yaml_reader_next(reader, &d, &e) != 1) {
                fprintf(stderr, "%zu:%zu: %s in\n%s", e.position.line, e.position.column, e.message,
                                text);
                abort();
        }
        CHECK(json_equal(yaml_document_root(d), value));
}

static void check_document(const char *text, size_t size, const YamlDocument *d)
{
        CLEANUP_JSON json_t *normal = NULL;
        SpecError error;

        check_position(text, size, yaml_document_position(d, "", false));
        normal = fuzz_normalize(yaml_document_root(d), SPEC_STRICT_ENTRY, &error);
        if (normal)
                check_printed(normal);
        else
                check_position(text, size, yaml_document_position(d, error.path, error.at_key));
}

static void read_all(const char *text, size_t size, bool split)
{
        CLEANUP(yaml_reader_freep) YamlReader *reader = NULL;
        YamlError e = { 0 };
        int r;

        r = yaml_reader_new(text, size, &reader, &e);
        if (r >= 0 && split)
                yaml_reader_split_lists(reader);
        while (r >= 0) {
                CLEANUP(yaml_document_freep) YamlDocument *d = NULL;

                r = yaml_reader_next(reader, &d, &e);
                if (r == 0)
                        return;
                if (r > 0)
                        check_document(text, size, d);
        }
        CHECK(r == -EINVAL && e.message[0]);
        check_position(text, size, e.position);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        read_all((const char *) data, size, false);
        read_all((const char *) data, size, true);
        return 0;
}
