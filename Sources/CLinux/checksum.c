#define _GNU_SOURCE
#include "include/checksum.h"

#include <pthread.h>
#include <string.h>

#if defined(__aarch64__)
#include <sys/auxv.h>
#endif

/* Defines how bytes are added, by what adds one word and one byte to a CRC. Bytes before and after whole rounds of four
   words go one by one, each to the lane that its place is in. */
#define DEFINE_ADD(name, attributes, add_word, add_byte)                                                               \
    attributes void name(struct zerrow_checksum *sum, const void *bytes, size_t count) {                               \
        const uint8_t *next = bytes;                                                                                   \
        const uint8_t *end = next + count;                                                                             \
        uint64_t place = sum->bytes;                                                                                   \
        sum->bytes += count;                                                                                           \
        for (; next < end && place % 32 != 0; next++, place++)                                                         \
            sum->lanes[place / 8 % 4] = add_byte(sum->lanes[place / 8 % 4], *next);                                    \
        uint32_t a = sum->lanes[0], b = sum->lanes[1], c = sum->lanes[2], d = sum->lanes[3];                           \
        for (; end - next >= 32; next += 32) {                                                                         \
            uint64_t words[4];                                                                                         \
            memcpy(words, next, sizeof words);                                                                         \
            a = (uint32_t)add_word(a, words[0]);                                                                       \
            b = (uint32_t)add_word(b, words[1]);                                                                       \
            c = (uint32_t)add_word(c, words[2]);                                                                       \
            d = (uint32_t)add_word(d, words[3]);                                                                       \
        }                                                                                                              \
        sum->lanes[0] = a, sum->lanes[1] = b, sum->lanes[2] = c, sum->lanes[3] = d;                                    \
        for (place = 0; next < end; next++, place++)                                                                   \
            sum->lanes[place / 8] = add_byte(sum->lanes[place / 8], *next);                                            \
    }

static uint32_t table[256];

/* The CRCs of single bytes; the polynomial of CRC-32C, its lowest bit first. */
static void fill_table(void) {
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
        table[byte] = crc;
    }
}

static inline uint32_t add_byte_portably(uint32_t crc, uint8_t byte) { return crc >> 8 ^ table[(crc ^ byte) & 0xff]; }

static inline uint32_t add_word_portably(uint32_t crc, uint64_t word) {
    for (int byte = 0; byte < 8; byte++, word >>= 8)
        crc = add_byte_portably(crc, (uint8_t)word);
    return crc;
}

DEFINE_ADD(add_portably, static, add_word_portably, add_byte_portably)

void zerrow_checksum_add_portably(struct zerrow_checksum *sum, const void *bytes, size_t count) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, fill_table);
    add_portably(sum, bytes, count);
}

#if defined(__x86_64__)
DEFINE_ADD(add_at_once, __attribute__((target("sse4.2"))) static, __builtin_ia32_crc32di, __builtin_ia32_crc32qi)

static int has_instruction(void) { return __builtin_cpu_supports("sse4.2"); }
#elif defined(__aarch64__)
DEFINE_ADD(add_at_once, __attribute__((target("crc"))) static, __builtin_arm_crc32cd, __builtin_arm_crc32cb)

/* HWCAP_CRC32 */
static int has_instruction(void) { return (getauxval(AT_HWCAP) & 1ul << 7) != 0; }
#else
#define add_at_once add_portably
static int has_instruction(void) { return 0; }
#endif

void zerrow_checksum_add(struct zerrow_checksum *sum, const void *bytes, size_t count) {
    if (has_instruction())
        add_at_once(sum, bytes, count);
    else
        zerrow_checksum_add_portably(sum, bytes, count);
}
