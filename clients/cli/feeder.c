/*
 * Reads /proc and makes objects of it. Does not connect or keep time. The main thread.
 */
#include "clients/cli/feeder.h"

#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "broker/base/alloc.h"
#include "clients/cli/kernel_counters.h"
#include "clients/cli/proc_figures.h"
#include "protocol/topic.h"
#include "protocol/writer.h"

enum {
    CORES_MAX = 1024,
    DISKS_MAX = 256, /* partitions and loop devices count */
    NETS_MAX = 64,
    TEXT_MAX = 512 * 1024, /* /proc/stat of 1,024 cores is about 150 KB */
    JSON_MAX = 4096,
    SPAN_NS = 1000000000, /* what shares and rates are of */
    SAMPLES = 16          /* kept ones: enough to look back a span at ten or so a second */
};

struct sample {
    uint64_t at_ns;
    size_t cpu_count, disk_count, net_count;
    struct ft_cpu_times cpus[CORES_MAX + 1];
    struct ft_disk_counts disks[DISKS_MAX];
    struct ft_net_counts nets[NETS_MAX];
};

struct ft_feeder {
    char prefix[80];
    struct sample *now;
    struct sample *kept; /* a ring of earlier ones; kept[(next - 1) % SAMPLES] is the newest */
    size_t next, count;
    struct ft_buffer text; /* a file of /proc */
    struct ft_buffer json; /* the object being made */
    struct ft_writer writer;
    struct ft_kernel_counters *counters;
    ft_feeder_publish *publish;
    void *context;
};

struct ft_feeder *ft_feeder_new(void)
{
    struct ft_feeder *feeder = ft_alloc_zero(sizeof(*feeder));
    char host[HOST_NAME_MAX + 1] = "";
    char level[HOST_NAME_MAX + 1];
    if (gethostname(host, sizeof(host) - 1) != 0)
        host[0] = '\0';
    ft_proc_level(host, level, sizeof(level));
    snprintf(feeder->prefix, sizeof(feeder->prefix), "demo/%s", level);
    feeder->now = ft_alloc_zero(sizeof(*feeder->now));
    feeder->kept = ft_alloc_zero(SAMPLES * sizeof(*feeder->kept));
    feeder->counters = ft_kernel_counters_new();
    ft_buffer_init(&feeder->text, TEXT_MAX);
    ft_buffer_init(&feeder->json, JSON_MAX);
    return feeder;
}

void ft_feeder_free(struct ft_feeder *feeder)
{
    if (!feeder)
        return;
    free(feeder->now);
    free(feeder->kept);
    ft_kernel_counters_free(feeder->counters);
    ft_buffer_fini(&feeder->text);
    ft_buffer_fini(&feeder->json);
    free(feeder);
}

const char *ft_feeder_prefix(const struct ft_feeder *feeder)
{
    return feeder->prefix;
}

void ft_feeder_forget(struct ft_feeder *feeder)
{
    ft_kernel_counters_forget(feeder->counters);
}

/* Reads a file of /proc whole; what cannot be read is empty. Lent until the next one. */
static struct ft_slice read_proc(struct ft_feeder *feeder, const char *path)
{
    ft_buffer_clear(&feeder->text);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return ft_slice("", 0);
    for (;;) {
        uint8_t *at = ft_buffer_reserve(&feeder->text, 16384);
        ssize_t n = at ? read(fd, at, 16384) : 0;
        if (n <= 0)
            break;
        feeder->text.len += (size_t)n;
    }
    close(fd);
    return feeder->text.len > 0 ? ft_buffer_slice(&feeder->text) : ft_slice("", 0);
}

static void begin(struct ft_feeder *feeder, uint32_t pairs)
{
    ft_buffer_clear(&feeder->json);
    ft_writer_init(&feeder->writer, FT_JSON, &feeder->json);
    ft_write_map(&feeder->writer, pairs);
}

static void add_uint(struct ft_feeder *feeder, const char *key, uint64_t value)
{
    ft_write_key(&feeder->writer, key);
    ft_write_uint(&feeder->writer, value);
}

static void add_double(struct ft_feeder *feeder, const char *key, double value)
{
    ft_write_key(&feeder->writer, key);
    ft_write_double(&feeder->writer, value);
}

/* Adds a counter's growth as so much a second. */
static void add_rate(struct ft_feeder *feeder, const char *key, uint64_t before, uint64_t now,
                     double seconds)
{
    add_uint(feeder, key, (uint64_t)llround((double)ft_proc_growth(before, now) / seconds));
}

/* Gives the object out under "<prefix>/<kind>/<name>", or "<prefix>/<kind>" without a name. */
static void end(struct ft_feeder *feeder, const char *kind, const char *name)
{
    char topic[FT_TOPIC_BYTES_MAX + 1];
    char level[64];
    int n = snprintf(topic, sizeof(topic), "%s/%s", feeder->prefix, kind);
    if (name) {
        ft_proc_level(name, level, sizeof(level));
        snprintf(topic + n, sizeof(topic) - (size_t)n, "/%s", level);
    }
    feeder->publish(feeder->context, topic, ft_buffer_slice(&feeder->json), false);
}

static void give_cpus(struct ft_feeder *feeder, const struct sample *before,
                      const struct sample *now)
{
    /* A core that went off or on between the two shifts the rows: those are left out once. */
    for (size_t i = 0; i < now->cpu_count && i < before->cpu_count; i++) {
        const struct ft_cpu_times *a = &before->cpus[i];
        const struct ft_cpu_times *b = &now->cpus[i];
        uint64_t total = ft_proc_growth(a->total, b->total);
        if (a->core != b->core || total == 0)
            continue;
        uint64_t idle = ft_proc_growth(a->idle, b->idle) + ft_proc_growth(a->iowait, b->iowait);
        begin(feeder, 4u + (b->core < 0));
        add_double(feeder, "busy_percent", ft_proc_percent(idle < total ? total - idle : 0, total));
        add_double(feeder, "user_percent",
                   ft_proc_percent(ft_proc_growth(a->user, b->user), total));
        add_double(feeder, "system_percent",
                   ft_proc_percent(ft_proc_growth(a->system, b->system), total));
        add_double(feeder, "iowait_percent",
                   ft_proc_percent(ft_proc_growth(a->iowait, b->iowait), total));
        if (b->core < 0)
            add_uint(feeder, "cores", now->cpu_count - 1);
        char name[16];
        snprintf(name, sizeof(name), "%d", b->core);
        end(feeder, "cpu", b->core < 0 ? "total" : name);
    }
}

/* Partitions and devices that are not there in earnest would say everything twice. */
static bool is_whole_disk(const char *name)
{
    char path[64];
    if (strncmp(name, "loop", 4) == 0 || strncmp(name, "ram", 3) == 0)
        return false;
    snprintf(path, sizeof(path), "/sys/block/%s", name);
    for (char *c = path + strlen("/sys/block/"); *c; c++)
        if (*c == '/')
            *c = '!'; /* how sysfs spells it */
    return access(path, F_OK) == 0;
}

static void give_disks(struct ft_feeder *feeder, const struct sample *before,
                       const struct sample *now, double seconds)
{
    for (size_t i = 0; i < now->disk_count && i < before->disk_count; i++) {
        const struct ft_disk_counts *a = &before->disks[i];
        const struct ft_disk_counts *b = &now->disks[i];
        if (strcmp(a->name, b->name) != 0 || !is_whole_disk(b->name))
            continue;
        begin(feeder, 5);
        add_rate(feeder, "read_bytes_per_s", a->read_bytes, b->read_bytes, seconds);
        add_rate(feeder, "written_bytes_per_s", a->written_bytes, b->written_bytes, seconds);
        add_rate(feeder, "reads_per_s", a->reads, b->reads, seconds);
        add_rate(feeder, "writes_per_s", a->writes, b->writes, seconds);
        add_double(
            feeder, "busy_percent",
            ft_proc_percent(ft_proc_growth(a->busy_ms, b->busy_ms), (uint64_t)(seconds * 1000)));
        end(feeder, "disk", b->name);
    }
}

static void give_nets(struct ft_feeder *feeder, const struct sample *before,
                      const struct sample *now, double seconds)
{
    for (size_t i = 0; i < now->net_count && i < before->net_count; i++) {
        const struct ft_net_counts *a = &before->nets[i];
        const struct ft_net_counts *b = &now->nets[i];
        if (strcmp(a->name, b->name) != 0)
            continue;
        begin(feeder, 5);
        add_rate(feeder, "received_bytes_per_s", a->received_bytes, b->received_bytes, seconds);
        add_rate(feeder, "sent_bytes_per_s", a->sent_bytes, b->sent_bytes, seconds);
        add_rate(feeder, "received_packets_per_s", a->received_packets, b->received_packets,
                 seconds);
        add_rate(feeder, "sent_packets_per_s", a->sent_packets, b->sent_packets, seconds);
        add_uint(feeder, "errors", b->errors);
        end(feeder, "net", b->name);
    }
}

static void give_memory(struct ft_feeder *feeder)
{
    struct ft_memory_figures memory;
    if (!ft_proc_read_memory(read_proc(feeder, "/proc/meminfo"), &memory))
        return;
    uint64_t used = memory.total - memory.available;
    begin(feeder, 7);
    add_uint(feeder, "total_bytes", memory.total);
    add_uint(feeder, "used_bytes", used);
    add_uint(feeder, "available_bytes", memory.available);
    add_uint(feeder, "cached_bytes", memory.cached);
    add_double(feeder, "used_percent", ft_proc_percent(used, memory.total));
    add_uint(feeder, "swap_total_bytes", memory.swap_total);
    add_uint(feeder, "swap_used_bytes", ft_proc_growth(memory.swap_free, memory.swap_total));
    end(feeder, "memory", NULL);
}

static void give_load(struct ft_feeder *feeder)
{
    struct ft_load_figures load;
    if (!ft_proc_read_load(read_proc(feeder, "/proc/loadavg"), &load))
        return;
    begin(feeder, 5);
    add_double(feeder, "load_1m", load.load_1m);
    add_double(feeder, "load_5m", load.load_5m);
    add_double(feeder, "load_15m", load.load_15m);
    add_uint(feeder, "running", load.running);
    add_uint(feeder, "tasks", load.tasks);
    end(feeder, "load", NULL);
}

static void give_counter(void *context, const char *name, int64_t value, int64_t change)
{
    struct ft_feeder *feeder = context;
    char topic[FT_TOPIC_BYTES_MAX + 1];
    begin(feeder, 2);
    ft_write_key(&feeder->writer, "value");
    ft_write_int(&feeder->writer, value);
    ft_write_key(&feeder->writer, "change");
    ft_write_int(&feeder->writer, change);
    snprintf(topic, sizeof(topic), "%s/kernel/%s", feeder->prefix, name);
    feeder->publish(feeder->context, topic, ft_buffer_slice(&feeder->json), true);
}

/* The kernel's counters, of which only those that moved are news: the others are last values. */
static void give_counters(struct ft_feeder *feeder)
{
    ft_kernel_counters_begin(feeder->counters);
    ft_kernel_counters_read_list(feeder->counters, "vmstat", read_proc(feeder, "/proc/vmstat"),
                                 give_counter, feeder);
    ft_kernel_counters_read_table(feeder->counters, read_proc(feeder, "/proc/net/snmp"),
                                  give_counter, feeder);
    ft_kernel_counters_read_table(feeder->counters, read_proc(feeder, "/proc/net/netstat"),
                                  give_counter, feeder);
}

static void take_sample(struct ft_feeder *feeder, uint64_t now_ns)
{
    struct sample *now = feeder->now;
    now->at_ns = now_ns;
    now->cpu_count = ft_proc_read_cpus(read_proc(feeder, "/proc/stat"), now->cpus, CORES_MAX + 1);
    now->disk_count =
        ft_proc_read_disks(read_proc(feeder, "/proc/diskstats"), now->disks, DISKS_MAX);
    now->net_count = ft_proc_read_nets(read_proc(feeder, "/proc/net/dev"), now->nets, NETS_MAX);
}

/* Lends the n-th newest of those kept, n from 1 to feeder->count. */
static struct sample *kept_sample(const struct ft_feeder *feeder, size_t n)
{
    return &feeder->kept[(feeder->next + SAMPLES - n) % SAMPLES];
}

/* Keeps a sample for later comparison, but no more of them than the ring needs for a span. */
static void keep_sample(struct ft_feeder *feeder)
{
    uint64_t now_ns = feeder->now->at_ns;
    if (feeder->count > 0 && now_ns - kept_sample(feeder, 1)->at_ns < SPAN_NS / (SAMPLES - 2))
        return;
    feeder->kept[feeder->next] = *feeder->now;
    feeder->next = (feeder->next + 1) % SAMPLES;
    feeder->count += feeder->count < SAMPLES;
}

/* Returns the youngest sample that is a span old, else the oldest; NULL when there is none. */
static const struct sample *find_before(const struct ft_feeder *feeder, uint64_t now_ns)
{
    for (size_t n = 1; n <= feeder->count; n++) {
        const struct sample *sample = kept_sample(feeder, n);
        if (now_ns - sample->at_ns >= SPAN_NS || n == feeder->count)
            return sample;
    }
    return NULL;
}

void ft_feeder_read(struct ft_feeder *feeder, uint64_t now_ns, ft_feeder_publish *publish,
                    void *context)
{
    feeder->publish = publish;
    feeder->context = context;
    take_sample(feeder, now_ns);
    const struct sample *now = feeder->now;
    const struct sample *before = find_before(feeder, now_ns);
    if (before && now_ns > before->at_ns) {
        double seconds = (double)(now_ns - before->at_ns) / 1e9;
        give_cpus(feeder, before, now);
        give_disks(feeder, before, now, seconds);
        give_nets(feeder, before, now, seconds);
    }
    give_memory(feeder);
    give_load(feeder);
    give_counters(feeder);
    keep_sample(feeder);
}
