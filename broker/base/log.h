/*
 * Logs, one line of logfmt on stderr each:
 *
 *     ts=2026-11-21T10:00:00.123Z level=info event=listening address=127.0.0.1:8080 workers=2
 *
 * Values are quoted where logfmt needs it. Payloads and tokens never go into a log. Any thread.
 */
#ifndef FT_BASE_LOG_H
#define FT_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum ft_log_level { FT_LOG_ERROR, FT_LOG_WARN, FT_LOG_INFO, FT_LOG_DEBUG };

/* Sets what is written: this level and the graver ones. Default FT_LOG_INFO. */
void ft_log_set_level(enum ft_log_level level);

/* Says whether a line of this level would be written, to save the work of making it. */
bool ft_log_is_on(enum ft_log_level level);

/*
 * Writes one line. `event` is a short fixed name; `format` makes the fields, already in logfmt
 * (`"address=%s connections=%u"`); values that hold spaces or foreign bytes go through
 * ft_log_value(). `format` may be "".
 */
void ft_log(enum ft_log_level level, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Makes a value fit for logfmt: quoted and escaped where it has to be. Returns `out`, cut to fit. */
const char *ft_log_value(const char *text, char *out, unsigned long size);

#endif
