/*
 * Questions and the mailboxes that they wait in. Knows nothing of what is asked. Any worker's thread;
 * a mailbox is the one thing here that two threads touch.
 */
#include "broker/hub/question.h"

#include "broker/hub/worker.h"

void ft_mailbox_init(struct ft_mailbox *mailbox)
{
    pthread_mutex_init(&mailbox->lock_, NULL);
    mailbox->first_ = NULL;
    mailbox->end_ = &mailbox->first_;
    atomic_store(&mailbox->has_mail_, false);
}

static void finish(struct ft_question *question)
{
    if (question->free)
        question->free(question);
}

static void free_all(struct ft_question *question)
{
    while (question) {
        struct ft_question *next = question->next_;
        finish(question);
        question = next;
    }
}

void ft_mailbox_fini(struct ft_mailbox *mailbox)
{
    free_all(mailbox->first_);
    pthread_mutex_destroy(&mailbox->lock_);
}

static void post(struct ft_hub *hub, uint32_t index, struct ft_question *question)
{
    struct ft_mailbox *mailbox = &hub->workers[index]->mailbox;
    question->next_ = NULL;
    pthread_mutex_lock(&mailbox->lock_);
    *mailbox->end_ = question;
    mailbox->end_ = &question->next_;
    atomic_store(&mailbox->has_mail_, true);
    pthread_mutex_unlock(&mailbox->lock_);
    hub->loop_ops->wake(hub->loops, index);
}

static struct ft_question *take_all(struct ft_mailbox *mailbox)
{
    pthread_mutex_lock(&mailbox->lock_);
    struct ft_question *first = mailbox->first_;
    mailbox->first_ = NULL;
    mailbox->end_ = &mailbox->first_;
    atomic_store(&mailbox->has_mail_, false);
    pthread_mutex_unlock(&mailbox->lock_);
    return first;
}

static void pass_on(struct ft_question *question, const struct ft_worker *worker)
{
    post(worker->hub, (worker->index + 1) % worker->hub->worker_count, question);
}

void ft_question_ask(struct ft_question *question, struct ft_worker *worker)
{
    question->asked_by_ = worker->index;
    pass_on(question, worker);
}

void ft_question_abandon(struct ft_question *question)
{
    question->is_abandoned_ = true;
}

static void answer(struct ft_question *question, struct ft_worker *worker)
{
    question->visit(question, worker);
    if (question->asked_by_ != worker->index) {
        pass_on(question, worker);
        return;
    }
    if (!question->is_abandoned_)
        question->done(question);
    finish(question);
}

void ft_mailbox_read(struct ft_worker *worker)
{
    /* What comes later than this look wakes the worker again. */
    if (!atomic_load_explicit(&worker->mailbox.has_mail_, memory_order_relaxed))
        return;
    struct ft_question *question = take_all(&worker->mailbox);
    while (question) {
        struct ft_question *next = question->next_;
        answer(question, worker);
        question = next;
    }
}
