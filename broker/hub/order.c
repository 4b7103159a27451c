/*
 * An operator's order as a value: what makes it one that can be carried out, and how it travels between nodes.
 * What comes from there is foreign. Pure.
 */
#include "broker/hub/control.h"
#include "protocol/msgpack_out.h"
#include "protocol/msgpack_scan.h"
#include "protocol/topic.h"

/* ---- checking ---- */

static enum ft_err check_filters(const struct ft_order *order, struct ft_problem *problem)
{
    if (order->filter_count == 0)
        return ft_problem_set(problem, FT_ERR_BAD_FIELD,
                              "topics is missing: an array of the filters to unsubscribe");
    if (order->filter_count > FT_ORDER_FILTERS_MAX)
        return ft_problem_set(problem, FT_ERR_BAD_FIELD,
                              "topics has %u filters, but %d at most are taken",
                              order->filter_count, FT_ORDER_FILTERS_MAX);
    for (uint32_t i = 0; i < order->filter_count; i++) {
        enum ft_err err = ft_filter_check(order->filters[i], problem);
        if (err)
            return err;
    }
    return FT_OK;
}

enum ft_err ft_order_check(const struct ft_order *order, struct ft_problem *problem)
{
    if (!order->user.ptr == !order->session.ptr)
        return ft_problem_set(problem, FT_ERR_BAD_FIELD,
                              "give either user or session: whose sessions, or the id of one");
    return order->kind == FT_ORDER_UNSUBSCRIBE ? check_filters(order, problem) : FT_OK;
}

/* ---- between nodes ---- */

void ft_order_write(const struct ft_order *order, struct ft_buffer *out)
{
    msgpack_packer packer = ft_msgpack_out(out);
    msgpack_pack_array(&packer, 4);
    msgpack_pack_uint64(&packer, order->kind);
    ft_msgpack_out_text(out, order->user);
    ft_msgpack_out_text(out, order->session);
    msgpack_pack_array(&packer, order->filter_count);
    for (uint32_t i = 0; i < order->filter_count; i++)
        ft_msgpack_out_str(out, order->filters[i]);
}

static enum ft_err damaged(struct ft_problem *problem, const char *what)
{
    return ft_problem_set(problem, FT_ERR_BAD_REQUEST, "the order of another node %s", what);
}

static bool read_text(struct ft_scan *scan, struct ft_slice *text)
{
    struct ft_value value;
    if (!ft_msgpack_item(scan, &value))
        return false;
    *text = value.kind == FT_VALUE_STR ? value.text : ft_slice(NULL, 0);
    return value.kind == FT_VALUE_STR || value.kind == FT_VALUE_NULL;
}

static bool read_filters(struct ft_scan *scan, struct ft_order *order, struct ft_slice *filters)
{
    struct ft_value list, filter;
    if (!ft_msgpack_item(scan, &list) || list.kind != FT_VALUE_ARRAY ||
        list.num > FT_ORDER_FILTERS_MAX)
        return false;
    for (uint64_t i = 0; i < list.num; i++) {
        if (!ft_msgpack_item(scan, &filter) || filter.kind != FT_VALUE_STR)
            return false;
        filters[i] = filter.text;
    }
    order->filters = filters;
    order->filter_count = (uint32_t)list.num;
    return true;
}

enum ft_err ft_order_read(struct ft_slice bytes, struct ft_order *order, struct ft_slice *filters,
                          struct ft_problem *problem)
{
    struct ft_scan scan = ft_scan_of(bytes);
    struct ft_value head, kind, skipped;
    *order = (struct ft_order){0};
    if (bytes.len > FT_ORDER_BYTES_MAX)
        return damaged(problem, "is too long");
    if (!ft_msgpack_item(&scan, &head) || head.kind != FT_VALUE_ARRAY || head.num < 4)
        return damaged(problem, "is not an array of four");
    if (!ft_msgpack_item(&scan, &kind) || kind.kind != FT_VALUE_UINT ||
        kind.num > FT_ORDER_UNSUBSCRIBE)
        return damaged(problem, "is of a kind that is not known here");
    order->kind = (enum ft_order_kind)kind.num;
    if (!read_text(&scan, &order->user) || !read_text(&scan, &order->session) ||
        !read_filters(&scan, order, filters))
        return damaged(problem, "is damaged");
    for (uint64_t i = 4; i < head.num; i++) {
        if (!ft_msgpack_value(&scan, &skipped))
            return damaged(problem, "is damaged");
    }
    if (scan.at != scan.end)
        return damaged(problem, "has something behind it");
    return ft_order_check(order, problem);
}
