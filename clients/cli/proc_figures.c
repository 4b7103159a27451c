/*
 * Reads the kernel's tables. Opens no file and keeps no state. Pure; any thread.
 */
#include "clients/cli/proc_figures.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "clients/cli/proc_text.h"

/* What /proc/diskstats counts in, whatever the device's own blocks are (the kernel's
 * Documentation/admin-guide/iostats.rst). */
enum { SECTOR_BYTES = 512 };

/* Reads up to `max` numbers off a line; returns how many came before something else. */
static size_t read_numbers(struct ft_slice *line, uint64_t *values, size_t max)
{
    size_t n = 0;
    while (n < max && ft_proc_number(ft_proc_next_word(line), &values[n]))
        n++;
    return n;
}

static bool copy_name(struct ft_slice word, char out[FT_PROC_NAME_MAX])
{
    if (word.len == 0 || word.len >= FT_PROC_NAME_MAX)
        return false;
    memcpy(out, word.ptr, word.len);
    out[word.len] = '\0';
    return true;
}

/* "cpu" or "cpu12": sets `*core`. */
static bool read_core(struct ft_slice word, int *core)
{
    uint64_t number;
    if (word.len < 3 || memcmp(word.ptr, "cpu", 3) != 0)
        return false;
    if (word.len == 3) {
        *core = -1;
        return true;
    }
    if (!ft_proc_number(ft_slice(word.ptr + 3, word.len - 3), &number) || number > 99999)
        return false;
    *core = (int)number;
    return true;
}

size_t ft_proc_read_cpus(struct ft_slice text, struct ft_cpu_times *rows, size_t max)
{
    enum { USER, NICE, SYSTEM, IDLE, IOWAIT, IRQ, SOFTIRQ, STEAL, COLUMNS };
    size_t count = 0;
    struct ft_slice line;
    while (count < max && ft_proc_next_line(&text, &line)) {
        uint64_t v[COLUMNS] = {0};
        int core;
        if (!read_core(ft_proc_next_word(&line), &core) || read_numbers(&line, v, COLUMNS) <= IDLE)
            continue;
        struct ft_cpu_times row = {
            .core = core,
            .user = v[USER] + v[NICE],
            .system = v[SYSTEM] + v[IRQ] + v[SOFTIRQ],
            .iowait = v[IOWAIT],
            .idle = v[IDLE],
        };
        row.total = row.user + row.system + row.iowait + row.idle + v[STEAL];
        rows[count++] = row;
    }
    return count;
}

size_t ft_proc_read_disks(struct ft_slice text, struct ft_disk_counts *rows, size_t max)
{
    enum {
        READS,
        READS_MERGED,
        READ_SECTORS,
        READ_MS,
        WRITES,
        WRITES_MERGED,
        WRITTEN_SECTORS,
        WRITE_MS,
        IN_FLIGHT,
        BUSY_MS,
        COLUMNS
    };
    size_t count = 0;
    struct ft_slice line;
    while (count < max && ft_proc_next_line(&text, &line)) {
        uint64_t device[2];
        uint64_t v[COLUMNS];
        struct ft_disk_counts row = {0};
        if (read_numbers(&line, device, 2) != 2 || !copy_name(ft_proc_next_word(&line), row.name) ||
            read_numbers(&line, v, COLUMNS) != COLUMNS)
            continue;
        row.reads = v[READS];
        row.read_bytes = v[READ_SECTORS] * SECTOR_BYTES;
        row.writes = v[WRITES];
        row.written_bytes = v[WRITTEN_SECTORS] * SECTOR_BYTES;
        row.busy_ms = v[BUSY_MS];
        rows[count++] = row;
    }
    return count;
}

size_t ft_proc_read_nets(struct ft_slice text, struct ft_net_counts *rows, size_t max)
{
    /* Eight columns received, then sent; the third of each are errors. */
    enum { RX_BYTES, RX_PACKETS, RX_ERRORS, TX_BYTES = 8, TX_PACKETS, TX_ERRORS, COLUMNS };
    size_t count = 0;
    struct ft_slice line;
    while (count < max && ft_proc_next_line(&text, &line)) {
        /* "eth0:123" has no space behind the colon once the number is long. */
        const uint8_t *colon = memchr(line.ptr, ':', line.len);
        if (!colon)
            continue;
        size_t name_len = (size_t)(colon - line.ptr);
        struct ft_slice name = ft_slice(line.ptr, name_len);
        struct ft_slice rest = ft_slice(colon + 1, line.len - name_len - 1);
        uint64_t v[COLUMNS];
        struct ft_net_counts row = {0};
        if (!copy_name(ft_proc_next_word(&name), row.name) ||
            read_numbers(&rest, v, COLUMNS) != COLUMNS)
            continue;
        row.received_bytes = v[RX_BYTES];
        row.received_packets = v[RX_PACKETS];
        row.sent_bytes = v[TX_BYTES];
        row.sent_packets = v[TX_PACKETS];
        row.errors = v[RX_ERRORS] + v[TX_ERRORS];
        rows[count++] = row;
    }
    return count;
}

bool ft_proc_read_memory(struct ft_slice text, struct ft_memory_figures *figures)
{
    struct ft_memory_figures read = {0};
    const struct {
        const char *name;
        uint64_t *target;
    } rows[] = {
        {"MemTotal:", &read.total},     {"MemAvailable:", &read.available},
        {"Cached:", &read.cached},      {"SwapTotal:", &read.swap_total},
        {"SwapFree:", &read.swap_free},
    };
    bool has_total = false;
    bool has_available = false;
    struct ft_slice line;
    while (ft_proc_next_line(&text, &line)) {
        struct ft_slice name = ft_proc_next_word(&line);
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
            uint64_t kib;
            if (!ft_slice_equal(name, ft_slice_str(rows[i].name)) ||
                !ft_proc_number(ft_proc_next_word(&line), &kib))
                continue;
            *rows[i].target = kib * 1024;
            has_total |= rows[i].target == &read.total;
            has_available |= rows[i].target == &read.available;
        }
    }
    if (!has_total || !has_available)
        return false;
    *figures = read;
    return true;
}

bool ft_proc_read_load(struct ft_slice text, struct ft_load_figures *figures)
{
    char line[128];
    struct ft_load_figures read;
    snprintf(line, sizeof(line), "%.*s", (int)(text.len < 127 ? text.len : 127),
             text.len ? (const char *)text.ptr : "");
    unsigned long long running, tasks;
    if (sscanf(line, "%lf %lf %lf %llu/%llu", &read.load_1m, &read.load_5m, &read.load_15m,
               &running, &tasks) != 5)
        return false;
    read.running = running;
    read.tasks = tasks;
    *figures = read;
    return true;
}

double ft_proc_percent(uint64_t part, uint64_t whole)
{
    if (whole == 0)
        return 0;
    double percent = 100.0 * (double)part / (double)whole;
    return percent > 100 ? 100 : round(percent * 100) / 100;
}

void ft_proc_level(const char *name, char *out, size_t size)
{
    size_t n = 0;
    for (; name[n] != '\0' && n + 1 < size; n++) {
        unsigned char c = (unsigned char)name[n];
        bool is_unfit = c < 0x20 || c >= 0x7F || strchr("/+#", c) || (n == 0 && c == '$');
        out[n] = is_unfit ? '-' : (char)c;
    }
    if (n == 0)
        out[n++] = '-';
    out[n] = '\0';
}
