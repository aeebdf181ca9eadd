#define _GNU_SOURCE
#include "signals.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

int zerrow_pidfd_open(pid_t process) { return (int)syscall(SYS_pidfd_open, process, 0); }

int zerrow_pidfd_signal(int fd, int signal) { return (int)syscall(SYS_pidfd_send_signal, fd, signal, NULL, 0); }

int zerrow_pidfd_take(int fd, int other) { return (int)syscall(SYS_pidfd_getfd, fd, other, 0); }

int zerrow_signalfd_open(const int *signals, size_t count) {
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < count; i++) {
        if (sigaddset(&set, signals[i]) != 0)
            return -1;
    }
    int code = pthread_sigmask(SIG_BLOCK, &set, NULL);
    if (code != 0) {
        errno = code;
        return -1;
    }
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

int zerrow_signalfd_read(int fd) {
    struct signalfd_siginfo info;
    ssize_t count = read(fd, &info, sizeof info);
    if (count < 0)
        return -1;
    if (count != sizeof info) {
        errno = EIO;
        return -1;
    }
    return (int)info.ssi_signo;
}
