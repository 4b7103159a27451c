/* The kernel's counters from texts as Linux writes them: what is new or has changed is given out. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "clients/cli/kernel_counters.h"

static const char list[] = "pgfault 100\npswpin 0\npgalloc_dma 7\n";
static const char table[] = "Tcp: RtoMin MaxConn InSegs\n"
                            "Tcp: 200 -1 5000\n"
                            "TcpExt: SyncookiesSent\n"
                            "TcpExt: 3\n";

struct given {
    char text[1024];
};

static void note(void *context, const char *name, int64_t value, int64_t change)
{
    struct given *given = context;
    size_t len = strlen(given->text);
    snprintf(given->text + len, sizeof(given->text) - len, "%s=%lld%+lld ", name, (long long)value,
             (long long)change);
}

static const char *read_both(struct ft_kernel_counters *counters, struct given *given,
                             const char *vmstat, const char *net)
{
    given->text[0] = '\0';
    ft_kernel_counters_begin(counters);
    ft_kernel_counters_read_list(counters, "vmstat", ft_slice_str(vmstat), note, given);
    ft_kernel_counters_read_table(counters, ft_slice_str(net), note, given);
    return given->text;
}

Test(kernel_counters, the_first_reading_gives_all_and_later_ones_what_moved)
{
    struct ft_kernel_counters *counters = ft_kernel_counters_new();
    struct given given;
    cr_expect_str_eq(
        read_both(counters, &given, list, table),
        "vmstat/pgfault=100+0 vmstat/pswpin=0+0 vmstat/pgalloc_dma=7+0 Tcp/RtoMin=200+0 "
        "Tcp/MaxConn=-1+0 Tcp/InSegs=5000+0 TcpExt/SyncookiesSent=3+0 ");
    cr_expect_str_eq(read_both(counters, &given, list, table), "");
    cr_expect_str_eq(read_both(counters, &given, "pgfault 130\npswpin 0\npgalloc_dma 5\n", table),
                     "vmstat/pgfault=130+30 vmstat/pgalloc_dma=5-2 ");
    ft_kernel_counters_forget(counters);
    cr_expect_str_eq(read_both(counters, &given, "pgfault 131\n", ""), "vmstat/pgfault=131+0 ");
    ft_kernel_counters_free(counters);
}

Test(kernel_counters, a_counter_in_the_place_of_another_is_new)
{
    struct ft_kernel_counters *counters = ft_kernel_counters_new();
    struct given given;
    read_both(counters, &given, list, "");
    cr_expect_str_eq(read_both(counters, &given, "pgfault 100\nballoon 9\npgalloc_dma 7\n", ""),
                     "vmstat/balloon=9+0 ");
    ft_kernel_counters_free(counters);
}

Test(kernel_counters, what_is_malformed_is_left_out)
{
    struct ft_kernel_counters *counters = ft_kernel_counters_new();
    struct given given;
    cr_expect_str_eq(
        read_both(counters, &given, "a\nb x\nc -\n\nd 99999999999999999999\ne 1\n", ""),
        "vmstat/e=1+0 ");
    cr_expect_str_eq(read_both(counters, &given, "", "Tcp: A B\nUdp: 1 2\nTcp: A\nTcp: 1\n"), "");
    cr_expect_str_eq(read_both(counters, &given, "", "Tcp: A B C\nTcp: 1 2\n"),
                     "Tcp/A=1+0 Tcp/B=2+0 ");
    char many[16 * (FT_COUNTERS_MAX + 10)] = "";
    size_t len = 0;
    for (int i = 0; i < FT_COUNTERS_MAX + 10; i++)
        len += (size_t)snprintf(many + len, sizeof(many) - len, "n%d 0\n", i);
    cr_expect(strlen(read_both(counters, &given, many, "")) > 0);
    char longest[200] = "";
    memset(longest, 'n', 150);
    strcpy(longest + 150, " 1\n");
    cr_expect_str_eq(read_both(counters, &given, longest, ""), "");
    ft_kernel_counters_free(counters);
}
