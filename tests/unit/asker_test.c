/* Askers that are no sessions, and what is done at the end of a turn for things that are none. */
#include "broker/hub/publish.h"
#include "tests/unit/support/fake_node.h"

#include <criterion/criterion.h>

struct fake_asker {
    struct ft_asker asker;
    uint32_t published;
    uint64_t last_id;
    char last_pos[FT_POS_LEN_MAX + 1];
    bool is_held;
};

static struct ft_fake_node node;
static struct fake_asker fake;

static void note_published(struct ft_asker *asker, struct ft_id id,
                           const struct ft_outcome *outcome)
{
    struct fake_asker *noted = (struct fake_asker *)asker;
    noted->published++;
    noted->last_id = id.num;
    cr_assert_null(outcome->problem);
    if (outcome->pos.len > 0)
        memcpy(noted->last_pos, outcome->pos.ptr, outcome->pos.len);
    noted->last_pos[outcome->pos.len] = 0;
}

static void note_hold(struct ft_asker *asker, bool on)
{
    ((struct fake_asker *)asker)->is_held = on;
}

static const struct ft_asker_ops fake_ops = {note_published, note_hold};

static void setup(void)
{
    ft_fake_node_init(&node, &(struct ft_journal_options){.size_bytes = (size_t)1 << 16},
                      &(struct ft_hub_options){0}, 2);
    struct ft_worker *worker = ft_fake_node_begin(&node, 0);
    ft_asker_init(&fake.asker, worker, &fake_ops,
                  ft_identity_new(&(struct ft_identity_spec){.may_everything = true}));
}

static void teardown(void)
{
    if (fake.asker.who)
        ft_asker_fini(&fake.asker);
    ft_fake_node_fini(&node);
}

TestSuite(asker, .init = setup, .fini = teardown);

static enum ft_err publish(uint64_t id, const char *topic)
{
    static const char data[] =
        "\"................................................................................\"";
    struct ft_problem problem;
    return ft_publish(&fake.asker,
                      &(struct ft_envelope){
                          .op = FT_OP_PUB,
                          .id = {.kind = id ? FT_ID_INT : FT_ID_NONE, .num = id},
                          .topic = ft_slice_str(topic),
                          .data = {FT_DATA_JSON, ft_slice_str(data)},
                      },
                      &problem);
}

Test(asker, hears_of_each_publish_with_an_id_once)
{
    cr_assert_eq(publish(7, "a"), FT_OK);
    cr_assert_eq(publish(0, "a"), FT_OK);
    cr_assert_eq(publish(9, "a+"), FT_ERR_BAD_TOPIC);
    cr_assert_eq(fake.published, 0, "not before it has a number");
    ft_fake_node_settle(&node);
    cr_assert_eq(fake.published, 1);
    cr_assert_eq(fake.last_id, 7);
    cr_assert_str_eq(fake.last_pos, FT_FAKE_STREAM ".1");
    cr_assert_eq(fake.asker.unacked, 0);
}

Test(asker, that_is_gone_hears_nothing)
{
    cr_assert_eq(publish(7, "a"), FT_OK);
    ft_asker_fini(&fake.asker);
    ft_fake_node_settle(&node);
    cr_assert_eq(fake.published, 0);
    cr_assert_eq(ft_journal_head(node.journal), 1, "the publication was accepted");
}

/* Another worker has a subscriber and does not turn: the journal fills up behind it. */
static void fill_journal(struct ft_fake_client *lagging)
{
    ft_fake_client_open(&node, lagging, 1, FT_FRAMES_JSON);
    ft_fake_client_say(lagging, "{\"op\":\"sub\",\"topics\":[\"a\"]}");
    ft_fake_node_begin(&node, 0);
    for (int i = 0; i < 2000 && !fake.is_held; i++)
        cr_assert_eq(publish(i % 2 ? 5 : 0, "a"), FT_OK);
    cr_assert(fake.is_held);
}

Test(asker, is_held_while_the_journal_is_full_and_let_go_when_it_is_not)
{
    struct ft_fake_client lagging = {0};
    fill_journal(&lagging);
    (void)ft_fake_node_end(&node, 0);
    cr_assert(fake.is_held);
    ft_fake_node_settle(&node);
    cr_assert_not(fake.is_held);
    cr_assert_eq(fake.asker.held_at, 0);
    cr_assert_eq(fake.asker.unacked, 0);
    ft_fake_client_close(&lagging);
}

Test(asker, that_goes_while_it_is_held_is_not_called)
{
    struct ft_fake_client lagging = {0};
    fill_journal(&lagging);
    uint32_t published = fake.published;
    ft_asker_fini(&fake.asker);
    ft_fake_node_settle(&node);
    cr_assert(fake.is_held, "nobody has called it");
    cr_assert_eq(fake.published, published);
    ft_fake_client_close(&lagging);
}

/* ---- the end of a turn ---- */

struct fake_flush {
    struct ft_flush flush;
    uint32_t times, again;
    struct ft_flush *cancels;
};

static void note_flush(struct ft_flush *flush)
{
    struct fake_flush *noted = (struct fake_flush *)flush;
    noted->times++;
    if (noted->again > 0) {
        noted->again--;
        ft_worker_flush_later(node.hub->workers[0], flush);
    }
    if (noted->cancels)
        ft_worker_flush_cancel(node.hub->workers[0], noted->cancels);
}

Test(asker, a_flush_runs_once_at_the_end_of_the_turn)
{
    struct ft_worker *worker = node.hub->workers[0];
    struct fake_flush flush = {.flush = {.flush = note_flush}};
    ft_worker_flush_later(worker, &flush.flush);
    ft_worker_flush_later(worker, &flush.flush);
    cr_assert_eq(flush.times, 0);
    cr_assert(ft_fake_node_end(&node, 0));
    cr_assert_eq(flush.times, 1);
    ft_fake_node_begin(&node, 0);
    cr_assert(ft_fake_node_end(&node, 0));
    cr_assert_eq(flush.times, 1);
}

Test(asker, a_flush_that_is_queued_while_it_runs_has_the_loop_turn_again)
{
    struct ft_worker *worker = node.hub->workers[0];
    struct fake_flush flush = {.flush = {.flush = note_flush}, .again = 1};
    ft_worker_flush_later(worker, &flush.flush);
    cr_assert_not(ft_fake_node_end(&node, 0), "there is more to do");
    cr_assert_eq(flush.times, 1);
    ft_fake_node_begin(&node, 0);
    cr_assert(ft_fake_node_end(&node, 0));
    cr_assert_eq(flush.times, 2);
}

Test(asker, flushes_are_cancelled_before_and_while_they_run)
{
    struct ft_worker *worker = node.hub->workers[0];
    struct fake_flush flushes[4] = {0};
    for (int i = 0; i < 4; i++)
        flushes[i].flush.flush = note_flush;
    flushes[1].cancels = &flushes[2].flush;
    for (int i = 0; i < 4; i++)
        ft_worker_flush_later(worker, &flushes[i].flush);
    ft_worker_flush_cancel(worker, &flushes[0].flush);
    ft_worker_flush_cancel(worker, &flushes[0].flush);
    cr_assert(ft_fake_node_end(&node, 0));
    cr_assert_eq(flushes[0].times, 0);
    cr_assert_eq(flushes[1].times, 1);
    cr_assert_eq(flushes[2].times, 0);
    cr_assert_eq(flushes[3].times, 1);
}
