/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef KZ_VERSION_H
#define KZ_VERSION_H

#define KZ_VERSION "0.1.0"

#endif
