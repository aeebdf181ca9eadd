/*
 * A trap says where it was: Swift's checks of arithmetic and conversions end a process with an illegal instruction, and
 * without a word.
 */
#ifndef ZERROW_TRAP_REPORT_H
#define ZERROW_TRAP_REPORT_H

/*
 * From now on, an illegal instruction or a breakpoint of this process writes one line to its standard error before it
 * ends it: the signal, and the place in the program's file, for addr2line. 0, or -1 and errno.
 */
int zerrow_trap_report(void);

#endif
