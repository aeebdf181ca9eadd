/* The machine, where the Swift importer cannot see it. */
#ifndef ZERROW_MACHINE_H
#define ZERROW_MACHINE_H

/* How many processors this process may run on; at least 1. */
int zerrow_processor_count(void);

#endif
