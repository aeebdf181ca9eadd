#define _GNU_SOURCE
#include "id_map.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int write_file(pid_t pid, const char *name, const char *text) {
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t count = write(fd, text, strlen(text));
    int error = errno;
    close(fd);
    errno = error;
    return count < 0 ? -1 : 0;
}

int zerrow_id_map_write(pid_t pid, const struct zerrow_id_map *map) {
    char users[64], groups[64];
    snprintf(users, sizeof(users), "%u %u %u\n", map->user_inside, map->user_outside, map->count);
    snprintf(groups, sizeof(groups), "%u %u %u\n", map->group_inside, map->group_outside, map->count);
    /* Without privilege a group map is allowed only when groups can't be dropped, as that could open files. */
    if (map->count == 1 && write_file(pid, "setgroups", "deny") < 0 && errno != ENOENT)
        return -1;
    return write_file(pid, "uid_map", users) < 0 || write_file(pid, "gid_map", groups) < 0 ? -1 : 0;
}
