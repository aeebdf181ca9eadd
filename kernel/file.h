/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef KZ_FILE_H
#define KZ_FILE_H

#include <linux/types.h>
#include <linux/xarray.h>

struct kz_call;
struct kz_file;

int kz_file_open(struct kz_file *file, int fd);
void kz_file_close(struct kz_file *file);
int kz_file_lock(struct kz_file *file);
void kz_file_unlock(struct kz_file *file);
void kz_file_notify(struct kz_file *file);
int kz_file_place(struct kz_call *call);

int kz_file_reserve(struct kz_call *call);
void kz_file_unreserve(struct kz_call *call);
void kz_file_grow(struct kz_call *call);

/* The file's tree (tree.c) */
int kz_tree_prepare(struct kz_call *call);
void kz_tree_release(struct kz_file *file);
int kz_tree_begin(struct kz_file *file, struct xa_state *xas);
void kz_tree_store(struct kz_file *file, struct xa_state *xas, void *entry);
void kz_tree_end(struct kz_file *file, struct xa_state *xas);
void kz_tree_wait(struct xa_state *xas);

#endif
