/* The two encodings of an envelope, and their WebSocket subprotocols (SPEC.md section 2). */
#ifndef FT_PROTOCOL_ENCODING_H
#define FT_PROTOCOL_ENCODING_H

enum ft_encoding { FT_JSON, FT_MSGPACK, FT_ENCODINGS };

#define FT_SUBPROTOCOL_JSON    "fantail.v1.json"
#define FT_SUBPROTOCOL_MSGPACK "fantail.v1.msgpack"

#endif
