/*
 * How the texts of /proc are taken apart: lines, words, numbers. For the readers of figures and counters.
 */
#ifndef FT_CLI_PROC_TEXT_H
#define FT_CLI_PROC_TEXT_H

#include "protocol/slice.h"

/* Takes the next line off a text into `line` and returns true, or returns false after the last. */
bool ft_proc_next_line(struct ft_slice *text, struct ft_slice *line);

/* Takes the next word off a line; empty at its end. */
struct ft_slice ft_proc_next_word(struct ft_slice *line);

/* Reads a whole word as a decimal number of at most 19 digits. */
bool ft_proc_number(struct ft_slice word, uint64_t *value);

#endif
