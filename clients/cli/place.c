/*
 * The file of positions of `fantail sub --resume`. Does not know when something has been printed: who
 * calls does. The main thread.
 */
#include "clients/cli/place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/base/alloc.h"
#include "protocol/quote.h"

enum {
    FILE_MAX = FT_POSITIONS_MAX * FT_POSITION_BYTES_MAX,
    SAVE_MS = 1000 /* a crash repeats a second; a file a second costs nothing */
};

static bool complain(const char *path, const char *what)
{
    fprintf(stderr, "fantail: %s: %s\n", path, what);
    return false;
}

/* Reads all of it. True with nothing in `text` where there is no file. */
static bool read_file(const char *path, struct ft_buffer *text)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT || complain(path, strerror(errno));
    ssize_t n = 1;
    while (n > 0) {
        uint8_t *at = ft_buffer_reserve(text, 4096);
        if (!at)
            break;
        n = read(fd, at, 4096);
        if (n > 0)
            text->len += (size_t)n;
    }
    int error = errno;
    close(fd);
    if (n < 0)
        return complain(path, strerror(error));
    return n == 0 || complain(path, "too large for a file of positions");
}

/* Takes one line; false: it is no position. */
static bool take_line(struct ft_place *place, struct ft_slice line)
{
    struct ft_position_parts pos;
    if (ft_position_read(line, &pos, NULL) != FT_OK || line.len >= FT_POSITION_BYTES_MAX ||
        place->since_count == FT_POSITIONS_MAX || memchr(line.ptr, '\0', line.len))
        return false;
    char *text = place->texts_[place->since_count];
    memcpy(text, line.ptr, line.len);
    text[line.len] = '\0';
    place->since[place->since_count++] = text;
    return true;
}

static bool take_lines(struct ft_place *place, struct ft_slice text)
{
    while (text.len > 0) {
        const uint8_t *newline = memchr(text.ptr, '\n', text.len);
        size_t len = newline ? (size_t)(newline - text.ptr) : text.len;
        struct ft_slice line = ft_slice(text.ptr, len);
        char quoted[FT_QUOTE_MAX];
        if (len > 0 && !take_line(place, line)) {
            fprintf(stderr, "fantail: %s: %s is no position: this is no file of --resume\n",
                    place->path, ft_quote(line, quoted));
            return false;
        }
        size_t step = newline ? len + 1 : len;
        text = ft_slice(text.ptr + step, text.len - step);
    }
    return true;
}

bool ft_place_open(struct ft_place *place, const char *path)
{
    *place = (struct ft_place){.path = path};
    size_t room = strlen(path) + sizeof(".new");
    place->temp_ = ft_alloc(room);
    snprintf(place->temp_, room, "%s.new", path);
    ft_buffer_init(&place->reached_, FILE_MAX);
    ft_buffer_init(&place->saved_, FILE_MAX + 4096);
    return read_file(path, &place->saved_) && take_lines(place, ft_buffer_slice(&place->saved_));
}

void ft_place_close(struct ft_place *place)
{
    free(place->temp_);
    ft_buffer_fini(&place->reached_);
    ft_buffer_fini(&place->saved_);
}

void ft_place_reach(struct ft_place *place, const struct fantail_subscription *subscription)
{
    char text[FANTAIL_POSITION_MAX];
    size_t n = fantail_position_count(subscription);
    if (n == 0)
        return; /* it has not begun, or its topics have no positions */
    ft_buffer_clear(&place->reached_);
    for (size_t i = 0; i < n; i++) {
        ft_buffer_add(&place->reached_, text,
                      fantail_position(subscription, i, text, sizeof(text)));
        ft_buffer_add_byte(&place->reached_, '\n');
    }
}

static bool has_news(const struct ft_place *place)
{
    return place->reached_.len > 0 &&
           !ft_slice_equal(ft_buffer_slice(&place->reached_), ft_buffer_slice(&place->saved_));
}

static bool write_all(int fd, struct ft_slice bytes)
{
    while (bytes.len > 0) {
        ssize_t n = write(fd, bytes.ptr, bytes.len);
        if (n < 0 && errno != EINTR)
            return false;
        if (n > 0)
            bytes = ft_slice(bytes.ptr + n, bytes.len - (size_t)n);
    }
    return true;
}

static bool replace_file(const struct ft_place *place)
{
    int fd = open(place->temp_, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return complain(place->temp_, strerror(errno));
    /* On the disk before its name is: after a power failure an empty file would mean "begin anew". */
    bool is_written = write_all(fd, ft_buffer_slice(&place->reached_)) && fsync(fd) == 0;
    int error = errno;
    if (close(fd) != 0 && is_written) {
        error = errno;
        is_written = false;
    }
    if (is_written && rename(place->temp_, place->path) == 0)
        return true;
    complain(place->path, strerror(is_written ? errno : error));
    unlink(place->temp_);
    return false;
}

int ft_place_due_ms(const struct ft_place *place, uint64_t now_ms)
{
    if (!has_news(place))
        return -1;
    uint64_t due_ms = place->saved_ms_ ? place->saved_ms_ + SAVE_MS : now_ms;
    return now_ms < due_ms ? (int)(due_ms - now_ms) : 0;
}

bool ft_place_save(struct ft_place *place, uint64_t now_ms, bool is_last)
{
    int due_ms = ft_place_due_ms(place, now_ms);
    if (due_ms < 0 || (due_ms > 0 && !is_last))
        return true;
    if (!replace_file(place))
        return false;
    place->saved_ms_ = now_ms;
    ft_buffer_clear(&place->saved_);
    ft_buffer_add(&place->saved_, place->reached_.ptr, place->reached_.len);
    return true;
}
