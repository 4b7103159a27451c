/*
 * The snapshot of options that the requests of a turn go by: copying, and the list of origins. It
 * does not read settings (broker/app/option_list.c) and decides about no request. Copied on the
 * main thread, read by workers.
 */
#include "broker/http/options.h"

#include "broker/base/alloc.h"
#include "protocol/http_value.h"

#include <stdlib.h>
#include <strings.h>

struct ft_http_options *ft_http_options_copy(const struct ft_http_options *options)
{
    struct ft_http_options *copy = ft_alloc(sizeof(*copy));
    char **origins = ft_alloc_zero((options->origin_count + 1) * sizeof(*origins));
    struct ft_network *trusted = ft_alloc_zero((options->trusted_count + 1) * sizeof(*trusted));

    *copy = *options;
    copy->ws_path = ft_strdup(options->ws_path);
    copy->cookie = ft_strdup(options->cookie);
    for (size_t i = 0; i < options->origin_count; i++)
        origins[i] = ft_strdup(options->origins[i]);
    for (size_t i = 0; i < options->trusted_count; i++)
        trusted[i] = options->trusted[i];
    copy->origins = origins;
    copy->trusted = trusted;
    return copy;
}

/* What the struct lends to its readers as constant is its own to free. */
static void release(const void *owned)
{
    free((void *)(uintptr_t)owned);
}

void ft_http_options_free(void *options)
{
    struct ft_http_options *own = options;

    if (!own)
        return;
    for (size_t i = 0; i < own->origin_count; i++)
        free(own->origins[i]);
    release(own->origins);
    release(own->trusted);
    release(own->ws_path);
    release(own->cookie);
    free(own);
}

/* Says whether `listed` has a host such as *.a.example and `origin` one below that: x.a.example. */
static bool is_below(struct ft_slice origin, const char *listed)
{
    const char *star = strstr(listed, "://*.");

    if (!star)
        return false;
    size_t scheme = (size_t)(star - listed) + strlen("://");
    const char *tail = listed + scheme + 1; /* ".a.example" */
    size_t tail_len = strlen(tail);
    if (origin.len <= scheme + tail_len ||
        strncasecmp((const char *)origin.ptr, listed, scheme) != 0)
        return false;
    struct ft_slice label = ft_slice(origin.ptr + scheme, origin.len - scheme - tail_len);
    /* A host, not a way to write another one in front of the tail. */
    for (size_t i = 0; i < label.len; i++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.",
                    label.ptr[i]) ||
            label.ptr[i] == 0)
            return false;
    return ft_http_is(ft_slice(label.ptr + label.len, tail_len), tail);
}

enum ft_origin ft_http_origin_find(const struct ft_http_options *options, struct ft_slice origin)
{
    enum ft_origin found = FT_ORIGIN_FOREIGN;

    for (size_t i = 0; i < options->origin_count; i++) {
        const char *listed = options->origins[i];
        if (strcmp(listed, "*") == 0)
            found = FT_ORIGIN_ANYBODY;
        else if (strchr(listed, '*') ? is_below(origin, listed) : ft_http_is(origin, listed))
            return FT_ORIGIN_LISTED;
    }
    return found;
}
