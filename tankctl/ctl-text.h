/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Text of foreign origin (documents, containers, errors) made harmless before people see it.
 *
 * What a terminal would obey, what would begin a new line, and what would show text in another
 * order or not at all, is written out: control characters of ASCII and of C1, the controls of
 * bidirectional text, invisible characters, and bytes that are no UTF-8. */

#include <stdio.h>

#include "macro.h"

/* \xNN for bytes, \uNNNN for characters. *ret_width (NULL: not wanted) is in columns. NULL: out of
 * memory. */
char *text_neutral(const char *text, size_t *ret_width);
size_t text_width(const char *harmless); /* in columns of a terminal */

/* @word, which somebody gave, for a message: cut behind 48 bytes, never within a character. */
#define TEXT_CUT_SIZE 56
const char *text_cut(const char *word, char buf[static TEXT_CUT_SIZE]);
#define WORD(word) text_cut((word), (char[TEXT_CUT_SIZE]){ 0 })

void print_neutral(FILE *f, const char *text);
/* The same as one word of a shell's command, quoted where that needs it. */
void print_shell_word(FILE *f, const char *text);
/* print_neutral() for what a program wrote: its newlines and tabs stay. */
char *output_neutral(const char *data, size_t size, size_t *ret_size);

/* @json: JSON text. The same characters as \uNNNN, which is the same JSON. NULL: out of memory. */
char *json_neutral(const char *json);
/* Whether there is any of them in valid UTF-8. */
bool text_is_harmless(const char *text);
