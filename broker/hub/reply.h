/*
 * Replies: one frame of a session's own, written in its encoding and queued behind what waits.
 *
 *     struct ft_writer *w = ft_reply_begin(session);
 *     ft_write_map(w, 2);
 *     …
 *     ft_reply_end(session);
 */
#ifndef FT_HUB_REPLY_H
#define FT_HUB_REPLY_H

#include "broker/hub/session.h"
#include "protocol/writer.h"

struct ft_writer *ft_reply_begin(struct ft_session *session);
void ft_reply_end(struct ft_session *session);

/* Queues {"op":"ok","id":…}, where there is an id. */
void ft_reply_ok(struct ft_session *session, struct ft_id id);

/* Queues {"op":"ok","id":…,"pos":"…"}, where there is an id. */
void ft_reply_ok_pos(struct ft_session *session, struct ft_id id, struct ft_slice pos);

/* Queues {"op":"error",…}, with the id where there is one. */
void ft_reply_error(struct ft_session *session, struct ft_id id, const struct ft_problem *problem);

/* Queues a control frame. */
void ft_reply_ping(struct ft_session *session);
void ft_reply_close(struct ft_session *session, uint16_t code, const char *reason);

/* Queues `welcome`. */
void ft_reply_welcome(struct ft_session *session);

#endif
