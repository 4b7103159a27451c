/*
 * Quotas: a hash table in shards with a lock each, which is taken to find or give back a share, once
 * a connection. What happens per publish touches the share alone, without a lock. Reads no clock: it
 * knows the time from those who ask. Any thread.
 */
#include "broker/hub/quota.h"

#include "broker/base/alloc.h"
#include "broker/core/hash.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/random.h>

/* Enough that as many workers hardly meet. */
#define SHARD_BITS 6
#define SHARDS     (1u << SHARD_BITS)

/* Idle shares of one shard. */
#define IDLE_MAX (FT_QUOTA_IDLE_MAX / SHARDS)
/* Idle shares that are looked at whenever one is added: more than come, so they go. */
#define SWEEP 2

#define BUCKETS_FIRST 8

#define NS_PER_S  UINT64_C(1000000000)
#define NS_PER_MS UINT64_C(1000000)

/* How stale the time of the table may be before whoever passes brings it up to date: the word is
 * shared by all workers, and is written as rarely as that. */
#define NOW_STEP_NS (100 * NS_PER_MS)

/* An address, or what stands for a user's name of any length: two hashes with keys of their own. */
struct key {
    uint64_t words[2];
    enum ft_quota_kind kind;
};

struct ft_quota_share {
    _Atomic uint64_t arrival_ns[FT_QUOTA_RATES]; /* theoretical, of the next one; 0: never */
    _Atomic uint32_t held[FT_QUOTA_HELD];
    struct ft_quotas *quotas;
    struct shard *shard;
    struct key key;
    /* The shard's, under its lock: */
    uint32_t refs;
    struct ft_quota_share *next;                  /* in its bucket */
    struct ft_quota_share *idle_next, *idle_prev; /* while nobody holds it */
};

struct shard {
    pthread_mutex_t lock;
    struct ft_quota_share **buckets;
    uint32_t mask; /* buckets - 1 */
    uint32_t count, idle_count;
    struct ft_quota_share *idle_first, *idle_last; /* the longest idle comes first */
} __attribute__((aligned(64)));

struct ft_quotas {
    struct shard shards[SHARDS];
    struct ft_hash_keys keys[2];
    _Atomic bool is_limited[FT_QUOTA_KINDS];
    _Atomic uint64_t now_ns; /* about: see NOW_STEP_NS */
    _Atomic uint32_t held_limits[FT_QUOTA_KINDS][FT_QUOTA_HELD];
    _Atomic uint32_t rate_limits[FT_QUOTA_KINDS][FT_QUOTA_RATES];
    _Atomic uint64_t held_refused[FT_QUOTA_KINDS][FT_QUOTA_HELD];
    _Atomic uint64_t rate_refused[FT_QUOTA_KINDS][FT_QUOTA_RATES];
};

static const char *const kind_names[FT_QUOTA_KINDS] = {"an address", "a user"};
static const char *const held_names[FT_QUOTA_HELD] = {"connections", "subscriptions"};
static const char *const rate_names[FT_QUOTA_RATES] = {"connect", "publish", "send a request"};

static const char *const held_options[FT_QUOTA_KINDS][FT_QUOTA_HELD] = {
    {"limits.address_connections", "limits.address_subscriptions"},
    {"limits.user_connections", "limits.user_subscriptions"},
};

static const char *const rate_options[FT_QUOTA_KINDS][FT_QUOTA_RATES] = {
    {"limits.address_connects", "limits.address_publishes", "limits.address_requests"},
    {NULL, "limits.user_publishes", "limits.user_requests"},
};

const char *ft_quota_held_option(enum ft_quota_kind kind, enum ft_quota_held what)
{
    return held_options[kind][what];
}

const char *ft_quota_rate_option(enum ft_quota_kind kind, enum ft_quota_rate what)
{
    return rate_options[kind][what];
}

/* ---- the table ---- */

struct ft_quotas *ft_quotas_new(const struct ft_quota_limits *limits)
{
    struct ft_quotas *quotas = ft_alloc_aligned(_Alignof(struct ft_quotas), sizeof(*quotas));
    memset(quotas, 0, sizeof(*quotas));
    uint64_t seeds[2];
    FT_ASSERT(getrandom(seeds, sizeof(seeds), 0) == sizeof(seeds));
    ft_hash_keys_init(&quotas->keys[0], seeds[0]);
    ft_hash_keys_init(&quotas->keys[1], seeds[1]);
    for (uint32_t i = 0; i < SHARDS; i++) {
        struct shard *shard = &quotas->shards[i];
        pthread_mutex_init(&shard->lock, NULL);
        shard->buckets = ft_alloc_zero(BUCKETS_FIRST * sizeof(struct ft_quota_share *));
        shard->mask = BUCKETS_FIRST - 1;
    }
    ft_quotas_configure(quotas, limits);
    return quotas;
}

void ft_quotas_configure(struct ft_quotas *quotas, const struct ft_quota_limits *limits)
{
    for (int kind = 0; kind < FT_QUOTA_KINDS; kind++) {
        bool is_limited = false;
        for (int what = 0; what < FT_QUOTA_HELD; what++) {
            atomic_store(&quotas->held_limits[kind][what], limits->held[kind][what]);
            is_limited = is_limited || limits->held[kind][what] > 0;
        }
        for (int what = 0; what < FT_QUOTA_RATES; what++) {
            atomic_store(&quotas->rate_limits[kind][what], limits->rates[kind][what]);
            is_limited = is_limited || limits->rates[kind][what] > 0;
        }
        atomic_store(&quotas->is_limited[kind], is_limited);
    }
}

/* The top bits choose the shard, the bottom bits the bucket. */
static uint64_t hash_of(const struct ft_quotas *quotas, const struct key *key)
{
    uint64_t state = quotas->keys[0].words[0] ^ (uint64_t)key->kind;
    return ft_hash_on(&quotas->keys[0], state, ft_slice(key->words, sizeof(key->words)));
}

static struct ft_quota_share **bucket_of(const struct shard *shard, uint64_t hash)
{
    return &shard->buckets[hash & shard->mask];
}

static bool is_same(const struct key *a, const struct key *b)
{
    return a->words[0] == b->words[0] && a->words[1] == b->words[1] && a->kind == b->kind;
}

static void grow(struct ft_quotas *quotas, struct shard *shard)
{
    struct ft_quota_share **old = shard->buckets;
    uint32_t old_mask = shard->mask;
    shard->mask = 2 * old_mask + 1;
    shard->buckets = ft_alloc_zero(((size_t)shard->mask + 1) * sizeof(struct ft_quota_share *));
    for (uint32_t i = 0; i <= old_mask; i++) {
        struct ft_quota_share *next;
        for (struct ft_quota_share *share = old[i]; share; share = next) {
            next = share->next;
            struct ft_quota_share **bucket = bucket_of(shard, hash_of(quotas, &share->key));
            share->next = *bucket;
            *bucket = share;
        }
    }
    free(old);
}

static struct ft_quota_share *find(const struct shard *shard, uint64_t hash, const struct key *key)
{
    struct ft_quota_share *share = *bucket_of(shard, hash);
    while (share && !is_same(&share->key, key))
        share = share->next;
    return share;
}

static struct ft_quota_share *add(struct ft_quotas *quotas, struct shard *shard, uint64_t hash,
                                  const struct key *key)
{
    if (shard->count > shard->mask)
        grow(quotas, shard);
    struct ft_quota_share *share = ft_alloc_zero(sizeof(*share));
    struct ft_quota_share **bucket = bucket_of(shard, hash);
    share->quotas = quotas;
    share->shard = shard;
    share->key = *key;
    share->next = *bucket;
    *bucket = share;
    shard->count++;
    return share;
}

static void drop(struct ft_quota_share *share)
{
    struct shard *shard = share->shard;
    struct ft_quota_share **at = bucket_of(shard, hash_of(share->quotas, &share->key));
    while (*at != share)
        at = &(*at)->next;
    *at = share->next;
    shard->count--;
    free(share);
}

/* ---- shares that nobody holds ---- */

static void idle_add(struct shard *shard, struct ft_quota_share *share)
{
    share->idle_next = NULL;
    share->idle_prev = shard->idle_last;
    if (shard->idle_last)
        shard->idle_last->idle_next = share;
    else
        shard->idle_first = share;
    shard->idle_last = share;
    shard->idle_count++;
}

static void idle_remove(struct shard *shard, struct ft_quota_share *share)
{
    if (share->idle_prev)
        share->idle_prev->idle_next = share->idle_next;
    else
        shard->idle_first = share->idle_next;
    if (share->idle_next)
        share->idle_next->idle_prev = share->idle_prev;
    else
        shard->idle_last = share->idle_prev;
    shard->idle_count--;
}

static void drop_first_idle(struct shard *shard)
{
    struct ft_quota_share *share = shard->idle_first;
    idle_remove(shard, share);
    FT_ASSERT(shard->idle_first != share);
    drop(share);
}

/* Says whether a share is like a new one: every rate is full. */
static bool is_fresh(const struct ft_quota_share *share)
{
    uint64_t now_ns = atomic_load_explicit(&share->quotas->now_ns, memory_order_relaxed);
    for (int what = 0; what < FT_QUOTA_RATES; what++)
        if (atomic_load_explicit(&share->arrival_ns[what], memory_order_relaxed) > now_ns)
            return false;
    return true;
}

static void sweep(struct shard *shard)
{
    for (int i = 0; i < SWEEP && shard->idle_first; i++) {
        if (shard->idle_count <= IDLE_MAX && !is_fresh(shard->idle_first))
            return;
        drop_first_idle(shard);
    }
}

void ft_quotas_free(struct ft_quotas *quotas)
{
    if (!quotas)
        return;
    for (uint32_t i = 0; i < SHARDS; i++) {
        struct shard *shard = &quotas->shards[i];
        FT_ASSERT(shard->count == shard->idle_count);
        while (shard->idle_first)
            drop_first_idle(shard);
        free(shard->buckets);
        pthread_mutex_destroy(&shard->lock);
    }
    free(quotas);
}

/* ---- shares ---- */

/* Returns what an address counts as: IPv4 in its 16 bytes is whole, IPv6 is its network. */
static struct key address_key(struct ft_slice address)
{
    static const uint8_t v4[12] = {[10] = 0xFF, [11] = 0xFF};
    struct key key = {.kind = FT_QUOTA_ADDRESS};
    FT_ASSERT(address.len == sizeof(key.words));
    bool is_v4 = memcmp(address.ptr, v4, sizeof(v4)) == 0;
    memcpy(key.words, address.ptr, is_v4 ? sizeof(key.words) : sizeof(key.words[0]));
    return key;
}

static struct key user_key(const struct ft_quotas *quotas, struct ft_slice user)
{
    return (struct key){
        .words = {ft_hash(&quotas->keys[0], user), ft_hash(&quotas->keys[1], user)},
        .kind = FT_QUOTA_USER,
    };
}

struct ft_quota_share *ft_quota_share(struct ft_quotas *quotas, enum ft_quota_kind kind,
                                      struct ft_slice name)
{
    if (!quotas || !name.ptr || !atomic_load(&quotas->is_limited[kind]))
        return NULL;
    struct key key = kind == FT_QUOTA_ADDRESS ? address_key(name) : user_key(quotas, name);
    uint64_t hash = hash_of(quotas, &key);
    struct shard *shard = &quotas->shards[hash >> (64 - SHARD_BITS)];
    pthread_mutex_lock(&shard->lock);
    struct ft_quota_share *share = find(shard, hash, &key);
    if (!share)
        share = add(quotas, shard, hash, &key);
    else if (share->refs == 0)
        idle_remove(shard, share);
    share->refs++;
    pthread_mutex_unlock(&shard->lock);
    return share;
}

void ft_quota_release(struct ft_quota_share *share)
{
    if (!share)
        return;
    struct shard *shard = share->shard;
    pthread_mutex_lock(&shard->lock);
    if (--share->refs == 0) {
        for (int what = 0; what < FT_QUOTA_HELD; what++)
            FT_ASSERT(atomic_load(&share->held[what]) == 0);
        if (is_fresh(share))
            drop(share);
        else
            idle_add(shard, share);
        sweep(shard);
    }
    pthread_mutex_unlock(&shard->lock);
}

/* ---- taking and passing ---- */

static void count(_Atomic uint64_t *refused)
{
    atomic_fetch_add_explicit(refused, 1, memory_order_relaxed);
}

static enum ft_err refuse_held(enum ft_quota_kind kind, enum ft_quota_held what, uint32_t limit,
                               struct ft_problem *problem)
{
    enum ft_err err =
        ft_problem_set(problem, FT_ERR_TOO_MANY, "%s may have %u %s at most (%s)", kind_names[kind],
                       limit, held_names[what], held_options[kind][what]);
    if (problem && what == FT_QUOTA_CONNECTIONS)
        problem->retry_ms = FT_QUOTA_RETRY_MS;
    return err;
}

enum ft_err ft_quota_take(struct ft_quota_share *share, enum ft_quota_held what, uint32_t n,
                          struct ft_problem *problem)
{
    if (!share)
        return FT_OK;
    struct ft_quotas *quotas = share->quotas;
    enum ft_quota_kind kind = share->key.kind;
    uint32_t limit = atomic_load_explicit(&quotas->held_limits[kind][what], memory_order_relaxed);
    uint32_t have = atomic_load_explicit(&share->held[what], memory_order_relaxed);
    do {
        if (limit > 0 && (uint64_t)have + n > limit) {
            count(&quotas->held_refused[kind][what]);
            return refuse_held(kind, what, limit, problem);
        }
    } while (!atomic_compare_exchange_weak(&share->held[what], &have, have + n));
    return FT_OK;
}

void ft_quota_give(struct ft_quota_share *share, enum ft_quota_held what, uint32_t n)
{
    if (share)
        FT_ASSERT(atomic_fetch_sub(&share->held[what], n) >= n);
}

/* Lets the table know the time, about. */
static void note_time(struct ft_quotas *quotas, uint64_t now_ns)
{
    if (now_ns >= atomic_load_explicit(&quotas->now_ns, memory_order_relaxed) + NOW_STEP_NS)
        atomic_store_explicit(&quotas->now_ns, now_ns, memory_order_relaxed);
}

static enum ft_err refuse_rate(struct ft_quota_share *share, enum ft_quota_rate what,
                               uint32_t limit, struct ft_problem *problem)
{
    enum ft_quota_kind kind = share->key.kind;
    count(&share->quotas->rate_refused[kind][what]);
    return ft_problem_set(problem, FT_ERR_TOO_MANY, "%s may %s %u times a second at most (%s)",
                          kind_names[kind], rate_names[what], limit, rate_options[kind][what]);
}

enum ft_err ft_quota_pass(struct ft_quota_share *share, enum ft_quota_rate what, uint64_t now_us,
                          uint32_t *retry_ms, struct ft_problem *problem)
{
    if (!share)
        return FT_OK;
    struct ft_quotas *quotas = share->quotas;
    uint32_t limit =
        atomic_load_explicit(&quotas->rate_limits[share->key.kind][what], memory_order_relaxed);
    if (limit == 0)
        return FT_OK;
    uint64_t now_ns = now_us * 1000;
    note_time(quotas, now_ns);

    /* One that comes `limit` times too early is the last of a burst. */
    uint64_t interval_ns = limit < NS_PER_S ? NS_PER_S / limit : 1;
    uint64_t latest_ns = now_ns + interval_ns * limit;
    uint64_t before = atomic_load_explicit(&share->arrival_ns[what], memory_order_relaxed), after;
    do {
        after = (before > now_ns ? before : now_ns) + interval_ns;
        if (after > latest_ns) {
            if (retry_ms)
                *retry_ms = (uint32_t)((after - latest_ns + NS_PER_MS - 1) / NS_PER_MS);
            return refuse_rate(share, what, limit, problem);
        }
    } while (!atomic_compare_exchange_weak(&share->arrival_ns[what], &before, after));
    return FT_OK;
}

void ft_quotas_stats(struct ft_quotas *quotas, struct ft_quota_stats *stats)
{
    *stats = (struct ft_quota_stats){0};
    for (int kind = 0; kind < FT_QUOTA_KINDS; kind++) {
        for (int what = 0; what < FT_QUOTA_HELD; what++)
            stats->held[kind][what] = atomic_load(&quotas->held_refused[kind][what]);
        for (int what = 0; what < FT_QUOTA_RATES; what++)
            stats->rates[kind][what] = atomic_load(&quotas->rate_refused[kind][what]);
    }
    for (uint32_t i = 0; i < SHARDS; i++) {
        pthread_mutex_lock(&quotas->shards[i].lock);
        stats->shares += quotas->shards[i].count;
        pthread_mutex_unlock(&quotas->shards[i].lock);
    }
}
