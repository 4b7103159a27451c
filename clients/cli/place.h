/*
 * A file that keeps how far a subscription has come, so that the next run goes on there: a position a
 * line. It is replaced as a whole (written beside it, then renamed), so it is never half of one.
 */
#ifndef FT_CLI_PLACE_H
#define FT_CLI_PLACE_H

#include "clients/c/fantail.h"
#include "clients/c/positions.h"
#include "protocol/buffer.h"

struct ft_place {
    const char *path;
    char *temp_;
    struct ft_buffer reached_; /* the lines that the file is to hold */
    struct ft_buffer saved_;   /* those that it holds */
    uint64_t saved_ms_;
    char texts_[FT_POSITIONS_MAX][FT_POSITION_BYTES_MAX];
    const char *since[FT_POSITIONS_MAX]; /* what the file held at first */
    size_t since_count;                  /* 0: there was none, or nothing in it */
};

/* Reads the file, which need not exist. False: it cannot be read or is no such file, and that was said
 * on standard error. `path` stays with the caller. */
bool ft_place_open(struct ft_place *place, const char *path);
void ft_place_close(struct ft_place *place);

/* Takes note of where the subscription is. */
void ft_place_reach(struct ft_place *place, const struct fantail_subscription *subscription);

/* Writes down where that was, where it is news and the last time is a second ago or `is_last`. False:
 * it could not, and that was said. */
bool ft_place_save(struct ft_place *place, uint64_t now_ms, bool is_last);

/* Returns how long until there is something to save; -1: nothing. */
int ft_place_due_ms(const struct ft_place *place, uint64_t now_ms);

#endif
