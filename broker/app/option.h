/*
 * The rows of options.def and topic_options.def as data: find one by its name, guess which one was
 * meant, read and write values of each type. What a program does with the values is config.h.
 */
#ifndef FT_APP_OPTION_H
#define FT_APP_OPTION_H

#include "protocol/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Room for "section.name", for its name in the environment, and for a value that is shown. */
#define FT_OPTION_NAME_MAX  48
#define FT_OPTION_ENV_MAX   64
#define FT_OPTION_VALUE_MAX 1024

enum ft_option_type {
    FT_OPTION_ADDRESSES, /* struct ft_strings, as are the next six */
    FT_OPTION_NETWORKS,
    FT_OPTION_ORIGINS,
    FT_OPTION_FILTERS,
    FT_OPTION_FILES,
    FT_OPTION_TEXTS,
    FT_OPTION_URLS,  /* of Redis servers; a password in one is never shown */
    FT_OPTION_COUNT, /* uint64_t, as are the next three */
    FT_OPTION_BYTES,
    FT_OPTION_SECONDS,
    FT_OPTION_MILLIS,
    FT_OPTION_LEVEL, /* enum ft_log_level */
    FT_OPTION_SLOW,  /* enum ft_slow */
    FT_OPTION_YESNO, /* bool */
    FT_OPTION_AUTH,  /* enum ft_auth_choice */
    FT_OPTION_NAME,  /* char *, as are the next four; NULL: not set */
    FT_OPTION_PATH,
    FT_OPTION_FILE,
    FT_OPTION_TEXT,
    FT_OPTION_SECRET /* never shown */
};

/* What auth.mode says. */
enum ft_auth_choice { FT_AUTH_CHOICE_UNSET, FT_AUTH_CHOICE_NONE, FT_AUTH_CHOICE_TOKEN };

struct ft_option {
    enum ft_option_type type;
    const char *section; /* "": a name at the top, before any section */
    const char *name;
    const char *initial; /* as text; "": made at start, the help says how */
    uint64_t min, max;
    bool is_reloadable;
    const char *unit;
    const char *help;
    size_t offset; /* of the field in struct ft_config, or struct ft_topic_settings */
};

/* A list of strings that the owner of the struct frees. */
struct ft_strings {
    char **items;
    size_t count;
};

extern const struct ft_option ft_options[];
extern const size_t ft_option_count;

/* What a [topic "FILTER"] section sets; `section` is "". */
extern const struct ft_option ft_topic_options[];
extern const size_t ft_topic_option_count;

/* Returns the option called "section.name" (or "name", at the top), or NULL. */
const struct ft_option *ft_option_find(const char *full_name);

/* Returns the option that a mistyped name most likely means, or NULL when none is near. */
const struct ft_option *ft_option_nearest(const char *full_name);

/* The same for the settings of a [topic "FILTER"] section. */
const struct ft_option *ft_topic_option_find(const char *name);
const struct ft_option *ft_topic_option_nearest(const char *name);

/* Writes "section.name" into `out` and returns it. */
const char *ft_option_name(const struct ft_option *option, char out[FT_OPTION_NAME_MAX]);

/* Writes the name in the environment, such as FANTAIL_LIMITS_MESSAGE, and returns it. */
const char *ft_option_env(const struct ft_option *option, char out[FT_OPTION_ENV_MAX]);

/*
 * Reads `text` into `field`, which has the C type that ft_option_type says and holds a value
 * already (zero is one). Text is replaced, an item of a list is added. False: the text is not such
 * a value or is out of bounds, and the field is untouched.
 */
FT_MUST_USE
bool ft_option_parse(const struct ft_option *option, const char *text, void *field);

/* Writes what ft_option_parse() takes, to follow "must be": "bytes from 256 to 16m (…)". */
const char *ft_option_expects(const struct ft_option *option, char *out, size_t size);

/* Writes what is wrong with a text that ft_option_parse() has refused, to follow what it expects; empty where there is
 * no more to say. Nothing of the text is in it. */
const char *ft_option_explain(const struct ft_option *option, const char *text, char *out,
                              size_t size);

/* What is shown in the place of a secret. */
#define FT_OPTION_HIDDEN "(not shown)"

/* Writes the value of `field` as ft_option_parse() would read it, cut where it does not fit; in the place of a
 * secret, FT_OPTION_HIDDEN. */
const char *ft_option_show(const struct ft_option *option, const void *field, char *out,
                           size_t size);

/* Returns a valid text that shows what a value looks like: the default, or an example. */
const char *ft_option_example(const struct ft_option *option);

bool ft_option_is_list(const struct ft_option *option);

/* Says whether its text must not be repeated: it is a secret, or may hold one. */
bool ft_option_is_secret(const struct ft_option *option);

/* Makes the field `to` what `from` is. Returns whether it was something else; where it was not, nothing
 * moves. */
bool ft_option_copy(const struct ft_option *option, const void *from, void *to);

/* Frees what the field holds and makes it empty. */
void ft_option_clear(const struct ft_option *option, void *field);

#endif
