/*
 * Makes the keys of the hash; the hash itself is short enough to stand in the header. Draws no
 * randomness: the seed comes from whoever starts the process.
 */
#include "broker/core/hash.h"

void ft_hash_keys_init(struct ft_hash_keys *keys, uint64_t seed)
{
    /* Spreads the seed over the keys; odd, because they multiply. The constants are the fractions
     * of the square roots of 2, 3 and 5: nothing up the sleeve. */
    static const uint64_t roots[3] = {0x6A09E667F3BCC908, 0xBB67AE8584CAA73B, 0x3C6EF372FE94F82B};
    for (int i = 0; i < 3; i++)
        keys->words[i] = ft_hash_fold(seed ^ roots[i], roots[(i + 1) % 3] | 1) | 1;
}
