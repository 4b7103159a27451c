/* Reads `since` and looks it up. Decides what can be claimed; what is done about it is in on_sub.c. */
#include "broker/hub/since.h"

#include "protocol/position.h"

/* Names that nothing is known by. */
struct unknown {
    bool is_any;                  /* which say nothing … */
    struct ft_partition_set said; /* … or their partition */
};

enum ft_err ft_since_check(const struct ft_list *list, struct ft_problem *problem)
{
    uint8_t text[FT_POSITION_BYTES_MAX];
    size_t at = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        struct ft_slice item;
        struct ft_position_parts position;
        if (ft_list_next(list, &at, text, sizeof(text), &item) != FT_OK)
            return ft_problem_set(problem, FT_ERR_BAD_FIELD,
                                  "position %u of since is longer than %zu bytes", i + 1,
                                  sizeof(text));
        enum ft_err err = ft_position_read(item, &position, problem);
        if (err != FT_OK)
            return err;
    }
    return FT_OK;
}

/* Returns where a position is in its stream, whichever of its lives it names. */
static uint64_t seq_of(struct ft_journal *journal, const struct ft_position_parts *position)
{
    const struct ft_streams *streams = ft_journal_lock_streams(journal);
    uint64_t seq =
        streams ? ft_streams_inner(streams, position->stream, position->offset) : position->offset;
    ft_journal_unlock(journal);
    return seq;
}

/* Notes a position. Of one stream, whichever of its lives are named, the greatest counts. */
static void note(struct ft_journal *journal, uint64_t upto,
                 const struct ft_position_parts *position, const struct ft_partition_set *touched,
                 struct ft_since *since, struct unknown *unknown)
{
    bool is_many = ft_journal_streams(journal) > 0;
    struct ft_named named = {.is_there = true};
    uint32_t index = 0;
    named.found =
        ft_journal_find(journal, position->stream, position->offset, upto, &index, &named.at);
    if (named.found == FT_FOUND_LATER) {
        since->is_later =
            since->is_later ||
            ft_partition_set_has(touched, (uint32_t)ft_stream_partition(position->stream));
        return;
    }
    if (named.found == FT_FOUND_UNKNOWN) {
        int32_t said = is_many ? ft_stream_partition(position->stream) : -1;
        if (said >= 0 && said < FT_PARTITIONS_MAX)
            ft_partition_set_add(&unknown->said, (uint32_t)said);
        else
            unknown->is_any = true;
        return;
    }
    named.seq = seq_of(journal, position);
    struct ft_named *known = &since->named[index];
    bool is_touched = !is_many || ft_partition_set_has(touched, index);
    if (is_touched && (!known->is_there || known->seq < named.seq))
        *known = named;
}

/* Says whether all that is not known was replaced by something that is. A client that keeps both has been told
 * of the change when it got the first position of the new stream. */
static bool is_replaced(const struct ft_since *since, const struct ft_partition_set *touched,
                        const struct unknown *unknown)
{
    bool is_any = unknown->is_any;
    for (uint32_t i = 0; i < FT_PARTITIONS_MAX; i++)
        is_any = is_any || (ft_partition_set_has(&unknown->said, i) &&
                            ft_partition_set_has(touched, i) && !since->named[i].is_there);
    return !is_any;
}

void ft_since_find(struct ft_journal *journal, uint64_t upto, const struct ft_list *list,
                   const struct ft_partition_set *touched, struct ft_since *since)
{
    uint32_t count = ft_journal_streams(journal);
    struct unknown unknown = {0};
    uint8_t text[FT_POSITION_BYTES_MAX];
    size_t at = 0;
    *since = (struct ft_since){.is_recovered = true};
    for (uint32_t i = 0; i < list->count; i++) {
        struct ft_slice item;
        struct ft_position_parts position;
        if (ft_list_next(list, &at, text, sizeof(text), &item) == FT_OK &&
            ft_position_read(item, &position, NULL) == FT_OK)
            note(journal, upto, &position, touched, since, &unknown);
    }
    for (uint32_t i = 0; i < (count > 0 ? count : 1); i++) {
        const struct ft_named *named = &since->named[i];
        if (!named->is_there)
            continue;
        since->is_any = true;
        since->is_recovered = since->is_recovered && named->found == FT_FOUND;
        since->is_ahead = since->is_ahead || named->found == FT_FOUND_AHEAD;
    }
    since->is_recovered = since->is_recovered && since->is_any && !since->is_later &&
                          is_replaced(since, touched, &unknown);
}
