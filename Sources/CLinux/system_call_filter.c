#define _GNU_SOURCE
#include "system_call_filter.h"
#include "kernel_zero.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#error "the system call filter is not written for this architecture"
#endif

#define NAMESPACE_FLAGS                                                                                                \
    (CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP)
/* futex_requeue, the last call of Linux 6.7. What a later kernel adds does not exist here before somebody has judged
 * it. */
#define NEWEST_NUMBER 456
/* Numbers with this bit are the x32 calls of a 64-bit kernel. */
#define FOREIGN_BIT 0x40000000u

/*
 * A worker runs whatever its user's packages do, so the list names what it must not do: reach into other processes,
 * change namespaces or mounts, load code into the kernel, use interfaces with a record of holes that no data library
 * needs. The answer is EPERM, as without the privilege, but where a library falls back only on another error.
 */
struct rule {
    long number;
    int error;
};

static const struct rule rules[] = {
    /* Other processes' memory and descriptors. */
    {SYS_ptrace, EPERM},
    {SYS_process_vm_readv, EPERM},
    {SYS_process_vm_writev, EPERM},
    {SYS_process_madvise, EPERM},
    {SYS_pidfd_getfd, EPERM},
    {SYS_kcmp, EPERM},
    /* Namespaces and mounts. clone is checked by its flags below; clone3's can't be seen, so libc must use clone. */
    {SYS_clone3, ENOSYS},
    {SYS_unshare, EPERM},
    {SYS_setns, EPERM},
    {SYS_mount, EPERM},
    {SYS_umount2, EPERM},
    {SYS_pivot_root, EPERM},
    {SYS_chroot, EPERM},
    {SYS_open_tree, EPERM},
    {SYS_move_mount, EPERM},
    {SYS_fsopen, EPERM},
    {SYS_fsconfig, EPERM},
    {SYS_fsmount, EPERM},
    {SYS_fspick, EPERM},
    {SYS_mount_setattr, EPERM},
    {SYS_open_by_handle_at, EPERM},
    {SYS_name_to_handle_at, EPERM},
    /* Kernel interfaces with wide reach. */
    {SYS_bpf, EPERM},
    {SYS_perf_event_open, EPERM},
    {SYS_userfaultfd, EPERM},
    {SYS_io_uring_setup, ENOSYS},
    {SYS_io_uring_enter, ENOSYS},
    {SYS_io_uring_register, ENOSYS},
    {SYS_add_key, EPERM},
    {SYS_request_key, EPERM},
    {SYS_keyctl, EPERM},
    {SYS_fanotify_init, EPERM},
    {SYS_lookup_dcookie, EPERM},
    {SYS_vhangup, EPERM},
    {SYS_personality, EPERM},
    /* The machine. */
    {SYS_init_module, EPERM},
    {SYS_finit_module, EPERM},
    {SYS_delete_module, EPERM},
    {SYS_kexec_load, EPERM},
    {SYS_kexec_file_load, EPERM},
    {SYS_reboot, EPERM},
    {SYS_swapon, EPERM},
    {SYS_swapoff, EPERM},
    {SYS_acct, EPERM},
    {SYS_quotactl, EPERM},
    {SYS_quotactl_fd, EPERM},
    {SYS_syslog, EPERM},
    {SYS_settimeofday, EPERM},
    {SYS_clock_settime, EPERM},
    {SYS_clock_adjtime, EPERM},
    {SYS_adjtimex, EPERM},
    {SYS_sethostname, EPERM},
    {SYS_setdomainname, EPERM},
#if defined(__x86_64__)
    {SYS_iopl, EPERM},
    {SYS_ioperm, EPERM},
    {SYS_modify_ldt, EPERM},
#endif
};

#define RULE_COUNT (sizeof(rules) / sizeof(rules[0]))

/* What an argument (its low 32 bits, which is all that these calls read of it) must be for a rule to apply. */
enum test { IS, IS_NOT, HAS_ANY_OF };

/* Of the rules of a call the first that applies decides; error 0 lets the call through. */
struct argument_rule {
    long number;
    int argument;
    enum test test;
    uint32_t value;
    int error;
    /* What of the argument is looked at; 0: all of it. */
    uint32_t mask;
};

/*
 * Sockets: an empty network namespace does not hold families that ignore it (vsock reaches the hypervisor's host), and
 * most others have a record of holes.
 */
static const struct argument_rule unix_sockets = {SYS_socket, 0, IS, AF_UNIX, 0, 0};
static const struct argument_rule argument_rules[] = {
    {SYS_clone, 0, HAS_ANY_OF, NAMESPACE_FLAGS, EPERM, 0},
    {SYS_socket, 0, IS, AF_INET, 0, 0},
    {SYS_socket, 0, IS, AF_INET6, 0, 0},
    {SYS_socket, 0, IS_NOT, AF_NETLINK, EAFNOSUPPORT, 0},
    {SYS_socket, 2, IS_NOT, NETLINK_ROUTE, EPROTONOSUPPORT, 0},
    {SYS_socketpair, 0, IS_NOT, AF_UNIX, EAFNOSUPPORT, 0},
    /* Putting input into a terminal's queue, where one is inherited. */
    {SYS_ioctl, 1, IS, TIOCSTI, EPERM, 0},
    {SYS_ioctl, 1, IS, TIOCLINUX, EPERM, 0},
    /* Of KernelZero the calls that are known here, and nothing that it may learn later. */
    {SYS_ioctl, 1, IS, KERNELZERO_INFO, 0, 0},
    {SYS_ioctl, 1, IS, KERNELZERO_DEANONYMIZE, 0, 0},
    {SYS_ioctl, 1, IS, KERNELZERO_IOCTL_TYPE << _IOC_TYPESHIFT, EPERM, _IOC_TYPEMASK << _IOC_TYPESHIFT},
    /* A lease on a segment would make its other users wait for the lease to be broken. */
    {SYS_fcntl, 1, IS, F_SETLEASE, EPERM, 0},
};

#define ARGUMENT_RULE_COUNT (sizeof(argument_rules) / sizeof(argument_rules[0]))
#define INSTRUCTIONS_MAX (16 + RULE_COUNT * 2 + (ARGUMENT_RULE_COUNT + 1) * 6)

struct program {
    struct sock_filter code[INSTRUCTIONS_MAX];
    unsigned short count;
};

static void load(struct program *program, size_t offset) {
    program->code[program->count++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset);
}

static void jump(struct program *program, uint16_t test, uint32_t value, uint8_t if_true, uint8_t if_false) {
    program->code[program->count++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_K | test, value, if_true, if_false);
}

static void answer(struct program *program, uint32_t action) {
    program->code[program->count++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, action);
}

static uint32_t action_of(int error) { return error ? SECCOMP_RET_ERRNO | (uint32_t)error : SECCOMP_RET_ALLOW; }

/* The call's number is loaded before and after. */
static void add_argument_rule(struct program *program, const struct argument_rule *rule) {
    jump(program, BPF_JEQ, (uint32_t)rule->number, 0, rule->mask ? 5 : 4);
    /* Both architectures are little-endian: the low half comes first. */
    load(program, offsetof(struct seccomp_data, args) + sizeof(uint64_t) * (size_t)rule->argument);
    if (rule->mask)
        program->code[program->count++] = (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, rule->mask);
    jump(program, rule->test == HAS_ANY_OF ? BPF_JSET : BPF_JEQ, rule->value, rule->test == IS_NOT,
         rule->test != IS_NOT);
    answer(program, action_of(rule->error));
    load(program, offsetof(struct seccomp_data, nr));
}

int zerrow_system_call_filter_install(int allows_unix_sockets) {
    struct program program = {.count = 0};
    load(&program, offsetof(struct seccomp_data, arch));
    jump(&program, BPF_JEQ, ARCHITECTURE, 1, 0);
    answer(&program, SECCOMP_RET_KILL_PROCESS);
    load(&program, offsetof(struct seccomp_data, nr));
    jump(&program, BPF_JGE, FOREIGN_BIT, 0, 1);
    answer(&program, SECCOMP_RET_KILL_PROCESS);
    jump(&program, BPF_JGT, NEWEST_NUMBER, 0, 1);
    answer(&program, action_of(ENOSYS));
    for (size_t i = 0; i < RULE_COUNT; i++) {
        jump(&program, BPF_JEQ, (uint32_t)rules[i].number, 0, 1);
        answer(&program, action_of(rules[i].error));
    }
    if (allows_unix_sockets)
        add_argument_rule(&program, &unix_sockets);
    for (size_t i = 0; i < ARGUMENT_RULE_COUNT; i++)
        add_argument_rule(&program, &argument_rules[i]);
    answer(&program, SECCOMP_RET_ALLOW);
    struct sock_fprog installed = {.len = program.count, .filter = program.code};
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &installed) < 0 ? -errno : 0;
}
