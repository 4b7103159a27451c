/* What comes from other nodes, as the journal takes it: whose clock counts for what. */
#include "broker/relay/intake.h"

#include <criterion/criterion.h>

#define STREAM "0aaabcdefg"

static const struct ft_intake intake = {.now_ms = 500000, .wall_ms = 2000000, .taken_us = 77};

static struct ft_publication_spec spec_of(enum ft_entry kind, uint64_t at_ms, uint64_t expires_ms)
{
    char name[FT_STREAM_NAME_LEN + 1];
    struct ft_relay_entry entry = {.topic = ft_slice_str("t"),
                                   .data = {FT_DATA_MSGPACK, ft_slice_str("\x07")},
                                   .expires_ms = expires_ms,
                                   .history = 3};
    return ft_intake_entry(
        &intake, 9,
        &(struct ft_follower_entry){
            .kind = kind, .seq = 5, .at_ms = at_ms, .name = ft_slice_str(STREAM), .entry = &entry},
        name);
}

Test(intake, what_comes_now_is_kept_from_now_on_and_what_was_before_for_the_rest_of_its_time)
{
    cr_expect_eq(spec_of(FT_ENTRY_LIVE, 1900000, 0).accepted_s, 500);
    cr_expect_eq(spec_of(FT_ENTRY_WARM, 1900000, 0).accepted_s, 400);
    cr_expect_eq(spec_of(FT_ENTRY_WARM, 2100000, 0).accepted_s, 500, "a clock that is ahead");
    cr_expect_eq(spec_of(FT_ENTRY_RESTORED, 1, 0).accepted_s, 0, "before this machine was started");
    cr_expect_eq(spec_of(FT_ENTRY_WARM, 1900000, 0).at_ms, 1900000);
}

Test(intake, a_ttl_ends_by_the_wall_clock_of_this_node)
{
    cr_expect_eq(spec_of(FT_ENTRY_LIVE, 0, 0).expires_ds, 0);
    cr_expect_eq(spec_of(FT_ENTRY_LIVE, 0, 2001000).expires_ds, 5000 + 10 + 1, "not too early");
    cr_expect_eq(spec_of(FT_ENTRY_LIVE, 0, 2000000).expires_ds, 1, "it has ended");
    cr_expect_eq(spec_of(FT_ENTRY_LIVE, 0, 1).expires_ds, 1);
    cr_expect_eq(spec_of(FT_ENTRY_LIVE, 0, FT_INT_MAX).expires_ds, UINT32_MAX);
}

Test(intake, what_is_ephemeral_is_of_no_stream_and_kept_nowhere)
{
    char name[FT_STREAM_NAME_LEN + 1];
    struct ft_relay_entry entry = {.topic = ft_slice_str("t"),
                                   .data = {FT_DATA_JSON, ft_slice_str("7")},
                                   .history = 3,
                                   .is_retained = true};
    struct ft_follower_entry e = {.kind = FT_ENTRY_LIVE, .at_ms = 8, .entry = &entry};
    struct ft_publication_spec spec = ft_intake_entry(&intake, 9, &e, name);
    cr_expect(spec.is_ephemeral && !spec.is_retained);
    cr_expect_eq(spec.history, 0);
    cr_expect_eq(spec.stream_index, FT_STREAM_NONE);
    cr_expect_eq(spec.encoding, FT_JSON);
}

Test(intake, what_is_restored_is_shown_as_of_the_life_that_it_was_of)
{
    char name[FT_STREAM_NAME_LEN + 1], life[FT_STREAM_NAME_LEN + 1];
    const uint64_t base = UINT64_C(1) << 33;
    struct ft_relay_entry entry = {.topic = ft_slice_str("t"),
                                   .data = {FT_DATA_JSON, ft_slice_str("7")}};
    struct ft_follower_entry e = {.kind = FT_ENTRY_RESTORED,
                                  .seq = base + 4,
                                  .name = ft_slice_str(STREAM),
                                  .base = base,
                                  .entry = &entry};
    struct ft_publication_spec spec = ft_intake_entry(&intake, 9, &e, name);
    ft_stream_name_life(STREAM, base, life);
    cr_expect_str_eq(spec.name, life);
    cr_expect_eq(spec.seq, 4);
    cr_expect_eq(spec.stream_index, 9);
}

Test(intake, a_gap_is_a_marker_of_its_stream)
{
    struct ft_publication_spec spec = ft_intake_gap(&intake, 9, 12);
    cr_expect_eq(spec.entry, FT_ENTRY_GAP);
    cr_expect_eq(spec.stream_index, 9);
    cr_expect_eq(spec.seq, 12);
    cr_expect_eq(spec.at_ms, intake.wall_ms);
    cr_expect_eq(spec.accepted_s, 500);
}
