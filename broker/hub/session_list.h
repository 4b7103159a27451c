/*
 * Who is connected, on all workers of all nodes: a question (question.h) that goes round this node, and one to the
 * other nodes by way of the relay. The answer has the sessions that were opened last, as many as were asked for; and
 * says which nodes it is not from, where some have not answered in time.
 *
 *     request ─▶ ft_session_list ─┬─▶ workers of this node ────────────────────────────────┬─▶ done
 *                                 └─▶ relay ─▶ other nodes: ft_session_list_foreign ─▶ … ──┘
 */
#ifndef FT_HUB_SESSION_LIST_H
#define FT_HUB_SESSION_LIST_H

#include "broker/hub/question.h"
#include "broker/hub/session_info.h"

struct ft_hub;
struct ft_problem;
struct ft_relay_ask;
struct ft_worker;

/*
 * Asks for sessions; `query` is copied. `done` is called on the thread of `worker`, in a later turn, with the
 * question that is returned; its `asker` is `asker`.
 */
struct ft_question *ft_session_list(struct ft_worker *worker, const struct ft_session_query *query,
                                    void (*done)(struct ft_question *question), void *asker);

/* Says that there is no answer at all, and why: there is no such node. For `done`. */
enum ft_err ft_session_list_refused(const struct ft_question *question, struct ft_problem *problem);

/* Writes the answer, {"sessions":[…],…}. For `done`, too. */
void ft_session_list_tell(const struct ft_question *question, struct ft_writer *writer);

/* Asks the workers of this node for another one: of kind FT_ASK_TOLD, with a query in its body that
 * ft_session_query_read() took. It goes to ft_relay_ops.ask with an array of sessions in its body, and how many
 * there are in `count`. Any thread. */
void ft_session_list_foreign(struct ft_hub *hub, struct ft_relay_ask *ask);

#endif
