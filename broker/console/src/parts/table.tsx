/**
 * A table whose columns say how a row is shown. On a narrow screen each row becomes a card with the
 * columns' titles beside the values; the roles are spelled out, because `display` would take them
 * away.
 */
import type { ComponentChildren } from "preact";

export interface Column<R> {
  key: string;
  title: string;
  /** Numbers stand at the right, in figures of one width. */
  numeric?: boolean;
  /** The title says it already: the card shows the value alone, as its heading. */
  heading?: boolean;
  class?: string;
  sortable?: boolean;
  cell: (row: R) => ComponentChildren;
}

export interface Sort {
  key: string;
  down: boolean;
}

function classOf<R>(column: Column<R>): string {
  const names = [column.numeric && "numeric", column.heading && "heading", column.class];
  return names.filter(Boolean).join(" ");
}

interface TableProps<R> {
  caption: string;
  columns: readonly Column<R>[];
  rows: readonly R[];
  rowKey: (row: R) => string;
  rowClass?: (row: R) => string;
  sort?: Sort;
  onSort?: (key: string) => void;
  class?: string;
}

function ariaSort(sort: Sort | undefined, key: string): "ascending" | "descending" | undefined {
  if (sort?.key !== key) return undefined;
  return sort.down ? "descending" : "ascending";
}

function Title<R>(props: { column: Column<R>; table: TableProps<R> }) {
  const { column, table } = props;
  const sorted = ariaSort(table.sort, column.key);
  const arrow = sorted === undefined ? "" : sorted === "descending" ? "↓" : "↑";
  return (
    <th role="columnheader" scope="col" class={classOf(column)} aria-sort={sorted}>
      {column.sortable && table.onSort ? (
        <button type="button" onClick={() => table.onSort?.(column.key)}>
          {column.title}
          <span class="sort" aria-hidden="true">
            {arrow}
          </span>
        </button>
      ) : (
        column.title
      )}
    </th>
  );
}

function Cell<R>(props: { column: Column<R>; row: R }) {
  const { column, row } = props;
  return (
    <td
      role={column.heading ? "rowheader" : "cell"}
      data-title={column.heading ? undefined : column.title}
      class={classOf(column)}
    >
      {column.cell(row)}
    </td>
  );
}

/** It scrolls sideways where it has to, by keys as well. */
export function Table<R>(props: TableProps<R>) {
  const { caption, columns, rows } = props;
  const className = `table-wrap ${props.class ?? ""}`;
  return (
    <div class={className} role="group" aria-label={caption} tabIndex={0}>
      <table role="table">
        <caption class="offscreen">{caption}</caption>
        <thead role="rowgroup">
          <tr role="row">
            {columns.map((column) => (
              <Title key={column.key} column={column} table={props} />
            ))}
          </tr>
        </thead>
        <tbody role="rowgroup">
          {rows.map((row) => (
            <tr key={props.rowKey(row)} role="row" class={props.rowClass?.(row)}>
              {columns.map((column) => (
                <Cell key={column.key} column={column} row={row} />
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
