/* What publish.lua has answered, as positions that clients are shown: see the header. Pure. */
#include "broker/relay/results.h"

#include "broker/base/alloc.h"

#include <hiredis/hiredis.h>
#include <stdlib.h>

/* Elements of an answer before those of the parts. */
#define BEFORE_RESULTS 4

/* Writes the position of an offset in the life that begins at `base`, by its name and counted from there. */
static void write_pos(const char *life, uint64_t base, uint64_t offset,
                      struct ft_relay_result *result)
{
    struct ft_place place = {.seq = offset - base};
    memcpy(place.stream, life, FT_STREAM_NAME_LEN);
    result->pos_len = (uint8_t)ft_place_print(&place, result->pos);
}

/* Reads ".<number>" off a text; false: it is none, or too great. */
static bool read_number(const char **at, uint64_t *number)
{
    char *end;
    if (**at != '.' || (*at)[1] < '0' || (*at)[1] > '9')
        return false;
    *number = strtoull(*at + 1, &end, 10);
    *at = end;
    return *number >> FT_OFFSET_BITS == 0;
}

/* Reads "<stream>.<offset>", where the one with the same key is, and perhaps ".<base>". */
static bool read_duplicate(const redisReply *element, struct ft_relay_result *result)
{
    char life[FT_STREAM_NAME_LEN + 1];
    uint64_t offset, base = 0;
    if (element->type != REDIS_REPLY_STRING || element->len <= FT_STREAM_NAME_LEN)
        return false;
    const char *at = element->str + FT_STREAM_NAME_LEN;
    if (!read_number(&at, &offset) || (*at && !read_number(&at, &base)) || *at || base >= offset)
        return false;
    ft_stream_name_life(element->str, base, life);
    write_pos(life, base, offset, result);
    result->is_duplicate = true;
    return true;
}

/* Fills in the results of one part: `n` publications from number `first` on. */
static bool read_part(struct ft_relay_batch *batch, const redisReply *reply, uint32_t part,
                      uint32_t first, uint32_t n)
{
    char life[FT_STREAM_NAME_LEN + 1];
    struct ft_relay_result *results = &batch->results[first];
    const redisReply *element = reply->element[BEFORE_RESULTS + part], *stream = reply->element[0];
    if (element->type != REDIS_REPLY_INTEGER)
        return n == 1 && read_duplicate(element, results);
    if (element->integer < 1 || element->integer >> FT_OFFSET_BITS != 0 ||
        stream->type != REDIS_REPLY_STRING || stream->len != FT_STREAM_NAME_LEN ||
        reply->element[3]->integer >= element->integer)
        return false;
    uint64_t base = (uint64_t)reply->element[3]->integer;
    ft_stream_name_life(stream->str, base, life);
    for (uint32_t i = 0; i < n; i++)
        write_pos(life, base, (uint64_t)element->integer + i, &results[i]);
    batch->head = (uint64_t)element->integer + n - 1;
    return true;
}

bool ft_results_read(struct ft_relay_batch *batch, const redisReply *reply)
{
    if (reply->type != REDIS_REPLY_ARRAY ||
        reply->elements != BEFORE_RESULTS + (size_t)batch->parts ||
        reply->element[2]->type != REDIS_REPLY_INTEGER || reply->element[2]->integer < 0 ||
        reply->element[3]->type != REDIS_REPLY_INTEGER || reply->element[3]->integer < 0)
        return false;
    batch->results = ft_alloc_zero(batch->count * sizeof(*batch->results));
    for (uint32_t i = 0, part = 0; i < batch->count; part++) {
        uint32_t n = 0;
        while (i + n < batch->count && ft_relay_item_is_plain(&batch->items[i + n]))
            n++;
        n = n ? n : 1;
        if (part == batch->parts || !read_part(batch, reply, part, i, n))
            return false;
        i += n;
    }
    return true;
}
