/*
 * KernelZero's two calls. They are ioctls, which are variadic and so out of Swift's sight.
 *
 * Both return -1 and errno on failure. The header below is their documentation.
 */
#ifndef ZERROW_KERNEL_ZERO_H
#define ZERROW_KERNEL_ZERO_H

#include "../../../kernel/uapi/kernelzero.h"

/* KERNELZERO_INFO; fills in `size` before. */
int zerrow_kernelzero_info(int device, struct kernelzero_info *info);
/* KERNELZERO_DEANONYMIZE; fills in `size` before. */
int zerrow_kernelzero_deanonymize(int device, struct kernelzero_deanonymize *call);

#endif
