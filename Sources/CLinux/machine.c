#define _GNU_SOURCE
#include "machine.h"

#include <malloc.h>
#include <sched.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

int zerrow_processor_count(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
        return CPU_COUNT(&set);
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (int)online : 1;
}

int zerrow_has_attribute(const char *path, const char *name, const char *value) {
    char found[64];
    ssize_t bytes = getxattr(path, name, found, sizeof found);
    return bytes >= 0 && (size_t)bytes == strlen(value) && memcmp(found, value, (size_t)bytes) == 0;
}

void zerrow_machine_trim_heap(void) { (void)malloc_trim(0); }
