/*
 * How the text of each type of option is read, shown and described: one row a type. It knows no
 * option by name and does not say where a text came from. Runs at start and at a reload, on the
 * main thread.
 */
#include "broker/app/option_list.h"
#include "broker/base/alloc.h"
#include "broker/base/log.h"
#include "broker/core/policy.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* What may stand after a number, largest first, so that a value is shown with the largest that
 * divides it. */
struct suffix {
    const char *text;
    uint64_t factor;
};

static const struct suffix no_suffixes[] = {{"", 1}, {NULL, 0}};
static const struct suffix byte_suffixes[] = {
    {"g", 1 << 30}, {"m", 1 << 20}, {"k", 1 << 10}, {"", 1}, {NULL, 0}};
static const struct suffix second_suffixes[] = {{"d", 86400}, {"h", 3600}, {"m", 60},
                                                {"s", 1},     {"", 1},     {NULL, 0}};
/* No bare number here: elsewhere it would mean seconds. */
static const struct suffix milli_suffixes[] = {{"s", 1000}, {"ms", 1}, {NULL, 0}};

/* Words, by the value that each stands for. */
struct words {
    const char *const *items;
    size_t count;
    const char *expects;
};

#define WORDS(items, expects)                            \
    {                                                    \
        items, sizeof(items) / sizeof(items[0]), expects \
    }

static const char *const level_words[] = {
    [FT_LOG_ERROR] = "error",
    [FT_LOG_WARN] = "warn",
    [FT_LOG_INFO] = "info",
    [FT_LOG_DEBUG] = "debug",
};
static const struct words levels = WORDS(level_words, "error, warn, info or debug");

static const char *const slow_words[] = {
    [FT_SLOW_PARK] = "park",
    [FT_SLOW_LATEST] = "latest",
    [FT_SLOW_DISCONNECT] = "disconnect",
};
static const struct words slows = WORDS(slow_words, "park, latest or disconnect");

static const char *const yesno_words[] = {[false] = "no", [true] = "yes"};
static const struct words yesnos = WORDS(yesno_words, "yes or no");

static const char *const auth_words[] = {
    [FT_AUTH_CHOICE_UNSET] = "",
    [FT_AUTH_CHOICE_NONE] = "none",
    [FT_AUTH_CHOICE_TOKEN] = "token",
};
static const struct words auths = WORDS(auth_words, "none or token");

/* Paths that the broker answers itself, or will: SPEC.md section 7. */
static const char *const reserved_paths[] = {"/healthz", "/readyz", "/metrics", "/v1"};

static const char name_letters[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
/* What a path may hold without percent-encoding (RFC 3986 section 2.3). */
static const char path_letters[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~-/";

static bool parse_number(const struct ft_option *option, const char *text,
                         const struct suffix *suffixes, uint64_t *field)
{
    size_t digits = strspn(text, "0123456789");
    uint64_t number = 0;

    if (digits == 0)
        return false;
    for (size_t i = 0; i < digits; i++)
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, (uint64_t)(text[i] - '0'), &number))
            return false;
    for (; suffixes->text; suffixes++)
        if (strcasecmp(text + digits, suffixes->text) == 0)
            break;
    if (!suffixes->text || __builtin_mul_overflow(number, suffixes->factor, &number))
        return false;
    if (number < option->min || number > option->max)
        return false;
    *field = number;
    return true;
}

static void show_number(uint64_t number, const struct suffix *suffixes, char *out, size_t size)
{
    while (suffixes[1].text && (number == 0 || number % suffixes->factor != 0))
        suffixes++;
    snprintf(out, size, "%" PRIu64 "%s", number / suffixes->factor, suffixes->text);
}

/* Writes unit and bounds, then `what`. */
static void describe_range(const struct ft_option *option, const char *what,
                           const struct suffix *suffixes, char *out, size_t size)
{
    char min[32], max[32];

    show_number(option->min, suffixes, min, sizeof(min));
    show_number(option->max, suffixes, max, sizeof(max));
    snprintf(out, size, "a number of %s from %s to %s%s", option->unit, min, max, what);
}

/* The four types of numbers. */

#define NUMBER(type, what, suffixes)                                                        \
    static bool parse_##type(const struct ft_option *option, const char *text, void *field) \
    {                                                                                       \
        return parse_number(option, text, suffixes, field);                                 \
    }                                                                                       \
    static void show_##type(const struct ft_option *option, const void *field, char *out,   \
                            size_t size)                                                    \
    {                                                                                       \
        (void)option;                                                                       \
        show_number(*(const uint64_t *)field, suffixes, out, size);                         \
    }                                                                                       \
    static void expects_##type(const struct ft_option *option, char *out, size_t size)      \
    {                                                                                       \
        describe_range(option, what, suffixes, out, size);                                  \
    }

NUMBER(count, "", no_suffixes)
NUMBER(bytes, " (suffixes: k, m, g)", byte_suffixes)
NUMBER(seconds, " (suffixes: s, m, h, d)", second_suffixes)
NUMBER(millis, ", with its unit: ms or s", milli_suffixes)

/* Words: one of a few, each a value of an enum or a bool. */

static bool parse_word(const struct words *words, const char *text, size_t *value)
{
    for (size_t i = 0; i < words->count; i++)
        if (strcmp(text, words->items[i]) == 0) {
            *value = i;
            return true;
        }
    return false;
}

#define WORD(name, ctype, words)                                                            \
    static bool parse_##name(const struct ft_option *option, const char *text, void *field) \
    {                                                                                       \
        size_t value;                                                                       \
        (void)option;                                                                       \
        if (!parse_word(&words, text, &value))                                              \
            return false;                                                                   \
        *(ctype *)field = (ctype)value;                                                     \
        return true;                                                                        \
    }                                                                                       \
    static void show_##name(const struct ft_option *option, const void *field, char *out,   \
                            size_t size)                                                    \
    {                                                                                       \
        (void)option;                                                                       \
        snprintf(out, size, "%s", words.items[*(const ctype *)field]);                      \
    }                                                                                       \
    static void expects_##name(const struct ft_option *option, char *out, size_t size)      \
    {                                                                                       \
        (void)option;                                                                       \
        snprintf(out, size, "%s", words.expects);                                           \
    }

WORD(level, enum ft_log_level, levels)
WORD(slow, enum ft_slow, slows)
WORD(yesno, bool, yesnos)
WORD(auth, enum ft_auth_choice, auths)

/* Text. */

/* Takes text that may be absent, which it is when it is empty. */
static bool parse_optional(const struct ft_option *option, const char *text, char **field)
{
    size_t len = strlen(text);

    if (len < option->min || len > option->max)
        return false;
    ft_option_clear(option, field);
    *field = len > 0 ? ft_strdup(text) : NULL;
    return true;
}

static bool parse_text(const struct ft_option *option, const char *text, const char *letters,
                       char **field)
{
    size_t len = strlen(text);

    if (len < option->min || len > option->max || strspn(text, letters) != len)
        return false;
    free(*field);
    *field = ft_strdup(text);
    return true;
}

static void show_text(const struct ft_option *option, const void *field, char *out, size_t size)
{
    (void)option;
    const char *text = *(char *const *)field;

    snprintf(out, size, "%s", text ? text : "");
}

static bool parse_name(const struct ft_option *option, const char *text, void *field)
{
    return parse_text(option, text, name_letters, field);
}

static void expects_name(const struct ft_option *option, char *out, size_t size)
{
    snprintf(out, size, "%" PRIu64 " to %" PRIu64 " letters, digits, dots, dashes or underscores",
             option->min, option->max);
}

static bool parse_path(const struct ft_option *option, const char *text, void *field)
{
    if (text[0] != '/' || strstr(text, "//"))
        return false;
    for (size_t i = 0; i < sizeof(reserved_paths) / sizeof(reserved_paths[0]); i++) {
        size_t len = strlen(reserved_paths[i]);
        if (strncmp(text, reserved_paths[i], len) == 0 && (text[len] == 0 || text[len] == '/'))
            return false;
    }
    return parse_text(option, text, path_letters, field);
}

static void expects_path(const struct ft_option *option, char *out, size_t size)
{
    snprintf(out, size,
             "a path such as /ws, %" PRIu64 " to %" PRIu64
             " letters, digits and . _ ~ - /, not /healthz, /readyz, /metrics or /v1",
             option->min, option->max);
}

static bool parse_file(const struct ft_option *option, const char *text, void *field)
{
    return ft_text_is_plain(text) && parse_optional(option, text, field);
}

static void expects_file(const struct ft_option *option, char *out, size_t size)
{
    snprintf(out, size, "the path of a file, up to %" PRIu64 " bytes", option->max);
}

static void expects_text(const struct ft_option *option, char *out, size_t size)
{
    snprintf(out, size, "up to %" PRIu64 " bytes of text", option->max);
}

/* Secrets. Whatever is printed may be logged. */

static void show_secret(const struct ft_option *option, const void *field, char *out, size_t size)
{
    (void)option;
    snprintf(out, size, "%s", *(char *const *)field ? FT_OPTION_HIDDEN : "");
}

/* What a field is in C. */
enum form { PLAIN, TEXT, LIST };

static const struct type {
    bool (*parse)(const struct ft_option *option, const char *text, void *field);
    void (*show)(const struct ft_option *option, const void *field, char *out, size_t size);
    void (*expects)(const struct ft_option *option, char *out, size_t size);
    enum form form;
    size_t size; /* of what is PLAIN */
    const char *example;
} types[] = {
    [FT_OPTION_ADDRESSES] = {ft_list_parse, ft_list_show, ft_list_expects, LIST, 0, "[::1]:8080"},
    [FT_OPTION_NETWORKS] = {ft_list_parse, ft_list_show, ft_list_expects, LIST, 0, "10.0.0.0/8"},
    [FT_OPTION_ORIGINS] = {ft_list_parse, ft_list_show, ft_list_expects, LIST, 0,
                           "https://example.com"},
    [FT_OPTION_FILTERS] = {ft_list_parse, ft_list_show, ft_list_expects, LIST, 0, "chat/#"},
    [FT_OPTION_FILES] = {ft_list_parse, ft_list_show, ft_list_expects, LIST, 0,
                         "/etc/fantail/keys.json"},
    [FT_OPTION_TEXTS] = {ft_list_parse, ft_list_show, ft_list_expects, LIST, 0, "fantail"},
    [FT_OPTION_URLS] = {ft_list_parse, ft_list_show, ft_list_expects, LIST, 0,
                        "redis://127.0.0.1:6379"},
    [FT_OPTION_COUNT] = {parse_count, show_count, expects_count, PLAIN, sizeof(uint64_t), "1"},
    [FT_OPTION_BYTES] = {parse_bytes, show_bytes, expects_bytes, PLAIN, sizeof(uint64_t), "64k"},
    [FT_OPTION_SECONDS] = {parse_seconds, show_seconds, expects_seconds, PLAIN, sizeof(uint64_t),
                           "30s"},
    [FT_OPTION_MILLIS] = {parse_millis, show_millis, expects_millis, PLAIN, sizeof(uint64_t),
                          "500ms"},
    [FT_OPTION_LEVEL] = {parse_level, show_level, expects_level, PLAIN, sizeof(enum ft_log_level),
                         "info"},
    [FT_OPTION_SLOW] = {parse_slow, show_slow, expects_slow, PLAIN, sizeof(enum ft_slow), "park"},
    [FT_OPTION_YESNO] = {parse_yesno, show_yesno, expects_yesno, PLAIN, sizeof(bool), "no"},
    [FT_OPTION_AUTH] = {parse_auth, show_auth, expects_auth, PLAIN, sizeof(enum ft_auth_choice),
                        "token"},
    [FT_OPTION_NAME] = {parse_name, show_text, expects_name, TEXT, 0, "broker-1"},
    [FT_OPTION_PATH] = {parse_path, show_text, expects_path, TEXT, 0, "/ws"},
    [FT_OPTION_FILE] = {parse_file, show_text, expects_file, TEXT, 0, "/etc/fantail/file.pem"},
    [FT_OPTION_TEXT] = {parse_file, show_text, expects_text, TEXT, 0, "https://example.com/"},
    [FT_OPTION_SECRET] = {parse_file, show_secret, expects_text, TEXT, 0,
                          "at least 32 bytes that nobody can guess"},
};

bool ft_option_parse(const struct ft_option *option, const char *text, void *field)
{
    return types[option->type].parse(option, text, field);
}

const char *ft_option_expects(const struct ft_option *option, char *out, size_t size)
{
    types[option->type].expects(option, out, size);
    return out;
}

const char *ft_option_explain(const struct ft_option *option, const char *text, char *out,
                              size_t size)
{
    out[0] = 0;
    if (ft_option_is_list(option))
        ft_list_explain(option, text, out, size);
    return out;
}

const char *ft_option_show(const struct ft_option *option, const void *field, char *out,
                           size_t size)
{
    types[option->type].show(option, field, out, size);
    return out;
}

const char *ft_option_example(const struct ft_option *option)
{
    return option->initial[0] ? option->initial : types[option->type].example;
}

bool ft_option_is_list(const struct ft_option *option)
{
    return types[option->type].form == LIST;
}

bool ft_option_is_secret(const struct ft_option *option)
{
    return option->type == FT_OPTION_SECRET || option->type == FT_OPTION_URLS;
}

static bool copy_text(const struct ft_option *option, char *from, char **to)
{
    if (from == *to || (from && *to && strcmp(from, *to) == 0))
        return false;
    ft_option_clear(option, to);
    *to = from ? ft_strdup(from) : NULL;
    return true;
}

bool ft_option_copy(const struct ft_option *option, const void *from, void *to)
{
    const struct type *type = &types[option->type];

    if (type->form == LIST)
        return ft_list_copy(from, to);
    if (type->form == TEXT)
        return copy_text(option, *(char *const *)from, to);
    if (memcmp(from, to, type->size) == 0)
        return false;
    memcpy(to, from, type->size);
    return true;
}

void ft_option_clear(const struct ft_option *option, void *field)
{
    char **text = field;

    if (types[option->type].form == LIST) {
        ft_list_clear(field);
    } else if (types[option->type].form == TEXT) {
        if (*text && ft_option_is_secret(option))
            explicit_bzero(*text, strlen(*text));
        free(*text);
        *text = NULL;
    }
}
