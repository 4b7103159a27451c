/*
 * The generator's reader of event streams: lines, which make fields, which make an event (HTML,
 * "Server-sent events"). Takes one strict form of them, the broker's own. Runs on the bench's only
 * thread.
 */
#include "clients/cli/bench/gen_private.h"

struct event {
    struct ft_slice data, id;
    bool is_named; /* not a publication */
    size_t len;    /* with the empty line that ends it */
};

enum line { LINE_FIELD, LINE_END, LINE_WRONG };

/* Takes what stands behind `name` on the line, once an event. */
static bool take_field(struct ft_slice line, const char *name, struct ft_slice *value)
{
    size_t n = strlen(name);
    if (line.len < n || memcmp(line.ptr, name, n) != 0 || value->ptr != NULL)
        return false;
    *value = ft_slice(line.ptr + n, line.len - n);
    return true;
}

static enum line take_line(struct event *event, struct ft_slice line)
{
    struct ft_slice name = {.len = 0};
    if (line.len == 0)
        return LINE_END;
    if (take_field(line, "id: ", &event->id) || take_field(line, "data: ", &event->data))
        return LINE_FIELD;
    event->is_named = event->is_named || take_field(line, "event: ", &name);
    return name.ptr != NULL || line.ptr[0] == ':' ? LINE_FIELD : LINE_WRONG;
}

/* Reads the event that `bytes` begin with: FT_ERR_NOT_FOUND when its end has not come yet. */
static enum ft_err read_event(struct ft_slice bytes, struct event *event)
{
    const uint8_t *at = bytes.ptr, *end = bytes.ptr + bytes.len, *newline;
    *event = (struct event){.len = 0};
    while ((newline = memchr(at, '\n', (size_t)(end - at))) != NULL) {
        enum line line = take_line(event, ft_slice(at, (size_t)(newline - at)));
        at = newline + 1;
        event->len = (size_t)(at - bytes.ptr);
        if (line != LINE_FIELD)
            return line == LINE_END ? FT_OK : FT_ERR_BAD_REQUEST;
    }
    return FT_ERR_NOT_FOUND;
}

/* Says whether the id of a publication's event is the position that its envelope ends with. */
static bool is_id_right(const struct event *event)
{
    static const char end[] = "\"}";
    size_t tail = event->id.len + strlen(end);
    if (event->id.len == 0 || event->data.len < tail)
        return false;
    const uint8_t *at = event->data.ptr + event->data.len - tail;
    return memcmp(at, event->id.ptr, event->id.len) == 0 &&
           memcmp(at + event->id.len, end, strlen(end)) == 0;
}

struct ft_slice ft_gen_take_events(struct ft_gen *gen, struct ft_gen_conn *conn,
                                   struct ft_slice bytes)
{
    while (bytes.len > 0 && gen->problem.err == FT_OK) {
        struct event event;
        enum ft_err err = read_event(bytes, &event);
        if (err == FT_ERR_NOT_FOUND)
            break;
        if (err != FT_OK)
            ft_gen_fail(gen, FT_ERR_INTERNAL, "connection %td got a line that no event has",
                        conn - gen->conns);
        else if (event.data.ptr != NULL && !event.is_named && !is_id_right(&event))
            ft_gen_fail(gen, FT_ERR_INTERNAL,
                        "connection %td got an event whose id is not its position",
                        conn - gen->conns);
        else if (event.data.ptr != NULL) /* or else it keeps the connection alive */
            ft_gen_take_message(gen, conn, event.data, ft_slice(bytes.ptr, event.len));
        bytes.ptr += event.len;
        bytes.len -= event.len;
    }
    return bytes;
}
