/*
 * Reads listening addresses. It does not resolve names: what a broker listens on should not depend
 * on a name server. Runs at start, on the main thread.
 */
#include "broker/app/address.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

/* Reads 0 to 65535, digits only. */
static bool read_port(const char *text, uint16_t *port)
{
    size_t len = strlen(text);

    if (len == 0 || len > 5 || strspn(text, "0123456789") != len)
        return false;
    unsigned long value = strtoul(text, NULL, 10);
    if (value > UINT16_MAX)
        return false;
    *port = (uint16_t)value;
    return true;
}

bool ft_address_parse(const char *text, struct ft_address *address)
{
    struct ft_address parsed = {.is_ipv6 = text[0] == '['};
    unsigned char binary[sizeof(struct in6_addr)];
    const char *host = text + (parsed.is_ipv6 ? 1 : 0);
    const char *end = strchr(host, parsed.is_ipv6 ? ']' : ':');

    if (!end || (size_t)(end - host) >= sizeof(parsed.host))
        return false;
    memcpy(parsed.host, host, (size_t)(end - host));
    if (inet_pton(parsed.is_ipv6 ? AF_INET6 : AF_INET, parsed.host, binary) != 1)
        return false;
    if (parsed.is_ipv6 && *++end != ':')
        return false;
    if (!read_port(end + 1, &parsed.port))
        return false;
    *address = parsed;
    return true;
}

bool ft_address_is_loopback(const struct ft_address *address)
{
    struct in6_addr binary;

    if (!address->is_ipv6)
        return strncmp(address->host, "127.", 4) == 0;
    return inet_pton(AF_INET6, address->host, &binary) == 1 && IN6_IS_ADDR_LOOPBACK(&binary);
}
