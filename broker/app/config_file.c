/*
 * Reads settings from an INI file with libinih. The library is given its lines one by one, because
 * this build of it does not tell its handler which line it is at. Runs at start, on the main thread.
 */
#include "broker/app/config.h"

#include <errno.h>
#include <ini.h>
#include <string.h>

struct file {
    struct ft_config *config;
    struct ft_config_error *error;
    const char *path;
    FILE *stream;
    unsigned line;
    bool failed;
};

/* Hands libinih the next line; stops at one that the library would cut in two. */
static char *read_line(char *line, int size, void *context)
{
    struct file *file = context;

    if (file->failed || !fgets(line, size, file->stream))
        return NULL;
    file->line++;
    size_t len = strlen(line);
    if ((len > 0 && line[len - 1] == '\n') || feof(file->stream))
        return line;
    file->failed = true;
    if (len + 1 < (size_t)size)
        ft_config_fail(file->error, "%s:%u: the line holds a NUL byte; settings are text",
                       file->path, file->line);
    else
        ft_config_fail(file->error, "%s:%u: the line is longer than %d bytes", file->path,
                       file->line, size - 2);
    return NULL;
}

/* libinih wants 1 for "go on", 0 for an error. */
static int on_setting(void *context, const char *section, const char *name, const char *value)
{
    struct file *file = context;
    char full_name[2 * 64], where[FT_CONFIG_ERROR_MAX / 2];

    if (file->failed)
        return 0;
    snprintf(full_name, sizeof(full_name), "%s%s%s", section, section[0] ? "." : "", name);
    snprintf(where, sizeof(where), "%s:%u", file->path, file->line);
    struct ft_setting setting = {
        .source = FT_SOURCE_FILE, .where = where, .name = full_name, .value = value};
    file->failed = ft_config_apply(file->config, &setting, file->error) != 0;
    return file->failed ? 0 : 1;
}

int ft_config_load_file(struct ft_config *config, const char *path, struct ft_config_error *error)
{
    struct file file = {.config = config, .error = error, .path = path};

    file.stream = fopen(path, "re");
    if (!file.stream)
        return ft_config_fail(error, "%s: cannot be opened: %s", path, strerror(errno));
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
