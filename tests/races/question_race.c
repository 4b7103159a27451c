/*
 * Workers on threads of their own that ask each other questions and give orders, while they publish: each
 * question visits all, and its answer comes to the thread that asked, unless it was abandoned. For
 * ThreadSanitizer, which unit tests cannot run under.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "broker/base/alloc.h"
#include "broker/base/log.h"
#include "broker/hub/control.h"
#include "tests/unit/support/fake_node.h"

enum { WORKERS = 4, ROUNDS = 500 };

static struct ft_fake_node node;
static struct ft_fake_client clients[WORKERS];
static pthread_barrier_t are_open;
static _Atomic uint32_t freed, visited, finished;

struct poll {
    struct ft_question question;
    uint64_t sessions; /* without an atomic: one worker at a time */
};

/* What one thread has asked and heard. */
struct asker {
    uint32_t worker, answered, expected;
};

static void visit(struct ft_question *question, struct ft_worker *worker)
{
    ((struct poll *)question)->sessions += worker->sessions.count;
    atomic_fetch_add(&visited, 1);
}

static void poll_done(struct ft_question *question)
{
    FT_ASSERT(((struct poll *)question)->sessions == WORKERS);
    ((struct asker *)question->asker)->answered++;
}

static void poll_free(struct ft_question *question)
{
    atomic_fetch_add(&freed, 1);
    free(question);
}

static void order_done(struct ft_question *question)
{
    FT_ASSERT(ft_control_outcome(question)->sessions <= WORKERS);
    ((struct asker *)question->asker)->answered++;
}

static void ask(struct asker *asker, uint32_t round)
{
    struct ft_worker *worker = node.hub->workers[asker->worker];
    struct poll *poll = ft_alloc_zero(sizeof(*poll));
    poll->question =
        (struct ft_question){.visit = visit, .done = poll_done, .free = poll_free, .asker = asker};
    ft_question_ask(&poll->question, worker);
    if (round % 3 == 0)
        ft_question_abandon(&poll->question);
    else
        asker->expected++;

    struct ft_slice filter = ft_slice_str("a");
    struct ft_order order = {
        .kind = FT_ORDER_UNSUBSCRIBE,
        .user = ft_slice_str("alice"),
        .filters = &filter,
        .filter_count = 1,
    };
    (void)ft_control(worker, &order, order_done, asker);
    asker->expected++;
}

static void *run(void *arg)
{
    struct asker *asker = arg;
    struct ft_fake_client *client = &clients[asker->worker];
    client->who = ft_identity_new(
        &(struct ft_identity_spec){.user = ft_slice_str("alice"), .may_everything = true});
    ft_fake_client_open(&node, client, asker->worker, FT_FRAMES_JSON);
    pthread_barrier_wait(&are_open);

    bool has_finished = false;
    for (uint32_t round = 0; finished < WORKERS; sched_yield()) {
        if (round < ROUNDS)
            ask(asker, round++);
        ft_fake_client_say(client, "[{\"op\":\"sub\",\"topics\":[\"a\"]},"
                                   "{\"op\":\"pub\",\"topic\":\"a\",\"data\":1}]");
        ft_fake_client_forget(client);
        bool has_heard = freed == WORKERS * ROUNDS && asker->answered == asker->expected;
        if (has_heard && !has_finished) {
            has_finished = true;
            atomic_fetch_add(&finished, 1);
        }
    }
    return NULL;
}

int main(void)
{
    ft_log_set_level(FT_LOG_WARN);
    ft_fake_node_init(&node, &(struct ft_journal_options){0}, &(struct ft_hub_options){0}, WORKERS);
    pthread_barrier_init(&are_open, NULL, WORKERS);
    struct asker askers[WORKERS] = {0};
    pthread_t threads[WORKERS];
    for (uint32_t i = 0; i < WORKERS; i++) {
        askers[i].worker = i;
        FT_ASSERT(pthread_create(&threads[i], NULL, run, &askers[i]) == 0);
    }
    for (uint32_t i = 0; i < WORKERS; i++)
        pthread_join(threads[i], NULL);
    for (uint32_t i = 0; i < WORKERS; i++)
        FT_ASSERT(askers[i].answered == askers[i].expected);
    FT_ASSERT(visited == WORKERS * WORKERS * ROUNDS);
    ft_fake_node_fini(&node);
    pthread_barrier_destroy(&are_open);
    return 0;
}
