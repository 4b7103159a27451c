/*
 * What was read from Redis as a partition is joined, before it goes into the journal: the newest messages of
 * the log, read backwards; last values, and histories of topics. Here it is found out what of it is wanted,
 * and in which order it goes in:
 *
 *     last values, histories      up to W           as restored entries, by their offsets
 *     log                         W + 1 … head      as they were accepted, without a hole
 *
 * Pure.
 */
#ifndef FT_RELAY_LOADED_H
#define FT_RELAY_LOADED_H

#include "broker/core/relay_message.h"

struct ft_loaded;

/* What is wanted. */
struct ft_load_plan {
    char stream[FT_STREAM_NAME_LEN + 1]; /* the stream that is joined … */
    uint64_t head, ms;                   /* … and up to where: later ones come by the channel */
    uint64_t had;     /* what the journal has of it; the log is wanted behind that */
    bool is_warm;     /* read the log, too */
    uint32_t portion; /* messages that are asked for at once; whoever reads fills it in */
};

struct ft_loaded *ft_loaded_new(const struct ft_load_plan *plan);
void ft_loaded_free(struct ft_loaded *loaded);

/* Adds a message of the log: the newest one first. Returns false where it does not fit before the one
 * added last, or there is nothing before it that is wanted: read no further. */
bool ft_loaded_add_log(struct ft_loaded *loaded, struct ft_slice message);

/* Adds a last value, or one of a topic's history; what is not sound, or too new, is left out. */
void ft_loaded_add_last(struct ft_loaded *loaded, struct ft_slice message);
void ft_loaded_add_history(struct ft_loaded *loaded, struct ft_slice message);

/* Returns how many bytes of the journal what was added will take, about. */
size_t ft_loaded_log_bytes(const struct ft_loaded *loaded);
size_t ft_loaded_kept_bytes(const struct ft_loaded *loaded);

/* Puts it in order. Nothing is added after that. */
void ft_loaded_seal(struct ft_loaded *loaded);

/* Returns W: the log was read from the next one on. */
uint64_t ft_loaded_from(const struct ft_loaded *loaded);

/* Lends the next restored message, and then, the next one of the log; false: there is none. `*is_last`: it
 * is its topic's last value, whatever the entry itself says. They end one after the other, and then may be
 * taken off by ft_loaded_…_done(), which makes the next one the next. */
bool ft_loaded_kept(const struct ft_loaded *loaded, struct ft_slice *message, bool *is_last);
void ft_loaded_kept_done(struct ft_loaded *loaded);
bool ft_loaded_log(const struct ft_loaded *loaded, struct ft_slice *message);
void ft_loaded_log_done(struct ft_loaded *loaded);

#endif
