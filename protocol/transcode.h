/*
 * Turns `data` from one encoding into the other, by SPEC.md section 3: an integer that fits 64 bits
 * is an integer, any other number a float64; bytes nested in a value become base64 strings in JSON;
 * of duplicate keys the last one wins in MessagePack. Once per publication at most, and only when
 * subscribers of both kinds exist.
 */
#ifndef FT_PROTOCOL_TRANSCODE_H
#define FT_PROTOCOL_TRANSCODE_H

#include "protocol/buffer.h"
#include "protocol/envelope.h"

/*
 * Appends `data` (which passed the reader) to `out` as one value of `encoding`, and says in `*kind`
 * what it became: FT_DATA_JSON, FT_DATA_B64 (the text without quotes) or FT_DATA_MSGPACK.
 * FT_ERR_TOO_LARGE when `out` has no room. FT_ERR_BAD_DATA: there is no data, or it did not pass the
 * reader after all.
 *
 * A float64 keeps its kind on the way through JSON ("5.0"), an integer its 64 bits; a bin's base64
 * does not become bytes again.
 */
FT_MUST_USE enum ft_err ft_transcode(struct ft_data data, enum ft_encoding encoding,
                                     struct ft_buffer *out, enum ft_data_kind *kind);

#endif
