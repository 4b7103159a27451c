/*
 * Measures the index of filters: a million of them, four levels deep, matched against random topics
 * that each have an exact subscriber. Cache misses are the point, so both the order in which filters
 * are added and the order of the topics are random. Prints one line of figures for each of two
 * shapes: `fleet`, where filters share their upper levels as real ones do, and `scattered`, where
 * they share next to nothing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "broker/base/alloc.h"
#include "broker/core/topic_trie.h"

#define FILTERS 1000000u

/* Enough for a stable mean, and half a second at the target of 500 ns. */
#define MATCHES 1000000u

#define TARGET_NS    500.0
#define TARGET_BYTES 200.0

/* One filter in a hundred has a wildcard. */
#define WILDCARD_EVERY 100u

struct name {
    uint8_t len;
    char text[63];
};

static uint64_t state = 0x2545F4914F6CDD1D;

/* xorshift64*: the same filters in every run. */
static uint64_t next_random(void)
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 0x2545F4914F6CDD1D;
}

/* 20 regions × 500 sites × 25 devices × 4 metrics: the i-th of a million. */
static void name_fleet(uint32_t i, struct name *name)
{
    static const char *const metrics[] = {"temp", "power", "state", "alarms"};
    int n = snprintf(name->text, sizeof(name->text), "region-%02u/site-%04u/dev-%05u/%s", i / 50000,
                     i / 100 % 500, i / 4 % 12500, metrics[i % 4]);
    name->len = (uint8_t)n;
}

/* Four levels, each one of a thousand words: the million shares its first level, and little more. */
static void name_scattered(uint32_t i, struct name *name)
{
    uint64_t r = (uint64_t)i * 0x9E3779B97F4A7C15;
    int n = snprintf(name->text, sizeof(name->text), "word%03u/word%03u/word%03u/w%u",
                     (unsigned)(r >> 54) % 1000, (unsigned)(r >> 40) % 1000,
                     (unsigned)(r >> 26) % 1000, i);
    name->len = (uint8_t)n;
}

/* Makes a wildcard of one: `+` for the third level, or `#` for the last. */
static void widen(struct name *name, uint32_t i)
{
    char *last = strrchr(name->text, '/');
    if (i % (2 * WILDCARD_EVERY) == 0) {
        memcpy(last + 1, "#", 2);
        name->len = (uint8_t)(last + 2 - name->text);
        return;
    }
    char tail[sizeof(name->text)];
    int n = snprintf(tail, sizeof(tail), "%s", last);
    *last = '\0';
    char *third = strrchr(name->text, '/') + 1;
    *third = '+';
    memcpy(third + 1, tail, (size_t)n + 1);
    name->len = (uint8_t)(third + 1 + n - name->text);
}

static void shuffle(struct name *names, uint32_t count)
{
    for (uint32_t i = count - 1; i > 0; i--) {
        uint32_t j = (uint32_t)(next_random() % (i + 1));
        struct name swap = names[i];
        names[i] = names[j];
        names[j] = swap;
    }
}

/* CPU time of this thread, so that other work on the machine adds nothing but its cache misses. */
static uint64_t cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static struct ft_slice slice_of(const struct name *name)
{
    return ft_slice(name->text, name->len);
}

struct figures {
    double match_ns, add_ns, remove_ns, bytes_per_filter;
    double sets_per_match;
    size_t bytes_left; /* after everything was removed */
};

static void measure_match(struct ft_topic_trie *trie, const struct name *topics,
                          struct figures *figures)
{
    uint64_t sets_seen = 0;
    uint64_t began = cpu_ns();
    for (uint32_t i = 0; i < MATCHES; i++) {
        const struct ft_trie_set *sets;
        sets_seen += ft_topic_trie_match(trie, slice_of(&topics[i]), &sets);
    }
    figures->match_ns = (double)(cpu_ns() - began) / MATCHES;
    figures->sets_per_match = (double)sets_seen / MATCHES;
}

static struct figures measure(void (*name)(uint32_t, struct name *))
{
    struct figures figures;
    struct name *names = ft_alloc(FILTERS * sizeof(*names));
    struct ft_trie_sub *subs = ft_alloc_zero(FILTERS * sizeof(*subs));
    for (uint32_t i = 0; i < FILTERS; i++) {
        name(i, &names[i]);
        if (i % WILDCARD_EVERY == 0)
            widen(&names[i], i);
    }
    shuffle(names, FILTERS);

    struct ft_topic_trie *trie = ft_topic_trie_new(next_random());
    uint64_t began = cpu_ns();
    for (uint32_t i = 0; i < FILTERS; i++)
        ft_topic_trie_add(trie, slice_of(&names[i]), &subs[i]);
    figures.add_ns = (double)(cpu_ns() - began) / FILTERS;
    figures.bytes_per_filter = (double)ft_topic_trie_bytes(trie) / ft_topic_trie_filters(trie);

    struct name *topics = ft_alloc(MATCHES * sizeof(*topics));
    for (uint32_t i = 0; i < MATCHES; i++) {
        uint32_t pick;
        do
            pick = (uint32_t)(next_random() % FILTERS);
        while (memchr(names[pick].text, '+', names[pick].len) ||
               memchr(names[pick].text, '#', names[pick].len));
        topics[i] = names[pick];
    }
    measure_match(trie, topics, &figures);
    free(topics);

    began = cpu_ns();
    for (uint32_t i = 0; i < FILTERS; i++)
        ft_topic_trie_remove(trie, &subs[(uint64_t)i * 611953 % FILTERS]); /* a prime: each once */
    figures.remove_ns = (double)(cpu_ns() - began) / FILTERS;
    figures.bytes_left = ft_topic_trie_bytes(trie);
    ft_topic_trie_free(trie);
    free(names);
    free(subs);
    return figures;
}

static void print_figures(const char *shape, struct figures figures)
{
    printf("trie_match_ns=%.0f trie_bytes_per_filter=%.0f shape=%s filters=%u sets_per_match=%.2f "
           "add_ns=%.0f remove_ns=%.0f bytes_after_removal=%zu\n",
           figures.match_ns, figures.bytes_per_filter, shape, FILTERS, figures.sets_per_match,
           figures.add_ns, figures.remove_ns, figures.bytes_left);
}

int main(void)
{
    struct figures fleet = measure(name_fleet);
    print_figures("fleet", fleet);
    print_figures("scattered", measure(name_scattered));
    printf("trie: targets of %.0f ns and %.0f bytes a filter: %s\n", TARGET_NS, TARGET_BYTES,
           fleet.match_ns < TARGET_NS && fleet.bytes_per_filter < TARGET_BYTES ? "reached"
                                                                               : "MISSED");
    return 0;
}
