/* SPDX-License-Identifier: GPL-2.0-only */
/* Operations on memory that each kernel does in its own way. */
#ifndef KZ_COMPAT_MM_H
#define KZ_COMPAT_MM_H

#include "../symbols.h"

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 2, 0)
#include "mm-6.1.h"
#else
#include "mm-6.12.h"
#endif

#endif
