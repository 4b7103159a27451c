/* Partitions and the names of streams: against vectors of another implementation, and by their laws. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "broker/core/partitions.h"
#include "protocol/topic.h"
#include "tests/unit/support/input.h"
#include "tests/unit/support/vectors.h"

static struct ft_partitions partitions_of(const json_t *row)
{
    return (struct ft_partitions){
        .count = (uint32_t)ft_vectors_uint(row, "count"),
        .hash_levels = (uint32_t)ft_vectors_uint(row, "hash_levels"),
    };
}

Test(partitions, vectors_say_where_a_topic_is)
{
    json_t *vectors = ft_vectors_load("tests/data/partitions.json");
    size_t i;
    json_t *row;
    json_array_foreach(ft_vectors_rows(vectors, "topics"), i, row)
    {
        struct ft_partitions partitions = partitions_of(row);
        struct ft_slice topic = ft_vectors_bytes(row, "topic");
        cr_expect_eq(ft_partition_of(&partitions, topic), ft_vectors_uint(row, "partition"), "%s",
                     ft_vectors_text(row, "topic"));
        ft_input_free(topic);
    }
    json_decref(vectors);
}

Test(partitions, vectors_say_what_a_filter_touches)
{
    json_t *vectors = ft_vectors_load("tests/data/partitions.json");
    size_t i;
    json_t *row;
    json_array_foreach(ft_vectors_rows(vectors, "filters"), i, row)
    {
        struct ft_partitions partitions = partitions_of(row);
        struct ft_slice filter = ft_vectors_bytes(row, "filter");
        struct ft_partition_set set = {0};
        ft_partitions_touched(&partitions, filter, &set);
        struct ft_partition_set wanted = {0};
        size_t k;
        json_t *number;
        json_array_foreach(ft_vectors_rows(row, "partitions"), k, number)
            ft_partition_set_add(&wanted, (uint32_t)json_integer_value(number));
        cr_expect_arr_eq(&set, &wanted, sizeof(set), "%s", ft_vectors_text(row, "filter"));
        ft_input_free(filter);
    }
    json_decref(vectors);
}

/* A random topic of few different levels; where `wildcards`, a filter. */
static struct ft_slice random_name(uint64_t *state, bool wildcards, char text[64])
{
    static const char *const levels[] = {"a", "b", "", "c", "+", "#"};
    size_t len = 0;
    uint64_t count = 1 + ft_input_random(state, 4);
    for (uint64_t i = 0; i < count; i++) {
        const char *level = levels[ft_input_random(state, wildcards ? 6 : 4)];
        len += (size_t)snprintf(text + len, 64 - len, "%s%s", i ? "/" : "", level);
        if (*level == '#')
            break;
    }
    return ft_slice(text, len);
}

Test(partitions, a_filter_touches_the_partition_of_everything_that_it_matches)
{
    uint64_t state = 9;
    int matches = 0;
    for (int round = 0; round < 200000; round++) {
        struct ft_partitions partitions = {.count = 1 + (uint32_t)ft_input_random(&state, 16),
                                           .hash_levels = (uint32_t)ft_input_random(&state, 5)};
        char topic_text[64];
        char filter_text[64];
        struct ft_slice topic = random_name(&state, false, topic_text);
        struct ft_slice filter = random_name(&state, true, filter_text);
        if (topic.len == 0 || filter.len == 0 || !ft_filter_matches(filter, topic))
            continue;
        matches++;
        struct ft_partition_set set = {0};
        ft_partitions_touched(&partitions, filter, &set);
        cr_assert(ft_partition_set_has(&set, ft_partition_of(&partitions, topic)),
                  "%u levels: %s touches %s", partitions.hash_levels, filter_text, topic_text);
    }
    cr_assert_gt(matches, 10000);
}

Test(partitions, topics_are_spread_evenly)
{
    const struct ft_partitions partitions = {.count = 16, .hash_levels = 2};
    uint32_t counts[16] = {0};
    for (int i = 0; i < 16000; i++) {
        char text[32];
        int len = snprintf(text, sizeof(text), "sensors/%d/temp", i);
        counts[ft_partition_of(&partitions, ft_slice(text, (size_t)len))]++;
    }
    for (int i = 0; i < 16; i++)
        cr_expect(counts[i] > 800 && counts[i] < 1200, "%u in partition %d", counts[i], i);
}

Test(partitions, a_stream_says_its_partition)
{
    uint64_t state = 3;
    for (uint32_t partition = 0; partition < FT_PARTITIONS_MAX; partition++) {
        uint8_t random[FT_STREAM_RANDOM_BYTES];
        char name[FT_STREAM_NAME_LEN + 1];
        for (size_t i = 0; i < sizeof(random); i++)
            random[i] = (uint8_t)ft_input_random(&state, 256);
        ft_stream_name_of(partition, random, name);
        cr_assert_eq(strlen(name), FT_STREAM_NAME_LEN);
        cr_assert_eq(ft_stream_partition(ft_slice_str(name)), partition, "%s", name);
        ft_stream_name(random, name);
        cr_assert_eq(strlen(name), FT_STREAM_NAME_LEN);
        cr_assert_eq(ft_stream_partition(ft_slice_str(name)), -1, "%s", name);
    }
}

Test(partitions, two_streams_of_a_partition_have_names_of_their_own)
{
    uint8_t random[FT_STREAM_RANDOM_BYTES] = {0};
    char first[FT_STREAM_NAME_LEN + 1];
    char second[FT_STREAM_NAME_LEN + 1];
    for (size_t i = 0; i < 7; i++) {
        ft_stream_name_of(200, random, first);
        random[i]++;
        ft_stream_name_of(200, random, second);
        cr_expect_str_neq(first, second, "byte %zu counts", i);
    }
}

Test(partitions, what_no_broker_has_made_is_the_name_of_no_partition)
{
    static const char *const names[] = {"",           "0",           "0ad234567",  "0ad23456789",
                                        "aad2345678", "0ad234567\"", "00d2345678", "0a12345678",
                                        "0iad345678"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        cr_expect_eq(ft_stream_partition(ft_slice_str(names[i])), -1, "%s", names[i]);
    cr_expect_eq(ft_stream_partition(ft_slice("0ad234567\0", 10)), -1);
    cr_expect_eq(ft_stream_partition(ft_slice_str("0h92345678")), 255);
}
