/* The file in which `fantail sub --resume` keeps its place. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clients/c/subscriptions.h"
#include "clients/cli/place.h"

static char folder[] = "/tmp/fantail-place-XXXXXX";
static char path[64], temp[64];
static struct ft_place place;
static struct ft_subscriptions subs;
static struct fantail_subscription *subscription;

static void write_file(const char *text)
{
    FILE *file = fopen(path, "w");
    cr_assert(file && fputs(text, file) >= 0);
    fclose(file);
}

static void expect_file(const char *text)
{
    char held[1024] = "";
    FILE *file = fopen(path, "r");
    cr_assert_eq(file != NULL, text != NULL);
    if (!file)
        return;
    held[fread(held, 1, sizeof(held) - 1, file)] = '\0';
    fclose(file);
    cr_assert_str_eq(held, text);
}

static void start(void)
{
    cr_assert(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/place", folder);
    snprintf(temp, sizeof(temp), "%s/place.new", folder);
    ft_subscriptions_init(&subs, NULL, NULL);
}

static void finish(void)
{
    ft_place_close(&place);
    ft_subscriptions_fini(&subs);
    unlink(path);
    unlink(temp);
    rmdir(folder);
}

TestSuite(cli_place, .init = start, .fini = finish);

/* Subscribes at positions: the subscription then stands there. */
static void stand_at(const char *const *since, size_t n)
{
    static const char *const filter = "a";
    struct fantail_subscribe_options options = {.since = since, .since_count = n};
    cr_assert_eq(ft_subscriptions_add(&subs, &filter, 1, &options, NULL, NULL, &subscription, NULL),
                 FT_OK);
    ft_place_reach(&place, subscription);
}

#define STAND_AT(...)                            \
    stand_at((const char *const[]){__VA_ARGS__}, \
             sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

Test(cli_place, no_file_is_a_beginning)
{
    cr_assert(ft_place_open(&place, path));
    cr_assert_eq(place.since_count, 0);
    cr_assert_eq(ft_place_due_ms(&place, 5), -1);
    cr_assert(ft_place_save(&place, 5, true));
    expect_file(NULL);
}

Test(cli_place, what_was_reached_is_written_and_read_again)
{
    cr_assert(ft_place_open(&place, path));
    STAND_AT("n.1.7", "m.18446744073709551615");
    cr_assert_eq(ft_place_due_ms(&place, 5), 0);
    cr_assert(ft_place_save(&place, 5, false));
    expect_file("n.1.7\nm.18446744073709551615\n");
    ft_place_close(&place);
    cr_assert(ft_place_open(&place, path));
    cr_assert_eq(place.since_count, 2);
    cr_assert_str_eq(place.since[0], "n.1.7");
    cr_assert_str_eq(place.since[1], "m.18446744073709551615");
}

Test(cli_place, it_is_written_once_a_second_and_at_the_end)
{
    cr_assert(ft_place_open(&place, path));
    STAND_AT("n.1");
    cr_assert(ft_place_save(&place, 5000, false));
    cr_assert_eq(ft_place_due_ms(&place, 5000), -1);
    STAND_AT("n.2");
    cr_assert_eq(ft_place_due_ms(&place, 5400), 600);
    cr_assert(ft_place_save(&place, 5999, false));
    expect_file("n.1\n");
    cr_assert(ft_place_save(&place, 6000, false));
    expect_file("n.2\n");
    STAND_AT("n.3");
    cr_assert(ft_place_save(&place, 6001, true));
    expect_file("n.3\n");
}

Test(cli_place, what_is_no_news_is_not_written)
{
    write_file("n.1\n");
    cr_assert(ft_place_open(&place, path));
    STAND_AT("n.1");
    unlink(path);
    cr_assert(ft_place_save(&place, 5, true));
    expect_file(NULL);
}

Test(cli_place, a_subscription_that_has_not_begun_leaves_it_alone)
{
    static const char *const filter = "a";
    write_file("n.1\n");
    cr_assert(ft_place_open(&place, path));
    cr_assert_eq(ft_subscriptions_add(&subs, &filter, 1, NULL, NULL, NULL, &subscription, NULL),
                 FT_OK);
    ft_place_reach(&place, subscription);
    cr_assert(ft_place_save(&place, 5, true));
    expect_file("n.1\n");
}

Test(cli_place, a_last_line_needs_no_newline_and_empty_lines_are_none)
{
    write_file("n.1\n\nm.2");
    cr_assert(ft_place_open(&place, path));
    cr_assert_eq(place.since_count, 2);
    cr_assert_str_eq(place.since[1], "m.2");
}

Test(cli_place, another_file_is_not_taken_for_one)
{
    static const char *const texts[] = {"#!/bin/sh\n", "n.1\nm\n", "n.-1", "n.1 \n"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        write_file(texts[i]);
        cr_assert_not(ft_place_open(&place, path), "%s", texts[i]);
        ft_place_close(&place);
    }
    ft_place_open(&place, path);
}

Test(cli_place, more_than_there_can_be_is_refused)
{
    FILE *file = fopen(path, "w");
    for (int i = 0; i <= FT_POSITIONS_MAX; i++)
        fprintf(file, "s%d.1\n", i);
    fclose(file);
    cr_assert_not(ft_place_open(&place, path));
}

Test(cli_place, what_cannot_be_written_is_said_and_the_old_one_stays)
{
    write_file("n.1\n");
    cr_assert(ft_place_open(&place, path));
    STAND_AT("n.2");
    cr_assert_eq(mkdir(temp, 0700), 0); /* in the way, for root too */
    cr_assert_not(ft_place_save(&place, 5, true));
    expect_file("n.1\n");
    rmdir(temp);
    cr_assert(ft_place_save(&place, 6, true));
    expect_file("n.2\n");
    cr_assert_neq(access(temp, F_OK), 0, "nothing is left behind");
}
