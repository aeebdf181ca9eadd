/*
 * The system calls that a worker may not make, as a seccomp filter. The policy is the tables in system_call_filter.c.
 */
#ifndef ZERROW_SYSTEM_CALL_FILTER_H
#define ZERROW_SYSTEM_CALL_FILTER_H

/*
 * Installs the filter in the calling thread and in all that it starts. no_new_privs must be set. socketpair works in
 * any case; allows_unix_sockets says whether sockets with names, which reach whoever knows the name, may be made too.
 * 0 or a negative errno.
 */
int zerrow_system_call_filter_install(int allows_unix_sockets);

#endif
