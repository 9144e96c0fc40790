/* SPDX-License-Identifier: MIT */
#include "lab/catalogue.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"

#define SUFFIX ".lua"

static bool has_suffix(const char *name)
{
	size_t n = strlen(name);

	return n > strlen(SUFFIX) && !strcmp(name + n - strlen(SUFFIX), SUFFIX);
}

static void entry_free(struct catalogue_entry *x)
{
	free(x->theme);
	free(x->name);
	free(x->path);
	free(x->text);
}

/* Adds an entry whose name is the path's last part without its suffix. */
static int add(struct catalogue *c, const char *theme, const char *path, struct err *e)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	size_t len = strlen(name) - (has_suffix(name) ? strlen(SUFFIX) : 0);
	struct catalogue_entry *grown = realloc(c->entries, (c->n + 1) * sizeof(*grown)), x = { 0 };

	if (!grown)
		return err_set(e, -ENOMEM, "no memory for the list of scenarios");
	c->entries = grown;
	x.theme = strdup(theme);
	x.name = strndup(name, len);
	x.path = strdup(path);
	if (!x.theme || !x.name || !x.path) {
		entry_free(&x);
		return err_set(e, -ENOMEM, "no memory for the list of scenarios");
	}
	c->entries[c->n++] = x;
	return 0;
}

static int add_theme(struct catalogue *c, const char *dir, const char *theme, struct err *e)
{
	char path[4096];
	struct dirent *d;
	DIR *open_dir;
	int r = 0;

	snprintf(path, sizeof(path), "%s/%s", dir, theme);
	open_dir = opendir(path);
	if (!open_dir)
		return errno == ENOTDIR ? 0 : err_errno(e, -errno, "opening %s", path);
	while (r == 0 && (d = readdir(open_dir))) {
		if (d->d_name[0] == '.' || !has_suffix(d->d_name))
			continue;
		snprintf(path, sizeof(path), "%s/%s/%s", dir, theme, d->d_name);
		r = add(c, theme, path, e);
	}
	closedir(open_dir);
	return r;
}

static int by_theme_and_name(const void *a, const void *b)
{
	const struct catalogue_entry *x = a, *y = b;
	int r = strcmp(x->theme, y->theme);

	return r ? r : strcmp(x->name, y->name);
}

int catalogue_open(struct catalogue *c, const char *dir, struct err *e)
{
	struct dirent *d;
	DIR *open_dir = opendir(dir);
	int r = 0;

	*c = (struct catalogue){ 0 };
	if (!open_dir)
		return err_errno(e, -errno, "opening the scenarios in %s", dir);
	while (r == 0 && (d = readdir(open_dir)))
		if (d->d_name[0] != '.')
			r = add_theme(c, dir, d->d_name, e);
	closedir(open_dir);
	if (c->n > 0)
		qsort(c->entries, c->n, sizeof(*c->entries), by_theme_and_name);
	return r;
}

/* "THEME/" is the theme. */
static bool is_theme(const char *theme, const char *word)
{
	size_t len = strlen(theme);

	return !strncmp(theme, word, len) && word[len + strspn(word + len, "/")] == '\0';
}

static bool matches(const struct catalogue_entry *x, const char *word)
{
	char whole[512];

	snprintf(whole, sizeof(whole), "%s/%s", x->theme, x->name);
	return is_theme(x->theme, word) || fnmatch(word, x->name, 0) == 0 ||
	       fnmatch(word, whole, FNM_PATHNAME) == 0;
}

bool catalogue_names(const struct catalogue *c, const char *word)
{
	for (size_t i = 0; i < c->n; i++)
		if (!strcmp(c->entries[i].name, word) || !strcmp(c->entries[i].theme, word))
			return true;
	return false;
}

/* Whether a word is THEME/REST, where nothing can be meant but a scenario of the theme. */
static bool is_below_theme(const struct catalogue *c, const char *word)
{
	size_t len = strcspn(word, "/");

	for (size_t i = 0; i < c->n && word[len]; i++)
		if (strlen(c->entries[i].theme) == len && !memcmp(c->entries[i].theme, word, len))
			return true;
	return false;
}

static bool is_chosen(const struct catalogue *chosen, const char *path)
{
	for (size_t i = 0; i < chosen->n; i++)
		if (!strcmp(chosen->entries[i].path, path))
			return true;
	return false;
}

static int nothing_called(const struct catalogue *c, const char *word, struct err *e)
{
	const char **names = calloc(2 * c->n + 1, sizeof(*names)), *near = NULL;
	const char *slash = strrchr(word, '/');

	for (size_t i = 0; names && i < c->n; i++) {
		names[2 * i] = c->entries[i].name;
		names[2 * i + 1] = c->entries[i].theme;
	}
	if (names)
		near = text_nearest(slash && slash[1] ? slash + 1 : word, names, 2 * c->n);
	free(names);
	if (near)
		return err_set(e, -ENOENT, "no scenario '%s'; did you mean '%s'?", word, near);
	return err_set(e, -ENOENT, "no scenario '%s'; 'unclosed lab --list' names all", word);
}

int catalogue_choose(const struct catalogue *c, const char *word, struct catalogue *chosen,
		     struct err *e)
{
	bool any = false;
	int r = 0;

	for (size_t i = 0; i < c->n && r == 0; i++) {
		const struct catalogue_entry *x = &c->entries[i];

		if (!matches(x, word))
			continue;
		any = true;
		if (!is_chosen(chosen, x->path))
			r = add(chosen, x->theme, x->path, e);
	}
	if (any || r < 0)
		return r;
	/* A glob that matches nothing, or what should lie in a theme, is no path, unless there is a
	 * file of that very name. */
	if ((!strchr(word, '/') && !has_suffix(word)) ||
	    ((strpbrk(word, "*?[") || is_below_theme(c, word)) && access(word, F_OK) < 0))
		return nothing_called(c, word, e);
	return is_chosen(chosen, word) ? 0 : add(chosen, "", word, e);
}

int catalogue_read(struct catalogue_entry *entry, struct err *e)
{
	_fd_ int fd = open(entry->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	ssize_t n;

	if (fd < 0)
		return err_errno(e, -errno, "opening the scenario %s", entry->path);
	if (fstat(fd, &st) == 0 && !S_ISREG(st.st_mode))
		return err_set(e, -EINVAL, "%s is no regular file", entry->path);
	entry->text = malloc(CATALOGUE_SCRIPT_BYTES + 1);
	if (!entry->text)
		return err_set(e, -ENOMEM, "no memory to read %s", entry->path);
	n = fd_read_all(fd, entry->text, CATALOGUE_SCRIPT_BYTES + 1);
	if (n < 0)
		return err_errno(e, (int)n, "reading the scenario %s", entry->path);
	if ((size_t)n > CATALOGUE_SCRIPT_BYTES)
		return err_set(e, -EFBIG, "%s is longer than %u bytes", entry->path,
			       CATALOGUE_SCRIPT_BYTES);
	entry->len = (size_t)n;
	entry->text[n] = '\0';
	return 0;
}

void catalogue_free(struct catalogue *c)
{
	for (size_t i = 0; i < c->n; i++)
		entry_free(&c->entries[i]);
	free(c->entries);
	*c = (struct catalogue){ 0 };
}
