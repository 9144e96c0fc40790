/* SPDX-License-Identifier: MIT */
/* What the watch programs and user space share. Times are CLOCK_MONOTONIC nanoseconds; addresses
 * are in network byte order, ports in the host's; process numbers are those of the pid namespace
 * that the watch runs in, 0 for a process outside of it. */
#pragma once

#ifndef __bpf__
#include <linux/types.h>
#endif

#include "glob.h"

#define WATCH_COMM 16

/* The table of ends has 2^this places; as many again may spill over into a hash map. */
#define WATCH_TABLE_BITS 17

/* CPUs that count apart; those with higher numbers share. */
#define WATCH_CPUS 64

struct watch_counter {
	__u64 n, pad[7]; /* a cache line to itself */
};

/* What is known of an end when it is reported; bits of watch_conn.flags. */
enum watch_flag {
	WATCH_HOLDER = 1,     /* the peer's FIN came first */
	WATCH_DEAD = 2,       /* the connection is gone and the descriptor was not closed */
	WATCH_REPORTED = 4,   /* user space has heard of it */
	WATCH_TAKEN_IN = 8,   /* half-closed before the watch began: ages may be lower bounds */
	WATCH_CLOSED = 16,    /* this end has sent its FIN */
	WATCH_TOLD = 32,      /* a read returned 0 */
	WATCH_WANTED = 64,    /* waits for its owner to be matched against the filter */
	WATCH_EXITING = 128,  /* the FIN was sent by a thread that was exiting */
	WATCH_FINISHED = 256, /* on its way out of the table */
	WATCH_OTHERS = 512,   /* while it waited, one that does not match was seen to hold it */
	WATCH_EXACT = 1024,   /* with WATCH_TAKEN_IN: its age is known all the same */
	WATCH_OURS = 2048,    /* with WATCH_TOLD: the one that was told is watched */
	WATCH_SEIZED = 4096,  /* being filled without the socket's lock */
};

/* What is known of one end that is half-closed or dead, and that the socket does not remember. */
struct watch_conn {
	__u64 began;    /* when it became half-closed, or died; with `sk` it names the end */
	__u64 since;    /* the same, but for one that died later: when it died */
	__u64 fin_at;   /* the peer's FIN arrived; 0: none did, or it came after ours */
	__u64 told_at;  /* the first read that returned 0 */
	__u64 close_at; /* this end's FIN */
	__u32 flags;    /* enum watch_flag */
	__u32 told_tgid, told_tid;
	__u32 told_site, made_site; /* 0: none taken */
	__u32 error;                /* sk_err when it died */
	char told_comm[WATCH_COMM];
};

enum watch_kind {
	WATCH_REPORT, /* half-closed, or dead, for longer than allowed */
	WATCH_NEWS,   /* a reported one: its program was told, or it sent its FIN, or it died */
	WATCH_END,    /* a reported one is over */
	WATCH_LOOK,   /* a reported one as it is: user space has asked */
	WATCH_STACK,  /* a stack that was not seen before; goes its own way */
	WATCH_KINDS
};

struct watch_event {
	__u32 kind;         /* enum watch_kind */
	__u32 unread;       /* bytes not read, the FIN counted as 1 */
	__u32 unacked;      /* bytes sent or to send that the peer has not acknowledged, FIN as 1 */
	__u32 unsent;       /* of these, not sent yet */
	__u32 sent;         /* bytes written since it became half-closed; modulo 2^32 */
	__u32 sent_jiffies; /* since data were last sent */
	__u32 received;     /* where this end closed first: bytes that were not read then, or came
			     * since; modulo 2^32 */
	__u32 recv_jiffies; /* since data were last received */
	__u32 peer_window;
	__u8 state; /* TCPS_* */
	__u8 retransmits;
	__u8 accepted; /* this end came out of a listener */
	__u8 family;
	__u64 inode; /* of the socket; 0: in an accept queue, or orphaned */
	__u64 sk;    /* the kernel's address: names the end, with `began` */
	__u64 file;  /* the kernel's address of what descriptors refer to; 0: none */
	__u64 at;
	struct watch_conn conn;
	/* In WATCH_REPORT only: who the end is. */
	__u64 cookie;    /* 0: none was made yet */
	__u64 cgroup;    /* id of the socket's cgroup */
	__u32 netns;     /* inode number */
	__u32 first_fin; /* behind the FIN that came first, as both ends number it */
	__u16 local_port, peer_port;
	__u8 local[16], peer[16];
};

/* Bytes of a stack that are copied: at most so many from the stack pointer up, and the rest from
 * where the stack began down. In between lie buffers, most often. */
#define WATCH_STACK_LOW   16384
#define WATCH_STACK_BYTES 24576
/* Copied at a time, and what addresses are aligned to: none crosses pages, of which some may never
 * have been used. */
#define WATCH_STACK_CHUNK 256

/* Sites are counted up; user space keeps the stacks of so many. A power of two. */
#define WATCH_SITES 4096

/* Bytes for stacks on their way. */
#define WATCH_STACKS_ROOM (1 << 21)

/* Registers in the order of DWARF's numbers; what user space gets of them it needs to unwind. */
#ifdef __aarch64__
#define WATCH_REGS 33 /* x0 to x30, sp, pc */
#define WATCH_SP   31
#else
#define WATCH_REGS 17 /* rax rdx rcx rbx rsi rdi rbp rsp r8 to r15, the return address */
#define WATCH_SP   7
#endif

/* A thread at a call: the `site` that a watch_conn refers to. The same place in the same process is
 * sent once. */
struct watch_stack {
	__u32 site;
	__u32 tgid, tid;
	__u32 size;  /* bytes of `data` that are there */
	__u32 low;   /* of these, those from the stack pointer's chunk up */
	__u64 high;  /* address of the others */
	__u64 start; /* of the process */
	__u64 at;
	/* What tells its program from another that it executes later; as in /proc/PID/stat. */
	__u64 code_start, code_end, stack_start;
	__u64 regs[WATCH_REGS];
	__u8 data[WATCH_STACK_BYTES];
};

/* A descriptor that refers to a reported end, or to a listener in whose accept queue some wait:
 * which, the `waits_at` program tells. Thousands may, and the kernel hands on no more than 32 KiB
 * for one descriptor. */
struct watch_owner {
	__u64 sk;     /* the end, or the listener */
	__u64 began;  /* of the end; 0: it is a listener */
	__u64 cookie; /* of the end; 0: none was made yet */
	__u64 start;  /* of the process: nanoseconds since boot */
	__u32 tgid;
	__s32 fd;
	char comm[WATCH_COMM];
};

/* Files whose holders may be asked for at a time. */
#define WATCH_ASKED_MOST 64

/* The files that `holding` looks for; all others have no bit in `filter`, or are not in `file`. */
struct watch_asked {
	__u64 file[WATCH_ASKED_MOST];
	__u64 filter[64];
	__u32 count; /* 0: looks for the processes that are watched */
	__u32 mark;  /* gives no process, but notes in `held` which of the files one holds */
	__u64 held;  /* a bit for each file */
};

/* An end whose owner is asked for last of all: see watch_holders.bpf.h. */
struct watch_claim {
	__u64 sk, began, file;
};

/* The number of a file's bit. */
static inline __u32 watch_asked_bit(__u64 file)
{
	return (__u32)(file * 0x9e3779b97f4a7c15ULL >> 52);
}

/* What a search for the overdue found; in and out of the `mature` program. */
struct watch_turn {
	__u32 room;        /* in: how many reports the buffer holds */
	__u32 but_spilled; /* in: does not look at what has spilled over */
	__u64 ahead;       /* in: the stacks of what is so old, but not due, are marked; ns */
	__u32 reported;    /* out: sent, or marked as wanted */
	__u32 more;        /* out: stopped for lack of room */
	__u64 next;        /* out: nothing that was looked at comes due before this */
	__u64 now;         /* out */
	__u64 jiffies;     /* out */
	__u64 wanted;      /* out: ends that wait for their owner to be matched */
};

/* The end that user space wants to hear of; in to the `look_again` program. */
struct watch_look {
	__u64 sk, began;
};

/* The listener in whose accept queue a reported end was in the last walk over all descriptors; 0:
 * in none. In and out of the `waits_at` program. */
struct watch_waiting {
	__u64 sk, began; /* in: the end */
	__u64 listener;  /* out */
};

/* Who closed where a thread of the kernel did. */
#define WATCH_KERNEL "(kernel)"

/* Close lag is counted per process, port and size. */
struct watch_lag_key {
	__u64 start;  /* of the process; 0: the kernel */
	__u32 tgid;   /* 0: the kernel, or a process that has no number here */
	__u16 port;   /* the listening port, or the peer's where this end connected */
	__u8 outward; /* this end connected */
	__u8 pad;
	__u32 bucket; /* lag_bucket() */
	__u32 pad2;
};

struct watch_lag {
	__u64 count;
	__u64 max; /* ns */
	char comm[WATCH_COMM];
};

/* Lags that are found without a call: nearly all. */
#define WATCH_LAG_SLOT_BITS 12
#define WATCH_LAG_SLOTS     (1 << WATCH_LAG_SLOT_BITS)

enum watch_slot_state {
	WATCH_SLOT_FREE,
	WATCH_SLOT_TAKEN, /* being filled */
	WATCH_SLOT_FILLED,
};

struct watch_lag_slot {
	__u32 state; /* enum watch_slot_state */
	__u32 pad;
	struct watch_lag_key key;
	struct watch_lag lag;
};

/* Set before loading. */
struct watch_rules {
	__u64 after;   /* ns */
	__u64 cgroup;  /* 0: any */
	__u16 port;    /* 0: any */
	__u8 by_owner; /* by_pid or by_name */
	__u8 by_pid;   /* only what the processes in `pids` hold */
	__u8 follow;   /* children of those in `pids` join them */
	__u8 stacks;   /* take stacks */
	__u8 by_name;  /* only what processes of the `name` hold */
	__u8 made;     /* every process is a suspect, but as by_owner says */
	__u32 tick;    /* a jiffy's length, ns */
	__u32 pidns;   /* inode number of user space's pid namespace; 0: the initial one */
	struct glob name;
};

/* Counted in the kernel, read by user space as they are. */
struct watch_counts {
	__u64 emitted[WATCH_KINDS]; /* tried to send */
	__u64 lost[WATCH_KINDS];    /* of these, not sent: the buffer was full */
	__u64 untracked;            /* ends not followed: the table was full */
	__u64 unheard;              /* ends that an audit found, and nothing had told of */
	__u64 lag_lost;             /* lags not counted: the table was full */
	__u64 stacks_refused;       /* stacks not taken: too many new ones in one second */
	__u64 children_lost;        /* processes not watched though their parent is: table full */
	__u64 queues_cut; /* accept queues not looked at to their end, at one look: too long */
	__u64 made_lost;  /* where a socket was made not noted: table full */
};
