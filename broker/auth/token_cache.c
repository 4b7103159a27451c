/*
 * Sets of four places each; a new token goes where the oldest of its set was. One lock, held for some
 * comparisons. A check costs 0.7 to 0.9 µs of CPU with it, identity included; without it HS256 3.4, RS256
 * 21, PS256 24, ES256 69, EdDSA 100 µs (tokens of 220 to 519 bytes). Any thread.
 */
#include "broker/auth/token_cache.h"

#include <openssl/sha.h>
#include <pthread.h>
#include <stdlib.h>

#include "broker/base/alloc.h"

enum {
    SETS = 1024,
    WAYS = 4,
    TOKEN_BYTES_MAX = 2048 /* with SETS * WAYS the claims stay below some 16 MiB */
};

struct set {
    struct ft_token_hash hashes[WAYS];
    struct ft_claims *claims[WAYS]; /* NULL: free */
    unsigned next;
};

struct ft_token_cache {
    pthread_mutex_t lock;
    struct set sets[SETS];
};

struct ft_token_cache *ft_token_cache_new(void)
{
    struct ft_token_cache *cache = ft_alloc_zero(sizeof(*cache));
    pthread_mutex_init(&cache->lock, NULL);
    return cache;
}

void ft_token_cache_free(struct ft_token_cache *cache)
{
    if (!cache)
        return;
    for (size_t i = 0; i < SETS; i++)
        for (size_t k = 0; k < WAYS; k++)
            ft_claims_unref(cache->sets[i].claims[k]);
    pthread_mutex_destroy(&cache->lock);
    free(cache);
}

struct ft_token_hash ft_token_hash(struct ft_slice token)
{
    struct ft_token_hash hash;
    _Static_assert(sizeof(hash.bytes) == SHA256_DIGEST_LENGTH, "a SHA-256");
    SHA256(token.ptr, token.len, hash.bytes);
    return hash;
}

/* The hash is of whole tokens, signature included: who does not have one cannot aim at a set, and
 * nothing is learnt from how long a comparison takes. */
static struct set *set_of(struct ft_token_cache *cache, const struct ft_token_hash *hash)
{
    return &cache->sets[(hash->bytes[0] | (size_t)hash->bytes[1] << 8) % SETS];
}

struct ft_claims *ft_token_cache_find(struct ft_token_cache *cache,
                                      const struct ft_token_hash *hash)
{
    struct set *set = set_of(cache, hash);
    struct ft_claims *found = NULL;
    pthread_mutex_lock(&cache->lock);
    for (size_t k = 0; k < WAYS && !found; k++)
        if (set->claims[k] && memcmp(&set->hashes[k], hash, sizeof(*hash)) == 0)
            found = ft_claims_ref(set->claims[k]);
    pthread_mutex_unlock(&cache->lock);
    return found;
}

void ft_token_cache_add(struct ft_token_cache *cache, const struct ft_token_hash *hash,
                        size_t token_bytes, struct ft_claims *claims)
{
    if (token_bytes > TOKEN_BYTES_MAX)
        return;
    struct set *set = set_of(cache, hash);
    pthread_mutex_lock(&cache->lock);
    struct ft_claims *old = set->claims[set->next];
    set->claims[set->next] = ft_claims_ref(claims);
    set->hashes[set->next] = *hash;
    set->next = (set->next + 1) % WAYS;
    pthread_mutex_unlock(&cache->lock);
    ft_claims_unref(old);
}
