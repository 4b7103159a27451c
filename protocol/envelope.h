/*
 * Reads envelopes, in either encoding, in either direction (broker and clients use the same reader).
 *
 *     struct ft_reader r;
 *     err = ft_reader_begin(&r, FT_JSON, message, scratch, &problem);   // FT_ERR_… : close or report
 *     while (ft_reader_next(&r, &env, &problem) …)                      // one turn per envelope
 *
 * The hot path of every publish: one pass over the bytes, no allocation, `data` stays an untouched
 * slice of the message. Strict where SPEC.md section 3 is: duplicate keys of the envelope itself,
 * lone surrogates, invalid UTF-8, ext types, non-string keys, NaN and infinities (a JSON number that
 * overflows a float64 is one), nesting deeper than FT_DEPTH_MAX, trailing bytes are all refused.
 */
#ifndef FT_PROTOCOL_ENVELOPE_H
#define FT_PROTOCOL_ENVELOPE_H

#include "protocol/encoding.h"
#include "protocol/error.h"
#include "protocol/slice.h"

/* Deepest nesting of `data`, counted from the value itself: [[]] is 2 deep. */
#define FT_DEPTH_MAX 32

/* Largest integer that both encodings and JavaScript can carry as an id: 2^53 - 1. */
#define FT_INT_MAX 9007199254740991ULL

/* Longest `id` that is a string, and longest publish `key`, in bytes of UTF-8. */
#define FT_ID_BYTES_MAX  64
#define FT_KEY_BYTES_MAX 128

enum ft_op {
    FT_OP_NONE, /* the envelope had no `op`, or one that this version does not know */
    /* clients send */
    FT_OP_SUB,
    FT_OP_UNSUB,
    FT_OP_PUB,
    FT_OP_HISTORY,
    FT_OP_PRESENCE,
    FT_OP_AUTH,
    FT_OP_PING,
    /* the broker sends */
    FT_OP_WELCOME,
    FT_OP_OK,
    FT_OP_ERROR,
    FT_OP_MSG,
    FT_OP_GAP,
    FT_OP_BYE,
    FT_OP_PONG,
    FT_OPS
};

enum ft_id_kind { FT_ID_NONE, FT_ID_INT, FT_ID_STR };

struct ft_id {
    enum ft_id_kind kind;
    uint64_t num;        /* FT_ID_INT */
    struct ft_slice str; /* FT_ID_STR: decoded UTF-8 */
};

/* What `data` holds. In a MessagePack envelope `b64` is decoded into FT_DATA_BYTES at once. */
enum ft_data_kind {
    FT_DATA_NONE,
    FT_DATA_JSON, /* a JSON value's text, as it was sent, without surrounding white space */
    FT_DATA_B64,  /* the text of a JSON envelope's `b64`: canonical base64 (RFC 4648 section 4) */
    FT_DATA_MSGPACK, /* a MessagePack value's bytes, as they were sent */
    FT_DATA_BYTES    /* raw bytes */
};

struct ft_data {
    enum ft_data_kind kind;
    struct ft_slice bytes;
};

/* An array of strings inside the message, in its encoding; read with ft_list_next(). */
struct ft_list {
    enum ft_encoding encoding;
    uint32_t count;        /* elements */
    struct ft_slice bytes; /* absent: the key was absent */
};

/*
 * One envelope. Every slice points into the message or into the scratch and dies with them. Keys
 * that were absent are zero (NULL slices, FT_DATA_NONE, has_… false).
 */
struct ft_envelope {
    enum ft_op op;
    struct ft_slice op_name; /* as sent, for messages about an op that is not known */
    struct ft_id id;
    struct ft_slice topic; /* decoded, not yet checked */
    struct ft_data data;
    struct ft_slice key;
    struct ft_slice token;
    struct ft_list topics; /* each element a string, count known; not yet checked as filters */
    struct ft_list since;
    bool retain;
    bool has_since_text; /* `history` takes `since` as one position: since_text */
    struct ft_slice since_text;
    bool has_last, has_every, has_ttl, has_limit;
    uint64_t last, every_ms, ttl_s, limit;

    /* what the broker sends, for clients */
    struct ft_slice pos;      /* `pos` of msg and of a pub's ok */
    struct ft_list positions; /* `pos` of gap and of a sub's ok */
    bool has_at, has_code, has_retry, has_recovered, has_lost, has_ping, has_reconnect;
    bool has_version;
    bool retained, recovered, duplicate;
    uint64_t at_ms, code, retry_ms, lost, ping_s, reconnect_ms, version;
    struct ft_slice message, reason, session, node, user;
    struct ft_slice messages; /* `messages` of a history reply: the array's bytes, raw */
};

struct ft_reader {
    enum ft_encoding encoding;
    struct ft_slice message_;
    size_t at_;
    uint64_t left_; /* envelopes still to come; UINT64_MAX inside a JSON array of unknown length */
    bool in_array_, done_, broken_;
    uint8_t *scratch_;
    size_t scratch_len_, scratch_used_;
};

/*
 * Starts to read one WebSocket message. Strings with escapes (JSON) and decoded base64 are written
 * to `scratch`, which must hold `message.len` bytes and live as long as the envelopes.
 * FT_ERR_BAD_ENVELOPE: not a map, nor an array. A JSON message must be valid UTF-8: the caller has
 * checked that (ft_utf8_is_valid), because WebSocket has a close code of its own for it (1007).
 */
FT_MUST_USE enum ft_err ft_reader_begin(struct ft_reader *reader, enum ft_encoding encoding,
                                        struct ft_slice message, uint8_t *scratch,
                                        struct ft_problem *problem);

/* Says whether another envelope may follow. */
bool ft_reader_has_more(const struct ft_reader *reader);

/* Says whether the message is an array; and whether it is one that holds nothing. After
 * ft_reader_begin(), before the first envelope. */
bool ft_reader_is_array(const struct ft_reader *reader);
bool ft_reader_is_empty(const struct ft_reader *reader);

/* Says whether the last ft_reader_next() failed at the syntax itself. */
bool ft_reader_is_broken(const struct ft_reader *reader);

/* Lends the whole message; goes on in a copy of it, with another scratch. A reader may be copied before an
 * envelope is read, to read that one again later. */
static inline struct ft_slice ft_reader_message(const struct ft_reader *reader)
{
    return reader->message_;
}

static inline void ft_reader_move(struct ft_reader *reader, const uint8_t *copy, uint8_t *scratch)
{
    reader->message_.ptr = copy;
    reader->scratch_ = scratch;
}

/*
 * Reads the next envelope into `env`. Returns FT_OK; or an error with `problem` filled, in which case
 * `env->id` is still set where the envelope is good JSON or MessagePack, so that the reply can carry it.
 * After an error in the syntax itself nothing more can be read (ft_reader_has_more() is false); after
 * a wrong value of one envelope in an array, or one that breaks a rule above but is good JSON or
 * MessagePack, the next one can. FT_ERR_BAD_DATA: the rule was broken in `data`; FT_ERR_BAD_FIELD: a
 * key's value is of the wrong kind; FT_ERR_BAD_ENVELOPE: all else. A repeated key is looked for among
 * the keys that the reader knows; an `id` that was sent twice is not set.
 * An empty array holds no envelope: FT_ERR_BAD_ENVELOPE.
 */
FT_MUST_USE enum ft_err ft_reader_next(struct ft_reader *reader, struct ft_envelope *env,
                                       struct ft_problem *problem);

/*
 * Walks a list of strings: copies the next one, decoded, into `buf` of `cap` bytes, sets `item` to it
 * and returns FT_OK. Start with `*at` = 0; after `list->count` items there is no more to read.
 * FT_ERR_TOO_LARGE: longer than `cap`.
 */
FT_MUST_USE enum ft_err ft_list_next(const struct ft_list *list, size_t *at, uint8_t *buf,
                                     size_t cap, struct ft_slice *item);

/*
 * Checks that a whole value is acceptable `data` (SPEC.md section 3), with nothing after it. For HTTP
 * bodies, which carry a value without an envelope. JSON must be valid UTF-8 (checked here too).
 */
FT_MUST_USE enum ft_err ft_data_check(enum ft_encoding encoding, struct ft_slice bytes,
                                      struct ft_problem *problem);

/* Returns the name of an op, such as "sub"; "" for FT_OP_NONE. */
const char *ft_op_name(enum ft_op op);

#endif
