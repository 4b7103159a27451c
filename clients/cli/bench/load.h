/*
 * What the bench publishes: one `pub` envelope laid out once, of which only a stamp changes. The
 * stamp stands at the start of the data string, so that a receiver finds it at a fixed place:
 *
 *     {"op":"pub","topic":"bench/fan","data":"seq:0000002a00000007xxxxxxxx…"}
 *                                             mark feed     sequence
 *
 * The feed says whose numbering it is, the sequence grows by one from 0 in each feed.
 */
#ifndef FT_CLI_BENCH_LOAD_H
#define FT_CLI_BENCH_LOAD_H

#include "protocol/buffer.h"
#include "protocol/encoding.h"

#define FT_STAMP_MARK     "seq:"
#define FT_STAMP_MARK_LEN 4
#define FT_STAMP_LEN      20 /* the mark, and two numbers of 8 hexadecimal digits */

/* Ids of publications are this plus the sequence: ten digits, or five bytes, whatever the sequence. */
#define FT_LOAD_ID_BASE 0x80000000u

struct ft_load_spec {
    enum ft_encoding encoding;
    const char *topic;
    size_t data_len; /* of the data string, FT_STAMP_LEN at least */
    bool has_id;
    uint32_t array; /* envelopes in one message, as an array; 0 is one bare envelope */
};

struct ft_load {
    struct ft_buffer envelope_;
    size_t stamp_at_, id_at_;
    enum ft_encoding encoding_;
    bool has_id_;
    size_t frame_size; /* of one publication (or array) as it goes out, header included */
};

/* Lays the envelope out. */
void ft_load_init(struct ft_load *load, const struct ft_load_spec *spec);

void ft_load_fini(struct ft_load *load);

/*
 * Writes one masked WebSocket frame of load->frame_size bytes with this stamp (of an array, in its
 * first envelope) and id into `out`, and returns where it ends.
 */
uint8_t *ft_load_put(const struct ft_load *load, uint32_t feed, uint32_t seq, uint8_t *out);

/* Writes a stamp of FT_STAMP_LEN bytes. */
void ft_stamp_put(uint32_t feed, uint32_t seq, uint8_t *out);

/* Reads the numbers of a stamp whose mark was seen. */
static inline void ft_stamp_read(const uint8_t *stamp, uint32_t *feed, uint32_t *seq)
{
    uint32_t numbers[2] = {0, 0};
    const uint8_t *digit = stamp + FT_STAMP_MARK_LEN;
    for (size_t n = 0; n < 2; n++)
        for (size_t i = 0; i < 8; i++, digit++)
            numbers[n] = numbers[n] << 4 | ((*digit & 15u) + 9u * (*digit >> 6));
    *feed = numbers[0];
    *seq = numbers[1];
}

/* Writes a whole masked frame around `payload` into `out` (14 bytes larger); returns its size. */
size_t ft_load_wrap(enum ft_encoding encoding, struct ft_slice payload, uint8_t *out);

/* The mask of every frame that the bench sends: any but zero, so that nobody can skip unmasking. */
extern const uint8_t ft_load_mask[4];

#endif
