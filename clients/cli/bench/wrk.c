/*
 * Runs wrk and nginx as children, with files made for them in a folder that goes with them. Nothing
 * here knows what is published. Runs on the bench's only thread.
 */
#include "clients/cli/bench/wrk.h"

#include "broker/base/clock.h"
#include "clients/cli/bench/child.h"
#include "clients/cli/bench/stats.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define OUTPUT_MAX 8192
#define READY_MS   5000
#define GRACE_MS   20000 /* wrk waits for answers that do not come, two seconds by default */

/* No log, no end of a connection, nothing but the answer; its folders are in its own. */
static const char nginx_conf[] =
    "daemon off;\nmaster_process off;\nworker_processes 1;\npid nginx.pid;\n"
    "error_log stderr crit;\nevents { worker_connections 4096; }\n"
    "http {\n  access_log off;\n  keepalive_requests 1000000000;\n  client_max_body_size 16m;\n"
    "  client_body_temp_path tmp;\n  proxy_temp_path tmp;\n  fastcgi_temp_path tmp;\n"
    "  uwsgi_temp_path tmp;\n  scgi_temp_path tmp;\n"
    "  server { listen 127.0.0.1:%u reuseport; location / { return 204; } }\n}\n";

/* wrk sends what `request` returns, and expects as many answers as there are requests in it. */
static const char script_head[] = "wrk.method = \"POST\"\nwrk.path = \"/v1/publish\"\n"
                                  "wrk.headers[\"Content-Type\"] = \"application/json\"\n"
                                  "wrk.body = [==[";
static const char script_pipeline[] = "local all\n"
                                      "init = function()\n"
                                      "  all = string.rep(wrk.format(), %u)\n"
                                      "end\n"
                                      "request = function() return all end\n";

static const char *const files[] = {"nginx.conf", "nginx.pid", "script.lua"};

bool ft_wrk_is_there(const char *row)
{
    static const char *const programs[] = {"wrk", "nginx"};
    for (size_t i = 0; i < 2; i++) {
        if (ft_child_is_there(programs[i]))
            continue;
        fprintf(stderr, "fantail bench: %s is left out: there is no %s; `make bench` installs it\n",
                row, programs[i]);
        return false;
    }
    return true;
}

static FILE *create(const struct ft_nginx *nginx, const char *name)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/%s", nginx->folder, name);
    return fopen(path, "we");
}

/* Takes a free port, which nginx then shares: as long as the socket is open, nobody else can have it. */
static int take_port(struct sockaddr_in *address)
{
    socklen_t len = sizeof(*address);
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    *address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == 0 &&
        bind(fd, (struct sockaddr *)address, len) == 0 &&
        getsockname(fd, (struct sockaddr *)address, &len) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

static void run_nginx(const struct ft_nginx *nginx, int core)
{
    ft_server_become(core);
    execlp("nginx", "nginx", "-p", nginx->folder, "-c", "nginx.conf", "-e", "stderr", (char *)NULL);
    fprintf(stderr, "fantail bench: cannot run nginx: %s\n", strerror(errno));
    _exit(127);
}

/* Waits until somebody answers on its port. */
static bool await_ready(struct ft_server *server)
{
    uint64_t deadline = ft_clock_mono_ms() + READY_MS;
    bool is_ready = false;
    while (!is_ready && ft_clock_mono_ms() < deadline) {
        if (waitpid(server->pid, NULL, WNOHANG) != 0) {
            server->pid = 0; /* it has ended, and said why */
            break;
        }
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        is_ready = fd >= 0 && connect(fd, (const struct sockaddr *)&server->address,
                                      sizeof(server->address)) == 0;
        if (fd >= 0)
            close(fd);
        if (!is_ready)
            (void)poll(NULL, 0, 1);
    }
    return is_ready;
}

static bool start(struct ft_nginx *nginx, int core)
{
    FILE *conf = mkdtemp(nginx->folder) != NULL ? create(nginx, "nginx.conf") : NULL;
    if (conf == NULL)
        return false;
    fprintf(conf, nginx_conf, ntohs(nginx->server.address.sin_port));
    fclose(conf);
    pid_t pid = fork();
    if (pid == 0)
        run_nginx(nginx, core);
    if (pid < 0)
        return false;
    nginx->server.pid = pid;
    nginx->server.is_floor = true;
    return await_ready(&nginx->server);
}

enum ft_err ft_nginx_start(struct ft_nginx *nginx, int core, struct ft_problem *problem)
{
    const char *folder = getenv("TMPDIR");
    memset(nginx, 0, sizeof(*nginx));
    snprintf(nginx->folder, sizeof(nginx->folder), "%s/fantail-bench-XXXXXX",
             folder != NULL ? folder : "/tmp");
    int fd = take_port(&nginx->server.address);
    bool is_started = fd >= 0 && start(nginx, core);
    if (fd >= 0)
        close(fd);
    if (is_started)
        return FT_OK;
    ft_nginx_stop(nginx);
    return ft_problem_set(problem, FT_ERR_UNAVAILABLE, "nginx does not start");
}

void ft_nginx_stop(struct ft_nginx *nginx)
{
    char path[PATH_MAX];
    ft_server_stop(&nginx->server);
    if (nginx->folder[0] == '\0')
        return;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", nginx->folder, files[i]);
        (void)unlink(path);
    }
    snprintf(path, sizeof(path), "%s/tmp", nginx->folder);
    (void)rmdir(path);
    (void)rmdir(nginx->folder);
    memset(nginx, 0, sizeof(*nginx));
}

static enum ft_err write_script(const struct ft_wrk_options *options, struct ft_problem *problem)
{
    FILE *script = create(options->nginx, "script.lua");
    if (script == NULL)
        return ft_problem_set(problem, FT_ERR_UNAVAILABLE, "cannot write to %s: %s",
                              options->nginx->folder, strerror(errno));
    fprintf(script, "%s%.*s]==]\n", script_head, (int)options->body.len,
            (const char *)options->body.ptr);
    if (options->pipeline > 1)
        fprintf(script, script_pipeline, options->pipeline);
    fclose(script);
    return FT_OK;
}

/* Reads the number that stands behind `mark` in wrk's report, or before it. */
static bool find_number(const char *output, const char *mark, bool is_before, double *number)
{
    const char *at = strstr(output, mark);
    if (at == NULL)
        return false;
    if (is_before)
        while (at > output && at[-1] != '\n')
            at--;
    else
        at += strlen(mark);
    *number = strtod(at, NULL);
    return true;
}

static enum ft_err read_report(const char *output, struct ft_wrk_result *result,
                               struct ft_problem *problem)
{
    double requests, errors;
    unsigned connects = 0, reads = 0, writes = 0; /* that failed; a late answer is none of them */
    const char *lost = strstr(output, "Socket errors:");
    if (lost != NULL && (sscanf(lost, "Socket errors: connect %u, read %u, write %u", &connects,
                                &reads, &writes) != 3 ||
                         connects + reads + writes > 0))
        return ft_problem_set(problem, FT_ERR_INTERNAL, "wrk: %.*s", (int)strcspn(lost, "\n"),
                              lost);
    if (find_number(output, "Non-2xx or 3xx responses:", false, &errors))
        return ft_problem_set(problem, FT_ERR_INTERNAL, "wrk: %.0f requests were refused", errors);
    if (!find_number(output, " requests in ", true, &requests) || requests < 1 ||
        !find_number(output, "Requests/sec:", false, &result->per_s))
        return ft_problem_set(problem, FT_ERR_INTERNAL, "wrk has no answers to report");
    result->requests = (uint64_t)requests;
    return FT_OK;
}

enum ft_err ft_wrk_run(const struct ft_wrk_options *options, struct ft_wrk_result *result,
                       struct ft_problem *problem)
{
    char script[PATH_MAX], url[64], connections[16], duration[16], output[OUTPUT_MAX];
    const char *const arguments[] = {"wrk",    "-t1", "-c",   connections, "-d",
                                     duration, "-s",  script, url,         NULL};
    snprintf(script, sizeof(script), "%s/script.lua", options->nginx->folder);
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/", ntohs(options->server->address.sin_port));
    snprintf(connections, sizeof(connections), "%u", options->connections);
    snprintf(duration, sizeof(duration), "%us", options->seconds);
    enum ft_err err = write_script(options, problem);
    if (err != FT_OK)
        return err;
    uint64_t cpu_ns = ft_stats_cpu_ns(options->server->pid), start_ns = ft_clock_mono_ns();
    err = ft_child_run(&(struct ft_child_options){.arguments = arguments,
                                                  .core = options->core,
                                                  .limit_ms = options->seconds * 1000 + GRACE_MS},
                       output, sizeof(output), problem);
    if (err != FT_OK)
        return err;
    uint64_t wall_ns = ft_clock_mono_ns() - start_ns;
    result->cpu_ns = (double)(ft_stats_settled_cpu_ns(options->server->pid) - cpu_ns);
    result->busy = result->cpu_ns / (double)wall_ns;
    return read_report(output, result, problem);
}
