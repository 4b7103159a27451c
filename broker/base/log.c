/*
 * Logfmt lines on stderr. A line is made on the stack and written with one write(), so that lines of
 * several threads never mix; what does not fit is cut and marked. Does not rotate, buffer or colour:
 * whoever started the process owns stderr. Any thread.
 */
#include "broker/base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "broker/base/clock.h"
#include "protocol/utf8.h"

/* Longest line. Under PIPE_BUF (4,096), so that a write into a pipe is whole too. */
#define LINE_MAX_BYTES 2048

/* What a line that was cut ends with. */
static const char cut_mark[] = " cut=true\n";

static const char *const level_names[] = {"error", "warn", "info", "debug"};

static atomic_int current_level = FT_LOG_INFO;

void ft_log_set_level(enum ft_log_level level)
{
    atomic_store_explicit(&current_level, (int)level, memory_order_relaxed);
}

bool ft_log_is_on(enum ft_log_level level)
{
    return (int)level <= atomic_load_explicit(&current_level, memory_order_relaxed);
}

/* Writes the fields that every line has, and returns their length. */
static size_t put_head(char *line, size_t size, enum ft_log_level level, const char *event)
{
    uint64_t now_ms = ft_clock_wall_ms();
    time_t seconds = (time_t)(now_ms / 1000);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    int n = snprintf(line, size, "ts=%04d-%02d-%02dT%02d:%02d:%02d.%03uZ level=%s event=%s",
                     utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min,
                     utc.tm_sec, (unsigned)(now_ms % 1000), level_names[level], event);
    return n < 0 ? 0 : (size_t)n < size ? (size_t)n : size - 1;
}

static void write_all(const char *line, size_t n)
{
    while (n > 0) {
        ssize_t done = write(STDERR_FILENO, line, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return; /* a log that cannot be written must not stop the broker */
        line += done;
        n -= (size_t)done;
    }
}

void ft_log(enum ft_log_level level, const char *event, const char *format, ...)
{
    if (!ft_log_is_on(level))
        return;
    int saved_errno = errno;
    char line[LINE_MAX_BYTES];
    const size_t room = sizeof(line) - sizeof(cut_mark); /* for the text; then mark or newline */
    size_t n = put_head(line, room, level, event);

    if (format[0] != '\0' && n + 8 < room) {
        line[n++] = ' ';
        va_list args;
        va_start(args, format);
        int wrote = vsnprintf(line + n, room - n, format, args);
        va_end(args);
        bool is_cut = wrote >= 0 && (size_t)wrote >= room - n;
        if (is_cut) {
            /* The NUL may stand inside a character: cut at the last one that is surely whole. */
            n += ft_utf8_cut(ft_slice(line + n, room - n - 1), room - n - 4);
            memcpy(line + n, cut_mark, sizeof(cut_mark) - 1);
            write_all(line, n + sizeof(cut_mark) - 1);
            errno = saved_errno;
            return;
        }
        n += wrote < 0 ? 0 : (size_t)wrote;
    }
    line[n++] = '\n';
    write_all(line, n);
    errno = saved_errno;
}

/* Says whether the character of `n` bytes can stand as it is inside quotes. */
static bool is_plain(const uint8_t *at, size_t n)
{
    if (n == 1)
        return at[0] >= 0x20 && at[0] != 0x7F && at[0] != '"' && at[0] != '\\';
    return n != 0 && !(at[0] == 0xC2 && at[1] < 0xA0); /* C2 80 to C2 9F are control characters */
}

static bool needs_quotes(struct ft_slice text)
{
    if (text.len == 0)
        return true;
    for (size_t at = 0; at < text.len;) {
        size_t n = ft_utf8_char_size(ft_slice(text.ptr + at, text.len - at));
        if (!is_plain(text.ptr + at, n) || text.ptr[at] == ' ' || text.ptr[at] == '=')
            return true;
        at += n;
    }
    return false;
}

/* Writes one character in quoted form into `to` (room for 4 and a NUL) and returns its length. */
static size_t put_escaped(const uint8_t *at, size_t n, char *to)
{
    if (is_plain(at, n)) {
        memcpy(to, at, n);
        return n;
    }
    switch (at[0]) {
    case '\n':
        memcpy(to, "\\n", 2);
        return 2;
    case '\t':
        memcpy(to, "\\t", 2);
        return 2;
    case '\r':
        memcpy(to, "\\r", 2);
        return 2;
    case '"':
    case '\\':
        to[0] = '\\';
        to[1] = (char)at[0];
        return 2;
    default:
        return (size_t)snprintf(to, 5, "\\x%02X", at[0]);
    }
}

const char *ft_log_value(const char *text, char *out, unsigned long size)
{
    struct ft_slice bytes = ft_slice_str(text);
    if (size == 0)
        return "";
    if (!needs_quotes(bytes)) {
        size_t n = ft_utf8_cut(bytes, size - 1);
        memcpy(out, text, n);
        out[n] = '\0';
        return out;
    }
    if (size < 3) { /* not even the quotes fit */
        out[0] = '\0';
        return out;
    }
    size_t used = 0;
    out[used++] = '"';
    for (size_t at = 0; at < bytes.len;) {
        const uint8_t *from = bytes.ptr + at;
        size_t n = ft_utf8_char_size(ft_slice(from, bytes.len - at));
        char piece[5];
        size_t takes = put_escaped(from, n, piece);
        if (used + takes > size - 2)
            break;
        memcpy(out + used, piece, takes);
        used += takes;
        at += is_plain(from, n) ? n : 1;
    }
    out[used++] = '"';
    out[used] = '\0';
    return out;
}
