/* Command lines against a table of options. */
#include <criterion/criterion.h>

#include "clients/cli/flags.h"

static bool verbose;
static uint64_t count;
static double wait_s;
static const char *server;
static struct ft_flag_texts since;
static const struct ft_flag flags[] = {
    {'v', "verbose", NULL, FT_FLAG_SWITCH, &verbose, ""},
    {'C', "count", "N", FT_FLAG_COUNT, &count, ""},
    {'\0', "wait", "SECONDS", FT_FLAG_NUMBER, &wait_s, ""},
    {'s', "server", "URL", FT_FLAG_TEXT, &server, ""},
    {'\0', "since", "POS", FT_FLAG_TEXTS, &since, ""},
};
static struct ft_problem problem;
static int argc;
static char *argv[2 * FT_FLAG_TEXTS_MAX + 4];

static enum ft_err parse(const char *const *words)
{
    argc = 0;
    static char name[] = "cmd";
    argv[argc++] = name;
    for (; *words; words++)
        argv[argc++] = (char *)(uintptr_t)*words;
    return ft_flags_parse(flags, sizeof(flags) / sizeof(flags[0]), &argc, argv, &problem);
}

#define PARSE(...) parse((const char *const[]){__VA_ARGS__, NULL})

Test(cli_flags, options_and_arguments_stand_in_any_order)
{
    cr_assert_eq(PARSE("a", "-v", "b", "-C", "5", "--wait=0.5", "c", "--server", "ws://x"), FT_OK);
    cr_assert_eq(argc, 4);
    cr_assert_str_eq(argv[1], "a");
    cr_assert_str_eq(argv[3], "c");
    cr_assert(verbose);
    cr_assert_eq(count, 5);
    cr_assert_float_eq(wait_s, 0.5, 1e-9);
    cr_assert_str_eq(server, "ws://x");
}

Test(cli_flags, short_values_may_be_attached)
{
    cr_assert_eq(PARSE("-C17", "-sws://y"), FT_OK);
    cr_assert_eq(count, 17);
    cr_assert_str_eq(server, "ws://y");
}

Test(cli_flags, behind_two_dashes_everything_is_an_argument)
{
    cr_assert_eq(PARSE("t", "--", "-5", "--verbose"), FT_OK);
    cr_assert_eq(argc, 4);
    cr_assert_str_eq(argv[2], "-5");
    cr_assert_not(verbose);
}

Test(cli_flags, a_single_dash_is_an_argument)
{
    cr_assert_eq(PARSE("-"), FT_OK);
    cr_assert_eq(argc, 2);
}

Test(cli_flags, what_is_wrong_is_named)
{
    static const char *const rows[][3] = {
        {"--nope", NULL, "\"--nope\""},   {"-x", NULL, "\"-x\""},
        {"-C", "0", "--count"},           {"-C", "-1", "--count"},
        {"-C", "1.5", "\"1.5\""},         {"--count", "99999999999999999999", "--count"},
        {"--wait", "soon", "\"soon\""},   {"--wait", "inf", "--wait"},
        {"--wait", "0", "--wait"},        {"--verbose=yes", NULL, "takes no value"},
        {"-vC5", NULL, "takes no value"}, {"--server", NULL, "needs a value"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *words[] = {rows[i][0], rows[i][1], NULL};
        cr_assert_eq(parse(words), FT_ERR_BAD_REQUEST, "%s", rows[i][0]);
        cr_expect(strstr(problem.text, rows[i][2]), "%s: %s", rows[i][0], problem.text);
    }
}

Test(cli_flags, an_option_may_be_there_several_times)
{
    cr_assert_eq(PARSE("--since", "a.1", "t", "--since=b.2"), FT_OK);
    cr_assert_eq(since.count, 2);
    cr_assert_str_eq(since.items[0], "a.1");
    cr_assert_str_eq(since.items[1], "b.2");
    cr_assert_eq(argc, 2);
}

Test(cli_flags, but_not_without_end)
{
    const char *words[FT_FLAG_TEXTS_MAX + 2] = {0};
    for (size_t i = 0; i < FT_FLAG_TEXTS_MAX; i++)
        words[i] = "--since=a.1";
    cr_assert_eq(parse(words), FT_OK);
    cr_assert_eq(since.count, FT_FLAG_TEXTS_MAX);
    since.count = 0;
    words[FT_FLAG_TEXTS_MAX] = "--since=a.1";
    cr_assert_eq(parse(words), FT_ERR_BAD_REQUEST);
    cr_assert(strstr(problem.text, "--since"), "%s", problem.text);
}
