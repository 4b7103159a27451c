/*
 * One partition as Redis has it, without Redis: a stream with its log and last values, a queue of commands and
 * one of answers, a channel. The test decides when anything of it moves; snapshots make it lose its memory.
 */
#ifndef FT_TESTS_FAKE_STREAM_H
#define FT_TESTS_FAKE_STREAM_H

#include "broker/relay/follower.h"

#define FT_FAKE_LOG    256 /* messages that it keeps; older ones are trimmed */
#define FT_FAKE_TOPICS 4
#define FT_FAKE_HOLES  512 /* never more lives than that */
#define FT_FAKE_BYTES  512

struct ft_fake_message {
    uint64_t ms, first, last;
    uint32_t len;
    uint8_t bytes[FT_FAKE_BYTES];
};

/* What Redis knows; a plain value. */
struct ft_fake_stream {
    char name[FT_STREAM_NAME_LEN + 1]; /* empty: there is no stream */
    uint64_t head, ms;
    uint32_t newest; /* the publication that was the last one */
    uint32_t from, to;
    struct ft_fake_message log[FT_FAKE_LOG]; /* from … to - 1, modulo */
    struct ft_fake_message last[FT_FAKE_TOPICS];
    uint32_t last_id[FT_FAKE_TOPICS]; /* 0: none */
    uint32_t life;                    /* that wrote last */
    uint64_t born;
    struct {
        uint64_t from, upto;
    } holes[FT_FAKE_HOLES];
    uint32_t holes_count;
};

/* What a node says when it joins or publishes. */
struct ft_fake_seen {
    uint64_t born;
    struct {
        const char *name;
        uint64_t head;
    } streams[2];
};

/* A publication's data says which one it is, and which one came before it in the stream. */
void ft_fake_entry(uint32_t topic, uint32_t id, uint32_t before, bool is_retained,
                   struct ft_buffer *out);
void ft_fake_entry_read(const struct ft_relay_entry *entry, uint32_t *topic, uint32_t *id,
                        uint32_t *before);

/* The head of a stored message; the other: of one that follows an offset further back. */
void ft_fake_head(const char *name, uint64_t ms, uint64_t first, uint32_t count,
                  struct ft_buffer *out);
void ft_fake_head_after(const char *name, uint64_t ms, uint64_t first, uint32_t count,
                        uint64_t follows, struct ft_buffer *out);

/* Publishes as publish.lua does: `count` publications with ids that follow `*next_id`, one message. A new
 * stream begins where publish.lua begins one; its name is made of `*next_id`. `life`: of Redis. */
const struct ft_fake_message *ft_fake_publish(struct ft_fake_stream *stream, uint32_t life,
                                              uint32_t count, uint64_t *random, uint32_t *next_id,
                                              const struct ft_fake_seen *seen);

/* As join.lua. */
void ft_fake_join(struct ft_fake_stream *stream, uint32_t life, uint32_t *next_id,
                  const struct ft_fake_seen *seen);

/* Names a stream of partition 0 by a number. */
void ft_fake_name(uint32_t number, char name[FT_STREAM_NAME_LEN + 1]);

#endif
