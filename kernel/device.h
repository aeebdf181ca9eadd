/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef KZ_DEVICE_H
#define KZ_DEVICE_H

int kz_device_init(void);
void kz_device_exit(void);

#endif
