/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef KZ_COPY_H
#define KZ_COPY_H

struct kz_call;

int kz_copy_edges(struct kz_call *call);
int kz_copy_taken(struct kz_call *call);
void kz_copy_edges_undo(struct kz_call *call);

#endif
