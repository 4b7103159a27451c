/*
 * Reads settings from an INI file with libinih. The library is given its lines one by one, because
 * this build of it does not tell its handler which line it is at; headers of sections it never
 * sees, because it cuts them after 50 bytes and at ';'. Runs at start and at a reload, on the main
 * thread.
 */
#include "broker/app/config.h"

#include "broker/base/alloc.h"
#include "protocol/quote.h"

#include <errno.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>

/* Longest line with a header: a filter of 255 bytes, each escaped, and a comment. */
#define HEADER_BYTES_MAX 1024
/* Longest name of a section that is told apart; no section's is nearly as long. */
#define SECTION_MAX 48

/* What a header becomes for libinih, which forgets with it the setting that an indented line would
 * go on with. */
static const char any_header[] = "[]\n";

struct file {
    struct ft_config *config;
    struct ft_config_error *error;
    const char *path;
    FILE *stream;
    unsigned line;
    bool failed;
    bool is_of_topics;         /* the section is [topic "FILTER"] */
    bool has_setting;          /* since the last header: an indented line goes on with it */
    char section[SECTION_MAX]; /* "": at the top */
    char text[HEADER_BYTES_MAX];
};

/* Writes "fantail.conf:3" into `out` and returns it. */
static const char *place(const struct file *file, char out[FT_CONFIG_ERROR_MAX / 2])
{
    snprintf(out, FT_CONFIG_ERROR_MAX / 2, "%s:%u", file->path, file->line);
    return out;
}

/* ---- headers ---- */

static const char *skip_blanks(const char *at)
{
    return at + strspn(at, " \t");
}

/* Says whether nothing follows but a comment. */
static bool is_end(const char *at)
{
    at = skip_blanks(at);
    return strchr("\r\n;#", *at) != NULL; /* the NUL too */
}

/* Unescapes what stands in double quotes at `*at` into `out`, which has room for the line. Returns
 * its length and steps past it; or -1. */
static int take_quoted(const char **at, char *out)
{
    const char *from = *at + 1;
    int len = 0;

    for (; *from != '"'; from++) {
        if (*from == '\\' && (from[1] == '\\' || from[1] == '"'))
            from++;
        else if (*from == '\\' || *from == '\n' || *from == 0)
            return -1;
        out[len++] = *from;
    }
    *at = from + 1;
    return len;
}

static int refuse_header(const struct file *file, const char *at)
{
    char quoted[FT_QUOTE_MAX], where[FT_CONFIG_ERROR_MAX / 2];
    struct ft_slice line = ft_slice(at, strcspn(at, "\r\n"));

    return ft_config_fail(file->error,
                          "%s: %s must be [SECTION] or [topic \"FILTER\"], where \\\" and \\\\ "
                          "stand for \" and \\",
                          place(file, where), ft_quote(line, quoted));
}

/* Begins the section [name "FILTER"]. */
static int begin_topics(struct file *file, struct ft_slice name, struct ft_slice filter)
{
    char quoted[FT_QUOTE_MAX], where[FT_CONFIG_ERROR_MAX / 2];

    if (!ft_slice_equal(name, ft_slice_str("topic")))
        return ft_config_fail(file->error,
                              "%s: there is no section %s with a filter; did you mean topic?",
                              place(file, where), ft_quote(name, quoted));
    file->is_of_topics = true;
    return ft_config_begin_topic(file->config, place(file, where), filter, file->error);
}

/* Begins a section that has a name alone. Whether there is such a one, its settings will tell. */
static int begin_section(struct file *file, struct ft_slice name)
{
    char quoted[FT_QUOTE_MAX], where[FT_CONFIG_ERROR_MAX / 2];

    if (ft_slice_equal(name, ft_slice_str("topic")))
        return ft_config_fail(file->error, "%s: [topic] must name a filter: [topic \"chat/#\"]",
                              place(file, where));
    if (name.len >= sizeof(file->section))
        return ft_config_fail(file->error, "%s: there is no section %s", place(file, where),
                              ft_quote(name, quoted));
    file->is_of_topics = false;
    memcpy(file->section, name.ptr, name.len);
    file->section[name.len] = 0;
    return 0;
}

static int take_header(struct file *file, const char *line)
{
    char filter[HEADER_BYTES_MAX];
    const char *at = skip_blanks(line + 1);
    struct ft_slice name = ft_slice(at, strcspn(at, " \t\"]\r\n"));
    int filter_len = -1;

    at = skip_blanks(at + name.len);
    if (*at == '"') {
        filter_len = take_quoted(&at, filter);
        if (filter_len < 0)
            return refuse_header(file, line);
        at = skip_blanks(at);
    }
    if (name.len == 0 || *at != ']' || !is_end(at + 1))
        return refuse_header(file, line);
    file->has_setting = false;
    return filter_len < 0 ? begin_section(file, name)
                          : begin_topics(file, name, ft_slice(filter, (size_t)filter_len));
}

/* Returns where the header on the line begins, or NULL when it holds none. An indented '[' after a
 * setting goes on with that: it may be an IPv6 address. */
static const char *find_header(const struct file *file)
{
    static const char mark[] = "\xEF\xBB\xBF"; /* some editors begin a file with it */
    const char *line = file->text;

    if (file->line == 1 && strncmp(line, mark, strlen(mark)) == 0)
        line += strlen(mark);
    const char *at = skip_blanks(line);
    return *at == '[' && (at == line || !file->has_setting) ? at : NULL;
}

/* ---- lines ---- */

/* Reads a line into file->text. False: there is none, or it cannot be taken. */
static bool take_line(struct file *file)
{
    if (file->failed || !fgets(file->text, sizeof(file->text), file->stream))
        return false;
    file->line++;
    size_t len = strlen(file->text);
    if ((len > 0 && file->text[len - 1] == '\n') || feof(file->stream))
        return true;
    file->failed = true;
    if (len + 1 < sizeof(file->text))
        ft_config_fail(file->error, "%s:%u: the line holds a NUL byte; settings are text",
                       file->path, file->line);
    else
        ft_config_fail(file->error, "%s:%u: the line is longer than %zu bytes", file->path,
                       file->line, sizeof(file->text) - 2);
    return false;
}

/* Hands libinih the next line; stops at one that the library would cut in two. */
static char *read_line(char *line, int size, void *context)
{
    struct file *file = context;

    if (!take_line(file))
        return NULL;
    const char *header = find_header(file);
    if (header) {
        file->failed = take_header(file, header) != 0;
        memcpy(line, any_header, sizeof(any_header));
        return file->failed ? NULL : line;
    }
    if (strlen(file->text) >= (size_t)size) {
        file->failed = true;
        ft_config_fail(file->error, "%s:%u: the line is longer than %d bytes", file->path,
                       file->line, size - 2);
        return NULL;
    }
    return strcpy(line, file->text);
}

/* libinih wants 1 for "go on", 0 for an error. Its idea of the section is not asked. */
static int on_setting(void *context, const char *section, const char *name, const char *value)
{
    struct file *file = context;
    char full_name[2 * 64], where[FT_CONFIG_ERROR_MAX / 2];
    struct ft_setting setting = {.source = FT_SOURCE_FILE, .name = name, .value = value};

    (void)section;
    if (file->failed)
        return 0;
    file->has_setting = true;
    setting.where = place(file, where);
    if (file->is_of_topics) {
        file->failed = ft_config_apply_topic(file->config, &setting, file->error) != 0;
    } else {
        snprintf(full_name, sizeof(full_name), "%s%s%s", file->section, file->section[0] ? "." : "",
                 name);
        setting.name = full_name;
        file->failed = ft_config_apply(file->config, &setting, file->error) != 0;
    }
    return file->failed ? 0 : 1;
}

int ft_config_load_file(struct ft_config *config, const char *path, struct ft_config_error *error)
{
    struct file file = {.config = config, .error = error, .path = path};

    file.stream = fopen(path, "re");
    if (!file.stream)
        return ft_config_fail(error, "%s: cannot be opened: %s", path, strerror(errno));
    free(config->file);
    config->file = ft_strdup(path);
    errno = 0;
    int bad_line = ini_parse_stream(read_line, &file, on_setting, &file);
    int read_errno = ferror(file.stream) ? errno : 0;
    fclose(file.stream);
    if (read_errno != 0)
        return ft_config_fail(error, "%s: cannot be read: %s", path, strerror(read_errno));
    if (file.failed)
        return -1;
    if (bad_line != 0)
        return ft_config_fail(error, "%s:%d: the line must be NAME = VALUE, [SECTION] or a comment",
                              path, bad_line);
    return 0;
}
