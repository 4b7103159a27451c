/*
 * Error codes of everything that reads foreign bytes, and the sentence that goes back to the peer.
 * The rows are in errors.def.
 */
#ifndef FT_PROTOCOL_ERROR_H
#define FT_PROTOCOL_ERROR_H

#include <stdint.h>

#define FT_MUST_USE __attribute__((warn_unused_result))

enum ft_err {
    FT_OK = 0,
#define FT_ERROR(name, wire, text) FT_ERR_##name,
#include "protocol/errors.def"
#undef FT_ERROR
    FT_ERR_COUNT_
};

/* Longest sentence of a problem, its NUL included. Offending values are shortened to fit. */
#define FT_PROBLEM_TEXT_MAX 240

/* What went wrong: the code and one sentence naming the offending value and what would be right. */
struct ft_problem {
    enum ft_err err;
    char text[FT_PROBLEM_TEXT_MAX];
    uint32_t retry_ms; /* in how many milliseconds trying again can help; 0: not known */
};

/* Returns the number that the wire carries for `err` (HTTP's numbers); 200 for FT_OK. */
int ft_err_wire(enum ft_err err);

/* Returns the row's name, such as "BAD_TOPIC"; "OK" for FT_OK. */
const char *ft_err_name(enum ft_err err);

/* Returns the row's text, the fallback where no problem says more. */
const char *ft_err_text(enum ft_err err);

/*
 * Fills `problem` (which may be NULL; `retry_ms` is 0) and returns `err`, so that a check ends with
 * `return ft_problem_set(problem, FT_ERR_…, "…")`. The text is always valid UTF-8 without control
 * characters: what a peer sent arrives through "%s" arguments made by ft_quote() (protocol/quote.h).
 */
enum ft_err ft_problem_set(struct ft_problem *problem, enum ft_err err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
