/*
 * Reads the header of the PROXY protocol, version 2 (binary), which a load balancer puts in front of a
 * connection to say who the client is; and the address in X-Forwarded-For. Only the bytes.
 * Source: HAProxy, doc/proxy-protocol.txt, section 2.2.
 */
#ifndef FT_PROTOCOL_PROXY_HEAD_H
#define FT_PROTOCOL_PROXY_HEAD_H

#include "protocol/error.h"
#include "protocol/slice.h"

#include <stddef.h>
#include <stdint.h>

/* An IP address in 16 bytes; IPv4 as ::ffff:a.b.c.d (RFC 4291 section 2.5.5.2). */
struct ft_ip {
    uint8_t bytes[16];
};

/* Longest text of one, with its NUL. */
#define FT_IP_TEXT_MAX 46

/* A network, as in 10.0.0.0/8; an address alone is one of 128 bits. */
struct ft_network {
    struct ft_ip ip;
    uint8_t bits; /* counted in 16 bytes: 10.0.0.0/8 has 104 */
};

/* Longest PROXY header that is taken: its fixed part, two addresses, and room for TLVs. */
#define FT_PROXY_HEAD_MAX 536

struct ft_proxy_head {
    uint32_t size;   /* of the whole header */
    bool is_proxied; /* false: LOCAL or not an IP connection, the socket's own address counts */
    struct ft_ip client;
    uint16_t port;
};

/*
 * Reads the header that `bytes` begin with. Returns 1; 0 when it is not complete; or -1: not such a
 * header, or longer than FT_PROXY_HEAD_MAX, with `problem`. TLVs are skipped. A connection that is not
 * proxied still came through the balancer: its socket's address is the balancer's own.
 */
int ft_proxy_head_read(struct ft_slice bytes, struct ft_proxy_head *head,
                       struct ft_problem *problem);

/* Reads "192.0.2.7" or "2001:db8::1", also as proxies write them: "192.0.2.7:4711", "[2001:db8::1]",
 * "[2001:db8::1]:4711". The port is dropped. */
bool ft_ip_read(struct ft_slice text, struct ft_ip *ip);

/* Writes an address into `out` and returns it; IPv4 in its own form. */
const char *ft_ip_text(const struct ft_ip *ip, char out[FT_IP_TEXT_MAX]);

/* Says whether it is 127.0.0.0/8 or ::1. */
bool ft_ip_is_loopback(const struct ft_ip *ip);

/* Reads "10.0.0.0/8", "2001:db8::/32" or an address. False too where bits behind the network's are set, as
 * in 10.0.0.1/8: that is a slip. 0.0.0.0/0 has every IPv4 address, ::/0 every address. */
bool ft_network_read(struct ft_slice text, struct ft_network *network);
bool ft_network_has(const struct ft_network *network, const struct ft_ip *ip);

/*
 * Returns whose request it is where a trusted proxy sent it: the last address of the list (the field
 * values joined by commas) that is not a trusted proxy's itself, or the first where all are. `peer` is
 * who is connected; it is returned when it is not trusted, and when an element that matters cannot be
 * read.
 */
struct ft_ip ft_forwarded_for(const struct ft_ip *peer, struct ft_slice list,
                              const struct ft_network *trusted, size_t trusted_count);

#endif
