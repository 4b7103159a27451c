/* Looking back by topic, and what the table of topics keeps for it, against a slow twin: a list of all
 * publications that ever were, gone through from the beginning each time. */
#include "broker/base/alloc.h"
#include "broker/core/rewind.h"
#include "protocol/topic.h"
#include "tests/unit/support/input.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#define TOPICS       9
#define PUBLICATIONS 6000
#define SIZE         ((size_t)16 * 1024)

static const char *const topics[TOPICS] = {"a", "a/b", "a/c", "a/b/c", "b", "b/c", "c", "d", "e"};
static const char *const filters[] = {"a", "a/b", "a/+", "a/#", "#", "+", "+/c", "e", "nobody/#"};

/* What the twin knows of a publication. */
struct entry {
    uint32_t topic, history, expires_ds;
    uint32_t size;
    bool is_retained, clears, is_ephemeral;
    bool is_kept; /* beyond the journal, as history */
};

struct twin {
    struct entry entries[PUBLICATIONS + 1]; /* by offset */
    uint64_t head, tail;
    uint64_t retained[TOPICS]; /* offset, 0: none */
    bool is_copied[TOPICS];    /* the retained one, out of the journal */
    uint32_t history[TOPICS];
    uint32_t now_s;
    /* Copies in the order in which they were made. */
    struct {
        uint64_t offset;
        bool is_retained;
    } copies[2 * PUBLICATIONS];
    uint32_t copy_count;
    size_t kept_max;
};

static struct twin twin;
static struct ft_journal *journal;
static struct ft_journal_writer *writer;
static uint64_t state;

static uint64_t below(uint64_t limit)
{
    return ft_input_random(&state, limit);
}

/* ---- the twin ---- */

static bool is_expired(const struct entry *entry, uint32_t now_ds)
{
    return entry->expires_ds != 0 && now_ds >= entry->expires_ds;
}

static size_t copied_bytes(void)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < twin.copy_count; i++)
        bytes += twin.entries[twin.copies[i].offset].size;
    return bytes;
}

static void remove_copy(uint64_t offset, bool is_retained)
{
    for (uint32_t i = 0; i < twin.copy_count; i++) {
        if (twin.copies[i].offset != offset || twin.copies[i].is_retained != is_retained)
            continue;
        twin.copy_count--;
        memmove(&twin.copies[i], &twin.copies[i + 1],
                (twin.copy_count - i) * sizeof(twin.copies[0]));
        return;
    }
    cr_assert_fail("the twin has no copy of %lu", (unsigned long)offset);
}

static void add_copy(uint64_t offset, bool is_retained)
{
    twin.copies[twin.copy_count].offset = offset;
    twin.copies[twin.copy_count++].is_retained = is_retained;
}

static void forget_retained(uint32_t topic)
{
    if (twin.is_copied[topic])
        remove_copy(twin.retained[topic], true);
    twin.retained[topic] = 0;
    twin.is_copied[topic] = false;
}

/* How many of a topic there are from an offset on. */
static uint32_t count_from(uint32_t topic, uint64_t offset)
{
    uint32_t n = 0;
    for (uint64_t o = offset; o <= twin.head; o++)
        n += twin.entries[o].topic == topic && !twin.entries[o].is_ephemeral;
    return n;
}

/* Lets go of the oldest copies of a topic that journal and copies together have too many of. */
static void trim(uint32_t topic)
{
    uint32_t n = count_from(topic, twin.tail + 1);
    for (uint64_t o = 1; o <= twin.tail; o++)
        n += twin.entries[o].topic == topic && twin.entries[o].is_kept;
    for (uint64_t o = 1; o <= twin.tail && n > twin.history[topic]; o++) {
        if (twin.entries[o].topic != topic || !twin.entries[o].is_kept)
            continue;
        twin.entries[o].is_kept = false;
        remove_copy(o, false);
        n--;
    }
}

/* The journal drops the oldest publication. */
static void twin_drop(void)
{
    uint64_t offset = ++twin.tail;
    struct entry *entry = &twin.entries[offset];
    bool is_over = is_expired(entry, twin.now_s * 10);
    if (entry->is_ephemeral)
        return;
    if (count_from(entry->topic, offset) <= twin.history[entry->topic] && !is_over) {
        entry->is_kept = true;
        add_copy(offset, false);
    }
    if (twin.retained[entry->topic] == offset && is_over) {
        forget_retained(entry->topic);
    } else if (twin.retained[entry->topic] == offset) {
        twin.is_copied[entry->topic] = true;
        add_copy(offset, true);
    }
    while (copied_bytes() > twin.kept_max) {
        uint64_t oldest = twin.copies[0].offset;
        if (twin.copies[0].is_retained) {
            forget_retained(twin.entries[oldest].topic);
        } else {
            twin.entries[oldest].is_kept = false;
            remove_copy(oldest, false);
        }
    }
}

static void twin_note(const struct entry *entry)
{
    uint32_t topic = entry->topic;
    twin.entries[++twin.head] = *entry;
    if (entry->is_ephemeral)
        return;
    twin.history[topic] = entry->history;
    trim(topic);
    if (entry->is_retained || entry->clears)
        forget_retained(topic);
    if (entry->is_retained)
        twin.retained[topic] = twin.head;
}

/* Whether the publication is among what a look would find, and as what. */
static bool twin_finds(uint64_t offset, const struct ft_rewind_want *want, bool *is_retained)
{
    const struct entry *entry = &twin.entries[offset];
    if (is_expired(entry, want->now_ds) || entry->is_ephemeral || offset > want->upto)
        return false;
    *is_retained = want->retained && twin.retained[entry->topic] == offset;
    if (*is_retained)
        return true;
    if (want->last == 0 || (offset <= twin.tail && !entry->is_kept))
        return false;
    uint32_t most = want->last, history = twin.history[entry->topic], newer = 0;
    if (history > 0 && history < most)
        most = history;
    for (uint64_t o = offset + 1; o <= want->upto; o++) {
        const struct entry *other = &twin.entries[o];
        newer += other->topic == entry->topic && !is_expired(other, want->now_ds) &&
                 !other->is_ephemeral && (o > twin.tail || other->is_kept);
    }
    return newer < most;
}

/* ---- both ---- */

static void publish(uint32_t now_s)
{
    char json[64];
    struct entry entry = {.topic = (uint32_t)below(TOPICS)};
    if (entry.topic < 4) /* the others have no history of their own */
        entry.history = (uint32_t)below(20) == 0 ? (uint32_t)below(30) : 10 * entry.topic;
    entry.is_retained = below(4) == 0;
    entry.clears = !entry.is_retained && below(10) == 0;
    entry.is_ephemeral = !entry.is_retained && !entry.clears && below(16) == 0;
    entry.expires_ds = below(3) == 0 ? now_s * 10 + 1 + (uint32_t)below(100) : 0;
    int n = snprintf(json, sizeof(json), "\"%.*s\"", (int)below(40),
                     "0123456789012345678901234567890123456789");
    struct ft_publication_spec spec = {
        .encoding = FT_JSON,
        .topic = ft_slice_str(topics[entry.topic]),
        .data = {FT_DATA_JSON, ft_slice(json, (size_t)n)},
        .accepted_s = now_s,
        .expires_ds = entry.expires_ds,
        .history = entry.history,
        .is_retained = entry.is_retained,
        .clears_retained = entry.clears,
        .is_ephemeral = entry.is_ephemeral,
    };
    struct ft_publication *p = ft_journal_build(writer, &spec);
    entry.size = p->size_;
    twin.now_s = now_s;
    cr_assert(ft_journal_append(writer, &p, 1, now_s));
    while (twin.tail < ft_journal_tail(journal))
        twin_drop();
    twin_note(&entry);
    cr_assert_eq(ft_journal_head(journal), twin.head);
}

/* Takes the whole of a snapshot in looks that may stop anywhere, and compares each with the twin. */
static void compare(struct ft_rewind *rewind, struct ft_rewind_want want, uint32_t filter_bits)
{
    uint64_t expected = want.after;
    while (want.after != UINT64_MAX) {
        ft_rewind_begin(rewind, journal, &want);
        for (uint32_t f = 0; f < sizeof(filters) / sizeof(filters[0]); f++) {
            if (filter_bits >> f & 1)
                ft_rewind_add(rewind, ft_slice_str(filters[f]));
        }
        struct ft_pick pick;
        while (below(8) != 0 && ft_rewind_next(rewind, &pick)) {
            const struct ft_publication *p = pick.publication;
            bool is_retained = false, is_found = false;
            while (!is_found && expected < twin.head) {
                const char *topic = topics[twin.entries[++expected].topic];
                for (uint32_t f = 0; f < sizeof(filters) / sizeof(filters[0]); f++)
                    is_found |= filter_bits >> f & 1 &&
                                ft_filter_matches(ft_slice_str(filters[f]), ft_slice_str(topic));
                is_found = is_found && twin_finds(expected, &want, &is_retained);
            }
            cr_assert(is_found, "%lu is not looked for", (unsigned long)p->offset);
            cr_assert_eq(p->offset, expected, "%lu is there, %lu is not", (unsigned long)p->offset,
                         (unsigned long)expected);
            cr_assert_eq(pick.is_retained, is_retained, "offset %lu", (unsigned long)expected);
            cr_assert(ft_slice_equal(ft_publication_topic(p),
                                     ft_slice_str(topics[twin.entries[expected].topic])));
            cr_assert_eq(pick.is_copy, expected <= twin.tail, "offset %lu",
                         (unsigned long)expected);
        }
        want.after = ft_rewind_end(rewind);
    }
    bool is_retained;
    for (expected++; expected <= twin.head; expected++) {
        for (uint32_t f = 0; f < sizeof(filters) / sizeof(filters[0]); f++)
            cr_assert_not(filter_bits >> f & 1 && twin_finds(expected, &want, &is_retained) &&
                              ft_filter_matches(ft_slice_str(filters[f]),
                                                ft_slice_str(topics[twin.entries[expected].topic])),
                          "%lu is missing", (unsigned long)expected);
    }
}

static void check_stats(void)
{
    struct ft_journal_stats stats;
    ft_journal_stats(journal, &stats);
    uint32_t retained = 0;
    for (uint32_t t = 0; t < TOPICS; t++)
        retained += twin.retained[t] != 0;
    cr_assert_eq(stats.topics.retained, retained);
    cr_assert_eq(stats.topics.kept_bytes, copied_bytes());
    cr_assert_leq(stats.topics.kept_bytes, twin.kept_max);
    cr_assert_eq(ft_journal_has_retained(journal), retained > 0);
}

static void run(uint64_t seed, size_t kept_max)
{
    fprintf(stderr, "rewind: seed %lu\n", (unsigned long)seed);
    state = seed;
    memset(&twin, 0, sizeof(twin));
    twin.kept_max = kept_max;
    journal = ft_journal_new(&(struct ft_journal_options){
        .stream = "teststream",
        .size_bytes = SIZE,
        .chunk_bytes = 4096,
        .age_s = 1000000,
        .limits = {.topics = 1000, .retained = 1000, .kept_bytes = kept_max},
        .seed = seed});
    writer = ft_journal_writer_new(journal);
    struct ft_rewind rewind;
    ft_rewind_init(&rewind);
    uint32_t now_s = 1, copies = 0;
    for (uint32_t i = 0; i < PUBLICATIONS; i++) {
        now_s += below(20) == 0;
        publish(now_s);
        check_stats();
        copies += twin.copy_count;
        if (below(20) != 0)
            continue;
        struct ft_rewind_want want = {.upto = twin.head - (below(3) == 0 ? below(twin.head) : 0),
                                      .last = (uint32_t)(below(3) == 0 ? 1000 : below(5)),
                                      .retained = below(2) == 0,
                                      .now_ds = now_s * 10 + (uint32_t)below(30)};
        want.after = below(3) == 0 ? below(twin.head) : 0;
        compare(&rewind, want, (uint32_t)below(512));
    }
    cr_assert_gt(copies, 3 * PUBLICATIONS, "hardly anything was kept beyond the journal");
    ft_rewind_fini(&rewind);
    ft_journal_writer_free(writer);
    ft_journal_free(journal);
}

Test(rewind, finds_what_a_list_of_everything_would, .timeout = 60)
{
    for (uint64_t seed = 1; seed <= 3; seed++)
        run(seed, SIZE_MAX);
}

Test(rewind, the_oldest_copies_go_when_they_take_too_much, .timeout = 60)
{
    for (uint64_t seed = 11; seed <= 13; seed++)
        run(seed, 2000);
}

/* ---- more than one look ---- */

enum { MANY = 10000 };

static uint64_t last_of[MANY], retained_of[MANY];
static bool is_expected[2 * MANY + 1], is_marked[2 * MANY + 1];

static void publish_to_many(uint64_t offset)
{
    char topic[32];
    uint32_t t = (uint32_t)below(MANY);
    struct ft_publication_spec spec = {
        .encoding = FT_JSON,
        .topic = ft_slice(topic, (size_t)snprintf(topic, sizeof(topic), "t/%u", t)),
        .data = {FT_DATA_JSON, ft_slice_str("1")},
        .is_retained = below(2) == 0,
    };
    struct ft_publication *p = ft_journal_build(writer, &spec);
    cr_assert(ft_journal_append(writer, &p, 1, 0));
    is_expected[last_of[t]] = is_marked[last_of[t]];
    last_of[t] = offset;
    is_expected[offset] = true;
    if (!spec.is_retained)
        return;
    is_marked[retained_of[t]] = false;
    is_expected[retained_of[t]] = retained_of[t] == last_of[t];
    retained_of[t] = offset;
    is_marked[offset] = true;
}

/* Takes a look that begins after `after`; returns after which the next one does. */
static uint64_t look(struct ft_rewind *rewind, uint64_t after)
{
    struct ft_rewind_want want = {.after = after, .upto = 2 * MANY, .last = 1, .retained = true};
    struct ft_pick pick;
    uint32_t n = 0;
    ft_rewind_begin(rewind, journal, &want);
    ft_rewind_add(rewind, ft_slice_str("#"));
    ft_rewind_add(rewind, ft_slice_str("t/+"));
    ft_rewind_add(rewind, ft_slice_str("t/17"));
    while (ft_rewind_next(rewind, &pick)) {
        uint64_t offset = pick.publication->offset;
        for (after++; after < offset; after++)
            cr_assert_not(is_expected[after], "%lu is missing", (unsigned long)after);
        cr_assert_eq(after, offset, "%lu comes after %lu", (unsigned long)offset,
                     (unsigned long)after);
        cr_assert(is_expected[offset], "%lu is not looked for", (unsigned long)offset);
        cr_assert_eq(pick.is_retained, is_marked[offset]);
        n++;
    }
    cr_assert_leq(n, FT_REWIND_MAX);
    uint64_t next = ft_rewind_end(rewind);
    cr_assert(next == after || next == UINT64_MAX);
    for (after++; next == UINT64_MAX && after <= 2 * MANY; after++)
        cr_assert_not(is_expected[after], "%lu is missing", (unsigned long)after);
    return next;
}

Test(rewind, a_snapshot_in_several_looks_is_one_sorted_list, .timeout = 60)
{
    state = 20261121;
    journal = ft_journal_new(&(struct ft_journal_options){
        .stream = "teststream", .size_bytes = (size_t)16 << 20, .age_s = 300});
    writer = ft_journal_writer_new(journal);
    for (uint64_t offset = 1; offset <= 2 * MANY; offset++)
        publish_to_many(offset);
    struct ft_rewind rewind;
    ft_rewind_init(&rewind);
    uint32_t looks = 0;
    for (uint64_t after = 0; after != UINT64_MAX; looks++)
        after = look(&rewind, after);
    cr_assert_geq(looks, 3);
    ft_rewind_fini(&rewind);
    ft_journal_writer_free(writer);
    ft_journal_free(journal);
}
