/*
 * Reads the URL of a Redis server, strictly: what is not understood is refused, and not passed on to a
 * resolver or a server. Does not resolve names. Pure but for the heap; any thread.
 */
#include "broker/relay/url.h"

#include "broker/base/alloc.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>

/* A host's name (RFC 1035), and what Redis can count of databases without anybody noticing. */
#define HOST_MAX     253
#define DATABASE_MAX 99999

/* Digits of a port or a database's number, and "?db=" with so many. */
#define DIGITS_MAX     5
#define DATABASE_SHOWN (DIGITS_MAX + 4)

/* What is wrong with a URL; the first thing counts. */
struct reading {
    struct ft_redis_url *url;
    char *error;
};

static bool wrong(const struct reading *reading, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static bool wrong(const struct reading *reading, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(reading->error, FT_RELAY_ERROR_MAX, format, args);
    va_end(args);
    return false;
}

static struct ft_slice upto(struct ft_slice text, const uint8_t *end)
{
    return ft_slice(text.ptr, (size_t)(end - text.ptr));
}

static struct ft_slice from(struct ft_slice text, const uint8_t *begin)
{
    return ft_slice(begin, text.len - (size_t)(begin - text.ptr));
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Returns the text with its %XX decoded, on the heap; NULL where one is broken, or is a NUL. */
static char *decode(struct ft_slice text)
{
    char *decoded = ft_alloc(text.len + 1);
    size_t len = 0;
    for (size_t i = 0; i < text.len; i++) {
        int byte = text.ptr[i];
        if (byte == '%') {
            bool is_whole = text.len - i > 2;
            int high = is_whole ? hex_digit(text.ptr[i + 1]) : -1;
            int low = is_whole ? hex_digit(text.ptr[i + 2]) : -1;
            byte = high < 0 || low < 0 ? 0 : high << 4 | low;
            i += 2;
        }
        if (byte == 0) {
            free(decoded);
            return NULL;
        }
        decoded[len++] = (char)byte;
    }
    decoded[len] = '\0';
    return decoded;
}

static bool read_digits(struct ft_slice text, uint32_t *value)
{
    uint32_t read = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
        read = read * 10 + (uint32_t)(text.ptr[i] - '0');
    }
    *value = read;
    return text.len > 0 && text.len <= DIGITS_MAX;
}

static bool read_database(const struct reading *reading, struct ft_slice text)
{
    if (!read_digits(text, &reading->url->database))
        return wrong(reading, "the database is a number from 0 to %d", DATABASE_MAX);
    return true;
}

/* user:password, of which the user may be empty. */
static bool read_user(const struct reading *reading, struct ft_slice text)
{
    const uint8_t *colon = memchr(text.ptr, ':', text.len);
    if (!colon)
        return wrong(reading, "before the @ there is user:password, or :password");
    struct ft_slice password = from(text, colon + 1);
    if (memchr(password.ptr, ':', password.len))
        return wrong(reading, "a : within user or password is written %%3A");
    if (colon > text.ptr && !(reading->url->user = decode(upto(text, colon))))
        return wrong(reading, "after a %% in the user there are two hexadecimal digits, not 00");
    if (!(reading->url->password = decode(password)))
        return wrong(reading,
                     "after a %% in the password there are two hexadecimal digits, not 00");
    return true;
}

/* Takes user and password off what is before the path. */
static bool take_user(const struct reading *reading, struct ft_slice *authority)
{
    const uint8_t *at = memchr(authority->ptr, '@', authority->len);
    if (!at)
        return true;
    struct ft_slice user = upto(*authority, at);
    *authority = from(*authority, at + 1);
    if (memchr(authority->ptr, '@', authority->len))
        return wrong(reading, "an @ within user or password is written %%40");
    return read_user(reading, user);
}

static bool is_host(struct ft_slice host)
{
    for (size_t i = 0; i < host.len; i++) {
        uint8_t c = host.ptr[i], letter = c | 0x20;
        if (!((letter >= 'a' && letter <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
              c == '_'))
            return false;
    }
    return host.len > 0 && host.len <= HOST_MAX;
}

static bool read_host(const struct reading *reading, struct ft_slice authority)
{
    struct ft_redis_url *url = reading->url;
    bool is_ipv6 = authority.len > 0 && authority.ptr[0] == '[';
    const uint8_t *end = memchr(authority.ptr, is_ipv6 ? ']' : ':', authority.len);
    if (is_ipv6 && !end)
        return wrong(reading, "an IPv6 address is written [2001:db8::1]");
    struct ft_slice host = end ? upto(authority, end) : authority;
    if (is_ipv6)
        host = from(host, host.ptr + 1);
    struct ft_slice port = end ? from(authority, end + is_ipv6) : ft_slice(NULL, 0);

    uint8_t binary[sizeof(struct in6_addr)];
    uint32_t number = FT_REDIS_PORT;
    if (host.len > HOST_MAX)
        return wrong(reading, "the host is longer than %d bytes", HOST_MAX);
    url->host = ft_alloc_zero(host.len + 1);
    if (host.len > 0)
        memcpy(url->host, host.ptr, host.len);
    if (is_ipv6 ? inet_pton(AF_INET6, url->host, binary) != 1 : !is_host(host))
        return wrong(reading, "the host is a name, 192.0.2.1 or [2001:db8::1]");
    if (port.len > 0 && (port.ptr[0] != ':' || !read_digits(from(port, port.ptr + 1), &number)))
        return wrong(reading, "the port is a number from 1 to 65535");
    if (number == 0 || number > UINT16_MAX)
        return wrong(reading, "the port is a number from 1 to 65535");
    url->port = (uint16_t)number;
    return true;
}

static bool read_tcp(const struct reading *reading, struct ft_slice rest)
{
    struct ft_redis_url *url = reading->url;
    const uint8_t *slash = memchr(rest.ptr, '/', rest.len);
    struct ft_slice authority = slash ? upto(rest, slash) : rest;
    if (!take_user(reading, &authority) || !read_host(reading, authority))
        return false;
    if (slash && (size_t)(slash - rest.ptr) + 1 < rest.len &&
        !read_database(reading, from(rest, slash + 1)))
        return false;
    const char *left = strchr(url->host, ':') ? "[" : "", *right = *left ? "]" : "";
    int len = snprintf(url->shown, sizeof(url->shown), "redis://%s%.100s%s:%u", left, url->host,
                       right, url->port);
    if (url->database > 0)
        snprintf(url->shown + len, sizeof(url->shown) - (size_t)len, "/%u", url->database);
    return true;
}

static bool read_unix(const struct reading *reading, struct ft_slice rest)
{
    static const char db[] = "db=";
    struct ft_redis_url *url = reading->url;
    const uint8_t *slash = memchr(rest.ptr, '/', rest.len);
    if (!slash)
        return wrong(reading, "a socket's path begins with /: unix:///run/redis/redis.sock");
    struct ft_slice authority = upto(rest, slash), path = from(rest, slash);
    bool has_user = memchr(authority.ptr, '@', authority.len) != NULL;
    if (!take_user(reading, &authority))
        return false;
    if (authority.len > 0)
        return wrong(reading, has_user
                                  ? "behind the @ there is the socket's path, which begins with /"
                                  : "a socket's path begins with /: three of them in all");
    const uint8_t *mark = memchr(path.ptr, '?', path.len);
    struct ft_slice query = mark ? from(path, mark + 1) : ft_slice(NULL, 0);
    path = mark ? upto(path, mark) : path;
    if (!(url->path = decode(path)))
        return wrong(reading, "after a %% in the path there are two hexadecimal digits, not 00");
    if (strlen(url->path) >= sizeof(((struct sockaddr_un *)0)->sun_path))
        return wrong(reading, "the socket's path is longer than 107 bytes");
    if (mark && (query.len < strlen(db) || memcmp(query.ptr, db, strlen(db)) != 0))
        return wrong(reading, "behind the ? there is db=NUMBER");
    if (mark && !read_database(reading, from(query, query.ptr + strlen(db))))
        return false;
    snprintf(url->shown, sizeof(url->shown) - DATABASE_SHOWN, "unix://%.*s", (int)path.len,
             (const char *)path.ptr); /* as it was written: that is ASCII */
    size_t len = strlen(url->shown);
    if (url->database > 0)
        snprintf(url->shown + len, sizeof(url->shown) - len, "?db=%u", url->database);
    return true;
}

static const struct {
    const char *prefix;
    bool (*read)(const struct reading *reading, struct ft_slice rest);
} schemes[] = {{"redis://", read_tcp}, {"unix://", read_unix}};

bool ft_redis_url_read(const char *text, struct ft_redis_url *url, char error[FT_RELAY_ERROR_MAX])
{
    struct reading reading = {url, error};
    *url = (struct ft_redis_url){0};
    for (const char *at = text; *at; at++)
        if ((uint8_t)*at <= ' ' || (uint8_t)*at >= 0x7f || *at == '#')
            return wrong(&reading, "there is a %s in it",
                         *at == '#' ? "#" : "blank, or a byte that is not ASCII");
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        size_t len = strlen(schemes[i].prefix);
        if (strncmp(text, schemes[i].prefix, len) != 0)
            continue;
        bool is_read = schemes[i].read(&reading, ft_slice_str(text + len));
        if (!is_read)
            ft_redis_url_fini(url);
        return is_read;
    }
    if (strncmp(text, "rediss://", strlen("rediss://")) == 0)
        return wrong(&reading,
                     "TLS to Redis is not supported: let a tunnel (stunnel) do it, or use "
                     "a socket, unix:///path");
    return wrong(&reading, "it begins with redis:// or unix://");
}

static void forget(char *secret)
{
    if (secret)
        explicit_bzero(secret, strlen(secret));
    free(secret);
}

void ft_redis_url_fini(struct ft_redis_url *url)
{
    free(url->host);
    free(url->path);
    free(url->user);
    forget(url->password);
    *url = (struct ft_redis_url){0};
}

bool ft_redis_url_check(const char *url, char error[FT_RELAY_ERROR_MAX])
{
    struct ft_redis_url read;
    if (!ft_redis_url_read(url, &read, error))
        return false;
    ft_redis_url_fini(&read);
    return true;
}

uint32_t ft_redis_url_database(const char *url)
{
    struct ft_redis_url read;
    char error[FT_RELAY_ERROR_MAX];
    if (!ft_redis_url_read(url, &read, error))
        return 0;
    uint32_t database = read.database;
    ft_redis_url_fini(&read);
    return database;
}
