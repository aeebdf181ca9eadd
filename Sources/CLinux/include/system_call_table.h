/*
 * Which system calls a worker may make: the one list, which the filter is made of, and which docs/system-calls.md
 * shows.
 */
#ifndef ZERROW_SYSTEM_CALL_TABLE_H
#define ZERROW_SYSTEM_CALL_TABLE_H

#include <stddef.h>

/*
 * Answers of the filter that are no errno. What depends on arguments is let through for most of them; the rules for
 * that are in system_call_filter.c.
 */
enum { ZERROW_CALL_ALLOWED = 0, ZERROW_CALL_DEPENDS = -1 };

struct zerrow_system_call {
    /* As the manual names it. */
    const char *name;
    int number;
    /* An errno, or one of the answers above. */
    int answer;
};

/* The calls that have an answer of their own, in no order; every other number, known to this kernel or not, is ENOSYS.
 */
const struct zerrow_system_call *zerrow_system_calls(size_t *count);

#endif
