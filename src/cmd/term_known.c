/* SPDX-License-Identifier: MIT */
/* Apart from the rest of term.c: <term.h> defines macros with names such as `columns`. */
#include <curses.h>
#include <term.h>
#include <unistd.h>

bool term_is_known(void);
bool term_is_dumb(void);

bool term_is_known(void)
{
	int status;

	if (setupterm(NULL, STDOUT_FILENO, &status) == ERR)
		return false;
	del_curterm(cur_term);
	return true;
}

bool term_is_dumb(void)
{
	bool dumb;
	int status;

	if (setupterm(NULL, STDOUT_FILENO, &status) == ERR)
		return false;
	dumb = !cursor_address || !clear_screen;
	del_curterm(cur_term);
	return dumb;
}
