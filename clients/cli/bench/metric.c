/*
 * Asks a broker for its metrics, with a plain GET on a connection of its own. Runs on the bench's only thread.
 */
#include "clients/cli/bench/server.h"

#include "broker/base/alloc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWER_MAX 1048576

static const char request[] = "GET /metrics HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n";

/* Reads up to the end of the connection; returns how much, or 0. */
static size_t get(const struct ft_server *server, char *answer)
{
    size_t len = 0;
    ssize_t n = 0;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 &&
        connect(fd, (const struct sockaddr *)&server->address, sizeof(server->address)) == 0 &&
        send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) == sizeof(request) - 1)
        while (len < ANSWER_MAX - 1 && (n = recv(fd, answer + len, ANSWER_MAX - 1 - len, 0)) > 0)
            len += (size_t)n;
    if (fd >= 0)
        close(fd);
    answer[len] = '\0';
    return len;
}

enum ft_err ft_server_metric(const struct ft_server *server, const char *sample, double *value,
                             struct ft_problem *problem)
{
    char *answer = ft_alloc(ANSWER_MAX), line[256];
    size_t len = get(server, answer);
    snprintf(line, sizeof(line), "\n%s ", sample);
    const char *at = len > 0 ? strstr(answer, line) : NULL;
    if (at != NULL)
        *value = strtod(at + strlen(line), NULL);
    free(answer);
    return at != NULL
               ? FT_OK
               : ft_problem_set(problem, FT_ERR_UNAVAILABLE, "the broker tells no %s", sample);
}
