/*
 * Subscribes to the CPU figures that `fantail demo` publishes, and says on a topic of its own each
 * time one of them was above a threshold. One thread; Ctrl-C ends it.
 *
 *     build/example [URL]…     (several: the nodes of a cluster)
 */
#include "clients/c/fantail.h" /* <fantail.h> outside of this tree */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct fantail *client;

static void on_signal(int number)
{
    (void)number;
    fantail_stop(client); /* safe in a signal handler */
}

static void on_state(struct fantail *f, enum fantail_state state,
                     const struct fantail_status *status, void *user)
{
    (void)f;
    (void)user;
    fprintf(stderr, "%s %s\n", fantail_state_name(state), status->reason);
}

/* After a reconnect the library goes on where it was; this says whether that was possible. */
static void on_resume(struct fantail *f, bool recovered, void *user)
{
    (void)f;
    (void)user;
    fputs(recovered ? "nothing was missed\n" : "some figures may be missing\n", stderr);
}

static void on_alarm_sent(struct fantail *f, const struct fantail_result *result, void *user)
{
    (void)f;
    (void)user;
    if (result->code != 0)
        fprintf(stderr, "the alarm was not taken: %d %s\n", result->code, result->message);
}

/* The data is the text of one JSON value, without a NUL at its end. Here one number of it will do;
 * a program that needs more gives it to a JSON library. */
static void on_cpu(struct fantail *f, const struct fantail_message *message, void *user)
{
    static const char key[] = "\"busy_percent\":";
    const double *threshold = user;
    char text[256];
    snprintf(text, sizeof(text), "%.*s", (int)message->data.len, (const char *)message->data.ptr);
    const char *at = strstr(text, key);
    double busy = at ? strtod(at + strlen(key), NULL) : 0;
    printf("%.*s: %.1f %%\n", (int)message->topic.len, (const char *)message->topic.ptr, busy);

    if (busy > *threshold) {
        struct fantail_publish_options options = {.on_result = on_alarm_sent};
        fantail_publish(f, "example/alarm", FANTAIL_STRING, "busy", 4, &options);
    }
}

int main(int argc, char **argv)
{
    double threshold = 90;
    char why[256];
    client = fantail_new(&(struct fantail_options){.urls = (const char *const *)argv + 1,
                                                   .url_count = (size_t)argc - 1,
                                                   .on_state = on_state,
                                                   .on_resume = on_resume},
                         why, sizeof(why));
    if (!client) {
        fprintf(stderr, "%s\n", why);
        return EXIT_FAILURE;
    }
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);

    const char *filters[] = {"demo/+/cpu/total"};
    struct fantail_subscription *subscription;
    if (fantail_subscribe(client, filters, 1, NULL, on_cpu, &threshold, &subscription) != 0)
        fprintf(stderr, "%s\n", fantail_error_text(client));

    while (fantail_run(client, -1))
        ; /* everything happens in the callbacks */
    fantail_free(client);
    return EXIT_SUCCESS;
}
