#include "kernel_zero.h"

#include <sys/ioctl.h>

int zerrow_kernelzero_info(int device, struct kernelzero_info *info) {
    info->size = sizeof(*info);
    return ioctl(device, KERNELZERO_INFO, info);
}

int zerrow_kernelzero_deanonymize(int device, struct kernelzero_deanonymize *call) {
    call->size = sizeof(*call);
    return ioctl(device, KERNELZERO_DEANONYMIZE, call);
}
