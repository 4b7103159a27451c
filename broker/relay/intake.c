/* Entries and gaps of a partition, laid out for the journal: see the header. */
#include "broker/relay/intake.h"

/* Returns from when on the journal keeps it, by this node's monotonic clock, in seconds. What comes now is kept
 * from now on: other clocks may be wrong by more than it is kept for. */
static uint32_t accepted_s(const struct ft_intake *intake, const struct ft_follower_entry *e)
{
    bool is_old = e->kind != FT_ENTRY_LIVE && intake->wall_ms > e->at_ms;
    uint64_t age_ms = is_old ? intake->wall_ms - e->at_ms : 0;
    return (uint32_t)((intake->now_ms > age_ms ? intake->now_ms - age_ms : 0) / 1000);
}

/* Returns when it ends by the monotonic clock, in tenths of a second. */
static uint32_t expires_ds(const struct ft_intake *intake, uint64_t expires_ms)
{
    if (expires_ms == 0)
        return 0;
    if (expires_ms <= intake->wall_ms)
        return 1;
    uint64_t ds = (intake->now_ms + (expires_ms - intake->wall_ms)) / 100 + 1;
    return ds < UINT32_MAX ? (uint32_t)ds : UINT32_MAX;
}

struct ft_publication_spec ft_intake_entry(const struct ft_intake *intake, uint32_t number,
                                           const struct ft_follower_entry *e,
                                           char name[FT_STREAM_NAME_LEN + 1])
{
    bool is_ephemeral = e->seq == 0;
    enum ft_data_kind data_kind = e->entry->data.kind;
    bool is_json = data_kind == FT_DATA_JSON || data_kind == FT_DATA_B64;
    struct ft_publication_spec spec = {
        .encoding = is_json ? FT_JSON : FT_MSGPACK,
        .topic = e->entry->topic,
        .data = e->entry->data,
        .at_ms = e->at_ms,
        .accepted_s = accepted_s(intake, e),
        .taken_us = intake->taken_us,
        .expires_ds = expires_ds(intake, e->entry->expires_ms),
        .history = is_ephemeral ? 0 : e->entry->history,
        .slow = e->entry->slow,
        .is_ephemeral = is_ephemeral,
        .is_retained = !is_ephemeral && e->entry->is_retained,
        .clears_retained = !is_ephemeral && e->entry->clears_retained,
        .entry = (uint8_t)e->kind,
        .stream_index = is_ephemeral ? FT_STREAM_NONE : (uint16_t)number,
        .seq = e->seq,
    };
    if (e->kind ==
        FT_ENTRY_RESTORED) { /* of its own life, which may be one of a stream that is no more */
        ft_stream_name_life((const char *)e->name.ptr, e->base, name);
        spec.name = name;
        spec.seq -= e->base;
    }
    return spec;
}

struct ft_publication_spec ft_intake_gap(const struct ft_intake *intake, uint32_t number,
                                         uint64_t seq)
{
    return (struct ft_publication_spec){
        .encoding = FT_MSGPACK,
        .topic = ft_slice("", 0),
        .at_ms = intake->wall_ms,
        .accepted_s = (uint32_t)(intake->now_ms / 1000),
        .taken_us = intake->taken_us,
        .entry = FT_ENTRY_GAP,
        .stream_index = (uint16_t)number,
        .seq = seq,
    };
}
