/* SPDX-License-Identifier: Apache-2.0 */

/* libyaml tells what its grammar missed. Whoever wrote the file wants to know what to change. */

#include <stdio.h>

#include "ctl-yaml.h"

typedef struct Words {
        const char *problem;         /* a part of what libyaml says */
        const char *before, *behind; /* the line where it began stands between them, if there is a
                                      * second part */
} Words;

static const Words table[] = {
        { "found a tab character", "a tab cannot indent; use spaces" },
        { "mapping values are not allowed",
                        "a second \":\", or a wrong indent; quote text that holds \": \"" },
        { "found unexpected end of stream", "the quote that opens in line ", " is never closed" },
        { "expected ',' or ']'", "the list that opens in line ", " needs \",\" or \"]\" here" },
        { "expected ',' or '}'", "the map that opens in line ", " needs \",\" or \"}\" here" },
        { "did not find expected key", "the map that begins in line ",
                        " does not go on with \"key: value\" here; check the indent" },
        { "could not find expected ':'", "line ", " has no \": \"; expected \"key: value\"" },
        { "did not find expected '-' indicator", "the list that begins in line ",
                        " does not go on with \"- \" here; check the indent" },
        { "block sequence entries are not allowed",
                        "a list cannot begin here; put its \"- \" into a line of its own" },
        { "mapping keys are not allowed",
                        "a map cannot begin here; put it into a line of its own" },
        { "found unexpected document indicator", "the quote that opens in line ",
                        " is not closed before the document ends" },
        { "did not find expected node content", "a value is missing here" },
        { "unknown escape character",
                        "no such escape in double quotes; write \\\\ for a backslash, or use "
                        "single quotes" },
        { "did not find expected hexdecimal number",
                        "an escape needs hexadecimal digits; write \\\\ for a backslash" },
        { "invalid Unicode character escape", "an escaped surrogate is no character in YAML; write "
                                              "the character itself" },
        { "found incompatible YAML document",
                        "another version of YAML than 1.x; remove the directive" },
        { "directive", "a directive that is not understood; remove it" },
        { "version number", "a directive that is not understood; remove it" },
        { "expected comment or line break", "expected a line break behind \"|\" or \">\"" },
        { "did not find expected <document start>", "expected \"---\" before the next document" },
        { "did not find expected alphabetic or numeric character",
                        "\"*\" and \"&\" begin the name of an anchor; quote text that begins "
                        "with them" },
        { "tag handle", "tags are not understood: remove it" },
        { "tag URI", "tags are not understood: remove it" },
};

void yaml_problem_words(const char *problem, size_t begin_line, char buf[static YAML_MESSAGE_SIZE])
{
        for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
                const Words *w = &table[i];

                if (!strstr(problem, w->problem))
                        continue;
                if (w->behind)
                        (void) snprintf(buf, YAML_MESSAGE_SIZE, "%s%zu%s", w->before, begin_line,
                                        w->behind);
                else
                        (void) snprintf(buf, YAML_MESSAGE_SIZE, "%s", w->before);
                return;
        }
        (void) snprintf(buf, YAML_MESSAGE_SIZE, "bad YAML: %s; see line %zu", problem, begin_line);
}
