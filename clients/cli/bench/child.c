/*
 * Runs programs that measure something by themselves, and reads what they print. Knows nothing of what
 * that means. Runs on the bench's only thread.
 */
#include "clients/cli/bench/child.h"

#include "broker/base/clock.h"
#include "clients/cli/bench/server.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Reads until the program closes its output (true), or the time is over. */
static bool read_output(int fd, unsigned limit_ms, char *output, size_t size)
{
    char surplus[512];
    size_t len = 0;
    uint64_t deadline = ft_clock_mono_ms() + limit_ms;
    for (;;) {
        uint64_t now = ft_clock_mono_ms();
        struct pollfd readable = {.fd = fd, .events = POLLIN};
        if (now >= deadline || poll(&readable, 1, (int)(deadline - now)) <= 0)
            return false;
        size_t room = size - 1 - len;
        ssize_t n = room > 0 ? read(fd, output + len, room) : read(fd, surplus, sizeof(surplus));
        if (n <= 0)
            break;
        len += room > 0 ? (size_t)n : 0;
    }
    output[len] = '\0';
    return true;
}

enum ft_err ft_child_run(const struct ft_child_options *options, char *output, size_t size,
                         struct ft_problem *problem)
{
    const char *program = options->arguments[0];
    int out[2], status = 0;
    if (pipe2(out, O_CLOEXEC) != 0)
        return ft_problem_set(problem, FT_ERR_UNAVAILABLE, "cannot make a pipe: %s",
                              strerror(errno));
    pid_t pid = fork();
    if (pid == 0) {
        ft_server_become(options->core);
        dup2(out[1], STDOUT_FILENO);
        int in = options->input != NULL ? open(options->input, O_RDONLY | O_CLOEXEC) : -1;
        if (in >= 0)
            dup2(in, STDIN_FILENO);
        execvp(program, (char *const *)options->arguments);
        _exit(127);
    }
    close(out[1]);
    bool is_whole = pid > 0 && read_output(out[0], options->limit_ms, output, size);
    close(out[0]);
    if (pid > 0) {
        if (!is_whole)
            kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
    }
    if (!is_whole || status != 0)
        return ft_problem_set(problem, FT_ERR_INTERNAL, "%s failed, or took longer than %u s",
                              program, options->limit_ms / 1000);
    return FT_OK;
}

bool ft_child_is_there(const char *program)
{
    const char *rest = getenv("PATH");
    while (rest != NULL && *rest != '\0') {
        char path[PATH_MAX];
        size_t len = strcspn(rest, ":");
        snprintf(path, sizeof(path), "%.*s/%s", (int)len, rest, program);
        if (access(path, X_OK) == 0)
            return true;
        rest += len;
        rest += *rest == ':';
    }
    return false;
}
