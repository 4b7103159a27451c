/* Topics and filters against vectors, a table that restates MQTT, and brute force. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "protocol/topic.h"
#include "protocol/utf8.h"
#include "tests/unit/support/input.h"
#include "tests/unit/support/vectors.h"

typedef enum ft_err check(struct ft_slice name, struct ft_problem *problem);

static void check_validity(const char *section, check *checks, enum ft_err err)
{
    json_t *vectors = ft_vectors_load("protocol/vectors/topics.json");
    size_t i;
    json_t *row;
    json_array_foreach(ft_vectors_rows(vectors, section), i, row)
    {
        struct ft_slice input = ft_vectors_bytes(row, "input");
        bool is_valid = ft_vectors_is(row, "valid");
        struct ft_problem problem = {0};
        cr_expect_eq(checks(input, &problem), is_valid ? FT_OK : err, "%s: %s", section,
                     ft_vectors_text(row, "name"));
        cr_expect_eq(checks(input, NULL), is_valid ? FT_OK : err);
        if (!is_valid) {
            cr_expect_eq(problem.err, err);
            cr_expect_neq(problem.text[0], '\0');
            cr_expect(ft_utf8_is_valid(ft_slice_str(problem.text)));
        }
        ft_input_free(input);
    }
    json_decref(vectors);
}

Test(topic, vectors_say_what_is_a_topic)
{
    check_validity("topics", ft_topic_check, FT_ERR_BAD_TOPIC);
}

Test(topic, vectors_say_what_is_a_filter)
{
    check_validity("filters", ft_filter_check, FT_ERR_BAD_FILTER);
}

typedef bool relation(struct ft_slice a, struct ft_slice b);

static void check_relation(const char *section, relation *holds, const char *a_key,
                           const char *b_key)
{
    json_t *vectors = ft_vectors_load("protocol/vectors/topics.json");
    size_t i;
    json_t *row;
    json_array_foreach(ft_vectors_rows(vectors, section), i, row)
    {
        struct ft_slice a = ft_vectors_bytes(row, a_key);
        struct ft_slice b = ft_vectors_bytes(row, b_key);
        cr_expect_eq(ft_filter_check(a, NULL), FT_OK);
        cr_expect_eq(ft_filter_check(b, NULL), FT_OK);
        cr_expect_eq(holds(a, b), ft_vectors_is(row, section), "%.*s %s %.*s", (int)a.len, a.ptr,
                     section, (int)b.len, b.ptr);
        ft_input_free(a);
        ft_input_free(b);
    }
    json_decref(vectors);
}

Test(topic, vectors_say_what_matches)
{
    check_relation("matches", ft_filter_matches, "filter", "topic");
}

Test(topic, vectors_say_what_covers)
{
    check_relation("covers", ft_filter_covers, "wide", "narrow");
}

/* Undoes the escapes of topic_match.tsv in place and returns the bytes. */
static struct ft_slice unescape(char *cell)
{
    size_t to = 0;
    for (size_t from = 0; cell[from]; from++) {
        char c = cell[from];
        if (c == '\\' && cell[from + 1] && strchr("tn0\\", cell[from + 1])) {
            c = cell[++from];
            c = c == 't' ? '\t' : c == 'n' ? '\n' : c == '0' ? '\0' : '\\';
        }
        cell[to++] = c;
    }
    return ft_slice(cell, to);
}

/* What MQTT allows and we do not: more levels, more bytes, control characters. */
static bool is_past_our_limits(struct ft_slice name)
{
    size_t levels = 1;
    for (size_t i = 0; i < name.len; i++) {
        levels += name.ptr[i] == '/';
        if (name.ptr[i] < 0x20 || name.ptr[i] == 0x7F)
            return true;
    }
    return levels > FT_TOPIC_LEVELS_MAX || name.len > FT_TOPIC_BYTES_MAX;
}

struct tally {
    unsigned rows, refused, past_limits;
};

static void check_table_row(char *line, struct tally *tally)
{
    char *cells[3];
    for (size_t i = 0; i < 3; i++) {
        cells[i] = strsep(&line, "\t");
        cr_assert_not_null(cells[i]);
    }
    struct ft_slice filter = unescape(cells[0]);
    struct ft_slice topic = unescape(cells[1]);
    bool bad_filter = ft_filter_check(filter, NULL) != FT_OK;
    bool bad_topic = ft_topic_check(topic, NULL) != FT_OK;
    tally->rows++;
    if (is_past_our_limits(filter) || is_past_our_limits(topic)) {
        cr_expect_eq(bad_filter || !is_past_our_limits(filter), true);
        cr_expect_eq(bad_topic || !is_past_our_limits(topic), true);
        tally->past_limits++;
    } else if (strcmp(cells[2], "INVALID_FILTER") == 0) {
        cr_expect(bad_filter, "filter %s", cells[0]);
        tally->refused++;
    } else if (strcmp(cells[2], "INVALID_TOPIC") == 0) {
        cr_expect(bad_topic, "topic %s", cells[1]);
        tally->refused++;
    } else {
        cr_expect(!bad_filter && !bad_topic, "%s on %s", cells[0], cells[1]);
        cr_expect_eq(ft_filter_matches(filter, topic), cells[2][0] == '1', "%s on %s", cells[0],
                     cells[1]);
    }
}

Test(topic, every_row_of_the_table_holds)
{
    FILE *file = fopen("tests/data/topic_match.tsv", "r");
    cr_assert_not_null(file);
    struct tally tally = {0};
    char *line = NULL;
    size_t room = 0;
    cr_assert_gt(getline(&line, &room, file), 0); /* the heading */
    while (getline(&line, &room, file) > 0)
        check_table_row(line, &tally);
    free(line);
    fclose(file);
    fprintf(stderr, "topic_match.tsv: %u rows, %u refused, %u past our limits\n", tally.rows,
            tally.refused, tally.past_limits);
    cr_assert_eq(tally.rows, 1679);
    cr_assert_gt(tally.refused, 300);
    cr_assert_gt(tally.past_limits, 0);
}

/* --- covering, by brute force over a small alphabet --- */

enum { LEVELS_MAX = 4, NAMES_MAX = 3000 };

struct names {
    char text[NAMES_MAX][24];
    size_t count;
};

/* Adds all names of up to `levels` levels over these level texts. */
static void add_names(struct names *names, const char *const *texts, size_t count, unsigned levels,
                      const char *prefix, check *checks)
{
    for (size_t i = 0; i < count; i++) {
        char name[24];
        snprintf(name, sizeof(name), "%s%s", prefix, texts[i]);
        if (checks(ft_slice_str(name), NULL) == FT_OK) {
            cr_assert_lt(names->count, NAMES_MAX);
            strcpy(names->text[names->count++], name);
        }
        if (levels > 1) {
            strcat(name, "/");
            add_names(names, texts, count, levels - 1, name, checks);
        }
    }
}

/*
 * P covers F where each topic that F matches is matched by P: asked of every topic of up to four
 * levels over an alphabet with one letter that no filter has. Filters have up to three levels, so
 * what they say of longer topics they say of those too.
 */
Test(topic, a_filter_covers_where_it_matches_all_that_the_other_does, .timeout = 60)
{
    static const char *const filter_texts[] = {"a", "$b", "", "+", "#"};
    static const char *const topic_texts[] = {"a", "$b", "", "z"};
    struct names *filters = calloc(1, sizeof(*filters));
    struct names *topics = calloc(1, sizeof(*topics));
    add_names(filters, filter_texts, 5, LEVELS_MAX - 1, "", ft_filter_check);
    add_names(topics, topic_texts, 4, LEVELS_MAX, "", ft_topic_check);
    cr_assert_gt(filters->count, 90);
    cr_assert_gt(topics->count, 300);

    bool(*matches)[NAMES_MAX] = calloc(filters->count, sizeof(*matches));
    for (size_t f = 0; f < filters->count; f++)
        for (size_t t = 0; t < topics->count; t++)
            matches[f][t] =
                ft_filter_matches(ft_slice_str(filters->text[f]), ft_slice_str(topics->text[t]));
    unsigned covering = 0;
    for (size_t p = 0; p < filters->count; p++)
        for (size_t f = 0; f < filters->count; f++) {
            bool covers = true;
            for (size_t t = 0; t < topics->count && covers; t++)
                covers = matches[p][t] || !matches[f][t];
            cr_assert_eq(
                ft_filter_covers(ft_slice_str(filters->text[p]), ft_slice_str(filters->text[f])),
                covers, "%s covers %s", filters->text[p], filters->text[f]);
            covering += covers;
        }
    cr_assert_gt(covering, filters->count); /* more than each covering itself */
    free(matches);
    free(filters);
    free(topics);
}

/* MQTT 5.0, section 4.7, said a second time: by recursion over the texts. */
static bool rest_matches(const char *filter, const char *topic)
{
    if (strcmp(filter, "#") == 0)
        return true;
    size_t filter_len = strcspn(filter, "/");
    size_t topic_len = strcspn(topic, "/");
    bool is_plus = filter_len == 1 && *filter == '+';
    if (!is_plus && (filter_len != topic_len || memcmp(filter, topic, topic_len) != 0))
        return false;
    filter += filter_len;
    topic += topic_len;
    if (*filter == '\0' || *topic == '\0')
        return (*filter == '\0' && *topic == '\0') || strcmp(filter, "/#") == 0;
    return rest_matches(filter + 1, topic + 1);
}

Test(topic, every_short_filter_matches_what_a_second_definition_says, .timeout = 60)
{
    static const char *const filter_texts[] = {"a", "ab", "$", "", "+", "#"};
    static const char *const topic_texts[] = {"a", "ab", "$", ""};
    struct names *filters = calloc(1, sizeof(*filters));
    struct names *topics = calloc(1, sizeof(*topics));
    add_names(filters, filter_texts, 6, LEVELS_MAX, "", ft_filter_check);
    add_names(topics, topic_texts, 4, LEVELS_MAX, "", ft_topic_check);
    cr_assert_gt(filters->count, 900);
    for (size_t f = 0; f < filters->count; f++)
        for (size_t t = 0; t < topics->count; t++) {
            const char *filter = filters->text[f];
            const char *topic = topics->text[t];
            bool is_hidden = *topic == '$' && (*filter == '+' || *filter == '#');
            cr_assert_eq(ft_filter_matches(ft_slice_str(filter), ft_slice_str(topic)),
                         !is_hidden && rest_matches(filter, topic), "%s on %s", filter, topic);
        }
    free(filters);
    free(topics);
}

/* --- the small ones --- */

Test(topic, a_problem_names_the_topic_and_what_would_be_right)
{
    struct ft_problem problem;
    cr_assert_eq(ft_topic_check(ft_slice_str("a/+"), &problem), FT_ERR_BAD_TOPIC);
    cr_assert_str_eq(problem.text, "topic \"a/+\" holds '+' or '#', which only a filter may");
    cr_assert_eq(ft_filter_check(ft_slice_str("a/#/b"), &problem), FT_ERR_BAD_FILTER);
    cr_assert_str_eq(problem.text, "filter \"a/#/b\" has '#' before its last level");
    cr_assert_eq(ft_filter_check(ft_slice_str("a\tb"), &problem), FT_ERR_BAD_FILTER);
    cr_assert_str_eq(problem.text, "filter \"a\\x09b\" holds the control character U+0009");
    cr_assert_eq(ft_topic_check(ft_slice_str(""), &problem), FT_ERR_BAD_TOPIC);
    cr_assert_str_eq(problem.text, "the topic is empty; it must have 1 to 255 bytes");
}

Test(topic, only_a_filter_without_wildcards_is_exact)
{
    cr_assert(ft_filter_is_exact(ft_slice_str("a/b")));
    cr_assert_not(ft_filter_is_exact(ft_slice_str("a/+")));
    cr_assert_not(ft_filter_is_exact(ft_slice_str("#")));
}

Test(topic, only_a_first_dollar_is_the_brokers)
{
    cr_assert(ft_topic_is_reserved(ft_slice_str("$sys/a")));
    cr_assert_not(ft_topic_is_reserved(ft_slice_str("a/$sys")));
    cr_assert_not(ft_topic_is_reserved(ft_slice_str("")));
}

Test(topic, levels_are_walked_with_the_empty_ones)
{
    static const char *const expected[] = {"a", "", "b", ""};
    struct ft_slice level;
    size_t at = 0, n = 0;
    while (ft_topic_next_level(ft_slice_str("a//b/"), &at, &level)) {
        cr_assert(ft_slice_equal(level, ft_slice_str(expected[n])));
        n++;
    }
    cr_assert_eq(n, 4);
    at = 0;
    cr_assert(ft_topic_next_level(ft_slice_str(""), &at, &level));
    cr_assert_eq(level.len, 0);
    cr_assert_not(ft_topic_next_level(ft_slice_str(""), &at, &level));
}

Test(topic, each_byte_alone_is_judged_by_what_it_is)
{
    for (unsigned byte = 0; byte < 256; byte++) {
        uint8_t name = (uint8_t)byte;
        bool is_text = byte >= 0x20 && byte < 0x7F;
        bool is_wildcard = byte == '+' || byte == '#';
        cr_expect_eq(ft_filter_check(ft_slice(&name, 1), NULL) == FT_OK, is_text, "%02X", byte);
        cr_expect_eq(ft_topic_check(ft_slice(&name, 1), NULL) == FT_OK, is_text && !is_wildcard,
                     "%02X", byte);
    }
}
