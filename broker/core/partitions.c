/*
 * Which partition a topic is in, and which ones a filter can hear from: see the header. Names of streams
 * are here, too, because that of a partition's stream says the partition. Pure; any thread.
 */
#include "broker/core/partitions.h"

#include "protocol/topic.h"

/* FNV-1a, 64 bits: offset basis and prime. */
#define FNV_BASIS UINT64_C(0xCBF29CE484222325)
#define FNV_PRIME UINT64_C(0x100000001B3)

/* Of names: 32 characters that nobody takes for each other; neither '0' nor '1' is one of them. */
static const char alphabet[] = "abcdefghijkmnpqrstuvwxyz23456789";

/* What the name of a partition's stream begins with, and characters that say the partition. */
#define PARTITION_MARK  '0'
#define PARTITION_CHARS 2

/* Characters at its end that the names of all lives of a stream have; before them those that put lives in order, by
 * where they begin in units of the least that one leaves out. Half of all numbers are later than one, half earlier. */
#define LIFE_CHARS  2
#define ORDER_CHARS 3
#define ORDER_SHIFT 32
#define ORDERS      (UINT64_C(1) << (5 * ORDER_CHARS))
#define ORDER_END   (FT_STREAM_NAME_LEN - LIFE_CHARS)

/* Returns what a character stands for, or -1. Names are checked in every message. */
static int32_t digit_of(uint8_t byte)
{
    static const uint8_t after[UINT8_MAX + 1] = {
        ['a'] = 1,  ['b'] = 2,  ['c'] = 3,  ['d'] = 4,  ['e'] = 5,  ['f'] = 6,  ['g'] = 7,
        ['h'] = 8,  ['i'] = 9,  ['j'] = 10, ['k'] = 11, ['m'] = 12, ['n'] = 13, ['p'] = 14,
        ['q'] = 15, ['r'] = 16, ['s'] = 17, ['t'] = 18, ['u'] = 19, ['v'] = 20, ['w'] = 21,
        ['x'] = 22, ['y'] = 23, ['z'] = 24, ['2'] = 25, ['3'] = 26, ['4'] = 27, ['5'] = 28,
        ['6'] = 29, ['7'] = 30, ['8'] = 31, ['9'] = 32,
    };
    return after[byte] - 1;
}

static uint32_t partition_of_text(const struct ft_partitions *partitions, struct ft_slice text)
{
    uint64_t hash = FNV_BASIS;
    for (size_t i = 0; i < text.len; i++)
        hash = (hash ^ text.ptr[i]) * FNV_PRIME;
    return (uint32_t)(hash ^ hash >> 32) % partitions->count;
}

/* Returns the part of a topic or a filter that counts: its leading levels. */
static struct ft_slice leading_levels(const struct ft_partitions *partitions, struct ft_slice text)
{
    if (partitions->hash_levels == 0)
        return text;
    struct ft_slice level;
    size_t at = 0;
    uint32_t levels = 0;
    while (levels < partitions->hash_levels && ft_topic_next_level(text, &at, &level))
        levels++;
    return levels == 0 ? ft_slice(text.ptr, 0)
                       : ft_slice(text.ptr, (size_t)(level.ptr + level.len - text.ptr));
}

uint32_t ft_partition_of(const struct ft_partitions *partitions, struct ft_slice topic)
{
    return partition_of_text(partitions, leading_levels(partitions, topic));
}

/* A filter's leading levels without a wildcard are those of all topics that it can match: where there are
 * fewer of them than count, the filter has no more, and is a topic. */
void ft_partitions_touched(const struct ft_partitions *partitions, struct ft_slice filter,
                           struct ft_partition_set *set)
{
    struct ft_slice leading = leading_levels(partitions, filter);
    if (ft_filter_is_exact(leading)) {
        ft_partition_set_add(set, partition_of_text(partitions, leading));
        return;
    }
    for (uint32_t i = 0; i < partitions->count; i++)
        ft_partition_set_add(set, i);
}

static void add_random(const uint8_t *random, char *from, const char *end)
{
    for (; from < end; from++)
        *from = alphabet[*random++ % (sizeof(alphabet) - 1)];
}

void ft_stream_name(const uint8_t random[FT_STREAM_RANDOM_BYTES], char name[FT_STREAM_NAME_LEN + 1])
{
    add_random(random, name, name + FT_STREAM_NAME_LEN);
    name[FT_STREAM_NAME_LEN] = '\0';
}

void ft_stream_name_of(uint32_t partition, const uint8_t random[FT_STREAM_RANDOM_BYTES],
                       char name[FT_STREAM_NAME_LEN + 1])
{
    name[0] = PARTITION_MARK;
    name[1] = alphabet[partition / (sizeof(alphabet) - 1)];
    name[2] = alphabet[partition % (sizeof(alphabet) - 1)];
    add_random(random, name + 1 + PARTITION_CHARS, name + FT_STREAM_NAME_LEN);
    name[FT_STREAM_NAME_LEN] = '\0';
}

void ft_stream_name_life(const char *stream, uint64_t base, char name[FT_STREAM_NAME_LEN + 1])
{
    memcpy(name, stream, FT_STREAM_NAME_LEN);
    name[FT_STREAM_NAME_LEN] = '\0';
    if (base == 0)
        return;
    uint64_t hash = FNV_BASIS;
    for (size_t i = 0; i < FT_STREAM_NAME_LEN; i++)
        hash = (hash ^ (uint8_t)stream[i]) * FNV_PRIME;
    for (unsigned shift = 0; shift < 64; shift += 8)
        hash = (hash ^ (base >> shift & UINT8_MAX)) * FNV_PRIME;
    hash ^= hash >> 32;
    for (size_t i = 1 + PARTITION_CHARS; i < ORDER_END - ORDER_CHARS; i++) {
        name[i] = alphabet[hash % (sizeof(alphabet) - 1)];
        hash /= sizeof(alphabet) - 1;
    }
    uint64_t order = base >> ORDER_SHIFT;
    for (size_t i = ORDER_END; i-- > ORDER_END - ORDER_CHARS; order >>= 5)
        name[i] = alphabet[order & 31];
}

bool ft_stream_may_be_life(const char *stream, struct ft_slice name)
{
    return name.len == FT_STREAM_NAME_LEN && memcmp(stream, name.ptr, 1 + PARTITION_CHARS) == 0 &&
           memcmp(stream + ORDER_END, name.ptr + ORDER_END, LIFE_CHARS) == 0;
}

bool ft_stream_is_later(struct ft_slice name, uint64_t base)
{
    uint64_t order = 0;
    if (ft_stream_partition(name) < 0)
        return false;
    for (size_t i = ORDER_END - ORDER_CHARS; i < ORDER_END; i++)
        order = order << 5 | (uint64_t)digit_of(name.ptr[i]);
    uint64_t further = (order - (base >> ORDER_SHIFT)) & (ORDERS - 1);
    return further > 0 && further < ORDERS / 2;
}

int32_t ft_stream_partition(struct ft_slice name)
{
    if (name.len != FT_STREAM_NAME_LEN || name.ptr[0] != PARTITION_MARK)
        return -1;
    for (size_t i = 1; i < name.len; i++)
        if (digit_of(name.ptr[i]) < 0)
            return -1;
    int32_t partition =
        digit_of(name.ptr[1]) * (int32_t)(sizeof(alphabet) - 1) + digit_of(name.ptr[2]);
    return partition < FT_PARTITIONS_MAX ? partition : -1;
}
