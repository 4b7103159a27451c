/*
 * Replies: one frame of a session's own, written in its encoding and queued behind what waits. On an event
 * stream it is an event with the name of its `op`, and the positions that were written as its id.
 *
 *     struct ft_writer *w = ft_reply_begin(session, "ok", envelope->id, 1);
 *     ft_write_key(w, "recovered");
 *     …
 *     ft_reply_end(session);
 */
#ifndef FT_HUB_REPLY_H
#define FT_HUB_REPLY_H

#include "broker/hub/session.h"
#include "protocol/writer.h"

/* Begins a map with `op`, `id` where there is one, and `pairs` more, which the caller writes. */
struct ft_writer *ft_reply_begin(struct ft_session *session, const char *op, struct ft_id id,
                                 uint32_t pairs);
void ft_reply_end(struct ft_session *session);

/* Queues {"op":"ok","id":…}, where there is an id. */
void ft_reply_ok(struct ft_session *session, struct ft_id id);

/* Queues what became of a publish: {"op":"ok","id":…,"pos":"…"}, where there is an id. An ephemeral
 * publication has no `pos`; of a duplicate it is the first one's, and "duplicate":true says so. What went
 * wrong is an `error`, id or not. */
void ft_reply_published(struct ft_session *session, struct ft_id id,
                        const struct ft_outcome *outcome);

/* Writes `pos`, key and value: so many positions. */
void ft_reply_write_places(struct ft_session *session, const struct ft_place *places, uint32_t n);

/* Queues the frame of a publication, marked as its topic's last value; or any whole frame, as it is. */
void ft_reply_retained(struct ft_session *session, struct ft_slice frame);
void ft_reply_frame(struct ft_session *session, struct ft_slice frame);

/* Returns an event, made to have these positions as its id in place of what it has: lent until the next reply. */
struct ft_slice ft_reply_event(struct ft_session *session, struct ft_slice event,
                               const struct ft_place *places, uint32_t n);

/* Queues the event of a publication that the session's feed has come to, with what the client knows by then. */
void ft_reply_known(struct ft_session *session, const struct ft_publication *publication);

/*
 * Says to an event stream, without an event, that it goes on after journal offset `offset` (nothing to any other session). A
 * browser resumes from the last id that it got, not from the greatest, and behind a snapshot that may be one
 * that is long gone, or that lies before much that it never asked for.
 */
void ft_reply_event_id(struct ft_session *session, uint64_t offset);

/* Queues {"op":"gap","reason":"slow","lost":…,"pos":["…",…]}: what follows begins after journal offset `offset`.
 * `lost` may be NULL: it is not known. The second one goes in front of all that waits. */
void ft_reply_gap(struct ft_session *session, const uint64_t *lost, uint64_t offset);
void ft_reply_gap_in_front(struct ft_session *session, const uint64_t *lost, uint64_t offset);

/* The same with the reason "relay", for the journal's entry of a gap. */
void ft_reply_gap_of(struct ft_session *session, const struct ft_publication *gap);

/* Queues {"op":"error",…}, with the id where there is one. */
void ft_reply_error(struct ft_session *session, struct ft_id id, const struct ft_problem *problem);

/* Queues a control frame; an event stream gets a comment for a PING. */
void ft_reply_ping(struct ft_session *session);
void ft_reply_pong(struct ft_session *session, struct ft_slice payload);
void ft_reply_close(struct ft_session *session, uint16_t code, const char *reason);

/* Queues {"op":"bye","code":…,"reason":"…"}, also when the session is ending already: what an event stream
 * gets in place of a close frame. */
void ft_reply_bye(struct ft_session *session, uint16_t code, const char *reason);

/* Queues `welcome`. */
void ft_reply_welcome(struct ft_session *session);

#endif
