/*
 * A node of several whose relay joins when a test says so, two clients on it, and what came to them in short: by
 * op and id alone, "ok:1 error:2 msg". Each test file that includes it has its own.
 */
#ifndef FT_TESTS_STALL_CASE_H
#define FT_TESTS_STALL_CASE_H

#include "broker/base/log.h"
#include "broker/hub/stall.h"
#include "tests/unit/support/fake_node.h"
#include "tests/unit/support/fake_relay.h"

#include <criterion/criterion.h>
#include <stdio.h>

enum { PARTITIONS = 4, DEADLINE_MS = 2000, AHEAD_MS = 1500, TICK_MS = FT_WHEEL_TICK_MS };

static struct ft_fake_node node;
static struct ft_fake_relay relay;
static struct ft_fake_client client, other;
static char topics[PARTITIONS][8]; /* one of each partition */
static char names[PARTITIONS][FT_STREAM_NAME_LEN + 1];
static struct ft_journal_writer *writer;

static inline void ft_stall_case_begin(void)
{
    struct ft_hub_options options = {.policies = ft_policies_new()};
    ft_log_set_level(FT_LOG_WARN);
    cr_assert(ft_policies_add(options.policies, ft_slice_str("e/#"),
                              &(struct ft_policy){.ephemeral = true}));
    ft_fake_relay_init(&relay, &(struct ft_partitions){.count = PARTITIONS, .hash_levels = 1});
    ft_fake_node_init_cluster(&node, &(struct ft_journal_options){0}, &options, 1, &relay);
    writer = ft_journal_writer_new(node.journal);
    for (uint32_t k = 0, i = 0; k < PARTITIONS; i++) {
        snprintf(topics[k], sizeof(topics[k]), "t%u", i);
        if (ft_partition_of(&relay.interest.partitions, ft_slice_str(topics[k])) == k)
            k++;
    }
    for (uint32_t k = 0; k < PARTITIONS; k++)
        ft_stream_name_of(k, (const uint8_t[FT_STREAM_RANDOM_BYTES]){1}, names[k]);
    ft_fake_client_open(&node, &client, 0, FT_FRAMES_JSON);
    ft_fake_client_open(&node, &other, 0, FT_FRAMES_JSON);
}

static inline void ft_stall_case_end(void)
{
    ft_journal_writer_free(writer);
    ft_fake_node_fini(&node);
    for (uint32_t k = 0; k < PARTITIONS; k++)
        cr_assert_not(ft_interest_is_wanted(&relay.interest, k), "nobody is left");
    ft_fake_relay_fini(&relay);
}

/* Changes limits.topics and limits.message. */
static inline void configure(uint32_t subscriptions, size_t message_bytes)
{
    struct ft_hub_options options = *node.hub->workers[0]->options;
    options.topics = subscriptions;
    options.message_bytes = message_bytes;
    options.policies = NULL;
    ft_hub_configure(node.hub, &options);
}

/* What the relay does when it has come so far. */
static inline void join_silently(uint32_t k)
{
    ft_journal_open_stream(node.journal, k, names[k], 0);
    ft_interest_joined(&relay.interest, k);
}

static inline void join(uint32_t k)
{
    join_silently(k);
    ft_fake_node_settle(&node);
}

static inline void journal(uint32_t k, uint64_t seq)
{
    struct ft_publication_spec spec = {
        .encoding = FT_JSON,
        .topic = ft_slice_str(topics[k]),
        .data = {.kind = FT_DATA_JSON, .bytes = ft_slice_str("7")},
        .stream_index = (uint16_t)k,
        .seq = seq,
    };
    struct ft_publication *p = ft_journal_build(writer, &spec);
    cr_assert(ft_journal_append(writer, &p, 1, 1));
    ft_fake_node_settle(&node);
}

/* Says what came, by op and id, and forgets it. */
static inline const char *came(struct ft_fake_client *to)
{
    static char text[8192];
    size_t n = 0;
    text[0] = '\0';
    for (const char *line = ft_fake_client_sent(to); *line; line = strchr(line, '\n') + 1) {
        char op[16];
        unsigned id;
        cr_assert_lt(n, sizeof(text) - 64);
        const char *space = n > 0 ? " " : "";
        if (sscanf(line, "{\"op\":\"%15[a-z]\",\"id\":%u", op, &id) == 2)
            n += (size_t)snprintf(text + n, 64, "%s%s:%u", space, op, id);
        else if (sscanf(line, "{\"op\":\"%15[a-z]\"", op) == 1)
            n += (size_t)snprintf(text + n, 64, "%s%s", space, op);
        else
            n += (size_t)snprintf(text + n, 64, "%s%.*s", space, (int)strcspn(line, "\n"), line);
    }
    ft_fake_client_forget(to);
    return text;
}

#define assert_came(to, expected) cr_assert_str_eq(came(to), expected)

/* Has it say `text`, with the topic of a partition for the one $. */
static inline void say_of(struct ft_fake_client *from, const char *text, uint32_t k)
{
    char said[1024];
    size_t before = strcspn(text, "$");
    snprintf(said, sizeof(said), "%.*s%s%s", (int)before, text, topics[k], text + before + 1);
    ft_fake_client_say(from, said);
}

#define SUB(id, k) say_of(&client, "{\"op\":\"sub\",\"id\":" #id ",\"topics\":[\"$\"]}", k)

#endif
