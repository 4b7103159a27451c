/*
 * Questions that all workers answer. One travels from worker to worker, so that only one of them touches
 * it at a time, and ends at the one that asked:
 *
 *     ft_question_ask             worker 2      worker 3      worker 0      worker 1
 *     on worker 1 of 4    ─▶      visit    ─▶   visit    ─▶   visit    ─▶   visit, done, free
 *
 * At each worker it waits as a letter (letter.h): a visit may publish, end sessions, or read what only that
 * thread may read.
 */
#ifndef FT_HUB_QUESTION_H
#define FT_HUB_QUESTION_H

#include "broker/hub/letter.h"

struct ft_question;

/* Embedded in what the question is about; zero but for `visit`, `done`, `free` and `asker`. */
struct ft_question {
    struct ft_letter letter_;
    /* Called on every worker's thread, one after the other. */
    void (*visit)(struct ft_question *question, struct ft_worker *worker);

    /* Called on the thread of the worker that asked, when all have answered; not if it was abandoned. */
    void (*done)(struct ft_question *question);

    /* Called last, once, whatever happened; NULL: there is nothing to free. */
    void (*free)(struct ft_question *question);

    void *asker; /* whoever `done` does something for */

    uint32_t asked_by_;
    bool is_abandoned_;
};

/* Sets it on its way. It belongs to the hub until `free`. */
void ft_question_ask(struct ft_question *question, struct ft_worker *worker);

/* The asker goes: `done` will not be called. What the visits do is done all the same. On the thread of the
 * worker that asked, before `done`. */
void ft_question_abandon(struct ft_question *question);

#endif
