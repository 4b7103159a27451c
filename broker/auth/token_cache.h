/*
 * Remembers tokens whose signatures were verified, so that a backend that sends one with each request does
 * not pay for it each time. Only their SHA-256 is kept. Bounded: 4,096 tokens of up to 2 KiB.
 *
 * Whoever finds a token here still has to look at the time. A cache belongs to one set of keys and goes
 * with it. Any number of threads.
 */
#ifndef FT_AUTH_TOKEN_CACHE_H
#define FT_AUTH_TOKEN_CACHE_H

#include "broker/auth/claims.h"

struct ft_token_cache;

/* The name of a token in the cache. */
struct ft_token_hash {
    uint8_t bytes[32];
};

struct ft_token_cache *ft_token_cache_new(void);
void ft_token_cache_free(struct ft_token_cache *cache); /* NULL is allowed */

struct ft_token_hash ft_token_hash(struct ft_slice token);

/* Returns a new reference to the claims of a token, or NULL. */
struct ft_claims *ft_token_cache_find(struct ft_token_cache *cache,
                                      const struct ft_token_hash *hash);

/* Puts a verified token there, in another's place where there is no room; takes a reference of its own.
 * Does nothing with one that is too long. */
void ft_token_cache_add(struct ft_token_cache *cache, const struct ft_token_hash *hash,
                        size_t token_bytes, struct ft_claims *claims);

#endif
