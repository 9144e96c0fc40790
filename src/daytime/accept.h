/* SPDX-License-Identifier: MIT */
#pragma once

/* What accept4(2)'s failure means for the listener. */
enum accept_class {
	ACCEPT_NONE,    /* nobody waits: go and wait */
	ACCEPT_GO_ON,   /* this connection is lost; the next may be fine */
	ACCEPT_SHED,    /* no descriptor is left, here or in the system: refuse some, then pause */
	ACCEPT_BACKOFF, /* the kernel is out of memory: pause, each time longer */
	ACCEPT_STOP,    /* the listener itself is no good: nothing will ever come */
};

/* The class of an errno value of accept4(2). Linux passes errors that are already pending on the
 * new connection, network errors included, through accept(); those are that connection's own.
 * An error that the manual page does not list is taken as that too: stopping for a surprise
 * would be the larger harm. */
enum accept_class accept_classify(int error);
