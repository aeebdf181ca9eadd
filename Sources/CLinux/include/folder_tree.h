#ifndef ZERROW_FOLDER_TREE_H
#define ZERROW_FOLDER_TREE_H

#include <stdint.h>

// The room that a folder's files take on their disk: those of one name, folders among them, and those of several.
struct zerrow_tree_usage {
    uint64_t own_bytes;
    uint64_t shared_bytes;
};

// Removes a folder with all that is in it. -1 and errno for what could not be removed; the rest is gone then.
int zerrow_tree_remove(const char *path);

// Adds up what a folder takes. -1 and errno if it can't be looked through.
int zerrow_tree_usage(const char *path, struct zerrow_tree_usage *usage);

// Lets everybody read a folder's files and folders, and run what their owner may run. -1 and errno for the first that
// could not be changed; the others are then. What another user owns stays as it is.
int zerrow_tree_show(const char *path);

#endif
