/*
 * Positions of many streams by journal offset, and the other way round. Knows no publications and takes
 * no lock: all of this happens under the journal's.
 */
#include "broker/core/streams.h"

#include "broker/base/alloc.h"

#include "protocol/number.h"

#include <stdatomic.h>
#include <stdlib.h>

/* Journal offsets from one mark to the next: a walk of so many is a matter of nanoseconds, and marks of
 * few streams cost two bytes a publication. */
#define EVERY 64
/* Of many streams as much: so many offsets for each. */
#define EVERY_STREAM 4
/* Marks of streams that are opened, beyond those: all of them some times over, as long as the journal
 * reaches back. Where they are more, the journal's beginning cannot be gone on from. */
#define OPENED(count) (4 * (count) + 16)

/* What a stream has skipped and that is told from what it has lost; then, the oldest is forgotten. */
#define SKIPS 64

/* Offsets between these two were never there. */
struct skipped {
    uint64_t from, upto;
};

/* Lives of one stream that are known; where there are more, the second one is forgotten: with the first. */
#define LIVES 64

/* Where lives begin, in order, the first one at 0. Others read along: it grows at its end alone, and where that does
 * not do there is another one. */
struct ft_lives {
    struct ft_lives *before; /* one that places may know yet */
    _Atomic uint32_t count;
    uint64_t bases[LIVES];
};

struct stream {
    char name[FT_STREAM_NAME_LEN + 1];
    char latest[FT_STREAM_NAME_LEN + 1]; /* the name of its latest life */
    struct ft_lives *lives;
    bool is_open, was_other; /* the latter: under another name before */
    uint64_t seq;            /* at the head */
    uint64_t named, after;   /* journal offset from which it has its name; where it stood before */
    uint64_t whole;          /* since it stood there nothing of it was lost */
    struct skipped skips[SKIPS];
    uint32_t skips_count;
    uint64_t skips_to; /* with the next one that comes; 0: it does not */
};

/* Where all streams stood behind a journal offset. */
struct mark {
    uint64_t offset;
    uint64_t seqs[];
};

struct ft_streams {
    uint32_t count, every;
    bool is_mark_due;            /* one was opened */
    uint64_t kept, head, marked; /* the latter: where the latest mark is */
    uint64_t of_mask;
    uint16_t *of; /* whose an offset is */
    uint64_t first, end, cap;
    uint64_t *marks;        /* number n at (n % cap) */
    struct ft_lives *lives; /* all that there ever were */
    struct stream streams[];
};

/* ---- lives ---- */

static uint32_t lives_count(const struct ft_lives *lives)
{
    return atomic_load_explicit(&lives->count, memory_order_acquire);
}

/* Returns the number of the life that an offset is of: the last one that begins before it, or there. */
static uint32_t life_at(const struct ft_lives *lives, uint64_t seq)
{
    uint32_t n = lives_count(lives) - 1;
    while (n > 0 && lives->bases[n] > seq)
        n--;
    return n;
}

static struct ft_lives *lives_new(struct ft_streams *s)
{
    struct ft_lives *lives = ft_alloc_zero(sizeof(*lives));
    atomic_init(&lives->count, 1);
    lives->before = s->lives;
    s->lives = lives;
    return lives;
}

/* Returns lives with one more, number `at`: where there is no room, without the second one. */
static struct ft_lives *lives_with(struct ft_streams *s, const struct ft_lives *lives, uint32_t at,
                                   uint64_t base)
{
    struct ft_lives *more = lives_new(s);
    uint32_t count = lives_count(lives), n = 0;
    for (uint32_t i = 0; i <= count; i++) {
        bool is_dropped = count == LIVES && i == 1;
        if (!is_dropped)
            more->bases[n++] = i < at ? lives->bases[i] : i == at ? base : lives->bases[i - 1];
    }
    atomic_store_explicit(&more->count, n, memory_order_release);
    return more;
}

void ft_streams_life(struct ft_streams *s, uint32_t index, const char *name, uint64_t base)
{
    FT_ASSERT(index < s->count);
    struct stream *stream = &s->streams[index];
    if (!stream->is_open || memcmp(stream->name, name, FT_STREAM_NAME_LEN) != 0)
        return;
    struct ft_lives *lives = stream->lives;
    uint32_t count = lives_count(lives), at = life_at(lives, base) + 1;
    if (lives->bases[at - 1] == base || (count == LIVES && at == 1))
        return;
    if (at == count && count < LIVES) {
        lives->bases[at] = base;
        atomic_store_explicit(&lives->count, count + 1, memory_order_release);
    } else
        stream->lives = lives_with(s, lives, at, base);
    ft_stream_name_life(stream->name, stream->lives->bases[lives_count(stream->lives) - 1],
                        stream->latest);
}

uint64_t ft_streams_life_of(const struct ft_streams *s, uint32_t index, uint64_t seq,
                            char name[FT_STREAM_NAME_LEN + 1])
{
    FT_ASSERT(index < s->count && s->streams[index].is_open);
    const struct stream *stream = &s->streams[index];
    uint32_t n = life_at(stream->lives, seq);
    if (n == lives_count(stream->lives) - 1)
        memcpy(name, stream->latest, sizeof(stream->latest));
    else
        ft_stream_name_life(stream->name, stream->lives->bases[n], name);
    return stream->lives->bases[n];
}

size_t ft_place_print(const struct ft_place *place, char text[FT_POS_LEN_MAX])
{
    char name[FT_STREAM_NAME_LEN + 1];
    uint64_t base = place->lives ? place->lives->bases[life_at(place->lives, place->seq)] : 0;
    ft_stream_name_life(place->stream, base, name);
    memcpy(text, name, FT_STREAM_NAME_LEN);
    text[FT_STREAM_NAME_LEN] = '.';
    return FT_STREAM_NAME_LEN + 1 + ft_uint_print(place->seq - base, text + FT_STREAM_NAME_LEN + 1);
}

/* ---- marks ---- */

static struct mark *mark_at(const struct ft_streams *s, uint64_t n)
{
    return (struct mark *)(s->marks + n % s->cap * (1 + s->count));
}

/* Marks where the streams stand now. */
static void add_mark(struct ft_streams *s)
{
    if (s->end == s->first || mark_at(s, s->end - 1)->offset != s->head)
        s->end++;
    /* The first one is the last that is not after what is kept. */
    while (s->end - s->first > s->cap ||
           (s->end - s->first > 1 && mark_at(s, s->first + 1)->offset + s->kept <= s->head))
        s->first++;
    struct mark *mark = mark_at(s, s->end - 1);
    mark->offset = s->marked = s->head;
    for (uint32_t i = 0; i < s->count; i++)
        mark->seqs[i] = s->streams[i].seq;
}

struct ft_streams *ft_streams_new(uint32_t count, uint64_t kept)
{
    FT_ASSERT(count >= 1 && count <= FT_PARTITIONS_MAX);
    struct ft_streams *s = ft_alloc_zero(sizeof(*s) + count * sizeof(s->streams[0]));
    s->count = count;
    s->kept = kept;
    s->every = EVERY > EVERY_STREAM * count ? EVERY : EVERY_STREAM * count;
    /* The first mark may be that far before what is kept. */
    uint64_t slots = 1;
    while (slots < kept + 2 * (uint64_t)s->every)
        slots *= 2;
    s->of_mask = slots - 1;
    s->of = calloc(slots, sizeof(*s->of)); /* untouched pages cost nothing */
    s->cap = kept / s->every + 2 + OPENED(count);
    s->marks = calloc(s->cap * (1 + count), sizeof(*s->marks));
    FT_ASSERT(s->of && s->marks);
    add_mark(s);
    return s;
}

void ft_streams_free(struct ft_streams *s)
{
    if (!s)
        return;
    free(s->of);
    free(s->marks);
    for (struct ft_lives *lives = s->lives, *before; lives; lives = before) {
        before = lives->before;
        free(lives);
    }
    free(s);
}

const char *ft_streams_name(const struct ft_streams *s, uint32_t index)
{
    FT_ASSERT(index < s->count);
    return s->streams[index].name;
}

void ft_streams_open(struct ft_streams *s, uint32_t index, const char *name, uint64_t after,
                     uint64_t head)
{
    FT_ASSERT(index < s->count && head == s->head);
    struct stream *stream = &s->streams[index];
    stream->skips_to = 0;
    bool is_same = stream->is_open && memcmp(stream->name, name, FT_STREAM_NAME_LEN) == 0;
    if (is_same && after == stream->seq)
        return; /* nothing was lost */
    stream->whole = after;
    stream->skips_count = 0;
    if (!is_same || after < stream->seq) {
        stream->was_other = stream->is_open;
        stream->named = head + 1;
        stream->after = after;
        memcpy(stream->name, name, FT_STREAM_NAME_LEN);
    }
    if (!is_same) {
        stream->lives = lives_new(s);
        memcpy(stream->latest, stream->name, sizeof(stream->latest));
    }
    stream->is_open = true;
    stream->seq = after;
    s->is_mark_due =
        true; /* until then it has not happened: who goes on from here comes past the gap */
}

void ft_streams_skip(struct ft_streams *s, uint32_t index, uint64_t after, uint64_t head)
{
    FT_ASSERT(index < s->count && head == s->head);
    struct stream *stream = &s->streams[index];
    FT_ASSERT(stream->is_open && after >= stream->seq);
    if (stream->skips_count == SKIPS) {
        if (stream->whole < stream->skips[0].upto)
            stream->whole = stream->skips[0].upto;
        memmove(stream->skips, stream->skips + 1, --stream->skips_count * sizeof(stream->skips[0]));
    }
    stream->skips[stream->skips_count++] = (struct skipped){stream->seq, after};
    stream->skips_to = after;
}

void ft_streams_note(struct ft_streams *s, uint32_t index, uint64_t offset)
{
    s->head = offset;
    s->of[offset & s->of_mask] = (uint16_t)index;
    if (index != FT_STREAM_NONE) {
        FT_ASSERT(index < s->count && s->streams[index].is_open);
        struct stream *stream = &s->streams[index];
        bool skips = stream->skips_to != 0;
        stream->seq = (skips ? stream->skips_to : stream->seq) + 1;
        stream->skips_to = 0;
        s->is_mark_due = s->is_mark_due || skips;
    }
    if (s->is_mark_due || offset - s->marked >= s->every)
        add_mark(s);
    s->is_mark_due = false;
}

void ft_streams_doubt(struct ft_streams *s, uint32_t index)
{
    FT_ASSERT(index < s->count);
    s->streams[index].whole = s->streams[index].seq;
}

/* Returns the number of the last mark at or before `at`, or of the first one. */
static uint64_t last_mark(const struct ft_streams *s, uint64_t at)
{
    uint64_t low = s->first, high = s->end;
    while (high - low > 1) {
        uint64_t middle = low + (high - low) / 2;
        if (mark_at(s, middle)->offset <= at)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* Returns where a stream is said to stand at an offset before it was opened. There is nothing of it, so where
 * it began. Where it took another's place, that would keep quiet about the rest of the other one: so at the
 * very beginning, which is gone, as who goes on from there is told. */
static uint64_t seq_before(const struct stream *stream)
{
    return stream->was_other ? 0 : stream->after;
}

uint32_t ft_streams_places(const struct ft_streams *s, const struct ft_partition_set *set,
                           uint64_t at, struct ft_place *places)
{
    uint64_t seqs[FT_PARTITIONS_MAX];
    const struct mark *mark = mark_at(s, last_mark(s, at));
    memcpy(seqs, mark->seqs, s->count * sizeof(seqs[0]));
    for (uint64_t o = mark->offset + 1; o <= at && o <= s->head; o++) {
        uint16_t of = s->of[o & s->of_mask];
        if (of != FT_STREAM_NONE)
            seqs[of]++;
    }
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        const struct stream *stream = &s->streams[i];
        if (!stream->is_open || (set && !ft_partition_set_has(set, i)))
            continue;
        struct ft_place *place = &places[n++];
        place->index = i;
        place->seq = seqs[i];
        place->is_later = at < stream->named && !stream->was_other;
        if (at < stream->named || at < mark->offset)
            place->seq = seq_before(stream);
        place->lives = stream->lives;
        memcpy(place->stream, stream->name, sizeof(place->stream));
    }
    return n;
}

size_t ft_streams_print(const struct ft_streams *s, uint64_t at, char text[FT_PLACES_LEN_MAX])
{
    struct ft_place places[FT_PARTITIONS_MAX];
    uint32_t n = ft_streams_places(s, NULL, at, places);
    size_t len = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (places[i].is_later)
            continue; /* so that it does not matter when it is asked for */
        if (len > 0)
            text[len++] = ',';
        len += ft_place_print(&places[i], text + len);
    }
    return len;
}

/* What a position stands for. */
struct named {
    enum ft_found found; /* FT_FOUND, or why it stands for nothing */
    uint32_t index;
    uint64_t seq;
    bool is_beyond; /* the life did not last so long */
};

/* Reads an offset of life number `n`. */
static struct named in_life(const struct stream *stream, uint32_t index, uint32_t n,
                            uint64_t offset)
{
    const uint64_t *bases = stream->lives->bases;
    uint64_t seq = offset < UINT64_MAX - bases[n] ? bases[n] + offset : UINT64_MAX;
    bool is_beyond = n + 1 < lives_count(stream->lives) && seq >= bases[n + 1];
    return (struct named){FT_FOUND, index, is_beyond ? bases[n + 1] - 1 : seq, is_beyond};
}

static struct named find_name(const struct ft_streams *s, struct ft_slice name, uint64_t offset)
{
    struct named named = {.found = FT_FOUND_UNKNOWN};
    for (uint32_t i = 0; name.len == FT_STREAM_NAME_LEN && i < s->count; i++) {
        const struct stream *stream = &s->streams[i];
        if (!stream->is_open || !ft_stream_may_be_life(stream->name, name))
            continue;
        for (uint32_t n = lives_count(stream->lives); n > 0; n--) {
            char life[FT_STREAM_NAME_LEN + 1];
            ft_stream_name_life(stream->name, stream->lives->bases[n - 1], life);
            if (memcmp(life, name.ptr, name.len) == 0)
                return in_life(stream, i, n - 1, offset);
        }
        if (ft_stream_is_later(name, stream->lives->bases[lives_count(stream->lives) - 1]))
            named = (struct named){.found = FT_FOUND_LATER, .index = i};
    }
    return named;
}

uint64_t ft_streams_inner(const struct ft_streams *s, struct ft_slice name, uint64_t offset)
{
    return find_name(s, name, offset).seq;
}

/* Returns the number of the last mark at which the stream had its name and stood at `seq` at most, or of
 * the first one at which it had its name. */
static uint64_t mark_of(const struct ft_streams *s, uint32_t index, uint64_t seq)
{
    uint64_t low = last_mark(s, s->streams[index].named), high = s->end;
    while (high - low > 1) {
        uint64_t middle = low + (high - low) / 2;
        if (mark_at(s, middle)->seqs[index] <= seq)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* Finds the greatest offset at which the stream stood at `seq` at most; where it jumps over `seq`, that of the
 * jump. Returns false where marks do not reach back to it: then it is the first mark's. */
static bool search(const struct ft_streams *s, uint32_t index, uint64_t seq, uint64_t *at)
{
    uint64_t n = mark_of(s, index, seq);
    const struct mark *mark = mark_at(s, n);
    uint64_t end = n + 1 < s->end ? mark_at(s, n + 1)->offset : s->head;
    uint64_t stands = mark->seqs[index], o = mark->offset;
    const struct stream *stream = &s->streams[index];
    *at = o;
    if (stands > seq && o == stream->named) { /* where it begins */
        *at = o - 1;
        return seq >= stream->after;
    }
    if (stands > seq)
        return false;
    while (o < end && stands <= seq) {
        *at = o++;
        stands += s->of[o & s->of_mask] == index;
    }
    if (stands <= seq && n + 1 == s->end)
        *at = end;
    return true;
}

/* Puts a position that was skipped where that began. False: the stream never stood there. */
static bool unskip(const struct stream *stream, uint64_t *seq)
{
    for (uint32_t i = 0; i < stream->skips_count; i++) {
        const struct skipped *skipped = &stream->skips[i];
        if (*seq <= skipped->from || *seq > skipped->upto)
            continue;
        bool was_there = *seq == skipped->upto;
        *seq = skipped->from;
        return was_there;
    }
    return true;
}

/* Says whether the stream stood at `seq` or beyond, at an offset. */
static bool has_come_to(const struct ft_streams *s, uint32_t index, uint64_t seq, uint64_t at)
{
    const struct mark *mark = mark_at(s, last_mark(s, at));
    uint64_t stands = mark->seqs[index];
    for (uint64_t o = mark->offset + 1; o <= at && stands < seq; o++)
        stands += s->of[o & s->of_mask] == index;
    return at >= s->streams[index].named && stands >= seq;
}

enum ft_found ft_streams_find(const struct ft_streams *s, struct ft_slice name, uint64_t seq,
                              uint64_t tail, uint64_t upto, uint32_t *index, uint64_t *at)
{
    *at = upto = upto < s->head ? upto : s->head;
    struct named named = find_name(s, name, seq);
    if (named.found != FT_FOUND)
        return named.found;
    const struct stream *stream = &s->streams[named.index];
    *index = named.index;
    seq = named.seq;
    bool was_there = unskip(stream, &seq) && !named.is_beyond;
    if (seq > stream->seq || (upto < s->head && !has_come_to(s, *index, seq, upto)))
        return FT_FOUND_AHEAD;
    if (seq == stream->seq || s->head < stream->named)
        return was_there && seq == stream->seq ? FT_FOUND : FT_FOUND_GONE;
    bool is_whole = search(s, *index, seq, at) && *at >= tail && seq >= stream->whole && was_there;
    if (*at < tail)
        *at = tail;
    if (*at > upto)
        *at = upto;
    return is_whole ? FT_FOUND : FT_FOUND_GONE;
}
