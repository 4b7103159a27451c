/* Figures from texts as Linux writes them. */
#include <criterion/criterion.h>

#include "clients/cli/proc_figures.h"
#include "protocol/topic.h"

Test(proc_figures, cpu_rows_are_read_in_ticks)
{
    static const char text[] = "cpu  100 20 30 400 50 6 7 8 0 0\n"
                               "cpu0 60 10 15 200 25 3 4 4 0 0\n"
                               "cpu11 40 10 15 200 25 3 3 4 0 0\n"
                               "intr 12345 0 1 2\n"
                               "ctxt 99\n"
                               "cpux 1 2 3 4\n";
    struct ft_cpu_times rows[8];
    cr_assert_eq(ft_proc_read_cpus(ft_slice_str(text), rows, 8), 3);
    cr_assert_eq(rows[0].core, -1);
    cr_assert_eq(rows[0].user, 120, "nice is user time");
    cr_assert_eq(rows[0].system, 43, "interrupts are system time");
    cr_assert_eq(rows[0].iowait, 50);
    cr_assert_eq(rows[0].idle, 400);
    cr_assert_eq(rows[0].total, 621, "stolen time counts in the whole");
    cr_assert_eq(rows[1].core, 0);
    cr_assert_eq(rows[2].core, 11);
}

Test(proc_figures, an_old_kernels_four_columns_are_enough)
{
    struct ft_cpu_times row;
    cr_assert_eq(ft_proc_read_cpus(ft_slice_str("cpu 1 2 3 4\n"), &row, 1), 1);
    cr_assert_eq(row.total, 10);
    cr_assert_eq(ft_proc_read_cpus(ft_slice_str("cpu 1 2 3\n"), &row, 1), 0);
}

Test(proc_figures, rows_past_the_room_are_left)
{
    struct ft_cpu_times rows[2];
    static const char text[] = "cpu 1 2 3 4\ncpu0 1 2 3 4\ncpu1 1 2 3 4\n";
    cr_assert_eq(ft_proc_read_cpus(ft_slice_str(text), rows, 2), 2);
    cr_assert_eq(rows[1].core, 0);
}

Test(proc_figures, disks_are_counted_in_bytes)
{
    static const char text[] =
        "   8       0 sda 1000 5 2048 30 500 6 4096 70 1 250 100 0 0 0 0 0 0\n"
        "   8       1 sda1 900 5 2000 30 400 6 4000 70 0 200 100\n"
        " 259       0 nvme0n1 1 2 3\n";
    struct ft_disk_counts rows[4];
    cr_assert_eq(ft_proc_read_disks(ft_slice_str(text), rows, 4), 2, "a short row is left out");
    cr_assert_str_eq(rows[0].name, "sda");
    cr_assert_eq(rows[0].reads, 1000);
    cr_assert_eq(rows[0].read_bytes, 2048 * 512);
    cr_assert_eq(rows[0].writes, 500);
    cr_assert_eq(rows[0].written_bytes, 4096 * 512);
    cr_assert_eq(rows[0].busy_ms, 250);
    cr_assert_str_eq(rows[1].name, "sda1");
}

Test(proc_figures, interfaces_are_read_with_and_without_space_behind_the_colon)
{
    static const char text[] =
        "Inter-|   Receive                                                |  Transmit\n"
        " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets\n"
        "    lo: 1111 22 0 0 0 0 0 0 1111 22 0 0 0 0 0 0\n"
        "  eth0:123456789012 345 1 0 0 0 0 0 987654 321 2 0 0 0 0 0\n";
    struct ft_net_counts rows[4];
    cr_assert_eq(ft_proc_read_nets(ft_slice_str(text), rows, 4), 2);
    cr_assert_str_eq(rows[0].name, "lo");
    cr_assert_str_eq(rows[1].name, "eth0");
    cr_assert_eq(rows[1].received_bytes, 123456789012);
    cr_assert_eq(rows[1].received_packets, 345);
    cr_assert_eq(rows[1].sent_bytes, 987654);
    cr_assert_eq(rows[1].sent_packets, 321);
    cr_assert_eq(rows[1].errors, 3);
}

Test(proc_figures, memory_is_in_bytes_and_needs_its_two_main_rows)
{
    static const char text[] = "MemTotal:       8000 kB\nMemFree:        1000 kB\n"
                               "MemAvailable:   3000 kB\nCached:         500 kB\n"
                               "SwapTotal:      2000 kB\nSwapFree:       1500 kB\n";
    struct ft_memory_figures memory = {.cached = 1};
    cr_assert(ft_proc_read_memory(ft_slice_str(text), &memory));
    cr_assert_eq(memory.total, 8000 * 1024);
    cr_assert_eq(memory.available, 3000 * 1024);
    cr_assert_eq(memory.cached, 500 * 1024);
    cr_assert_eq(memory.swap_total - memory.swap_free, 500 * 1024);
    cr_assert_not(ft_proc_read_memory(ft_slice_str("MemTotal: 8000 kB\n"), &memory));
    cr_assert_eq(memory.total, 8000 * 1024, "the result is untouched");
}

Test(proc_figures, load_is_five_numbers)
{
    struct ft_load_figures load;
    cr_assert(ft_proc_read_load(ft_slice_str("0.52 1.25 2.00 3/456 7890\n"), &load));
    cr_assert_float_eq(load.load_1m, 0.52, 1e-9);
    cr_assert_float_eq(load.load_15m, 2.0, 1e-9);
    cr_assert_eq(load.running, 3);
    cr_assert_eq(load.tasks, 456);
    cr_assert_not(ft_proc_read_load(ft_slice_str("0.52 1.25\n"), &load));
    cr_assert_not(ft_proc_read_load(ft_slice(NULL, 0), &load));
}

Test(proc_figures, shares_stay_between_0_and_100)
{
    cr_assert_float_eq(ft_proc_percent(1, 3), 33.33, 1e-9);
    cr_assert_float_eq(ft_proc_percent(5, 3), 100, 1e-9);
    cr_assert_float_eq(ft_proc_percent(5, 0), 0, 1e-9);
    cr_assert_eq(ft_proc_growth(10, 4), 0, "a counter that was reset did not grow");
}

Test(proc_figures, any_name_becomes_one_level_of_a_topic)
{
    static const char *const rows[][2] = {
        {"web-1.example.org", "web-1.example.org"},
        {"a/b+c#d", "a-b-c-d"},
        {"$sys", "-sys"},
        {"cost$", "cost$"},
        {"", "-"},
        {"tab\there\x7f", "tab-here-"},
        {"caf\xc3\xa9", "caf--"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char level[32];
        ft_proc_level(rows[i][0], level, sizeof(level));
        cr_assert_str_eq(level, rows[i][1]);
        cr_assert_eq(ft_topic_check(ft_slice_str(level), NULL), FT_OK);
    }
    char cut[4];
    ft_proc_level("abcdef", cut, sizeof(cut));
    cr_assert_str_eq(cut, "abc");
}
