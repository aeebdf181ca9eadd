/*
 * The system calls that a worker may not make, as a seccomp filter. The policy is the table in system_call_filter.c.
 */
#ifndef ZERROW_SYSTEM_CALL_FILTER_H
#define ZERROW_SYSTEM_CALL_FILTER_H

/* Installs the filter in the calling thread and in all that it starts. no_new_privs must be set. 0 or a negative errno. */
int zerrow_system_call_filter_install(void);

#endif
