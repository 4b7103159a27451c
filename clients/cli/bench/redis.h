/*
 * A redis-server of the bench's own, with nothing kept on disk, and the cluster that a row makes of it: nodes
 * with one partition, so that its keys are known. All are children of the bench and go with it.
 */
#ifndef FT_CLI_BENCH_REDIS_H
#define FT_CLI_BENCH_REDIS_H

#include "clients/cli/bench/bench.h"
#include "clients/cli/bench/resp.h"

#include <limits.h>

#define FT_CLUSTER_NODES 2

/* Of this filter's topics none is kept, in a cluster of the bench. */
#define FT_CLUSTER_EPHEMERAL "bench/ephemeral"

struct ft_cluster {
    struct ft_server redis;
    struct ft_server nodes[FT_CLUSTER_NODES];
    struct ft_resp client;      /* the bench's own */
    char folder[PATH_MAX - 64]; /* of Redis, with the nodes' settings; empty: none */
    char sha[48];               /* of the publish script, once it is loaded */
};

/* Says whether redis-server is installed, and says that `row` is left out if it is not. */
bool ft_redis_is_there(const char *row);

/* Starts Redis on this core, and connects to it. A zeroed cluster may be stopped. */
FT_MUST_USE
enum ft_err ft_cluster_start(struct ft_bench *bench, struct ft_cluster *cluster, int core);

/* Starts a node on this core: it may not have reached Redis yet. */
FT_MUST_USE
enum ft_err ft_cluster_add(struct ft_bench *bench, struct ft_cluster *cluster, uint32_t node,
                           int core);

void ft_cluster_stop(struct ft_cluster *cluster);

/* What the only partition has of publications, and how often Redis ran a script: for checks. */
FT_MUST_USE
enum ft_err ft_cluster_head(struct ft_cluster *cluster, uint64_t *head, struct ft_problem *problem);
FT_MUST_USE
enum ft_err ft_cluster_calls(struct ft_cluster *cluster, uint64_t *calls,
                             struct ft_problem *problem);

/* Loads the broker's publish script, for ft_script_write(). */
FT_MUST_USE
enum ft_err ft_cluster_load_script(struct ft_cluster *cluster, struct ft_problem *problem);

/* Arguments of a call of the script: the last two are how many publications, and their entries. */
#define FT_SCRIPT_ARGS 21
void ft_script_args(const struct ft_cluster *cluster, const char *channel, const char *count,
                    struct ft_slice entries, struct ft_slice args[FT_SCRIPT_ARGS]);

/* The channel of the only partition. */
#define FT_SCRIPT_CHANNEL "fantail:{0}"

/* Adds the entry of a publication to `topic` of a string of data_len bytes; returns where its stamp stands. */
size_t ft_script_add_entry(struct ft_buffer *entries, const char *topic, size_t data_len);

/* Requests that redis-benchmark has under way on each of its 50 connections. */
#define FT_BENCHMARK_PIPELINE 16

/* One run of redis-benchmark. */
struct ft_benchmark {
    const char *const *arguments; /* the command's, up to a NULL */
    struct ft_slice last; /* its last argument, when it is long, without a NUL; absent: none */
    uint64_t requests;    /* whole pipelines: it makes no parts of one */
    int core;
};

/* Says whether redis-benchmark is installed, as ft_redis_is_there(). */
bool ft_benchmark_is_there(const char *row);

/* Runs it; `*per_s` is what it reports. */
FT_MUST_USE
enum ft_err ft_benchmark_run(struct ft_cluster *cluster, const struct ft_benchmark *benchmark,
                             double *per_s, struct ft_problem *problem);

#endif
