/* What a node counts of known traffic, of limits and of the process, and its figures as publications. */
#include "broker/base/process.h"
#include "broker/hub/metrics.h"
#include "broker/hub/quota.h"
#include "tests/unit/support/fake_node.h"

#include <criterion/criterion.h>
#include <unistd.h>

static struct ft_figures figures;

static void assert_has(const char *all, const char *part)
{
    cr_assert(strstr(all, part), "no %s in %s", part, all);
}

static struct ft_fake_node node;
static struct ft_fake_client reader, writer;

static void node_begin(void)
{
    ft_fake_node_init(&node, &(struct ft_journal_options){.keys = 100}, &(struct ft_hub_options){0},
                      2);
    ft_fake_client_open(&node, &reader, 1, FT_FRAMES_JSON);
    ft_fake_client_open(&node, &writer, 0, FT_FRAMES_JSON);
}

static const struct ft_figures *read_figures(void)
{
    struct ft_worker *worker = ft_fake_node_begin(&node, 0);
    ft_figures_read(&figures, worker, false);
    (void)ft_fake_node_end(&node, 0);
    return &figures;
}

Test(metrics_node, known_traffic_gives_known_figures)
{
    node_begin();
    ft_fake_client_say(&reader, "{\"op\":\"sub\",\"id\":1,\"topics\":[\"a/#\",\"b\"]}");
    ft_fake_client_say(&writer, "{\"op\":\"pub\",\"topic\":\"a/1\",\"data\":12345}");
    ft_fake_client_say(&writer, "{\"op\":\"pub\",\"topic\":\"a/2\",\"data\":12,\"key\":\"k\"}");
    ft_fake_client_say(&writer, "{\"op\":\"pub\",\"topic\":\"a/2\",\"data\":12,\"key\":\"k\"}");
    ft_fake_client_say(&writer, "{\"op\":\"pub\",\"topic\":\"c\",\"data\":1}");
    ft_fake_client_say(&writer, "{\"op\":\"pub\",\"topic\":\"$c\",\"data\":1}");
    ft_fake_client_forget(&reader);
    ft_fake_node_settle(&node);
    size_t payload = reader.sent.len - 2; /* a line break each */
    const struct ft_figures *f = read_figures();
    cr_assert_eq(f->sessions[FT_FRAMES_JSON], 2);
    cr_assert_eq(f->subscriptions[0], 2);
    cr_assert_eq(f->publications_received[FT_JSON], 4);
    cr_assert_eq(f->publications_received_bytes[FT_JSON], 10);
    cr_assert_eq(f->publications_received[FT_MSGPACK], 0);
    cr_assert_eq(f->publications_refused[FT_REASON_FORBIDDEN], 1);
    cr_assert_eq(f->errors[FT_ERROR_403], 1);
    cr_assert_eq(f->deliveries[FT_FRAMES_JSON], 2);
    cr_assert_eq(f->publications_duplicate[0], 1);
    cr_assert_eq(f->deliveries_bytes[FT_FRAMES_JSON], payload + 2 * 2); /* headers of 2 bytes */
    uint64_t observed = 0;                                              /* however long it took */
    for (uint32_t i = 0; i < FT_BUCKETS; i++)
        observed += f->publish_to_write[i];
    cr_assert(observed > 0);
    cr_assert_eq(f->journal_publications[0], 3);
    cr_assert_eq(f->topics[0], 3);
    cr_assert_eq(f->outbox_bytes[0], 0);
    ft_fake_client_close(&reader);
    f = read_figures();
    cr_assert_eq(f->sessions[FT_FRAMES_JSON], 1);
    cr_assert_eq(f->sessions_opened[FT_FRAMES_JSON], 2);
    cr_assert_eq(f->subscriptions[0], 0);
    ft_fake_node_fini(&node);
}

Test(metrics_node, what_waits_for_a_full_socket_is_told_until_it_is_gone)
{
    node_begin();
    ft_fake_client_say(&reader, "{\"op\":\"sub\",\"topics\":[\"a\"]}");
    reader.takes = 1;
    for (int i = 0; i < 3; i++)
        ft_fake_client_say(&writer, "{\"op\":\"pub\",\"topic\":\"a\",\"data\":1}");
    ft_fake_node_settle(&node);
    for (int i = 0; i < 3; i++)
        ft_fake_client_say(&writer, "{\"op\":\"pub\",\"topic\":\"a\",\"data\":1}");
    ft_fake_node_settle(&node);
    cr_assert(reader.session.is_blocked);
    cr_assert_eq(read_figures()->outbox_bytes[0], reader.session.outbox.bytes);
    cr_assert_gt(figures.outbox_bytes[0], 0);
    cr_assert_eq(figures.deliveries[FT_FRAMES_JSON], 3);
    ft_fake_node_begin(&node, 1);
    ft_fake_client_unblock(&reader, FT_FAKE_ALL);
    (void)ft_fake_node_end(&node, 1);
    cr_assert_eq(read_figures()->outbox_bytes[0], 0);
    cr_assert_eq(figures.deliveries[FT_FRAMES_JSON], 6);
    ft_fake_node_fini(&node);
}

Test(metrics_node, a_reader_that_goes_takes_what_waited_for_it_along)
{
    node_begin();
    ft_fake_client_say(&reader, "{\"op\":\"sub\",\"topics\":[\"a\"]}");
    reader.takes = 1;
    for (int i = 0; i < 60; i++) { /* more than limits.queue */
        ft_fake_client_say(&writer,
                           "{\"op\":\"pub\",\"topic\":\"a\",\"data\":\"…………………………………………………\"}");
        ft_fake_node_settle(&node);
    }
    cr_assert_eq(read_figures()->sessions_parked[0], 1);
    cr_assert_eq(figures.parkings[0], 1);
    cr_assert_gt(figures.outbox_bytes[0], 0);
    ft_fake_client_close(&reader);
    cr_assert_eq(read_figures()->sessions_parked[0], 0);
    cr_assert_eq(figures.outbox_bytes[0], 0);
    ft_fake_node_fini(&node);
}

Test(metrics_node, every_drops_all_but_the_newest_and_says_how_many)
{
    node_begin();
    ft_fake_client_say(&reader, "{\"op\":\"sub\",\"topics\":[\"a\"],\"every\":100}");
    for (int i = 0; i < 6; i++) {
        ft_fake_client_say(&writer, "{\"op\":\"pub\",\"topic\":\"a\",\"data\":1}");
        ft_fake_node_settle(&node);
    }
    ft_fake_node_pass(&node, 200);
    cr_assert_eq(read_figures()->deliveries[FT_FRAMES_JSON], 2);
    cr_assert_eq(figures.deliveries_dropped[FT_DROP_EVERY], 4);
    ft_fake_node_fini(&node);
}

Test(metrics_node, figures_are_published_once_a_second_while_somebody_listens)
{
    node_begin();
    ft_fake_node_pass(&node, 3000);
    uint64_t head = ft_journal_head(node.journal);
    cr_assert_eq(head, 0);
    ft_fake_client_say(&reader, "{\"op\":\"sub\",\"topics\":[\"$sys/+/stats\"]}");
    ft_fake_node_pass(&node, 5000);
    uint64_t published = ft_journal_head(node.journal);
    cr_assert(published >= 4 && published <= 5, "%llu", (unsigned long long)published);
    const char *sent = ft_fake_client_sent(&reader);
    assert_has(sent, "{\"op\":\"msg\",\"topic\":\"$sys/n1/stats\",\"data\":{\"node\":\"n1\",");
    assert_has(sent, "\"rates\":{");
    cr_assert_not(strstr(sent, "\"pos\""));
    cr_assert_eq(read_figures()->publications_received[FT_JSON], 0);
    cr_assert_eq(figures.deliveries[FT_FRAMES_JSON], published);
    ft_fake_client_say(&reader, "{\"op\":\"unsub\",\"topics\":[\"$sys/+/stats\"]}");
    ft_fake_node_pass(&node, 1500); /* worker 0 may not have seen yet that nobody listens */
    published = ft_journal_head(node.journal);
    ft_fake_node_pass(&node, 3000);
    cr_assert_eq(ft_journal_head(node.journal), published);
    ft_fake_node_fini(&node);
}

Test(metrics_node, what_a_limit_refuses_is_told_by_whose_and_which)
{
    node_begin();
    struct ft_quota_limits limits = {0};
    limits.held[FT_QUOTA_ADDRESS][FT_QUOTA_SUBSCRIPTIONS] = 1;
    limits.rates[FT_QUOTA_USER][FT_QUOTA_PUBLISHES] = 1;
    ft_quotas_configure(node.quotas, &limits);
    struct ft_quota_share *address =
        ft_quota_share(node.quotas, FT_QUOTA_ADDRESS, ft_slice_str("0123456789abcdef"));
    struct ft_quota_share *user = ft_quota_share(node.quotas, FT_QUOTA_USER, ft_slice_str("alice"));
    cr_assert_neq(ft_quota_take(address, FT_QUOTA_SUBSCRIPTIONS, 2, NULL), FT_OK);
    cr_assert_eq(ft_quota_pass(user, FT_QUOTA_PUBLISHES, 1000000, NULL, NULL), FT_OK);
    for (int i = 0; i < 3; i++)
        cr_assert_neq(ft_quota_pass(user, FT_QUOTA_PUBLISHES, 1000000, NULL, NULL), FT_OK);
    uint64_t expected[FT_SLOTS_LIMIT] = {0};
    expected[FT_BY_ADDRESS * FT_LIMIT_COUNT + FT_LIMIT_SUBSCRIPTIONS] = 1;
    expected[FT_BY_USER * FT_LIMIT_COUNT + FT_LIMIT_PUBLISHES] = 3;
    cr_assert_arr_eq(read_figures()->limit_refusals, expected, sizeof(expected));
    ft_quota_release(address);
    ft_quota_release(user);
    ft_fake_node_fini(&node);
}

Test(metrics_node, the_process_is_measured)
{
    struct ft_process process;
    ft_process_read(&process, false);
    cr_assert(process.resident_bytes > 100000 && process.resident_bytes < process.virtual_bytes);
    cr_assert(process.cpu_us < UINT64_C(3600) * 1000000);
    uint64_t before = process.open_files;
    int fd = dup(STDERR_FILENO);
    ft_process_read(&process, false);
    close(fd);
    cr_assert_eq(process.open_files, before + 1);
    cr_assert_lt(process.open_files, process.max_files);
}
