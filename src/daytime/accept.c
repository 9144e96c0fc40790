/* SPDX-License-Identifier: MIT */
#include "daytime/accept.h"

#include <errno.h>

enum accept_class accept_classify(int error)
{
	switch (error) {
	case EAGAIN:
		return ACCEPT_NONE;
	case EMFILE:
	case ENFILE:
		return ACCEPT_SHED;
	case ENOBUFS:
	case ENOMEM:
		return ACCEPT_BACKOFF;
	case EBADF:
	case EINVAL:
	case ENOTSOCK:
	case EFAULT:
		return ACCEPT_STOP;
	default:
		return ACCEPT_GO_ON;
	}
}
