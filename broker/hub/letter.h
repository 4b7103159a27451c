/*
 * Letters: how another thread has a worker do something. Each worker has a mailbox; a letter is opened at the
 * end of a turn, before publications are numbered and sockets written. A question (question.h) is a letter
 * that goes from worker to worker; what the relay has to say comes as letters, too.
 */
#ifndef FT_HUB_LETTER_H
#define FT_HUB_LETTER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct ft_hub;
struct ft_worker;

/* Embedded in what it is about. */
struct ft_letter {
    /* Called once, on the thread of the worker that it was posted to. The letter is the callee's. */
    void (*open)(struct ft_letter *letter, struct ft_worker *worker);

    /* Called instead where nobody will open it: the hub is taken down. */
    void (*drop)(struct ft_letter *letter);

    struct ft_letter *next_;
};

/* Posts a letter to worker `index`; letters from one thread are opened in the order of posting. Any thread. */
void ft_letter_post(struct ft_hub *hub, uint32_t index, struct ft_letter *letter);

/* ---- for worker.c ---- */

struct ft_mailbox {
    pthread_mutex_t lock_;
    struct ft_letter *first_, **end_; /* under the lock */
    _Atomic bool has_mail_;
};

void ft_mailbox_init(struct ft_mailbox *mailbox);
void ft_mailbox_fini(struct ft_mailbox *mailbox); /* drops what is in it */

/* Opens what waits for this worker. */
void ft_mailbox_read(struct ft_worker *worker);

#endif
