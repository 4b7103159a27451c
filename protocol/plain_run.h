/*
 * Finds where the bytes end that may stand in a JSON string as they are: at a quote, a backslash, a
 * control character (below U+0020), or at the end of the bytes. One way per machine, chosen here; all
 * give the same answer (tests/unit/json_scan_test.c holds them against each other).
 */
#ifndef FT_PROTOCOL_PLAIN_RUN_H
#define FT_PROTOCOL_PLAIN_RUN_H

#include "protocol/plain_run_swar.h"

#ifdef __SSE2__
#include "protocol/plain_run_sse2.h"
#define ft_plain_run ft_plain_run_sse2
#else
#define ft_plain_run ft_plain_run_swar
#endif

#endif
