/* The machine, where the Swift importer cannot see it. */
#ifndef ZERROW_MACHINE_H
#define ZERROW_MACHINE_H

/* How many processors this process may run on; at least 1. */
int zerrow_processor_count(void);

/* 1: the file of that name has an extended attribute with just that value, 0: it has not, or none that can be read. */
int zerrow_has_attribute(const char *path, const char *name, const char *value);

/* Gives freed memory of the allocator back to the kernel (malloc_trim(3)). */
void zerrow_machine_trim_heap(void);

#endif
