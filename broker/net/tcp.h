/* What the kernel knows of a TCP connection. */
#ifndef FT_NET_TCP_H
#define FT_NET_TCP_H

#include <stdint.h>

/* Returns for how many milliseconds nothing has come from the peer, 0 when that cannot be said. */
uint64_t ft_tcp_silence_ms(int fd);

/* Returns for how many milliseconds the peer has not acknowledged anything, though it has to. */
uint64_t ft_tcp_deaf_ms(int fd);

/* Returns how many bytes the peer has acknowledged since the connection began. */
uint64_t ft_tcp_taken_bytes(int fd);

#endif
