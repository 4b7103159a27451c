/*
 * Reads origins. Whether a request's origin is one of a list is broker/http/options.h. Runs at start
 * and at a reload, on the main thread.
 */
#include "broker/app/origin.h"

#include "broker/base/alloc.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALPHABET "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#define DIGITS   "0123456789"

static const char scheme_letters[] = ALPHABET DIGITS "+-.";
static const char host_letters[] = ALPHABET DIGITS "-._"; /* of other scripts in Punycode */
static const char ipv6_letters[] = DIGITS "abcdefABCDEF:.";

/* Steps past a host, which may be *.example.com or [::1]. Returns NULL where none is. */
static const char *skip_host(const char *at)
{
    if (*at == '[') {
        size_t len = strspn(at + 1, ipv6_letters);
        return len > 1 && at[len + 1] == ']' ? at + len + 2 : NULL;
    }
    if (strncmp(at, "*.", 2) == 0)
        at += 2;
    size_t len = strspn(at, host_letters);
    return len > 0 && *at != '.' ? at + len : NULL;
}

bool ft_origin_is_valid(const char *text)
{
    size_t scheme = strspn(text, scheme_letters);

    if (strcmp(text, "*") == 0)
        return true;
    if (!isalpha((unsigned char)text[0]) || strncmp(text + scheme, "://", 3) != 0)
        return false;
    const char *end = skip_host(text + scheme + 3);
    if (!end || *end == 0)
        return end != NULL;
    size_t digits = *end == ':' ? strspn(end + 1, DIGITS) : 0;
    if (digits == 0 || digits > 5 || end[1 + digits] != 0)
        return false;
    unsigned long port = strtoul(end + 1, NULL, 10);
    return port > 0 && port <= 65535;
}

static bool ends_with(const char *text, const char *tail)
{
    size_t len = strlen(text), tail_len = strlen(tail);

    return len >= tail_len && strcmp(text + len - tail_len, tail) == 0;
}

char *ft_origin_normal(const char *text)
{
    static const struct {
        const char *scheme, *port;
    } own_ports[] = {{"http://", ":80"}, {"https://", ":443"}};
    char *normal = ft_strdup(text);

    for (char *at = normal; *at; at++)
        *at = (char)tolower((unsigned char)*at);
    for (size_t i = 0; i < sizeof(own_ports) / sizeof(own_ports[0]); i++)
        if (strncmp(normal, own_ports[i].scheme, strlen(own_ports[i].scheme)) == 0 &&
            ends_with(normal, own_ports[i].port))
            normal[strlen(normal) - strlen(own_ports[i].port)] = 0;
    return normal;
}
