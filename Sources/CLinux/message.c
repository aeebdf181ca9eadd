#define _GNU_SOURCE
#include "message.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* Room for all that the kernel can pass, so that a peer that sends too many is seen and not cut silently. */
union control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int) * ZERROW_MESSAGE_DESCRIPTORS_MAX)];
};

int zerrow_socket_pair(int ends[2]) { return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends); }

ssize_t zerrow_message_send(int fd, const void *bytes, size_t count, const int *descriptors, size_t descriptor_count,
                            int wait) {
    if (descriptor_count > ZERROW_MESSAGE_DESCRIPTORS_MAX) {
        errno = EINVAL;
        return -1;
    }
    union control control;
    struct iovec vector = {.iov_base = (void *)bytes, .iov_len = count};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    if (descriptor_count > 0) {
        memset(&control, 0, sizeof control);
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * descriptor_count);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int) * descriptor_count);
        memcpy(CMSG_DATA(header), descriptors, sizeof(int) * descriptor_count);
    }
    return sendmsg(fd, &message, MSG_NOSIGNAL | (wait ? 0 : MSG_DONTWAIT));
}

/* Takes the descriptors out of a message: keeps the first `max`, closes the rest, and returns how many there were. */
static size_t take_descriptors(struct msghdr *message, int *descriptors, size_t max) {
    size_t total = 0;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header != NULL; header = CMSG_NXTHDR(message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++, total++) {
            int descriptor;
            memcpy(&descriptor, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
            if (total < max)
                descriptors[total] = descriptor;
            else
                close(descriptor);
        }
    }
    return total;
}

ssize_t zerrow_message_receive(int fd, void *bytes, size_t bytes_max, int *descriptors, size_t descriptors_max,
                               size_t *descriptor_count, int wait) {
    union control control;
    struct iovec vector = {.iov_base = bytes, .iov_len = bytes_max};
    struct msghdr message = {
        .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    *descriptor_count = 0;
    ssize_t count = recvmsg(fd, &message, MSG_CMSG_CLOEXEC | (wait ? 0 : MSG_DONTWAIT));
    if (count < 0)
        return -1;
    size_t total = take_descriptors(&message, descriptors, descriptors_max);
    if (total > descriptors_max || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
        for (size_t i = 0; i < total && i < descriptors_max; i++)
            close(descriptors[i]);
        errno = EMSGSIZE;
        return -1;
    }
    *descriptor_count = total;
    return count;
}
