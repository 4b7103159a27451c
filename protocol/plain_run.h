/*
 * Finds where runs of bytes end, at the end of the bytes at the latest: ft_plain_run() those that may
 * stand in a JSON string as they are, so it stops at a quote, a backslash or a control character
 * (below U+0020); ft_digit_run() decimal digits. One way per machine, chosen here; all give
 * the same answer (tests/unit/json_scan_test.c holds them against each other).
 */
#ifndef FT_PROTOCOL_PLAIN_RUN_H
#define FT_PROTOCOL_PLAIN_RUN_H

#include "protocol/plain_run_swar.h"

#ifdef __SSE2__
#include "protocol/plain_run_sse2.h"
#define ft_plain_run ft_plain_run_sse2
#define ft_digit_run ft_digit_run_sse2
#else
#define ft_plain_run ft_plain_run_swar
#define ft_digit_run ft_digit_run_swar
#endif

#endif
