/*
 * Abstract unix sockets: names that all processes of one network namespace share, and with them descriptors.
 */
#ifndef ZERROW_SOCKET_SCOPE_H
#define ZERROW_SOCKET_SCOPE_H

/*
 * The calling thread, and all that it starts, can reach no abstract socket and signal no process but those of its own
 * descendants. no_new_privs must be set. 0, or a negative errno: the kernel has no such scope (before Linux 6.12), or
 * Landlock is off. Source: landlock(7), "IPC scoping".
 */
int zerrow_socket_scope_enter(void);

#endif
