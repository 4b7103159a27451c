/*
 * What is told of a session to an operator (SPEC.md section 7, GET /v1/sessions), and how it travels between nodes:
 * as MessagePack arrays, whose elements that this version does not know are skipped. Pure but for
 * ft_session_info_of(), which is the worker's thread.
 */
#ifndef FT_HUB_SESSION_INFO_H
#define FT_HUB_SESSION_INFO_H

#include "protocol/scan.h"
#include "protocol/topic.h"
#include "protocol/writer.h"

struct ft_session;

/* Sessions that one answer lists; it says how many there are. */
#define FT_SESSIONS_LISTED_MAX 1000

/* Bytes of a user, and of a node's name. */
#define FT_SESSION_NAME_MAX 255

/* Filters that are told of a session: the latest ones. */
#define FT_SESSION_TOPICS_TOLD 5

/* Bytes of the sessions that one node tells of: a thousand ordinary ones take half as much. */
#define FT_SESSION_LIST_BYTES_MAX ((size_t)384 * 1024)

/* Which sessions are asked for: those of whom all of this is true. */
struct ft_session_query {
    uint32_t limit;          /* 1 … FT_SESSIONS_LISTED_MAX: the latest ones */
    struct ft_slice user;    /* absent: whosever they are */
    struct ft_slice session; /* the one with this id; absent: all */
    struct ft_slice node;    /* those of the node with this name; absent: of all */
};

struct ft_session_info {
    struct ft_slice session, node, user; /* user absent: nobody in particular */
    struct ft_slice address;             /* absent: not known */
    uint8_t frames;                      /* enum ft_frames */
    uint64_t since_ms;                   /* wall clock */
    uint64_t subscriptions, outbox_bytes;
    bool is_parked, is_stalled;
    uint32_t topic_count;
    struct ft_slice topics[FT_SESSION_TOPICS_TOLD];
};

/* What ft_session_info_of() writes texts to. */
struct ft_session_texts {
    char address[46]; /* FT_IP_TEXT_MAX */
    char topics[FT_SESSION_TOPICS_TOLD][FT_TOPIC_BYTES_MAX];
};

/* Fills in what there is to tell of a session. It points into `texts` and the session. */
void ft_session_info_of(const struct ft_session *session, struct ft_session_info *info,
                        struct ft_session_texts *texts);

/* Writes it as a map, for who asked. */
void ft_session_info_tell(const struct ft_session_info *info, struct ft_writer *writer);

/* ---- between nodes ---- */

void ft_session_info_write(const struct ft_session_info *info, struct ft_buffer *out);

/* Reads one from where the scan stands; texts point into what is scanned. False: it is not one. */
FT_MUST_USE bool ft_session_info_read(struct ft_scan *scan, struct ft_session_info *info);

/* Says whether this is an array of sessions, whole, with nothing behind it; `bytes` may be foreign. */
FT_MUST_USE bool ft_session_infos_are_sound(struct ft_slice bytes);

void ft_session_query_write(const struct ft_session_query *query, struct ft_buffer *out);

/* Reads one that is foreign, whole. Texts point into `bytes`. */
FT_MUST_USE bool ft_session_query_read(struct ft_slice bytes, struct ft_session_query *query);

#endif
