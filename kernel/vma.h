/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef KZ_VMA_H
#define KZ_VMA_H

struct kz_call;
struct kz_range;

int kz_vmas_check(struct kz_call *call);
void kz_vmas_lock(struct kz_call *call);
int kz_vmas_split(struct kz_call *call);
void kz_vmas_convert(struct kz_call *call);

#endif
