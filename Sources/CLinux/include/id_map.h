/* The ids of a new user namespace: which users and groups of this one its own stand for. */
#ifndef ZERROW_ID_MAP_H
#define ZERROW_ID_MAP_H

#include <stdint.h>
#include <sys/types.h>

struct zerrow_id_map {
    /* The first user in the namespace, and the one out here that it is; the same of groups; and how many there are. */
    uint32_t user_inside;
    uint32_t user_outside;
    uint32_t group_inside;
    uint32_t group_outside;
    uint32_t count;
};

/* Writes the map of a process that was cloned into a user namespace. 0, or -1 with errno. */
int zerrow_id_map_write(pid_t pid, const struct zerrow_id_map *map);

#endif
