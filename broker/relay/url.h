/*
 * URLs of Redis servers, as operators write them:
 *
 *     redis://[user:password@]host[:port][/database]      a host is a name, 192.0.2.1 or [2001:db8::1]
 *     redis://:password@host                              the password of the default user
 *     unix://[user:password@]/path/to.sock[?db=database]
 *
 * User, password and path may be percent-encoded, and where they hold one of %@:/?# they have to be.
 * No message quotes any of it: nobody knows where a password is in a URL that is wrong.
 */
#ifndef FT_RELAY_URL_H
#define FT_RELAY_URL_H

#include "broker/relay/relay.h"

#define FT_REDIS_PORT 6379

/* Room for a URL to be shown: without user and password, cut to fit. */
#define FT_REDIS_URL_SHOWN_MAX 160

struct ft_redis_url {
    char *host; /* name or address, without brackets; NULL: a socket of the file system */
    char *path; /* of that */
    char *user, *password; /* NULL: none */
    uint16_t port;
    uint32_t database;
    char shown[FT_REDIS_URL_SHOWN_MAX];
};

/* Reads a URL, into memory that ft_redis_url_fini() frees; if it is wrong, says in `error` why. */
bool ft_redis_url_read(const char *text, struct ft_redis_url *url, char error[FT_RELAY_ERROR_MAX]);
void ft_redis_url_fini(struct ft_redis_url *url);

#endif
