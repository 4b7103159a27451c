/*
 * Reads INFO: lines of `key:value`, in sections that do not matter here. The text is foreign: values are
 * cut, and only characters that every log takes are kept.
 */
#include "broker/relay/info.h"

#include <stdio.h>
#include <stdlib.h>

/* The version that brought XTRIM MINID, which the publish script uses. */
#define MAJOR_MIN 6
#define MINOR_MIN 2

/* Copies what is plain of a value. */
static void keep(struct ft_slice value, char out[FT_INFO_VALUE_MAX])
{
    size_t len = 0;
    for (size_t i = 0; i < value.len && len + 1 < FT_INFO_VALUE_MAX; i++) {
        uint8_t c = value.ptr[i];
        bool is_plain = c > ' ' && c < 0x7f && c != '"' && c != '=' && c != '\\';
        if (is_plain)
            out[len++] = (char)c;
    }
    out[len] = '\0';
}

/* Finds `key` at the beginning of a line. Returns false, and an empty value, where there is none. */
static bool field(struct ft_slice text, const char *key, char out[FT_INFO_VALUE_MAX])
{
    size_t key_len = strlen(key);
    const uint8_t *at = text.ptr, *end = text.len ? text.ptr + text.len : text.ptr;
    while (at < end) {
        const uint8_t *line_end = memchr(at, '\n', (size_t)(end - at));
        size_t len = (size_t)((line_end ? line_end : end) - at);
        if (len > key_len && at[key_len] == ':' && memcmp(at, key, key_len) == 0) {
            keep(ft_slice(at + key_len + 1, len - key_len - 1), out);
            return true;
        }
        at = line_end ? line_end + 1 : end;
    }
    out[0] = '\0';
    return false;
}

static bool says(struct ft_slice text, const char *key, const char *value)
{
    char found[FT_INFO_VALUE_MAX];
    return field(text, key, found) && strcmp(found, value) == 0;
}

static bool is_old(const char *version)
{
    char *end;
    unsigned long major = strtoul(version, &end, 10);
    unsigned long minor = *end == '.' ? strtoul(end + 1, NULL, 10) : 0;
    return major < MAJOR_MIN || (major == MAJOR_MIN && minor < MINOR_MIN);
}

static const char *objection(struct ft_slice text, const struct ft_redis_info *info)
{
    char role[FT_INFO_VALUE_MAX];
    if (!*info->version)
        return "INFO tells no version: this is no Redis";
    if (is_old(info->version))
        return "it is too old: 6.2 or later is needed";
    if (says(text, "redis_mode", "cluster") || says(text, "cluster_enabled", "1"))
        return "it runs in cluster mode: name several single servers instead";
    if (says(text, "redis_mode", "sentinel"))
        return "it is a Sentinel: name the server that it watches";
    if (field(text, "role", role) && strcmp(role, "master") != 0)
        return "it is a replica: name the server that it follows";
    if (strncmp(info->eviction, "allkeys-", strlen("allkeys-")) == 0)
        return "its maxmemory-policy throws streams away: set noeviction";
    return NULL;
}

static void name_life(struct ft_slice text, struct ft_redis_info *info)
{
    char id[FT_INFO_VALUE_MAX];
    int half = FT_INFO_LIFE_LEN / 2;
    info->life[0] = '\0';
    if (strlen(info->run_id) < (size_t)half)
        return;
    field(text, "master_replid", id);
    snprintf(info->life, sizeof(info->life), "%.*s%.*s", half, info->run_id, half, id);
}

enum ft_redis_verdict ft_redis_info_read(struct ft_slice text, struct ft_redis_info *info,
                                         char why[FT_INFO_WHY_MAX])
{
    bool is_valkey = field(text, "valkey_version", info->version);
    if (!is_valkey)
        field(text, "redis_version", info->version);
    info->product = is_valkey ? "valkey" : "redis";
    field(text, "run_id", info->run_id);
    name_life(text, info);
    field(text, "maxmemory_policy", info->eviction);
    info->has_aof = says(text, "aof_enabled", "1");

    const char *reason = objection(text, info);
    why[0] = '\0';
    if (reason)
        snprintf(why, FT_INFO_WHY_MAX, "%s %s: %s", info->product, info->version, reason);
    else if (says(text, "loading", "1"))
        snprintf(why, FT_INFO_WHY_MAX, "it is loading its data");
    else
        return FT_REDIS_GOOD;
    return reason ? FT_REDIS_UNSUITABLE : FT_REDIS_LOADING;
}
