/* What sessions are told of many streams: places in ok and gap, ids of events, looking back. */
#include "tests/unit/support/fake_relay.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* Streams of two partitions. */
#define NAME_A "0aaaaaaaaa"
#define NAME_B "0abbbbbbbb"

static struct ft_fake_relay relay;
static struct ft_fake_node node;
static struct ft_fake_client client;
static struct ft_journal_writer *writer;
static const char *topics[2]; /* by partition */

static void setup(void)
{
    static const char *const some[] = {"a/x", "b/x", "c/x", "d/x", "e/x", "f/x"};
    struct ft_partitions partitions = {.count = 2, .hash_levels = 1};
    for (size_t i = 0; i < sizeof(some) / sizeof(some[0]); i++)
        topics[ft_partition_of(&partitions, ft_slice_str(some[i]))] = some[i];
    cr_assert(topics[0] && topics[1]);
    ft_fake_relay_init(&relay, &partitions);
    ft_fake_node_init_cluster(&node, &(struct ft_journal_options){0}, &(struct ft_hub_options){0},
                              1, &relay);
    writer = ft_journal_writer_new(node.journal);
    ft_journal_open_stream(node.journal, 0, NAME_A, 100);
    ft_journal_open_stream(node.journal, 1, NAME_B, 200);
    ft_interest_joined(&relay.interest, 0);
    ft_interest_joined(&relay.interest, 1);
}

static void teardown(void)
{
    ft_journal_writer_free(writer);
    ft_fake_relay_fini(&relay);
    ft_fake_node_fini(&node);
}

TestSuite(feed_streams, .init = setup, .fini = teardown, .timeout = 30);

static void append(struct ft_publication_spec *spec)
{
    struct ft_publication *p = ft_journal_build(writer, spec);
    cr_assert(ft_journal_append(writer, &p, 1, 1));
    ft_fake_node_settle(&node);
}

static void add(uint16_t partition, uint64_t seq, enum ft_entry entry, bool is_retained)
{
    char data[24];
    snprintf(data, sizeof(data), "%lu", (unsigned long)seq);
    append(&(struct ft_publication_spec){
        .encoding = FT_JSON,
        .topic = ft_slice_str(topics[partition]),
        .data = {.kind = FT_DATA_JSON, .bytes = ft_slice_str(data)},
        .at_ms = 1,
        .accepted_s = 1,
        .is_retained = is_retained,
        .entry = (uint8_t)entry,
        .stream_index = partition,
        .seq = seq,
        .name = partition ? NAME_B : NAME_A,
    });
}

static void say(const char *text)
{
    ft_fake_client_forget(&client);
    ft_fake_client_say(&client, text);
}

static bool was_told(const char *text)
{
    return strstr(ft_fake_client_sent(&client), text) != NULL;
}

Test(feed_streams, an_ok_says_the_places_of_what_the_filters_touch)
{
    char text[128];
    ft_fake_client_open(&node, &client, 0, FT_FRAMES_JSON);
    add(0, 101, FT_ENTRY_LIVE, false);
    say("{\"op\":\"sub\",\"id\":1,\"topics\":[\"#\"]}");
    cr_assert(was_told("{\"op\":\"ok\",\"id\":1,\"pos\":[\"" NAME_A ".101\",\"" NAME_B ".200\"]}"));
    snprintf(text, sizeof(text), "{\"op\":\"sub\",\"id\":2,\"topics\":[\"%s\"]}", topics[1]);
    say(text);
    cr_assert(was_told("{\"op\":\"ok\",\"id\":2,\"pos\":[\"" NAME_B ".200\"]}"));
}

Test(feed_streams, a_gap_reaches_those_who_can_hear_from_there_once)
{
    struct ft_fake_client other = {0};
    char text[128];
    ft_fake_client_open(&node, &client, 0, FT_FRAMES_JSON);
    ft_fake_client_open(&node, &other, 0, FT_FRAMES_JSON);
    snprintf(text, sizeof(text), "{\"op\":\"sub\",\"topics\":[\"#\",\"%s\"]}", topics[0]);
    say(text);
    snprintf(text, sizeof(text), "{\"op\":\"sub\",\"topics\":[\"%s\"]}", topics[1]);
    ft_fake_client_say(&other, text);
    ft_fake_client_forget(&client);
    ft_fake_client_forget(&other);
    ft_journal_open_stream(node.journal, 0, NAME_A, 103);
    append(&(struct ft_publication_spec){.entry = FT_ENTRY_GAP, .stream_index = 0});
    cr_assert_str_eq(ft_fake_client_sent(&client),
                     "{\"op\":\"gap\",\"reason\":\"relay\",\"pos\":[\"" NAME_A ".103\",\"" NAME_B
                     ".200\"]}\n");
    cr_assert_str_eq(ft_fake_client_sent(&other), "");
    cr_assert_eq(node.hub->workers[0]->metrics.gaps[FT_GAP_RELAY], 1);
    cr_assert_eq(node.hub->workers[0]->metrics.gaps[FT_GAP_SLOW], 0);
    ft_fake_client_close(&other);
}

Test(feed_streams, who_was_there_before_what_is_warm_goes_on_behind_it)
{
    ft_fake_client_open(&node, &client, 0, FT_FRAMES_JSON);
    say("{\"op\":\"sub\",\"topics\":[\"#\"]}");
    ft_fake_client_forget(&client);
    ft_journal_open_stream(node.journal, 0, "0aacaaaaaa", 7);
    append(&(struct ft_publication_spec){.entry = FT_ENTRY_GAP, .stream_index = 0, .seq = 9});
    cr_assert(was_told("\"pos\":[\"0aacaaaaaa.9\",\"" NAME_B ".200\"]}"));
    append(&(struct ft_publication_spec){.entry = FT_ENTRY_GAP, .stream_index = 0});
    cr_assert(was_told("\"pos\":[\"0aacaaaaaa.7\",\"" NAME_B ".200\"]}"), "0 is not the journal's");
}

Test(feed_streams, what_is_warm_comes_to_who_was_there_before_it_alone)
{
    ft_fake_client_open(&node, &client, 0, FT_FRAMES_JSON);
    add(0, 101, FT_ENTRY_WARM, false);
    add(0, 102, FT_ENTRY_WARM, false);
    say("{\"op\":\"sub\",\"id\":1,\"topics\":[\"#\"]}");
    cr_assert_not(was_told("\"op\":\"msg\""));
    say("{\"op\":\"sub\",\"id\":2,\"topics\":[\"+/x\"],\"since\":[\"" NAME_A ".101\"]}");
    cr_assert(was_told("\"recovered\":true,\"pos\":[\"" NAME_A ".101\",\"" NAME_B ".200\"]"));
    cr_assert(was_told("\"pos\":\"" NAME_A ".102\""));
    cr_assert_not(was_told("\"pos\":\"" NAME_A ".101\"}"));
}

Test(feed_streams, a_position_of_a_stream_that_was_replaced_is_no_matter_beside_the_new_ones)
{
    ft_fake_client_open(&node, &client, 0, FT_FRAMES_JSON);
    say("{\"op\":\"sub\",\"id\":1,\"topics\":[\"#\"],\"since\":[\"0aazzzzzzz.7\"]}");
    cr_assert(was_told("\"recovered\":false"));
    say("{\"op\":\"sub\",\"id\":1,\"topics\":[\"#\"],\"since\":[\"0aazzzzzzz.7\",\"" NAME_A
        ".100\"]}");
    cr_assert(was_told("\"recovered\":true"));
    say("{\"op\":\"sub\",\"id\":1,\"topics\":[\"#\"],\"since\":[\"otherworld.7\",\"" NAME_A
        ".100\"]}");
    cr_assert(was_told("\"recovered\":false"));
}

static void ask_history(int since)
{
    char text[160];
    snprintf(text, sizeof(text),
             "{\"op\":\"history\",\"id\":2,\"topic\":\"%s\",\"since\":\"" NAME_A ".%d\"}",
             topics[0], since);
    say(text);
}

Test(feed_streams, what_was_restored_is_there_to_look_back_at)
{
    ft_fake_client_open(&node, &client, 0, FT_FRAMES_JSON);
    add(0, 90, FT_ENTRY_RESTORED, true);
    add(0, 101, FT_ENTRY_LIVE, false);
    say("{\"op\":\"sub\",\"id\":1,\"topics\":[\"#\"]}");
    cr_assert(was_told("\"data\":90,\"at\":1,\"pos\":\"" NAME_A ".90\",\"retained\":true}"));
    cr_assert_not(was_told("\"data\":101"));
    ask_history(100); /* it has everything since */
    cr_assert(was_told("\"recovered\":true"));
    cr_assert(was_told("\"data\":101") && !was_told("\"data\":90"));
    ask_history(90); /* some may be missing, but that one is known */
    cr_assert(was_told("\"recovered\":false"));
    cr_assert(was_told("\"data\":101") && !was_told("\"data\":90"));
    ask_history(89);
    cr_assert(was_told("\"data\":101") && was_told("\"data\":90"));
}

Test(feed_streams, the_last_id_of_an_event_stream_has_all_places)
{
    struct ft_problem problem;
    add(0, 90, FT_ENTRY_RESTORED, true);
    add(1, 201, FT_ENTRY_LIVE, true);
    ft_fake_client_open(&node, &client, 0, FT_FRAMES_EVENTS);
    ft_fake_node_begin(&node, 0);
    cr_assert_eq(ft_session_carry_out(&client.session,
                                      ft_slice_str("{\"op\":\"sub\",\"topics\":[\"#\"]}"),
                                      &problem),
                 FT_OK);
    (void)ft_fake_node_end(&node, 0);
    ft_fake_node_settle(&node);
    const char *sent = ft_fake_client_sent(&client);
    cr_assert(was_told("event: ok\nid: " NAME_A ".100," NAME_B ".201\ndata: "), "%s", sent);
    const char *restored = strstr(sent, "\"data\":90");
    cr_assert(restored);
    while (restored > sent && memcmp(restored - 2, "\n\n", 2) != 0)
        restored--;
    cr_assert_eq(memcmp(restored, "data: ", 6), 0, "what is restored has no id: %s", restored);
    cr_assert_neq(strstr(restored, "\n\nid: " NAME_A ".100," NAME_B ".201\n\n"), NULL, "%s", sent);
    ft_fake_client_forget(&client);
    add(0, 101, FT_ENTRY_LIVE, false);
    cr_assert(was_told("id: " NAME_A ".101," NAME_B ".201\ndata: "));
}

/* Another node had them in another order: an id that took a place back would bring what has come again. */
Test(feed_streams, ids_of_what_is_replayed_fall_behind_no_place_that_was_named)
{
    struct ft_problem problem;
    add(1, 201, FT_ENTRY_LIVE, false);
    add(1, 202, FT_ENTRY_LIVE, false);
    add(0, 101, FT_ENTRY_LIVE, false);
    add(0, 102, FT_ENTRY_LIVE, false);
    add(1, 203, FT_ENTRY_LIVE, false);
    ft_fake_client_open(&node, &client, 0, FT_FRAMES_EVENTS);
    ft_fake_node_begin(&node, 0);
    cr_assert_eq(
        ft_session_carry_out(&client.session,
                             ft_slice_str("{\"op\":\"sub\",\"topics\":[\"#\"],\"since\":[\"" NAME_A
                                          ".102\",\"" NAME_B ".200\"]}"),
                             &problem),
        FT_OK);
    (void)ft_fake_node_end(&node, 0);
    ft_fake_node_settle(&node);
    for (int seq = 201; seq <= 203; seq++) {
        char id[80];
        snprintf(id, sizeof(id), "\n\nid: " NAME_A ".102," NAME_B ".%d\ndata: {", seq);
        cr_assert(was_told(id), "%s", ft_fake_client_sent(&client));
    }
    cr_assert_not(was_told(NAME_A ".100"), "%s", ft_fake_client_sent(&client));
}
