/*
 * Questions, from one worker's mailbox to the next one's. Knows nothing of what is asked. Any worker's thread,
 * one after the other.
 */
#include "broker/hub/question.h"

#include "broker/hub/worker.h"

static void finish(struct ft_question *question)
{
    if (question->free)
        question->free(question);
}

static void drop(struct ft_letter *letter)
{
    finish((struct ft_question *)letter);
}

static void pass_on(struct ft_question *question, const struct ft_worker *worker)
{
    struct ft_hub *hub = worker->hub;
    ft_letter_post(hub, (worker->index + 1) % hub->worker_count, &question->letter_);
}

static void answer(struct ft_letter *letter, struct ft_worker *worker)
{
    struct ft_question *question = (struct ft_question *)letter;
    question->visit(question, worker);
    if (question->asked_by_ != worker->index) {
        pass_on(question, worker);
        return;
    }
    if (!question->is_abandoned_)
        question->done(question);
    finish(question);
}

void ft_question_ask(struct ft_question *question, struct ft_worker *worker)
{
    question->letter_ = (struct ft_letter){.open = answer, .drop = drop};
    question->asked_by_ = worker->index;
    pass_on(question, worker);
}

void ft_question_abandon(struct ft_question *question)
{
    question->is_abandoned_ = true;
}
