/*
 * Starts redis-server as a child, with its files in a folder that goes with it, and nodes that share it. Knows
 * nothing of what is measured. Runs on the bench's only thread.
 */
#include "clients/cli/bench/redis.h"

#include "broker/base/alloc.h"
#include "broker/base/clock.h"
#include "clients/cli/bench/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define READY_MS 5000
#define ATTEMPTS 5 /* for a port that nobody else has taken meanwhile */

static const char topics_conf[] = "[topic \"" FT_CLUSTER_EPHEMERAL "\"]\nephemeral = yes\n";

static const char *const files[] = {"topics.conf", "entries"};

static bool is_there(const char *row, const char *program)
{
    if (ft_child_is_there(program))
        return true;
    fprintf(stderr, "fantail bench: %s is left out: there is no %s; `make bench` installs it\n",
            row, program);
    return false;
}

bool ft_redis_is_there(const char *row)
{
    return is_there(row, "redis-server");
}

bool ft_benchmark_is_there(const char *row)
{
    return is_there(row, "redis-server") && is_there(row, "redis-benchmark");
}

/* Finds a port that is free now. Redis cannot share one, nor take any. */
static bool find_port(struct sockaddr_in *address)
{
    socklen_t len = sizeof(*address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    *address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    bool is_found = fd >= 0 && bind(fd, (struct sockaddr *)address, len) == 0 &&
                    getsockname(fd, (struct sockaddr *)address, &len) == 0;
    if (fd >= 0)
        close(fd);
    return is_found;
}

static void run_redis(const struct ft_cluster *cluster, int core)
{
    char port[16];
    snprintf(port, sizeof(port), "%u", ntohs(cluster->redis.address.sin_port));
    ft_server_become(core);
    int nowhere = open("/dev/null", O_WRONLY);
    if (nowhere >= 0)
        dup2(nowhere, STDOUT_FILENO);
    execlp("redis-server", "redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "",
           "--appendonly", "no", "--dir", cluster->folder, (char *)NULL);
    fprintf(stderr, "fantail bench: cannot run redis-server: %s\n", strerror(errno));
    _exit(127);
}

/* Waits until Redis answers; false: it has ended, or takes too long. */
static bool await_ready(struct ft_cluster *cluster)
{
    uint64_t deadline = ft_clock_mono_ms() + READY_MS;
    struct ft_slice reply;
    while (ft_clock_mono_ms() < deadline && waitpid(cluster->redis.pid, NULL, WNOHANG) == 0) {
        struct ft_problem ignored = {.err = FT_OK};
        if (ft_resp_open(&cluster->client, &cluster->redis.address, &ignored) == FT_OK &&
            ft_resp_ask(&cluster->client, "PING", &reply, &ignored) == FT_OK)
            return true;
        ft_resp_close(&cluster->client);
        (void)poll(NULL, 0, 2);
    }
    return false;
}

static bool start_redis(struct ft_cluster *cluster, int core)
{
    if (!find_port(&cluster->redis.address))
        return false;
    pid_t pid = fork();
    if (pid == 0)
        run_redis(cluster, core);
    if (pid < 0)
        return false;
    cluster->redis.pid = pid;
    cluster->redis.is_floor = true;
    if (await_ready(cluster))
        return true;
    ft_server_stop(&cluster->redis);
    return false;
}

static bool write_file(const struct ft_cluster *cluster, const char *name, struct ft_slice bytes)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/%s", cluster->folder, name);
    FILE *file = fopen(path, "we");
    bool is_written = file != NULL && fwrite(bytes.ptr, 1, bytes.len, file) == bytes.len;
    if (file != NULL)
        is_written = fclose(file) == 0 && is_written;
    return is_written;
}

enum ft_err ft_cluster_start(struct ft_bench *bench, struct ft_cluster *cluster, int core)
{
    const char *folder = getenv("TMPDIR");
    memset(cluster, 0, sizeof(*cluster));
    snprintf(cluster->folder, sizeof(cluster->folder), "%s/fantail-bench-XXXXXX",
             folder != NULL ? folder : "/tmp");
    if (mkdtemp(cluster->folder) == NULL) {
        cluster->folder[0] = '\0';
        return ft_problem_set(&bench->problem, FT_ERR_UNAVAILABLE, "cannot make a folder: %s",
                              strerror(errno));
    }
    bool is_started = false;
    for (int i = 0; i < ATTEMPTS && !is_started; i++)
        is_started = start_redis(cluster, core);
    if (!is_started || !write_file(cluster, "topics.conf", ft_slice_str(topics_conf)))
        return ft_problem_set(&bench->problem, FT_ERR_UNAVAILABLE, "redis-server does not start");
    return FT_OK;
}

enum ft_err ft_cluster_add(struct ft_bench *bench, struct ft_cluster *cluster, uint32_t node,
                           int core)
{
    char url[64], name[32], config[PATH_MAX];
    const char *const settings[] = {url, name, "relay.partitions=1", "relay.size=64m", NULL};
    const struct ft_server_options options = {
        .path = bench->fantaild, .core = core, .settings = settings, .config = config};
    snprintf(url, sizeof(url), "redis.url=redis://127.0.0.1:%u",
             ntohs(cluster->redis.address.sin_port));
    snprintf(name, sizeof(name), "node=bench-%u", node + 1);
    snprintf(config, sizeof(config), "%s/topics.conf", cluster->folder);
    return ft_server_start(&cluster->nodes[node], &options, &bench->problem);
}

void ft_cluster_stop(struct ft_cluster *cluster)
{
    char path[PATH_MAX];
    for (size_t i = 0; i < FT_CLUSTER_NODES; i++)
        ft_server_stop(&cluster->nodes[i]);
    ft_resp_close(&cluster->client);
    ft_server_stop(&cluster->redis);
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]) && cluster->folder[0] != '\0'; i++) {
        snprintf(path, sizeof(path), "%s/%s", cluster->folder, files[i]);
        (void)unlink(path);
    }
    if (cluster->folder[0] != '\0')
        (void)rmdir(cluster->folder);
    memset(cluster, 0, sizeof(*cluster));
}

enum ft_err ft_cluster_head(struct ft_cluster *cluster, uint64_t *head, struct ft_problem *problem)
{
    struct ft_slice reply;
    enum ft_err err =
        ft_resp_ask(&cluster->client, "HGET " FT_SCRIPT_CHANNEL ":meta o", &reply, problem);
    if (err == FT_OK)
        *head = ft_resp_number(ft_resp_text(reply));
    return err;
}

enum ft_err ft_cluster_calls(struct ft_cluster *cluster, uint64_t *calls,
                             struct ft_problem *problem)
{
    static const char mark[] = "cmdstat_evalsha:calls=";
    struct ft_slice reply;
    enum ft_err err = ft_resp_ask(&cluster->client, "INFO commandstats", &reply, problem);
    if (err != FT_OK)
        return err;
    const uint8_t *at = memmem(reply.ptr, reply.len, mark, sizeof(mark) - 1);
    *calls = 0;
    if (at != NULL) {
        at += sizeof(mark) - 1;
        *calls = ft_resp_number(ft_slice(at, (size_t)(reply.ptr + reply.len - at)));
    }
    return FT_OK;
}

#define OUTPUT_MAX 65536
#define ARGS_MAX   48
#define GRACE_MS   60000

/* The last line of the report has eight fields in quotes, of which the second is what is wanted; the first is the
 * command, whatever that has in it. */
static bool read_report(const char *output, double *per_s)
{
    const char *at = output + strlen(output);
    for (int fields = 0; fields < 7; fields++) {
        do {
            if (at-- == output)
                return false;
        } while (strncmp(at, "\",\"", 3) != 0);
    }
    *per_s = strtod(at + 3, NULL);
    return *per_s > 0;
}

enum ft_err ft_benchmark_run(struct ft_cluster *cluster, const struct ft_benchmark *benchmark,
                             double *per_s, struct ft_problem *problem)
{
    char port[16], pipeline[16], requests[24], input[PATH_MAX], output[OUTPUT_MAX];
    const char *arguments[ARGS_MAX] = {"redis-benchmark", "-p", port,     "-P",
                                       pipeline,          "-n", requests, "--csv"};
    size_t count = 8;
    struct ft_child_options options = {
        .arguments = arguments, .core = benchmark->core, .limit_ms = GRACE_MS};
    snprintf(port, sizeof(port), "%u", ntohs(cluster->redis.address.sin_port));
    snprintf(pipeline, sizeof(pipeline), "%d", FT_BENCHMARK_PIPELINE);
    snprintf(requests, sizeof(requests), "%llu", (unsigned long long)benchmark->requests);
    snprintf(input, sizeof(input), "%s/entries", cluster->folder);
    if (benchmark->last.ptr != NULL) {
        if (!write_file(cluster, "entries", benchmark->last))
            return ft_problem_set(problem, FT_ERR_UNAVAILABLE, "cannot write %s", input);
        arguments[count++] = "-x";
        options.input = input;
    }
    for (const char *const *each = benchmark->arguments; *each != NULL; each++) {
        FT_ASSERT(count < ARGS_MAX - 1);
        arguments[count++] = *each;
    }
    enum ft_err err = ft_child_run(&options, output, sizeof(output), problem);
    if (err == FT_OK && !read_report(output, per_s))
        err = ft_problem_set(problem, FT_ERR_INTERNAL, "redis-benchmark has nothing to report");
    return err;
}
