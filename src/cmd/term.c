/* SPDX-License-Identifier: MIT */
#include "cmd/term.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "base/num.h"
#include "base/text.h"

int term_parse_when(const char *arg, enum term_when *when)
{
	static const char *const words[] = { "auto", "always", "never" };

	if (!arg) {
		*when = TERM_ALWAYS;
		return 0;
	}
	for (unsigned i = 0; i < 3; i++) {
		if (!strcmp(arg, words[i])) {
			*when = i;
			return 0;
		}
	}
	return -EINVAL;
}

void term_go_on(int fd)
{
	struct termios now, let;

	if (tcgetattr(fd, &now))
		return;
	let = now;
	let.c_iflag &= ~(tcflag_t)IXON; /* the kernel lets go on what it stopped by this */
	tcsetattr(fd, TCSANOW, &let);
	tcsetattr(fd, TCSANOW, &now);
}

static unsigned columns_of(int fd)
{
	const char *set = getenv("COLUMNS");
	struct winsize size = { 0 };
	uint64_t columns;

	if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
		return size.ws_col;
	if (set && num_u64(set, 1, 10000, &columns) == 0)
		return (unsigned)columns;
	return 80;
}

static bool wants_colour(int fd)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return isatty(fd) && !(no && *no) && term && strcmp(term, "dumb");
}

struct report_style term_style(int fd, enum term_when colour, bool ascii)
{
	return (struct report_style){
		.colour = colour == TERM_ALWAYS || (colour == TERM_AUTO && wants_colour(fd)),
		.utf8 = !ascii && text_locale_is_utf8(),
		.columns = columns_of(fd),
	};
}
