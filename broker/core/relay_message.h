/*
 * What nodes say to each other about publications, through Redis: messages on a partition's channel, which
 * are the entries of its stream as well. All of it is MessagePack. A message is a head and so many entries:
 *
 *     [version, kind, stream, ms, first, count, follows, base, …]  entry …    FT_RELAY_STORED
 *     [version, kind, origin, count, …]             entry entry entry …       FT_RELAY_EPHEMERAL
 *
 *     entry    [flags, topic, data, at_ms, expires_ms, history, …]
 *
 *     flags    1, 2   what data is: JSON text, base64 text, a MessagePack value, bytes (0 … 3)
 *              4, 8   what happens where a reader is too slow for it (enum ft_slow)
 *              16     it is its topic's last value
 *              32     its topic has none any more
 *              64 …   not read
 *     data     bin, whatever it is
 *
 * `first` is the offset of the first entry in the stream, the others follow without holes; `follows`, which may
 * be left out, is the offset that it comes right behind, where that is not first - 1: between the two nothing
 * was ever published (scripts/publish.lua says why). `base`, 0 where it is left out, is where the life of Redis
 * that has taken them in begins: clients are shown offsets from there. `ms` and the last
 * offset together are the id of the entry in Redis' stream. Elements behind those that this version knows
 * are skipped, so that a later version may add some without a new number; another number means that an
 * older node cannot go on without harm. The publish script writes the head of what is stored (it alone
 * knows the offset); entries are written by the node that accepted the publication.
 *
 * What is read is foreign: whoever reaches Redis can put anything there. Nothing is believed, nothing is
 * allocated for what a length claims, and data goes on only after it passed the same reader as a client's.
 */
#ifndef FT_CORE_RELAY_MESSAGE_H
#define FT_CORE_RELAY_MESSAGE_H

#include "broker/core/partitions.h"
#include "protocol/buffer.h"
#include "protocol/envelope.h"

#define FT_RELAY_VERSION 1

/* Publications of one message; more take several. */
#define FT_RELAY_COUNT_MAX 4096

/* Longest data: the most that limits.message can be (options.def). Other nodes may allow more than this one. */
#define FT_RELAY_DATA_MAX ((size_t)16 << 20)

/* An instance of a node: one life of it, random. */
#define FT_INSTANCE_LEN 16

enum ft_relay_kind { FT_RELAY_STORED = 1, FT_RELAY_EPHEMERAL = 2 };

/* Why a message was not taken. */
enum ft_relay_fault {
    FT_RELAY_SOUND,
    FT_RELAY_FOREIGN,  /* not a message of ours at all */
    FT_RELAY_VERSION_, /* of a version that this node does not know */
    FT_RELAY_DAMAGED,  /* ours by its head, but broken, or with something invalid in it */
    FT_RELAY_TOO_LARGE /* sound, but its data is longer than it may be */
};

struct ft_relay_head {
    enum ft_relay_kind kind;
    struct ft_slice name; /* stream, FT_STREAM_NAME_LEN bytes; or origin, FT_INSTANCE_LEN bytes */
    uint64_t ms, first;   /* of what is stored */
    uint64_t follows;     /* … and what it comes behind: first - 1, or less */
    uint64_t base;        /* … and where its life begins */
    uint32_t count;
};

/* One publication as it travels. */
struct ft_relay_entry {
    struct ft_slice topic;
    struct ft_data data;
    uint64_t at_ms;      /* wall clock of its node; of what is stored the head's `ms` counts */
    uint64_t expires_ms; /* wall clock; 0: never */
    uint32_t history;
    uint8_t slow; /* enum ft_slow */
    bool is_retained, clears_retained;
};

/* Returns an upper bound of the bytes that an entry takes. */
static inline size_t ft_relay_entry_size(struct ft_slice topic, struct ft_slice data)
{
    return 40 + topic.len + data.len;
}

/* Adds an entry. Its topic and data are valid. */
void ft_relay_entry_write(const struct ft_relay_entry *entry, struct ft_buffer *out);

/* Adds the head of an ephemeral message. */
void ft_relay_head_write(struct ft_slice origin, uint32_t count, struct ft_buffer *out);

/* Reads the head of a message; `*entries` is set to what is behind it. All of it points into `message`. */
enum ft_relay_fault ft_relay_head_read(struct ft_slice message, struct ft_relay_head *head,
                                       struct ft_slice *entries);

/*
 * Takes the next entry off `*entries`, and checks its topic and its data. `message_max`: longest data. With
 * FT_RELAY_TOO_LARGE the entry is read, and what follows it can be; with FT_RELAY_DAMAGED nothing is known.
 */
enum ft_relay_fault ft_relay_entry_read(struct ft_slice *entries, size_t message_max,
                                        struct ft_relay_entry *entry);

/* Checks a whole message: `count` sound entries and nothing behind them. FT_RELAY_TOO_LARGE: all else is
 * sound. */
enum ft_relay_fault ft_relay_message_check(struct ft_slice message, size_t message_max,
                                           struct ft_relay_head *head);

#endif
