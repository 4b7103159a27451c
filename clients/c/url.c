/*
 * Takes a broker's address apart. Resolves nothing, and accepts neither user names nor fragments,
 * which mean nothing on a WebSocket. Pure; any thread.
 */
#include "clients/c/url.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "protocol/quote.h"

static enum ft_err refuse(struct ft_problem *problem, const char *text, const char *why)
{
    char quoted[FT_QUOTE_MAX];
    return ft_problem_set(problem, FT_ERR_BAD_FIELD,
                          "%s is not a broker's URL: %s; it would look like %s",
                          ft_quote(ft_slice_str(text), quoted), why, FT_URL_DEFAULT);
}

/* Returns what follows the scheme, or NULL. */
static const char *read_scheme(const char *text, struct ft_url *url)
{
    url->is_tls = strncasecmp(text, "wss://", 6) == 0;
    if (url->is_tls)
        return text + 6;
    return strncasecmp(text, "ws://", 5) == 0 ? text + 5 : NULL;
}

/* Splits "host", "host:port", "[v6]", "[v6]:port"; returns what is wrong, or NULL. */
static const char *read_authority(struct ft_slice authority, struct ft_url *url)
{
    const char *at = (const char *)authority.ptr;
    const char *end = at + authority.len;
    bool is_bracketed = at < end && *at == '[';
    const char *host = is_bracketed ? at + 1 : at;
    const char *host_end = memchr(host, is_bracketed ? ']' : ':', (size_t)(end - host));
    if (is_bracketed && !host_end)
        return "the IPv6 address has no closing bracket";
    if (!host_end)
        host_end = end;
    size_t host_len = (size_t)(host_end - host);
    if (host_len == 0)
        return "it names no host";
    if (host_len >= sizeof(url->host))
        return "the host is longer than a name can be";

    const char *rest = is_bracketed ? host_end + 1 : host_end;
    unsigned long port = url->is_tls ? 443 : 80;
    if (rest < end) {
        char *port_end;
        if (*rest != ':' || !isdigit((unsigned char)rest[1]))
            return "the port is not a number";
        port = strtoul(rest + 1, &port_end, 10);
        if (port_end != end || port == 0 || port > 65535)
            return "the port is not between 1 and 65535";
    }
    url->port = (uint16_t)port;
    memcpy(url->host, host, host_len);
    url->host[host_len] = '\0';
    bool is_default = url->port == (url->is_tls ? 443 : 80);
    int n =
        snprintf(url->host_port, sizeof(url->host_port), is_bracketed ? "[%s]" : "%s", url->host);
    if (!is_default)
        snprintf(url->host_port + n, sizeof(url->host_port) - (size_t)n, ":%u", url->port);
    return NULL;
}

enum ft_err ft_url_read(const char *text, struct ft_url *url, struct ft_problem *problem)
{
    struct ft_url read = {0};
    const char *authority = read_scheme(text, &read);
    if (!authority)
        return refuse(problem, text, "it begins with neither ws:// nor wss://");
    for (const char *c = text; *c; c++)
        if ((unsigned char)*c <= 0x20 || *c == 0x7F)
            return refuse(problem, text, "it holds a space or a control character");
    if (strchr(text, '#'))
        return refuse(problem, text, "it has a fragment");

    size_t len = strcspn(authority, "/?");
    if (memchr(authority, '@', len))
        return refuse(problem, text, "it has a user name");
    const char *why = read_authority(ft_slice(authority, len), &read);
    if (why)
        return refuse(problem, text, why);

    /* "", "/", "?query" and "/?query" mean the broker's usual path. */
    const char *path = authority + len;
    if (path[0] == '/' && (path[1] == '\0' || path[1] == '?'))
        path++;
    const char *usual = *path == '/' ? "" : "/ws";
    int n = snprintf(read.path, sizeof(read.path), "%s%s", usual, path);
    if (n < 0 || (size_t)n >= sizeof(read.path))
        return refuse(problem, text, "the path is longer than 2,047 bytes");
    *url = read;
    return FT_OK;
}
