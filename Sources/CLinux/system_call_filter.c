#define _GNU_SOURCE
#include "system_call_filter.h"
#include "kernel_zero.h"
#include "system_call_table.h"

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
/* Numbers from this one on have no answer of their own in the table. */
#define NUMBER_END 512
/* Numbers with this bit are the x32 calls of a 64-bit kernel. */
#define FOREIGN_BIT 0x40000000u

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
    /* Notices of what others do in a folder. */
    {SYS_fcntl, 1, IS, F_NOTIFY, EPERM, 0},
};

#define ARGUMENT_RULE_COUNT (sizeof(argument_rules) / sizeof(argument_rules[0]))
/* The most places where, from one number to the next, the answer changes: each costs two jumps and an answer. */
#define SPANS_MAX 320
#define INSTRUCTIONS_MAX (16 + SPANS_MAX * 4 + (ARGUMENT_RULE_COUNT + 1) * 6)

/* Numbers in a row that have one answer: from `first` to where the next span begins. */
struct span {
    int first;
    int answer;
};

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

static int make_spans(struct span spans[SPANS_MAX]) {
    int answers[NUMBER_END];
    size_t call_count;
    const struct zerrow_system_call *calls = zerrow_system_calls(&call_count);
    for (int number = 0; number < NUMBER_END; number++)
        answers[number] = ENOSYS;
    for (size_t i = 0; i < call_count; i++) {
        if (calls[i].number < 0 || calls[i].number >= NUMBER_END)
            return -EINVAL;
        answers[calls[i].number] = calls[i].answer;
    }
    int count = 0;
    for (int number = 0; number < NUMBER_END; number++) {
        if (count > 0 && spans[count - 1].answer == answers[number])
            continue;
        if (count == SPANS_MAX)
            return -E2BIG;
        spans[count++] = (struct span){number, answers[number]};
    }
    return count;
}

/*
 * Finds the call's span by halves: when a filter is installed, the kernel runs it once for each number there is, and
 * remembers what is always allowed. Where arguments decide, it goes on to the end of this.
 */
static void find_span(struct program *program, const struct span *spans, int count) {
    if (count == 1) {
        if (spans->answer == ZERROW_CALL_DEPENDS)
            program->code[program->count++] = (struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA, 0);
        else
            answer(program, action_of(spans->answer));
        return;
    }
    int half = count / 2;
    jump(program, BPF_JGE, (uint32_t)spans[half].first, 0, 1);
    unsigned short higher = program->count++;
    find_span(program, spans, half);
    program->code[higher] = (struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA, program->count - higher - 1u);
    find_span(program, spans + half, count - half);
}

/* What has no place to go to yet goes to where the program ends now. */
static void close_jumps(struct program *program, unsigned short first) {
    for (unsigned short i = first; i < program->count; i++)
        if (program->code[i].code == (BPF_JMP | BPF_JA) && program->code[i].k == 0)
            program->code[i].k = program->count - i - 1u;
}

int zerrow_system_call_filter_install(int allows_unix_sockets) {
    struct program program = {.count = 0};
    struct span spans[SPANS_MAX];
    int span_count = make_spans(spans);
    if (span_count < 0)
        return span_count;
    load(&program, offsetof(struct seccomp_data, arch));
    jump(&program, BPF_JEQ, ARCHITECTURE, 1, 0);
    answer(&program, SECCOMP_RET_KILL_PROCESS);
    load(&program, offsetof(struct seccomp_data, nr));
    jump(&program, BPF_JGE, FOREIGN_BIT, 0, 1);
    answer(&program, SECCOMP_RET_KILL_PROCESS);
    unsigned short first = program.count;
    find_span(&program, spans, span_count);
    close_jumps(&program, first);
    if (allows_unix_sockets)
        add_argument_rule(&program, &unix_sockets);
    for (size_t i = 0; i < ARGUMENT_RULE_COUNT; i++)
        add_argument_rule(&program, &argument_rules[i]);
    answer(&program, SECCOMP_RET_ALLOW);
    struct sock_fprog installed = {.len = program.count, .filter = program.code};
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &installed) < 0 ? -errno : 0;
}
