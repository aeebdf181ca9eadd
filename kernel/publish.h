/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef KZ_PUBLISH_H
#define KZ_PUBLISH_H

struct kz_call;

int kz_publish(struct kz_call *call);

#endif
