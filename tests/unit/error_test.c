/* The table of errors and the sentences of problems. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "protocol/error.h"
#include "protocol/quote.h"
#include "protocol/utf8.h"

Test(error, every_row_has_a_number_of_http_a_name_and_a_text)
{
    for (int err = FT_OK + 1; err < FT_ERR_COUNT_; err++) {
        int wire = ft_err_wire((enum ft_err)err);
        cr_assert(wire >= 400 && wire <= 599, "%s has %d", ft_err_name((enum ft_err)err), wire);
        cr_assert_gt(strlen(ft_err_name((enum ft_err)err)), 0);
        cr_assert_gt(strlen(ft_err_text((enum ft_err)err)), 10);
    }
}

Test(error, names_and_numbers_are_those_of_the_row)
{
    cr_assert_str_eq(ft_err_name(FT_OK), "OK");
    cr_assert_eq(ft_err_wire(FT_OK), 200);
    cr_assert_str_eq(ft_err_name(FT_ERR_BAD_TOPIC), "BAD_TOPIC");
    cr_assert_eq(ft_err_wire(FT_ERR_BAD_TOPIC), 400);
    cr_assert_eq(ft_err_wire(FT_ERR_TOO_LARGE), 413);
    cr_assert_eq(ft_err_wire(FT_ERR_TIMEOUT), 504);
}

Test(error, a_number_that_is_no_error_is_told_as_internal)
{
    cr_assert_eq(ft_err_wire((enum ft_err)FT_ERR_COUNT_), 500);
    cr_assert_eq(ft_err_wire((enum ft_err) - 1), 500);
    cr_assert_str_eq(ft_err_name((enum ft_err)1000), "INTERNAL");
}

Test(error, a_problem_carries_the_code_and_the_sentence)
{
    struct ft_problem problem;
    cr_assert_eq(ft_problem_set(&problem, FT_ERR_TOO_LARGE, "%d bytes, at most %d", 9, 5),
                 FT_ERR_TOO_LARGE);
    cr_assert_eq(problem.err, FT_ERR_TOO_LARGE);
    cr_assert_str_eq(problem.text, "9 bytes, at most 5");
    cr_assert_eq(ft_problem_set(NULL, FT_ERR_CONFLICT, "nobody reads it"), FT_ERR_CONFLICT);
}

Test(error, a_sentence_that_just_fits_is_whole)
{
    char sentence[FT_PROBLEM_TEXT_MAX];
    memset(sentence, 'x', sizeof(sentence) - 1);
    sentence[sizeof(sentence) - 1] = '\0';
    struct ft_problem problem;
    cr_assert_eq(ft_problem_set(&problem, FT_ERR_INTERNAL, "%s", sentence), FT_ERR_INTERNAL);
    cr_assert_str_eq(problem.text, sentence);
}

/* Characters of one to four bytes at every place where the cut can fall. */
Test(error, a_long_sentence_is_cut_at_a_character_and_says_so)
{
    static const char *const characters[] = {"x", "é", "€", "\xF0\x9F\xA6\x80"};
    for (size_t c = 0; c < 4; c++)
        for (size_t shift = 0; shift < 4; shift++) {
            char sentence[2048] = "";
            for (size_t i = 0; i < shift; i++)
                strcat(sentence, ".");
            while (strlen(sentence) < 400)
                strcat(sentence, characters[c]);
            struct ft_problem problem;
            cr_assert_eq(ft_problem_set(&problem, FT_ERR_INTERNAL, "%s", sentence),
                         FT_ERR_INTERNAL);
            size_t len = strlen(problem.text);
            cr_assert(ft_utf8_is_valid(ft_slice_str(problem.text)));
            cr_assert_gt(len, FT_PROBLEM_TEXT_MAX - 8);
            cr_assert_str_eq(problem.text + len - 3, "…");
            cr_assert_eq(memcmp(problem.text, sentence, len - 3), 0);
        }
}
