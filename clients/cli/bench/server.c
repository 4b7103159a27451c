/*
 * Starts and stops the processes that the bench measures. Knows nothing of what they are asked to
 * do. Runs on the bench's only thread.
 */
#include "clients/cli/bench/server.h"

#include "broker/base/alloc.h"
#include "broker/base/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define READY_MS 5000
#define STOP_MS  3000 /* a broker promises to be gone within 2 s */
#define FIXED    6    /* arguments that every broker gets */

void ft_server_become(int core)
{
    cpu_set_t cores;
    CPU_ZERO(&cores);
    CPU_SET(core, &cores);
    if (sched_setaffinity(0, sizeof(cores), &cores) != 0)
        fprintf(stderr, "fantail bench: cannot pin the server to core %d: %s\n", core,
                strerror(errno));
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
}

static void run_broker(const struct ft_server_options *options, int out_fd)
{
    static const char *const fixed[FIXED] = {
        "--listen", "127.0.0.1:0", "--workers", "1", "--set", "log.level=warn",
    };
    const char *arguments[1 + FIXED + 2 * FT_SERVER_SETTINGS_MAX + 2 + 1] = {options->path};
    memcpy(&arguments[1], fixed, sizeof(fixed));
    const char **next = &arguments[1 + FIXED];
    for (const char *const *s = options->settings; s != NULL && *s != NULL; s++) {
        FT_ASSERT(next < &arguments[1 + FIXED + 2 * FT_SERVER_SETTINGS_MAX]);
        *next++ = "--set";
        *next++ = *s;
    }
    if (options->config != NULL) {
        *next++ = "--config";
        *next++ = options->config;
    }
    ft_server_become(options->core);
    dup2(out_fd, STDOUT_FILENO);
    execv(options->path, (char *const *)arguments);
    fprintf(stderr, "fantail bench: cannot run %s: %s\n", options->path, strerror(errno));
    _exit(127);
}

/* Takes the address from `fantaild VERSION ready at http://127.0.0.1:PORT/ (…)`. */
static bool read_address(const char *line, struct sockaddr_in *address)
{
    const char *at = strstr(line, " ready at http://127.0.0.1:");
    unsigned port;
    if (at == NULL || sscanf(at, " ready at http://127.0.0.1:%u/", &port) != 1 || port > 65535)
        return false;
    *address = (struct sockaddr_in){.sin_family = AF_INET,
                                    .sin_port = htons((uint16_t)port),
                                    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    return true;
}

static enum ft_err await_ready(struct ft_server *server, const char *path,
                               struct ft_problem *problem)
{
    char line[512];
    size_t len = 0;
    uint64_t deadline = ft_clock_mono_ms() + READY_MS;
    while (len < sizeof(line) - 1) {
        uint64_t now = ft_clock_mono_ms();
        struct pollfd out = {.fd = server->out_fd_, .events = POLLIN};
        if (now >= deadline || poll(&out, 1, (int)(deadline - now)) <= 0)
            return ft_problem_set(problem, FT_ERR_UNAVAILABLE,
                                  "%s did not say that it is ready within %d ms", path, READY_MS);
        ssize_t n = read(server->out_fd_, line + len, sizeof(line) - 1 - len);
        if (n <= 0)
            return ft_problem_set(problem, FT_ERR_UNAVAILABLE,
                                  "%s ended before it said that it is ready", path);
        len += (size_t)n;
        line[len] = '\0';
        if (read_address(line, &server->address))
            return FT_OK;
    }
    return ft_problem_set(problem, FT_ERR_UNAVAILABLE,
                          "%s prints something else than \"… ready at http://127.0.0.1:PORT/ …\"",
                          path);
}

enum ft_err ft_server_start(struct ft_server *server, const struct ft_server_options *options,
                            struct ft_problem *problem)
{
    const char *path = options->path;
    memset(server, 0, sizeof(*server));
    int out[2];
    if (access(path, X_OK) != 0)
        return ft_problem_set(problem, FT_ERR_UNAVAILABLE,
                              "cannot run %s: %s; `make` builds it, --fantaild says where it is",
                              path, strerror(errno));
    if (pipe2(out, O_CLOEXEC) != 0)
        return ft_problem_set(problem, FT_ERR_UNAVAILABLE, "cannot make a pipe: %s",
                              strerror(errno));
    pid_t pid = fork();
    if (pid == 0)
        run_broker(options, out[1]);
    close(out[1]);
    server->out_fd_ = out[0];
    if (pid < 0) {
        close(out[0]);
        return ft_problem_set(problem, FT_ERR_UNAVAILABLE, "cannot fork: %s", strerror(errno));
    }
    server->pid = pid;
    enum ft_err err = await_ready(server, path, problem);
    if (err != FT_OK)
        ft_server_stop(server);
    return err;
}

void ft_server_stop(struct ft_server *server)
{
    if (server->pid == 0)
        return;
    int pid_fd = pidfd_open(server->pid, 0);
    struct pollfd gone = {.fd = pid_fd, .events = POLLIN};
    kill(server->pid, SIGTERM);
    if (pid_fd < 0 || poll(&gone, 1, STOP_MS) <= 0) {
        fprintf(stderr, "fantail bench: process %d did not end within %d ms of SIGTERM: killed\n",
                (int)server->pid, STOP_MS);
        kill(server->pid, SIGKILL);
    }
    waitpid(server->pid, NULL, 0);
    if (pid_fd >= 0)
        close(pid_fd);
    if (!server->is_floor)
        close(server->out_fd_);
    memset(server, 0, sizeof(*server));
}
