/*
 * Questions that all workers answer. One travels from worker to worker, so that only one of them touches
 * it at a time, and ends at the one that asked:
 *
 *     ft_question_ask             worker 2      worker 3      worker 0      worker 1
 *     on worker 1 of 4    ─▶      visit    ─▶   visit    ─▶   visit    ─▶   visit, done, free
 *
 * At each worker it waits in a mailbox for the end of a turn, before publications are numbered and sockets
 * written: a visit may publish, end sessions, or read what only that thread may read.
 */
#ifndef FT_HUB_QUESTION_H
#define FT_HUB_QUESTION_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct ft_question;
struct ft_worker;

/* Embedded in what the question is about; zero but for the first four. */
struct ft_question {
    /* Called on every worker's thread, one after the other. */
    void (*visit)(struct ft_question *question, struct ft_worker *worker);

    /* Called on the thread of the worker that asked, when all have answered; not if it was abandoned. */
    void (*done)(struct ft_question *question);

    /* Called last, once, whatever happened; NULL: there is nothing to free. */
    void (*free)(struct ft_question *question);

    void *asker; /* whoever `done` does something for */

    struct ft_question *next_;
    uint32_t asked_by_;
    bool is_abandoned_;
};

/* Sets it on its way. It belongs to the hub until `free`. */
void ft_question_ask(struct ft_question *question, struct ft_worker *worker);

/* The asker goes: `done` will not be called. What the visits do is done all the same. On the thread of the
 * worker that asked, before `done`. */
void ft_question_abandon(struct ft_question *question);

/* ---- for worker.c ---- */

/* The questions that wait for one worker. */
struct ft_mailbox {
    pthread_mutex_t lock_;
    struct ft_question *first_, **end_; /* under the lock */
    _Atomic bool has_mail_;
};

void ft_mailbox_init(struct ft_mailbox *mailbox);
void ft_mailbox_fini(struct ft_mailbox *mailbox); /* frees questions that nobody will answer */

/* Answers what waits for this worker. */
void ft_mailbox_read(struct ft_worker *worker);

#endif
