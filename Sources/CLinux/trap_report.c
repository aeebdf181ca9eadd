#define _GNU_SOURCE
#include "trap_report.h"

#include <dlfcn.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

/* Where the program was loaded; read once, as dladdr() may not be called in a signal handler. */
static uintptr_t base;

static char *append(char *at, const char *text) {
    size_t count = strlen(text);
    memcpy(at, text, count);
    return at + count;
}

static char *append_number(char *at, uintptr_t number) {
    char digits[2 * sizeof number];
    size_t count = 0;
    do {
        digits[count++] = "0123456789abcdef"[number & 15];
        number >>= 4;
    } while (number != 0);
    while (count > 0)
        *at++ = digits[--count];
    return at;
}

/* Runs once (SA_RESETHAND): the signal then ends the process as it would have. */
static void report(int number, siginfo_t *info, void *context) {
    (void)info;
    uintptr_t place = 0;
#if defined(__x86_64__)
    place = (uintptr_t)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
    place = (uintptr_t)((ucontext_t *)context)->uc_mcontext.pc;
#else
    (void)context;
#endif
    char line[256];
    char *at = append(line, "zerrow: a mistake of its own stops it (");
    at = append(at, number == SIGILL ? "SIGILL" : "SIGTRAP");
    at = append(at, " at 0x");
    at = append_number(at, place >= base ? place - base : place);
    at = append(at, " of the program, in process ");
    char digits[16];
    size_t count = 0;
    for (pid_t pid = getpid(); pid > 0; pid /= 10)
        digits[count++] = (char)('0' + pid % 10);
    while (count > 0)
        *at++ = digits[--count];
    at = append(at, "): please report this line and the one before it\n");
    ssize_t ignored = write(STDERR_FILENO, line, (size_t)(at - line));
    (void)ignored;
    /* Also where somebody sent the signal: there is no instruction then that would be tried again. */
    raise(number);
}

int zerrow_trap_report(void) {
    Dl_info info;
    if (dladdr((void *)(uintptr_t)zerrow_trap_report, &info) != 0)
        base = (uintptr_t)info.dli_fbase;
    struct sigaction action = {.sa_sigaction = report, .sa_flags = SA_SIGINFO | SA_RESETHAND | SA_NODEFER};
    sigemptyset(&action.sa_mask);
    return sigaction(SIGILL, &action, NULL) == 0 && sigaction(SIGTRAP, &action, NULL) == 0 ? 0 : -1;
}
