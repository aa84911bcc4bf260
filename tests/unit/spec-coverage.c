/* SPDX-License-Identifier: Apache-2.0 */

/* A field is known by its place in the table, not by its path: what container and init container
 * share is asked for once. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "document.h"
#include "spec-coverage.h"
#include "spec-table.h"

typedef struct Note {
        const SpecField *field;
        bool element; /* about one of the list, not the list */
        char *message;
} Note;

static Note notes[4096];
static size_t n_notes;

static void note(const SpecField *f, bool element, const char *message)
{
        assert_true(n_notes < ARRAY_SIZE(notes));
        notes[n_notes] = (Note){ f, element, strdup(message) };
        assert_non_null(notes[n_notes].message);
        n_notes++;
}

void spec_coverage_note(const json_t *doc, const char *sentence)
{
        const char *kind = json_get_string(doc, "kind");
        const SpecField *fields = spec_find_type(kind ? kind : "pod")->fields;
        const SpecField *f = NULL;
        bool element = false;

        while (fields) {
                size_t n = strcspn(sentence, ".[:");
                char name[64];

                if (n >= sizeof(name))
                        return;
                memcpy(name, sentence, n);
                name[n] = '\0';
                f = spec_find_field(fields, name);
                if (!f) /* "unknown field", which is said of what it would be in */
                        f = fields;
                sentence += n;
                element = *sentence == '[';
                if (element)
                        sentence += strcspn(sentence, "]") + 1;
                if (*sentence != '.')
                        break;
                sentence++;
                fields = f->kind == SPEC_OBJECT || f->kind == SPEC_CPU ? f->fields : NULL;
                if (!fields) /* the key of a map: its value is an element */
                        element = true;
        }
        sentence = strstr(sentence, ": ");
        if (f && sentence)
                note(f, element, sentence + 2);
}

static bool was_said(const SpecField *f, bool element, const char *part)
{
        for (size_t i = 0; i < n_notes; i++)
                if (notes[i].field == f && notes[i].element == element &&
                                strstr(notes[i].message, part))
                        return true;
        return false;
}

typedef struct Walk {
        FILE *out;
        const SpecField *seen[256]; /* lists of fields */
        size_t n_seen;
} Walk;

static void want(Walk *w, const char *path, const SpecField *f, bool element, const char *part)
{
        if (!was_said(f, element, part))
                fprintf(w->out, "%s%s: %s\n", path, element ? "[]" : "", part);
}

static void walk_fields(Walk *w, const char *path, const SpecField *fields);

static void walk_field(Walk *w, const char *path, const SpecField *f)
{
        bool of_element = f->list || f->kind == SPEC_LABELS || f->kind == SPEC_ANNOTATIONS ||
                          f->kind == SPEC_ENVIRONMENT || f->kind == SPEC_DATA ||
                          f->kind == SPEC_ITEMS;

        if (f->later) {
                want(w, path, f, false, "is not supported yet; leave it out");
                return;
        }
        if (f->kind == SPEC_KIND && f != spec_types[0].fields)
                return; /* another kind is another type */
        if (f->required)
                want(w, path, f, false, "is required: give ");
        if (f->list)
                want(w, path, f, false, "expected a list, found ");
        if (f->min_items > 0)
                want(w, path, f, false, "found an empty list");
        if (f->max_items > 0)
                want(w, path, f, false, "and may have at most ");
        want(w, path, f, of_element, f->kind == SPEC_NAME ? "is no valid name" : "expected ");
        if (f->min > 0)
                want(w, path, f, of_element, f->kind == SPEC_OBJECT ? "" : "expected at least ");
        if (f->max > 0)
                want(w, path, f, of_element, "expected at most ");
        if (f->later_words)
                want(w, path, f, of_element, "not supported yet");
        if (f->kind == SPEC_PATH || f->kind == SPEC_MOUNT_POINT) {
                want(w, path, f, of_element, "it must begin with '/'");
                want(w, path, f, of_element, "contains '..'");
                want(w, path, f, of_element, "bytes, and may have at most ");
        }
        if (f->kind == SPEC_OBJECT || f->kind == SPEC_CPU)
                walk_fields(w, path, f->fields);
}

static void walk_fields(Walk *w, const char *path, const SpecField *fields)
{
        for (size_t i = 0; i < w->n_seen; i++)
                if (w->seen[i] == fields)
                        return;
        assert_true(w->n_seen < ARRAY_SIZE(w->seen));
        w->seen[w->n_seen++] = fields;
        want(w, path, fields, false, "unknown field ");
        for (const SpecField *f = fields; f->name; f++) {
                char below[256];

                (void) snprintf(below, sizeof(below), "%s%s%s", path, *path ? "." : "", f->name);
                walk_field(w, below, f);
        }
}

char *spec_coverage_missing(void)
{
        Walk w = {};
        char *result = NULL;
        size_t size;

        w.out = open_memstream(&result, &size);
        assert_non_null(w.out);
        for (const SpecType *t = spec_types; t->name; t++)
                if (!t->later)
                        walk_fields(&w, "", t->fields);
        assert_int_equal(fclose(w.out), 0);
        while (n_notes > 0)
                free(notes[--n_notes].message);
        return result;
}
