/* SPDX-License-Identifier: MIT */
/* What others choose (names of processes, functions, files, containers) can do nothing to a
 * terminal and nothing to the JSON. */
#include "unit.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "report/json.h"
#include "report/watch.h"

/* A title for the terminal's window, a C1 control, a byte that is no UTF-8, what JSON quotes, an
 * end of line. */
#define HOSTILE "\033]0;\007\x9b\xff\"\\\n"

static const struct report_style styles[] = { { .columns = 80 }, { .columns = 80, .utf8 = true } };

/* Fills an array with the hostile bytes and a mark of its own, in front, as some are cut. */
#define SET(array, mark) set((array), sizeof(array), (mark))
static void set(char *array, size_t cap, const char *mark)
{
	assert_true(snprintf(array, cap, "%s" HOSTILE, mark) < (int)cap);
}

static void set_stack(struct tw_stack *s, const char *first, const char *second, const char *third,
		      const char *note)
{
	memset(s, 0, sizeof(*s));
	s->count = 1;
	SET(s->frames[0].function, first);
	SET(s->frames[0].object, second);
	SET(s->frames[0].file, third);
	SET(s->note, note);
}

static struct tw_stack told_stack, made_stack;

static struct tw_line a_line(enum tw_what what)
{
	struct tw_line l = {
		.what = what,
		.cause = TCP_CAUSE_TOLD,
		.sample.state = TCPS_CLOSE_WAIT,
		.told = true,
		.owner_count = 2,
		.has_closer = true,
		.closer = { .state = TCPS_FIN_WAIT2, .owner_count = 1 },
		.told_stack = &told_stack,
		.made_stack = &made_stack,
	};

	set_stack(&told_stack, "a", "b", "c", "d");
	set_stack(&made_stack, "e", "f", "g", "h");
	SET(l.owners[0].comm, "i");
	SET(l.owners[1].comm, "j");
	SET(l.closer.owners[0].comm, "k");
	SET(l.told_comm, "l");
	SET(l.container, "m");
	return l;
}

/* Only what a terminal shows, and ends of lines. */
static void assert_shown_only(const struct buf *b)
{
	struct buf again = { 0 };

	for (const char *line = b->data; line && *line; line += strcspn(line, "\n") + 1) {
		size_t len = strcspn(line, "\n");

		/* Backslashes are doubled by the second escape, all else is left. */
		for (size_t at = 0; at < len; at++) {
			if (line[at] == '\\')
				continue;
			again.len = 0;
			text_escape(&again, line + at, 1, false);
			assert_int_equal(again.len, 1);
		}
	}
	buf_free(&again);
}

/* The field with this mark is there, escaped whole. */
static void assert_escaped(const struct buf *b, char mark)
{
	char want[64];

	snprintf(want, sizeof(want), "%c\\x1b]0;\\x07\\x9b\\xff\"\\\\\\n", mark);
	if (!b->data || !strstr(b->data, want))
		fail_msg("%s is not in:\n%s", want, b->data ? b->data : "nothing");
}

static void a_line_of_text_is_only_shown(void **state)
{
	for (size_t i = 0; i < sizeof(styles) / sizeof(*styles); i++) {
		for (int what = 0; what < TW_WHATS; what++) {
			struct tw_line l = a_line(what);
			struct buf b = { 0 };
			size_t lines = 0;

			watch_text(&b, &l, NULL, &styles[i]);
			assert_shown_only(&b);
			for (const char *p = b.data; p && (p = strchr(p, '\n')); p++)
				lines++;
			assert_int_equal(lines, what == TW_HALF_CLOSED || what == TW_STILL ? 5
						: what == TW_TOLD                          ? 3
								  : what != TW_CLOSED);
			for (const char *mark = "abcdefghijklm"; what == TW_HALF_CLOSED && *mark;
			     mark++)
				assert_escaped(&b, *mark);
			buf_free(&b);
		}
	}
}

static void a_row_of_lags_is_only_shown(void **state)
{
	struct lag_bucket bucket = { lag_bucket_of(1000), 1, 1000 };
	struct lag_row row = { .pid = 1, .buckets = &bucket, .bucket_count = 1 };
	struct buf b = { 0 };

	SET(row.comm, "a");
	watch_text_lags(&b, 0, &row, 1, false, &styles[1]);
	assert_shown_only(&b);
	assert_escaped(&b, 'a');
	buf_free(&b);
}

/* The string that a path of members and indices leads to. */
static const char *found(const json_t *root, const char *path)
{
	char copy[64], *rest = copy;

	snprintf(copy, sizeof(copy), "%s", path);
	for (char *part; (part = strsep(&rest, "."));)
		root = json_is_array(root) ? json_array_get(root, (size_t)atoi(part))
					   : json_object_get(root, part);
	return json_string_value(root);
}

static json_t *parsed(const struct buf *b)
{
	json_error_t error;
	json_t *root = json_loadb(b->data, b->len, 0, &error);

	if (!root)
		fail_msg("%s in:\n%s", error.text, b->data);
	assert_int_equal(strcspn(b->data, "\n"), b->len - 1); /* one line */
	return root;
}

static void assert_member(const json_t *root, const char *path, char mark)
{
	char want[64];

	snprintf(want, sizeof(want), "%c\\x1b]0;\\x07\\x9b\\xff\"\\\\\\n", mark);
	if (!found(root, path))
		fail_msg("%s is not there", path);
	assert_string_equal(found(root, path), want);
}

static void every_string_of_the_json_is_escaped(void **state)
{
	static const struct {
		const char *path;
		char mark;
	} members[] = {
		{ "told.stack.0.function", 'a' },
		{ "told.stack.0.object", 'b' },
		{ "told.stack.0.file", 'c' },
		{ "told.stack_note", 'd' },
		{ "made.stack.0.function", 'e' },
		{ "made.stack.0.object", 'f' },
		{ "made.stack.0.file", 'g' },
		{ "made.stack_note", 'h' },
		{ "holders.0.comm", 'i' },
		{ "holders.1.comm", 'j' },
		{ "closer.holders.0.comm", 'k' },
		{ "told.comm", 'l' },
		{ "container", 'm' },
	};
	struct tw_line l = a_line(TW_HALF_CLOSED);
	struct lag_row row = { .pid = 1 };
	struct buf b = { 0 };
	json_t *root;

	watch_json(&b, &l);
	root = parsed(&b);
	for (size_t i = 0; i < sizeof(members) / sizeof(*members); i++)
		assert_member(root, members[i].path, members[i].mark);
	json_decref(root);
	buf_free(&b);
	SET(row.comm, "n");
	watch_json_lag(&b, 0, 0, &row);
	root = parsed(&b);
	assert_member(root, "comm", 'n');
	json_decref(root);
	buf_free(&b);
}

/* Each byte alone, before a letter, after the first byte of a longer letter, and at the array's
 * end, where no NUL stands. */
static void any_byte_makes_valid_json_and_plain_text(void **state)
{
	static const char *const around[][2] = { { "", "" },
						 { "", "x" },
						 { "\xc3", "" },
						 { "\xe2\x80", "" },
						 { "123456789012345", "" } };

	for (unsigned byte = 1; byte < 256; byte++) {
		for (size_t i = 0; i < sizeof(around) / sizeof(*around); i++) {
			struct tw_line l = { .owner_count = 1, .sample.state = TCPS_CLOSE_WAIT };
			struct buf json = { 0 }, text = { 0 };
			char name[24];
			json_t *root;

			snprintf(name, sizeof(name), "%s%c%s", around[i][0], (int)byte,
				 around[i][1]);
			memcpy(l.owners[0].comm, name, sizeof(l.owners[0].comm));
			watch_json(&json, &l);
			root = parsed(&json);
			text_escape(&text, name, strlen(name), true);
			assert_string_equal(found(root, "holders.0.comm"), text.data);
			json_decref(root);
			buf_free(&json);
			buf_free(&text);
			watch_text(&text, &l, NULL, &styles[0]);
			assert_shown_only(&text);
			buf_free(&text);
		}
	}
}

static void a_string_of_json_keeps_letters_and_has_its_length(void **state)
{
	struct buf b = { 0 };

	json_quote(&b, "", 0);
	json_quote(&b, "a\0b", 3);
	json_quote(&b, "\"\"\\", 3);
	json_quote(&b, "gr\u00fc\u00dfe", 5); /* cut within a letter */
	assert_string_equal(b.data, "\"\"\"a\\\\x00b\"\"\\\"\\\"\\\\\\\\\"\"gr\u00fc\\\\xc3\"");
	buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_of_text_is_only_shown),
		cmocka_unit_test(a_row_of_lags_is_only_shown),
		cmocka_unit_test(every_string_of_the_json_is_escaped),
		cmocka_unit_test(any_byte_makes_valid_json_and_plain_text),
		cmocka_unit_test(a_string_of_json_keeps_letters_and_has_its_length),
	};

	return cmocka_run_group_tests_name("watch_hostile", tests, NULL, NULL);
}
