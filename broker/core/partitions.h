/*
 * How topics are spread over partitions: each is one numbering, one stream and one channel in Redis. The
 * leading levels of a topic are hashed, so that a filter whose leading levels are literal touches one
 * partition, and a node subscribes to those alone that its sessions can hear from.
 *
 *     hash_levels = 2        stocks/ACME/price   hashed: stocks/ACME        a topic: its first levels
 *                            stocks/ACME/#       one partition              a filter: literal that far
 *                            stocks/+/price      all                        or not
 *
 * All nodes of a cluster have to agree, whatever machine they are and whenever they were built: the hash is
 * FNV-1a (64 bits; Fowler, Noll, Vo), folded. It balances; it does not protect.
 */
#ifndef FT_CORE_PARTITIONS_H
#define FT_CORE_PARTITIONS_H

#include "protocol/slice.h"

/* Most partitions of a cluster. A position of each is in every `ok` of a `sub` to "#". */
#define FT_PARTITIONS_MAX 256

/* A stream's name: this many characters, so that a position fits MessagePack's fixstr (31). */
#define FT_STREAM_NAME_LEN 10

/* Random bytes that a name is made of. */
#define FT_STREAM_RANDOM_BYTES 10

struct ft_partitions {
    uint32_t count;       /* 1 … FT_PARTITIONS_MAX */
    uint32_t hash_levels; /* leading levels that count; 0: all */
};

struct ft_partition_set {
    uint64_t words[FT_PARTITIONS_MAX / 64];
};

/* Returns the partition of a valid topic, below `count`. */
uint32_t ft_partition_of(const struct ft_partitions *partitions, struct ft_slice topic);

/* Adds the partitions of all topics that a valid filter can match. */
void ft_partitions_touched(const struct ft_partitions *partitions, struct ft_slice filter,
                           struct ft_partition_set *set);

static inline bool ft_partition_set_has(const struct ft_partition_set *set, uint32_t partition)
{
    return (set->words[partition / 64] >> (partition % 64) & 1) != 0;
}

static inline void ft_partition_set_add(struct ft_partition_set *set, uint32_t partition)
{
    set->words[partition / 64] |= UINT64_C(1) << (partition % 64);
}

/* Names a stream of a node's own journal. */
void ft_stream_name(const uint8_t random[FT_STREAM_RANDOM_BYTES],
                    char name[FT_STREAM_NAME_LEN + 1]);

/* Names a stream of a partition: told apart from the former, and says its partition. */
void ft_stream_name_of(uint32_t partition, const uint8_t random[FT_STREAM_RANDOM_BYTES],
                       char name[FT_STREAM_NAME_LEN + 1]);

/* Names a life of Redis in a stream of a partition, by where it begins there: the same on every node. The first
 * life, which begins at 0, has the stream's own name. */
void ft_stream_name_life(const char *stream, uint64_t base, char name[FT_STREAM_NAME_LEN + 1]);

/* Says whether a name may be that of a life of the stream: those of other streams seldom look like that. */
bool ft_stream_may_be_life(const char *stream, struct ft_slice name);

/* Says whether the life of that name begins behind the one that begins at `base`. It takes some thousand lives in
 * between to be wrong; of the stream's own name, and of another stream's, it says anything. */
bool ft_stream_is_later(struct ft_slice name, uint64_t base);

/* Returns the partition that a stream's name says, or -1 where it is not such a name. */
int32_t ft_stream_partition(struct ft_slice name);

#endif
