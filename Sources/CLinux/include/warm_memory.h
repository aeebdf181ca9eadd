/*
 * The memory of a zygote, laid out so that a fork is cheap: the kernel copies the page tables of what a zygote holds
 * for every worker, takes them down again when it ends, and copies every page that either of them writes to.
 *
 * The functions are exported from libzerrow_worker.so for the zygote's Python, which calls them with one thread and the
 * interpreter's lock held. All of this only saves time: where a kernel or a Python lacks something, nothing happens.
 */
#ifndef ZERROW_WARM_MEMORY_H
#define ZERROW_WARM_MEMORY_H

/* From now on Python's small objects lie side by side, in memory that can be huge pages. To be called before imports.
 */
void zerrow_warm_memory_gather(void);

/*
 * Takes what is free between the objects that there are, for good: what workers allocate then lies side by side as
 * well, instead of each object on a page that must be copied first. To be called once, when all is imported.
 */
void zerrow_warm_memory_fill(void);

/* Makes up to so many huge pages of memory that is in use; the number that it made, 0 when there is nothing to make. */
int zerrow_warm_memory_join(int most);

#endif
