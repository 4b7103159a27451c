/*
 * What a Redis server says of itself (INFO), and whether it can carry a cluster. Pure.
 */
#ifndef FT_RELAY_INFO_H
#define FT_RELAY_INFO_H

#include "protocol/slice.h"

/* Room for a value, and for the reason of a refusal, NUL included. */
#define FT_INFO_VALUE_MAX 48
#define FT_INFO_WHY_MAX   160

/* A life of its memory, from a start to the end or until it took the place of another server's: half of its run_id
 * and half of its replication id. Empty: it does not tell. */
#define FT_INFO_LIFE_LEN 32

struct ft_redis_info {
    const char *product; /* "redis" or "valkey" */
    char version[FT_INFO_VALUE_MAX], run_id[FT_INFO_VALUE_MAX], eviction[FT_INFO_VALUE_MAX];
    bool has_aof;
    char life[FT_INFO_LIFE_LEN + 1];
};

enum ft_redis_verdict {
    FT_REDIS_GOOD,
    FT_REDIS_LOADING,   /* it will be, before long */
    FT_REDIS_UNSUITABLE /* somebody has to do something */
};

/* Reads INFO's text. What is shown of it is fit for logs; `why` says why it is not GOOD. */
enum ft_redis_verdict ft_redis_info_read(struct ft_slice text, struct ft_redis_info *info,
                                         char why[FT_INFO_WHY_MAX]);

#endif
