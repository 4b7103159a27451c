/*
 * The binary header of the PROXY protocol, addresses and networks, and X-Forwarded-For. Says what was
 * claimed; whose claims count is settled by who calls. Pure; any thread.
 */
#include "protocol/proxy_head.h"

#include <arpa/inet.h>

#include "protocol/http_value.h"

/* doc/proxy-protocol.txt, section 2.2: signature, version and command, family, length. */
static const uint8_t signature[12] = "\r\n\r\n\0\r\nQUIT\n";
enum { AT_COMMAND = 12, AT_FAMILY = 13, AT_LEN = 14, FIXED_SIZE = 16 };
enum { VERSION = 0x20, LOCAL = 0x20, PROXY = 0x21 };
enum { UNSPEC = 0x00, TCP4 = 0x11, TCP6 = 0x21, UNIX_STREAM = 0x31 };
enum { TCP4_BYTES = 12, TCP6_BYTES = 36, UNIX_BYTES = 216 };

/* IPv4 in IPv6 (RFC 4291 section 2.5.5.2). */
static const uint8_t mapped[12] = {[10] = 0xFF, [11] = 0xFF};

static int refuse(struct ft_problem *problem, const char *text)
{
    ft_problem_set(problem, FT_ERR_BAD_REQUEST, "%s", text);
    return -1;
}

static struct ft_ip ip_of_4(const uint8_t bytes[4])
{
    struct ft_ip ip;
    memcpy(ip.bytes, mapped, sizeof(mapped));
    memcpy(ip.bytes + sizeof(mapped), bytes, 4);
    return ip;
}

static bool is_ip4(const struct ft_ip *ip)
{
    return memcmp(ip->bytes, mapped, sizeof(mapped)) == 0;
}

/* Says what is wrong with the 16 bytes that every header begins with, as far as they are there. */
static const char *complaint_about(struct ft_slice bytes)
{
    size_t n = bytes.len < sizeof(signature) ? bytes.len : sizeof(signature);
    if (memcmp(bytes.ptr, signature, n) != 0)
        return memcmp(bytes.ptr, "PROXY ", n < 6 ? n : 6) == 0
                   ? "the PROXY header is of version 1 (text); send version 2 (binary)"
                   : "a connection must begin with a PROXY header of version 2 here";
    if (bytes.len > AT_COMMAND && bytes.ptr[AT_COMMAND] != LOCAL && bytes.ptr[AT_COMMAND] != PROXY)
        return (bytes.ptr[AT_COMMAND] & 0xF0) == VERSION ? "the PROXY header has an unknown command"
                                                         : "the PROXY header is not of version 2";
    return NULL;
}

/* Takes the client's address and port out of the `len` bytes behind the fixed part. */
static const char *read_addresses(const uint8_t *bytes, size_t len, struct ft_proxy_head *head)
{
    const uint8_t *at = bytes + FIXED_SIZE;
    switch (bytes[AT_FAMILY]) {
    case TCP4:
        if (len < TCP4_BYTES)
            return "the PROXY header is too short for its addresses";
        head->client = ip_of_4(at);
        head->port = (uint16_t)(at[8] << 8 | at[9]);
        head->is_proxied = true;
        return NULL;
    case TCP6:
        if (len < TCP6_BYTES)
            return "the PROXY header is too short for its addresses";
        memcpy(head->client.bytes, at, sizeof(head->client.bytes));
        head->port = (uint16_t)(at[32] << 8 | at[33]);
        head->is_proxied = true;
        return NULL;
    case UNSPEC:
        return NULL;
    case UNIX_STREAM:
        return len < UNIX_BYTES ? "the PROXY header is too short for its addresses" : NULL;
    default:
        return "the PROXY header is not about a TCP or Unix stream";
    }
}

int ft_proxy_head_read(struct ft_slice bytes, struct ft_proxy_head *head,
                       struct ft_problem *problem)
{
    if (bytes.len == 0)
        return 0;
    const char *complaint = complaint_about(bytes);
    if (complaint)
        return refuse(problem, complaint);
    if (bytes.len < FIXED_SIZE)
        return 0;
    size_t len = (size_t)(bytes.ptr[AT_LEN] << 8 | bytes.ptr[AT_LEN + 1]);
    if (FIXED_SIZE + len > FT_PROXY_HEAD_MAX)
        return refuse(problem, "the PROXY header is longer than is taken");
    if (bytes.len < FIXED_SIZE + len)
        return 0;

    struct ft_proxy_head found = {.size = (uint32_t)(FIXED_SIZE + len)};
    /* What LOCAL brings along is to be skipped, whatever it is. */
    complaint = bytes.ptr[AT_COMMAND] == PROXY ? read_addresses(bytes.ptr, len, &found) : NULL;
    if (complaint)
        return refuse(problem, complaint);
    *head = found;
    return 1;
}

/* Reads an address and nothing else. */
static bool read_bare_ip(struct ft_slice text, struct ft_ip *ip)
{
    char name[FT_IP_TEXT_MAX];
    if (text.len == 0 || text.len >= sizeof(name) || memchr(text.ptr, '\0', text.len))
        return false;
    memcpy(name, text.ptr, text.len);
    name[text.len] = '\0';
    uint8_t four[4];
    if (inet_pton(AF_INET, name, four) == 1) {
        *ip = ip_of_4(four);
        return true;
    }
    struct ft_ip found;
    if (inet_pton(AF_INET6, name, found.bytes) != 1)
        return false;
    *ip = found;
    return true;
}

/* Reads 1 to 5 digits, at most `max`. */
static bool read_number(struct ft_slice text, unsigned max, unsigned *number)
{
    unsigned value = 0;
    if (text.len == 0 || text.len > 5)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
        value = value * 10 + (text.ptr[i] - '0');
    }
    *number = value;
    return value <= max;
}

/* Says whether a text is ":" and a port. */
static bool is_port(struct ft_slice text)
{
    unsigned port;
    return text.len > 1 && text.ptr[0] == ':' &&
           read_number(ft_slice(text.ptr + 1, text.len - 1), UINT16_MAX, &port);
}

bool ft_ip_read(struct ft_slice text, struct ft_ip *ip)
{
    if (text.len == 0)
        return false;
    bool has_brackets = text.ptr[0] == '[';
    const uint8_t *mark = memchr(text.ptr, has_brackets ? ']' : ':', text.len);
    if (!mark)
        return !has_brackets && read_bare_ip(text, ip);
    size_t len = (size_t)(mark - text.ptr);
    if (!has_brackets) /* a port behind IPv4, or IPv6 alone */
        return is_port(ft_slice(mark, text.len - len)) ? read_bare_ip(ft_slice(text.ptr, len), ip)
                                                       : read_bare_ip(text, ip);
    struct ft_slice rest = ft_slice(mark + 1, text.len - len - 1);
    struct ft_slice inner = ft_slice(text.ptr + 1, len - 1);
    return (rest.len == 0 || is_port(rest)) && memchr(inner.ptr, ':', inner.len) &&
           read_bare_ip(inner, ip);
}

const char *ft_ip_text(const struct ft_ip *ip, char out[FT_IP_TEXT_MAX])
{
    return is_ip4(ip) ? inet_ntop(AF_INET, ip->bytes + sizeof(mapped), out, FT_IP_TEXT_MAX)
                      : inet_ntop(AF_INET6, ip->bytes, out, FT_IP_TEXT_MAX);
}

bool ft_ip_is_loopback(const struct ft_ip *ip)
{
    static const struct ft_ip one = {.bytes = {[15] = 1}};
    return is_ip4(ip) ? ip->bytes[12] == 127 : memcmp(ip, &one, sizeof(one)) == 0;
}

/* Says whether all bits from `bits` on are zero. */
static bool ends_in_zeros(const struct ft_ip *ip, unsigned bits)
{
    for (unsigned bit = bits; bit < 128; bit++)
        if (ip->bytes[bit / 8] & (0x80 >> bit % 8))
            return false;
    return true;
}

bool ft_network_read(struct ft_slice text, struct ft_network *network)
{
    const uint8_t *slash = text.len > 0 ? memchr(text.ptr, '/', text.len) : NULL;
    size_t len = slash ? (size_t)(slash - text.ptr) : text.len;
    struct ft_slice address = ft_slice(text.ptr, len);
    struct ft_network found = {.bits = 128};
    if (!read_bare_ip(address, &found.ip))
        return false;
    if (slash) {
        bool is_short = !memchr(address.ptr, ':', len);
        unsigned bits;
        if (!read_number(ft_slice(slash + 1, text.len - len - 1), is_short ? 32 : 128, &bits))
            return false;
        found.bits = (uint8_t)(is_short ? 96 + bits : bits);
    }
    if (!ends_in_zeros(&found.ip, found.bits))
        return false;
    *network = found;
    return true;
}

bool ft_network_has(const struct ft_network *network, const struct ft_ip *ip)
{
    size_t whole = network->bits / 8;
    if (memcmp(network->ip.bytes, ip->bytes, whole) != 0)
        return false;
    unsigned rest = network->bits % 8;
    return rest == 0 || (network->ip.bytes[whole] ^ ip->bytes[whole]) >> (8 - rest) == 0;
}

static bool is_trusted(const struct ft_ip *ip, const struct ft_network *trusted, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (ft_network_has(&trusted[i], ip))
            return true;
    return false;
}

/* Cuts the last element of a list off it. */
static struct ft_slice cut_last(struct ft_slice *list)
{
    const uint8_t *comma = memrchr(list->ptr, ',', list->len);
    size_t begin = comma ? (size_t)(comma + 1 - list->ptr) : 0;
    struct ft_slice last = ft_slice(list->ptr + begin, list->len - begin);
    list->len = comma ? begin - 1 : 0;
    return ft_http_trim(last);
}

struct ft_ip ft_forwarded_for(const struct ft_ip *peer, struct ft_slice list,
                              const struct ft_network *trusted, size_t trusted_count)
{
    struct ft_ip client = *peer;
    while (list.len > 0 && is_trusted(&client, trusted, trusted_count)) {
        struct ft_slice element = cut_last(&list);
        if (element.len > 0 && !ft_ip_read(element, &client))
            return *peer;
    }
    return client;
}
