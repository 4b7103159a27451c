/*
 * API keys of backends, from a file of one line each; '#' begins a comment:
 *
 *     NAME sha256:<64 hex digits> [admin] [pub=FILTER]… [sub=FILTER]…
 *
 * The name is what the key's user is; %u in a filter stands for it. A key with no filter may publish and
 * subscribe to everything but $sys, which is an admin's; with one filter or more it may do what they say.
 * A filter with white space cannot be written here. A name may have several lines, so that a key can be
 * replaced without a break.
 *
 * A key is "fk_" and 43 characters of base64url: 256 bits from a random generator. Nobody guesses these,
 * so the file holds one SHA-256 of the text, and no slow hash is needed, which would only protect what
 * people make up. `fantail apikey` makes both. Immutable; any thread.
 */
#ifndef FT_AUTH_API_KEYS_H
#define FT_AUTH_API_KEYS_H

#include "broker/core/identity.h"

#define FT_API_KEY_PREFIX "fk_"
#define FT_API_KEY_LEN    46
#define FT_API_KEYS_MAX   1024

struct ft_api_keys;

/* Says whether a credential is meant as an API key; no token begins like one. */
bool ft_api_key_is_one(struct ft_slice text);

/* Reads the file. FT_ERR_BAD_FIELD says what is wrong, with the line. */
FT_MUST_USE enum ft_err ft_api_keys_read(const char *path, struct ft_api_keys **keys,
                                         struct ft_problem *problem);

/* The same from bytes. */
FT_MUST_USE enum ft_err ft_api_keys_read_bytes(struct ft_slice bytes, struct ft_api_keys **keys,
                                               struct ft_problem *problem);

void ft_api_keys_free(struct ft_api_keys *keys); /* NULL is allowed */

size_t ft_api_keys_count(const struct ft_api_keys *keys); /* NULL: none */

/* Returns a new reference to who has this key, or NULL: nobody. NULL for `keys` is allowed. */
struct ft_identity *ft_api_keys_find(const struct ft_api_keys *keys, struct ft_slice text,
                                     bool may_everything);

#endif
