/*
 * The table of errors.def as functions, and the sentences of problems. Does not quote what a peer
 * sent: that is ft_quote()'s work, before the text comes here. Pure; any thread.
 */
#include "protocol/error.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "protocol/utf8.h"

struct row {
    int wire;
    const char *name;
    const char *text;
};

static const struct row rows[FT_ERR_COUNT_] = {
    [FT_OK] = {200, "OK", "ok"},
#define FT_ERROR(name_, wire_, text_) [FT_ERR_##name_] = {wire_, #name_, text_},
#include "protocol/errors.def"
#undef FT_ERROR
};

/* A number that is no error code can only be a mistake of ours: it is told as an internal error. */
static const struct row *row_of(enum ft_err err)
{
    bool is_known = (unsigned)err < FT_ERR_COUNT_;
    return &rows[is_known ? err : FT_ERR_INTERNAL];
}

int ft_err_wire(enum ft_err err)
{
    return row_of(err)->wire;
}

const char *ft_err_name(enum ft_err err)
{
    return row_of(err)->name;
}

const char *ft_err_text(enum ft_err err)
{
    return row_of(err)->text;
}

enum ft_err ft_problem_set(struct ft_problem *problem, enum ft_err err, const char *format, ...)
{
    if (!problem)
        return err;
    problem->err = err;
    problem->retry_ms = 0;

    va_list args;
    va_start(args, format);
    int n = vsnprintf(problem->text, sizeof(problem->text), format, args);
    va_end(args);
    if (n < 0)
        problem->text[0] = '\0';
    if (n < (int)sizeof(problem->text))
        return err;

    /* Cut at a character, never inside one, and show that it was cut. */
    static const char ellipsis[] = "…";
    struct ft_slice text = ft_slice_str(problem->text);
    size_t keep = ft_utf8_cut(text, sizeof(problem->text) - sizeof(ellipsis));
    memcpy(problem->text + keep, ellipsis, sizeof(ellipsis));
    return err;
}
