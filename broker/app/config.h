/*
 * The broker's settings: one struct, filled from the table options.def, and the sections [topic
 * "FILTER"] of the file, each filled from topic_options.def.
 *
 *     defaults  <  file  <  environment  <  command line
 *
 * Each source overrides the ones before it; within one source a setting that is given twice is an
 * error (a list grows instead). Whatever fails says in one line where, what the offending text is,
 * and what would be right. The main thread alone fills and reads it.
 */
#ifndef FT_APP_CONFIG_H
#define FT_APP_CONFIG_H

#include "broker/app/option.h"
#include "broker/base/log.h"
#include "broker/core/policy.h"

/* Longest error, NUL included: a path, a quoted value and the advice. */
#define FT_CONFIG_ERROR_MAX 512

struct ft_config_error {
    char text[FT_CONFIG_ERROR_MAX];
};

enum ft_source { FT_SOURCE_DEFAULT, FT_SOURCE_FILE, FT_SOURCE_ENVIRONMENT, FT_SOURCE_COMMAND };

/* The C type of a field, by the type of its row. */
#define FT_FIELD_ADDRESSES struct ft_strings
#define FT_FIELD_NETWORKS  struct ft_strings
#define FT_FIELD_ORIGINS   struct ft_strings
#define FT_FIELD_FILTERS   struct ft_strings
#define FT_FIELD_FILES     struct ft_strings
#define FT_FIELD_TEXTS     struct ft_strings
#define FT_FIELD_URLS      struct ft_strings
#define FT_FIELD_COUNT     uint64_t
#define FT_FIELD_BYTES     uint64_t
#define FT_FIELD_SECONDS   uint64_t
#define FT_FIELD_MILLIS    uint64_t
#define FT_FIELD_LEVEL     enum ft_log_level
#define FT_FIELD_SLOW      enum ft_slow
#define FT_FIELD_YESNO     bool
#define FT_FIELD_AUTH      enum ft_auth_choice
#define FT_FIELD_NAME      char *
#define FT_FIELD_PATH      char *
#define FT_FIELD_FILE      char *
#define FT_FIELD_TEXT      char *
#define FT_FIELD_SECRET    char *

/* Places of the rows in ft_options[]: FT_ROW_limits_queue. */
enum ft_option_row {
#define FT_OPTION(type, section, name, field, initial, min, max, reloadable, unit, help) \
    FT_ROW_##field,
#include "broker/app/options.def"
#undef FT_OPTION
    FT_OPTION_ROWS
};

/* The same for the settings of a [topic "FILTER"] section: FT_TOPIC_ROW_history. */
enum ft_topic_row {
#define FT_TOPIC_OPTION(type, name, field, initial, min, max, unit, help) FT_TOPIC_ROW_##field,
#include "broker/app/topic_options.def"
#undef FT_TOPIC_OPTION
    FT_TOPIC_ROWS
};

struct ft_topic_settings {
#define FT_TOPIC_OPTION(type, name, field, initial, min, max, unit, help) FT_FIELD_##type field;
#include "broker/app/topic_options.def"
#undef FT_TOPIC_OPTION
};

/* One [topic "FILTER"] section. */
struct ft_topic_section {
    char *filter; /* valid; holds no NUL therefore */
    char *where;  /* of its header: "fantail.conf:12" */
    struct ft_topic_settings settings;
    char *where_[FT_TOPIC_ROWS]; /* NULL: the default */
};

/* One field for each row: config->listen, config->limits_queue, config->http_path, … */
struct ft_config {
#define FT_OPTION(type, section, name, field, initial, min, max, reloadable, unit, help) \
    FT_FIELD_##type field;
#include "broker/app/options.def"
#undef FT_OPTION
    enum ft_source source_[FT_OPTION_ROWS];
    char *where_[FT_OPTION_ROWS]; /* NULL: the default */

    char *file; /* that was read; NULL: none */
    struct ft_topic_section *topics;
    size_t topic_count, topic_cap_;
    struct ft_policies *policies; /* the sections, as ft_config_finish() made them; may be taken */
};

/* Fills in the defaults. The rest of this header works on a config that was so begun. */
void ft_config_init(struct ft_config *config);

void ft_config_fini(struct ft_config *config);

/* One setting from one source; `where` names the place in errors: "fantail.conf:3", "--set". */
struct ft_setting {
    enum ft_source source;
    const char *where;
    const char *name; /* "limits.message" */
    const char *value;
};

/* Applies one setting. Returns 0; or -1 and `error`. */
FT_MUST_USE
int ft_config_apply(struct ft_config *config, const struct ft_setting *setting,
                    struct ft_config_error *error);

/* Applies "limits.message=1k" as from the command line's --set. Returns 0; or -1 and `error`. */
FT_MUST_USE
int ft_config_set(struct ft_config *config, const char *assignment, struct ft_config_error *error);

/* Begins a [topic "FILTER"] section, which the next settings are of. Returns 0; or -1 and
 * `error`. */
FT_MUST_USE
int ft_config_begin_topic(struct ft_config *config, const char *where, struct ft_slice filter,
                          struct ft_config_error *error);

/* Applies one setting ("history") of the section that was begun. Returns 0; or -1 and `error`. */
FT_MUST_USE
int ft_config_apply_topic(struct ft_config *config, const struct ft_setting *setting,
                          struct ft_config_error *error);

/* Reads an INI file. Returns 0; or -1 and `error`, which names the line. */
FT_MUST_USE
int ft_config_load_file(struct ft_config *config, const char *path, struct ft_config_error *error);

/*
 * Takes FANTAIL_LISTEN, FANTAIL_LIMITS_MESSAGE and so on from `environment` (as `environ`: ends
 * with NULL). A variable that is empty counts as not set. One that only looks like a setting is an
 * error, except for those that container platforms make up for a service called fantail. Returns 0;
 * or -1 and `error`.
 */
FT_MUST_USE
int ft_config_load_env(struct ft_config *config, char *const *environment,
                       struct ft_config_error *error);

/*
 * Checks the settings against each other and settles what follows from something else: `workers` = 0
 * becomes the number of cores that this process may use, an unset auth.mode becomes token where there
 * are keys. Makes `policies` of the sections. Last, after every source. Reads none of the files that
 * settings name. Returns 0; or -1 and `error`.
 */
FT_MUST_USE
int ft_config_finish(struct ft_config *config, struct ft_config_error *error);

/*
 * Makes `next`, which is finished, what a broker that runs with `config` can go over to: what
 * cannot be changed while it runs becomes as it is in `config`, and `is_kept` says of each row
 * whether that took something back. Returns 0; or -1 and `error`, when the settings contradict each
 * other then.
 */
FT_MUST_USE
int ft_config_keep(const struct ft_config *config, struct ft_config *next,
                   bool is_kept[FT_OPTION_ROWS], struct ft_config_error *error);

/* Takes over every value of `next` that can be changed while the broker runs; `is_new` says of each
 * row whether it was another one before. Sections and policies stay with `next`. */
void ft_config_adopt(struct ft_config *config, const struct ft_config *next,
                     bool is_new[FT_OPTION_ROWS]);

/* Lends the field of a row. */
const void *ft_config_field(const struct ft_config *config, const struct ft_option *option);

/* Prints every setting with its value, as a file that ft_config_load_file() would read. */
void ft_config_print(const struct ft_config *config, FILE *out);

/* Prints which section decides about a valid topic, if any, and what holds for it. Wants a finished
 * config. */
void ft_config_print_topic(const struct ft_config *config, struct ft_slice topic, FILE *out);

/* Prints the part of --help that lists the settings. */
void ft_config_print_help(FILE *out);

/* Prints the commented sample, deploy/fantail.conf: every setting, all commented out. */
void ft_config_print_sample(FILE *out);

/* ---- for the config's own files ---- */

/* Makes `policies` of the sections. Returns 0; or -1 and `error`. */
FT_MUST_USE
int ft_config_settle_topics(struct ft_config *config, struct ft_config_error *error);

void ft_config_free_topics(struct ft_config *config);

/* Makes an unset auth.mode token where something is set that only tokens give a meaning to. */
void ft_config_settle_access(struct ft_config *config);

/* Checks who may come in, and where: listeners, auth, tls. Returns 0; or -1 and `error`. */
FT_MUST_USE
int ft_config_check_access(const struct ft_config *config, struct ft_config_error *error);

/* Fills `error` and returns -1. */
int ft_config_fail(struct ft_config_error *error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
