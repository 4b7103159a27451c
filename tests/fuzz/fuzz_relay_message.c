/*
 * The reader of messages between nodes against its twin on msgpack-c. What is sound is written again, and
 * read back the same.
 */
#include "tests/fuzz/check.h"
#include "tests/unit/support/relay_twin.h"

#define MESSAGE_MAX 64
#define MOST        16

static void check_entry(const struct ft_relay_entry *entry)
{
    struct ft_buffer out;
    ft_buffer_init(&out, ft_relay_entry_size(entry->topic, entry->data.bytes));
    ft_relay_entry_write(entry, &out);
    CHECK(!out.failed);
    struct ft_slice left = ft_buffer_slice(&out);
    struct ft_relay_entry back;
    CHECK(ft_relay_entry_read(&left, SIZE_MAX, &back) == FT_RELAY_SOUND);
    CHECK(left.len == 0 && ft_twin_same_entry(entry, &back));
    ft_buffer_fini(&out);
}

/* Reads the entries one by one, which must come to what the check has said. */
static void check_entries(struct ft_slice message, const struct ft_relay_entry *theirs)
{
    struct ft_relay_head head;
    struct ft_slice left;
    CHECK(ft_relay_head_read(message, &head, &left) == FT_RELAY_SOUND);
    for (uint32_t i = 0; i < head.count; i++) {
        struct ft_relay_entry entry;
        enum ft_relay_fault fault = ft_relay_entry_read(&left, MESSAGE_MAX, &entry);
        bool is_large = entry.data.bytes.len > MESSAGE_MAX;
        CHECK(fault == (is_large ? FT_RELAY_TOO_LARGE : FT_RELAY_SOUND));
        CHECK(!theirs || i >= MOST || ft_twin_same_entry(&entry, &theirs[i]));
        check_entry(&entry);
    }
    CHECK(left.len == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct ft_slice message = ft_slice(bytes, len);
    struct ft_relay_head head;
    enum ft_relay_fault fault = ft_relay_message_check(message, MESSAGE_MAX, &head);
    bool is_sound = fault == FT_RELAY_SOUND || fault == FT_RELAY_TOO_LARGE;
    struct ft_relay_head theirs = {0};
    struct ft_relay_entry entries[MOST];
    enum ft_relay_fault said;
    bool is_asked = ft_twin_read(message, MESSAGE_MAX, &theirs, entries, MOST, &said);
    if (is_asked && said == FT_RELAY_DAMAGED)
        CHECK(!is_sound);
    else if (is_asked)
        CHECK(fault == said);
    if (!is_sound)
        return 0;
    if (is_asked)
        CHECK(ft_twin_same_head(&head, &theirs));
    check_entries(message, is_asked ? entries : NULL);
    return 0;
}
