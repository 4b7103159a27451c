/*
 * Mailboxes, one for each worker. Knows nothing of what is in a letter. A mailbox is touched by whoever posts
 * and by its worker.
 */
#include "broker/hub/letter.h"

#include "broker/hub/worker.h"

void ft_mailbox_init(struct ft_mailbox *mailbox)
{
    pthread_mutex_init(&mailbox->lock_, NULL);
    mailbox->first_ = NULL;
    mailbox->end_ = &mailbox->first_;
    atomic_store(&mailbox->has_mail_, false);
}

void ft_mailbox_fini(struct ft_mailbox *mailbox)
{
    while (mailbox->first_) {
        struct ft_letter *letter = mailbox->first_;
        mailbox->first_ = letter->next_;
        letter->drop(letter);
    }
    pthread_mutex_destroy(&mailbox->lock_);
}

void ft_letter_post(struct ft_hub *hub, uint32_t index, struct ft_letter *letter)
{
    struct ft_mailbox *mailbox = &hub->workers[index]->mailbox;
    letter->next_ = NULL;
    pthread_mutex_lock(&mailbox->lock_);
    *mailbox->end_ = letter;
    mailbox->end_ = &letter->next_;
    atomic_store(&mailbox->has_mail_, true);
    pthread_mutex_unlock(&mailbox->lock_);
    hub->loop_ops->wake(hub->loops, index);
}

static struct ft_letter *take_all(struct ft_mailbox *mailbox)
{
    pthread_mutex_lock(&mailbox->lock_);
    struct ft_letter *first = mailbox->first_;
    mailbox->first_ = NULL;
    mailbox->end_ = &mailbox->first_;
    atomic_store(&mailbox->has_mail_, false);
    pthread_mutex_unlock(&mailbox->lock_);
    return first;
}

void ft_mailbox_read(struct ft_worker *worker)
{
    /* What comes later than this look wakes the worker again. */
    if (!atomic_load_explicit(&worker->mailbox.has_mail_, memory_order_relaxed))
        return;
    struct ft_letter *letter = take_all(&worker->mailbox);
    while (letter) {
        struct ft_letter *next = letter->next_;
        letter->open(letter, worker);
        letter = next;
    }
}
