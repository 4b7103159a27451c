/* The table of metrics, counting, sums over workers, and figures as text and as a map. */
#include "broker/hub/metrics.h"

#include <criterion/criterion.h>
#include <regex.h>
#include <stdio.h>

static bool matches(const char *text, const char *pattern)
{
    regex_t regex;
    cr_assert_eq(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
    bool found = regexec(&regex, text, 0, NULL, 0) == 0;
    regfree(&regex);
    return found;
}

/* ---- the table ---- */

Test(metrics, names_are_unique_as_keys_too)
{
    char keys[128][64];
    cr_assert_leq(ft_metric_count, 128);
    for (uint32_t i = 0; i < ft_metric_count; i++) {
        const char *name = ft_metric_table[i].name;
        cr_assert_lt(strlen(name), sizeof(keys[i]));
        const char *key = strncmp(name, "fantail_", 8) == 0 ? name + 8 : name;
        const char *total = strstr(key, "_total");
        int len = total ? (int)(total - key) : (int)strlen(key);
        snprintf(keys[i], sizeof(keys[i]), "%.*s", len, key);
        for (uint32_t k = 0; k < i; k++)
            cr_assert_str_neq(keys[i], keys[k]);
    }
}

Test(metrics, names_follow_the_conventions)
{
    for (uint32_t i = 0; i < ft_metric_count; i++) {
        const struct ft_metric *metric = &ft_metric_table[i];
        const char *name = metric->name;
        cr_assert(matches(name, "^(fantail|process)(_[a-z]+)+$"), "%s", name);
        cr_assert_eq(matches(name, "_total$"), metric->type == FT_METRIC_COUNTER, "%s", name);
        cr_assert_eq(matches(name, "_seconds(_total)?$"), metric->unit == FT_METRIC_SECONDS, "%s",
                     name);
        cr_assert_eq(matches(name, "_bytes(_total)?$"), metric->unit == FT_METRIC_BYTES, "%s",
                     name);
        cr_assert_not(matches(name, "_(count|sum|bucket|info_total)$"), "%s", name);
        cr_assert(matches(metric->help, "^[ -~…]{10,}$") && !strpbrk(metric->help, "\\\n|"),
                  "help of %s", name);
    }
}

Test(metrics, every_row_has_a_place_of_its_own_and_as_many_slots_as_labels)
{
    uint32_t end = 0;
    for (uint32_t i = 0; i < ft_metric_count; i++) {
        const struct ft_metric *metric = &ft_metric_table[i];
        cr_assert_eq(metric->figures_at, end, "%s", metric->name);
        cr_assert_eq(metric->slots, metric->labels->counts[0] * metric->labels->counts[1], "%s",
                     metric->name);
        end += metric->slots;
        for (int label = 0; label < 2; label++) {
            const char *key = metric->labels->keys[label];
            cr_assert(!key || matches(key, "^[a-z]+$"), "%s", metric->name);
        }
    }
}

Test(metrics, values_of_labels_need_no_escape_and_are_not_repeated)
{
    for (uint32_t i = 0; i < ft_metric_count; i++) {
        const struct ft_label_set *set = ft_metric_table[i].labels;
        for (int label = 0; label < 2; label++) {
            for (uint32_t k = 0; set->values[label] && k < set->counts[label]; k++) {
                const char *value = set->values[label][k];
                cr_assert(matches(value, "^[a-z0-9_.]+$"), "\"%s\"", value);
                for (uint32_t before = 0; before < k; before++)
                    cr_assert_str_neq(value, set->values[label][before]);
            }
        }
    }
}

/* Writes the reference's table: a row for each metric. */
static const char *reference(char *table, size_t size)
{
    static const char *const types[] = {"counter", "gauge", "histogram"};
    size_t n = 0;
    for (uint32_t i = 0; i < ft_metric_count; i++) {
        const struct ft_metric *metric = &ft_metric_table[i];
        const char *const *keys = metric->labels->keys;
        bool is_labelled = keys[0] && metric->type != FT_METRIC_HISTOGRAM;
        n += (size_t)snprintf(table + n, size - n, "| `%s` | %s |%s%s%s%s | %s |\n", metric->name,
                              types[metric->type], is_labelled ? " " : "",
                              is_labelled ? keys[0] : "", keys[1] ? ", " : "",
                              keys[1] ? keys[1] : "", metric->help);
        cr_assert_lt(n, size);
    }
    return table;
}

Test(metrics, reference_lists_every_metric_in_this_order)
{
    static char page[32768], table[16384];
    FILE *file = fopen("deploy/metrics.md", "r");
    cr_assert(file, "deploy/metrics.md is missing");
    page[fread(page, 1, sizeof(page) - 1, file)] = '\0';
    fclose(file);
    const char *rows = strstr(page, "| metric | type | labels | |\n| --- | --- | --- | --- |\n");
    cr_assert(rows);
    rows = strchr(strchr(rows, '\n') + 1, '\n') + 1;
    cr_assert_str_eq(rows, reference(table, sizeof(table)), "deploy/metrics.md should end with\n%s",
                     table);
}

/* ---- counting ---- */

static struct ft_metrics one, two;
static struct ft_figures figures;

static void add_up(void)
{
    struct ft_metrics *workers[] = {&one, &two};
    ft_figures_add_up(&figures, workers, 2);
    figures.node = "n1";
}

Test(metrics, what_workers_count_is_added_up)
{
    ft_count(one.connections_accepted, 3);
    ft_count(two.connections_accepted, 4);
    ft_count(&one.deliveries[FT_FRAMES_EVENTS], 5);
    ft_count(&two.deliveries[FT_FRAMES_MSGPACK], 6);
    ft_count(one.subscriptions, 2);
    ft_uncount(one.subscriptions, 1);
    add_up();
    cr_assert_eq(figures.connections_accepted[0], 7);
    cr_assert_eq(figures.deliveries[FT_FRAMES_JSON], 0);
    cr_assert_eq(figures.deliveries[FT_FRAMES_MSGPACK], 6);
    cr_assert_eq(figures.deliveries[FT_FRAMES_EVENTS], 5);
    cr_assert_eq(figures.subscriptions[0], 1);
}

Test(metrics, what_is_told_by_worker_stays_apart)
{
    ft_count(one.worker_connections, 3);
    ft_count(two.worker_connections, 4);
    add_up();
    cr_assert_eq(figures.worker_connections[0], 3);
    cr_assert_eq(figures.worker_connections[1], 4);
    cr_assert_eq(figures.worker_connections[2], 0);
}

Test(metrics, an_observation_lies_in_the_bucket_whose_bound_it_does_not_exceed)
{
    ft_observe_us(one.publish_to_write, 0);
    ft_observe_us(one.publish_to_write, 100);
    ft_observe_us(two.publish_to_write, 101);
    ft_observe_us(two.publish_to_write, 10000000);
    ft_observe_us(two.publish_to_write, 10000001);
    add_up();
    cr_assert_eq(figures.publish_to_write[0], 2);
    cr_assert_eq(figures.publish_to_write[1], 1);
    cr_assert_eq(figures.publish_to_write[FT_BUCKETS - 2], 1);
    cr_assert_eq(figures.publish_to_write[FT_BUCKETS - 1], 1);
    cr_assert_eq(figures.publish_to_write[FT_BUCKETS], 20000202);
}

Test(metrics, bounds_of_buckets_ascend)
{
    for (uint32_t i = 1; i < FT_BUCKETS - 1; i++)
        cr_assert_lt(ft_bucket_bounds_us[i - 1], ft_bucket_bounds_us[i]);
}

Test(metrics, numbers_on_the_wire_find_their_label_and_strangers_the_last_one)
{
    ft_count_close(&one, 4508);
    ft_count_close(&one, 1005);
    ft_count_close(&one, 3999);
    ft_count_error(&one, FT_ERR_FORBIDDEN);
    ft_count_error(&one, FT_ERR_NOT_WEBSOCKET);
    ft_count_http(&one, FT_ROUTE_PUBLISH, 200, 50);
    ft_count_http(&one, FT_ROUTE_WEBSOCKET, 101, UINT64_MAX);
    ft_count_http(&one, FT_ROUTE_CONSOLE, 299, 70);
    add_up();
    cr_assert_eq(figures.close_codes[FT_CLOSE_4508], 1);
    cr_assert_eq(figures.close_codes[FT_CLOSE_1005], 1);
    cr_assert_eq(figures.close_codes[FT_CLOSE_OTHER], 1);
    cr_assert_eq(figures.errors[FT_ERROR_403], 1);
    cr_assert_eq(figures.errors[FT_ERROR_OTHER], 1);
    cr_assert_eq(figures.http_requests[FT_ROUTE_PUBLISH * FT_STATUS_COUNT + FT_STATUS_200], 1);
    cr_assert_eq(figures.http_requests[FT_ROUTE_WEBSOCKET * FT_STATUS_COUNT + FT_STATUS_101], 1);
    cr_assert_eq(figures.http_requests[FT_ROUTE_CONSOLE * FT_STATUS_COUNT + FT_STATUS_OTHER], 1);
    cr_assert_eq(figures.http_duration[0], 2);
    cr_assert_eq(figures.http_duration[FT_BUCKETS], 120);
}

Test(metrics, a_refused_publication_is_counted_by_reason)
{
    ft_count_publication_refused(&one, FT_ERR_BAD_TOPIC);
    ft_count_publication_refused(&one, FT_ERR_BAD_DATA);
    ft_count_publication_refused(&one, FT_ERR_FORBIDDEN);
    ft_count_publication_refused(&one, FT_ERR_CONFLICT);
    ft_count_publication_refused(&one, FT_ERR_TOO_LARGE);
    ft_count_publication_refused(&one, FT_ERR_TOO_MANY);
    ft_count_publication_refused(&one, FT_ERR_UNAVAILABLE);
    ft_count_publication_refused(&one, FT_ERR_TIMEOUT);
    ft_count_publication_refused(&one, FT_ERR_INTERNAL);
    add_up();
    static const uint64_t expected[FT_REASON_COUNT] = {2, 1, 1, 1, 1, 1, 1, 1};
    cr_assert_arr_eq(figures.publications_refused, expected, sizeof(expected));
}

Test(metrics, a_late_tick_is_told_for_a_window_and_the_next_one)
{
    struct ft_lag lag = {0};
    uint64_t now_us = 1000000000;
    ft_count_tick(&one, &lag, now_us, 250000); /* nobody knows when the first one was due */
    ft_count_tick(&one, &lag, now_us += 250000, 250000);
    cr_assert_eq(*one.worker_lag, 0);
    ft_count_tick(&one, &lag, now_us += 290000, 250000);
    ft_count_tick(&one, &lag, now_us += 240000, 250000); /* early is not late */
    cr_assert_eq(*one.worker_lag, 40000);
    cr_assert_eq(*one.worker_lag_max, 40000);
    for (uint64_t end_us = now_us + 14000000; now_us < end_us;)
        ft_count_tick(&one, &lag, now_us += 250000, 250000);
    cr_assert_eq(*one.worker_lag_max, 40000);
    for (uint64_t end_us = now_us + 16000000; now_us < end_us;)
        ft_count_tick(&one, &lag, now_us += 250000, 250000);
    cr_assert_eq(*one.worker_lag_max, 0);
    cr_assert_eq(*one.worker_lag, 40000);
    cr_assert_eq(*one.worker_ticks, 4 + 56 + 64);
}

/* ---- as text ---- */

static struct ft_buffer out;

static const char *text(void)
{
    add_up();
    ft_buffer_init(&out, 1 << 20);
    ft_figures_write_text(&figures, &out);
    ft_buffer_add_byte(&out, '\0');
    cr_assert_not(out.failed);
    return (const char *)out.ptr;
}

static void assert_line(const char *all, const char *line)
{
    char whole[256];
    snprintf(whole, sizeof(whole), "\n%s\n", line);
    cr_assert(strstr(all, whole), "no line %s in\n%s", line, all);
}

Test(metrics_text, a_counter_has_help_type_and_a_line_for_each_label)
{
    ft_count(&one.gaps[FT_GAP_SLOW], 7);
    const char *all = text();
    assert_line(all, "# HELP fantail_gaps_total gaps that sessions were told of\n"
                     "# TYPE fantail_gaps_total counter\n"
                     "fantail_gaps_total{reason=\"slow\"} 7\n"
                     "fantail_gaps_total{reason=\"expired\"} 0\n"
                     "fantail_gaps_total{reason=\"relay\"} 0");
    ft_buffer_fini(&out);
}

Test(metrics_text, buckets_are_cumulative_and_in_seconds)
{
    ft_observe_us(one.publish_to_write, 90);
    ft_observe_us(two.publish_to_write, 300);
    ft_observe_us(two.publish_to_write, 11000000);
    const char *all = text();
    assert_line(all, "# TYPE fantail_publish_to_write_seconds histogram\n"
                     "fantail_publish_to_write_seconds_bucket{le=\"0.0001\"} 1\n"
                     "fantail_publish_to_write_seconds_bucket{le=\"0.00025\"} 1\n"
                     "fantail_publish_to_write_seconds_bucket{le=\"0.0005\"} 2");
    assert_line(all, "fantail_publish_to_write_seconds_bucket{le=\"10.0\"} 2\n"
                     "fantail_publish_to_write_seconds_bucket{le=\"+Inf\"} 3\n"
                     "fantail_publish_to_write_seconds_sum 11.00039\n"
                     "fantail_publish_to_write_seconds_count 3");
    ft_buffer_fini(&out);
}

Test(metrics_text, requests_are_told_as_far_as_there_were_any)
{
    ft_count_http(&one, FT_ROUTE_HISTORY, 404, 1);
    const char *all = text();
    assert_line(all, "# TYPE fantail_http_requests_total counter\n"
                     "fantail_http_requests_total{route=\"history\",status=\"404\"} 1\n"
                     "# HELP fantail_http_request_duration_seconds from a request that is complete "
                     "to its response, without WebSockets and streams of events");
    ft_buffer_fini(&out);
}

Test(metrics_text, workers_are_told_one_by_one_and_what_is_not_known_is_left_out)
{
    ft_count(two.worker_busy, 1500000);
    add_up();
    figures.process_open_fds[0] = UINT64_MAX;
    const char *all = text();
    assert_line(all, "fantail_worker_busy_seconds_total{worker=\"0\"} 0.0\n"
                     "fantail_worker_busy_seconds_total{worker=\"1\"} 1.5\n"
                     "# HELP fantail_worker_ticks_total ticks of its clock, four a second");
    cr_assert_not(strstr(all, "process_open_fds"));
    cr_assert(strstr(all, "process_max_fds 0\n"));
    ft_buffer_fini(&out);
}

static struct ft_relay_figures relay;

static void relay_of_three_partitions(void)
{
    ft_gauge(relay.relay_up, 1);
    ft_gauge(relay.relay_queue, 77);
    ft_count(&relay.relay_publishes[FT_OUTCOME_UNANSWERED], 2);
    ft_observe_us(relay.relay_script, 300);
    ft_gauge(&relay.relay_partition_lag[0], UINT64_MAX);
    ft_gauge(&relay.relay_partition_lag[2], 5);
    ft_figures_take_relay(&figures, &relay, 3);
}

Test(metrics_text, the_lag_of_partitions_that_are_joined_is_told)
{
    relay_of_three_partitions();
    const char *all = text();
    assert_line(all, "# TYPE fantail_relay_partition_lag gauge\n"
                     "fantail_relay_partition_lag{partition=\"1\"} 0\n"
                     "fantail_relay_partition_lag{partition=\"2\"} 5\n"
                     "# HELP fantail_relay_partitions_joined partitions that are joined, because "
                     "sessions can hear from them");
    assert_line(all, "fantail_relay_up 1");
    assert_line(all, "fantail_relay_publishes_total{outcome=\"unanswered\"} 2");
    assert_line(all, "fantail_relay_script_seconds_bucket{le=\"0.0005\"} 1");
    ft_buffer_fini(&out);
}

Test(metrics_text, of_a_node_on_its_own_no_relay_is_told)
{
    ft_figures_take_relay(&figures, NULL, 0);
    cr_assert_not(strstr(text(), "fantail_relay_"));
    ft_buffer_fini(&out);
}

/* ---- as a map ---- */

static const char *stats(const struct ft_figures *before)
{
    ft_buffer_init(&out, 1 << 20);
    struct ft_writer writer;
    ft_writer_init(&writer, FT_JSON, &out);
    ft_figures_write_stats(&figures, before, &writer);
    ft_buffer_add_byte(&out, '\0');
    cr_assert_not(out.failed);
    return (const char *)out.ptr;
}

static void assert_has(const char *all, const char *part)
{
    cr_assert(strstr(all, part), "no %s in %s", part, all);
}

Test(metrics_stats, are_one_map_with_the_figures_by_label)
{
    ft_count(&one.deliveries[FT_FRAMES_MSGPACK], 6);
    ft_count(one.worker_connections, 2);
    ft_count_http(&one, FT_ROUTE_PUBLISH, 200, 1);
    ft_count_http(&one, FT_ROUTE_PUBLISH, 403, 1);
    ft_count_http(&one, FT_ROUTE_STATS, 200, 1);
    add_up();
    figures.at_ms = 17;
    figures.process_open_fds[0] = UINT64_MAX;
    const char *all = stats(NULL);
    cr_assert_eq(strncmp(all, "{\"node\":\"n1\",\"version\":\"" FT_VERSION "\",\"at\":17,", 30), 0);
    assert_has(all, ",\"deliveries\":{\"json\":0,\"msgpack\":6,\"events\":0},");
    assert_has(all, ",\"worker_connections\":[2,0],");
    assert_has(all,
               ",\"http_requests\":{\"publish\":{\"200\":1,\"403\":1},\"stats\":{\"200\":1}},");
    assert_has(all, ",\"process_open_fds\":null,");
    assert_has(all, ",\"limit_refusals\":{\"address\":{\"connections\":0,");
    cr_assert_eq(all[strlen(all) - 1], '}', "the number of pairs was not announced as it is");
    cr_assert_not(strstr(all, "rates"));
    ft_buffer_fini(&out);
}

Test(metrics_stats, say_why_the_node_is_not_ready_while_it_is_not)
{
    add_up();
    snprintf(figures.unready, sizeof(figures.unready), "Redis at \"h:1\" is away");
    assert_has(stats(NULL), ",\"unready\":\"Redis at \\\"h:1\\\" is away\"}");
    ft_buffer_fini(&out);
    figures.unready[0] = '\0';
    cr_assert_not(strstr(stats(NULL), "unready"));
    ft_buffer_fini(&out);
}

Test(metrics_stats, a_histogram_is_told_by_its_quantiles)
{
    for (int i = 0; i < 50; i++)
        ft_observe_us(one.publish_to_write, 80);
    for (int i = 0; i < 50; i++)
        ft_observe_us(one.publish_to_write, 40000);
    add_up();
    const char *all = stats(NULL);
    assert_has(all, "\"publish_to_write_seconds\":{\"count\":100,\"sum\":2.004,\"p50\":0.0001,"
                    "\"p90\":0.045,\"p99\":0.0495}");
    assert_has(all, "\"http_request_duration_seconds\":{\"count\":0,\"sum\":0.0,\"p50\":0.0,"
                    "\"p90\":0.0,\"p99\":0.0}");
    ft_buffer_fini(&out);
}

Test(metrics_stats, rates_are_by_the_second_and_over_all_labels)
{
    ft_count(&one.deliveries[FT_FRAMES_JSON], 10);
    add_up();
    static struct ft_figures before;
    before = figures;
    before.measure_us = 5000000;
    ft_count(&one.deliveries[FT_FRAMES_JSON], 30);
    ft_count(&two.deliveries[FT_FRAMES_EVENTS], 10);
    ft_count(two.worker_busy, 500000);
    add_up();
    figures.measure_us = 7000000;
    const char *all = stats(&before);
    const char *rates = strstr(all, "\"rates\":{");
    cr_assert(rates);
    assert_has(rates, "\"deliveries\":20.0,");
    assert_has(rates, "\"worker_busy_seconds\":0.25,");
    assert_has(rates, "\"gaps\":0.0,");
    cr_assert_not(strstr(rates, "\"subscriptions\""));
    cr_assert_str_eq(all + strlen(all) - 2, "}}");
    ft_buffer_fini(&out);
}

Test(metrics_stats, tell_a_relay_where_there_is_one)
{
    add_up();
    cr_assert_not(strstr(stats(&figures), "\"relay_"));
    ft_buffer_fini(&out);
    relay_of_three_partitions();
    const char *all = stats(&figures);
    assert_has(all, "\"relay_queue_bytes\":77,\"relay_publishes\":{\"accepted\":0,\"duplicate\":0,"
                    "\"refused\":0,\"unanswered\":2,\"ephemeral\":0,\"dropped\":0},");
    assert_has(all, "\"relay_partition_lag\":[null,0,5],");
    assert_has(strstr(all, "\"rates\":"), "\"relay_publishes\":0.0,");
    ft_buffer_fini(&out);
}
