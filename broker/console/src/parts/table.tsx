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

export function Table<R>(props: {
  caption: string;
  columns: readonly Column<R>[];
  rows: readonly R[];
  rowKey: (row: R) => string;
  rowClass?: (row: R) => string;
  sort?: Sort;
  onSort?: (key: string) => void;
  class?: string;
}) {
  const { sort } = props;
  return (
    <div
      class={`table-wrap ${props.class ?? ""}`}
      role="group"
      aria-label={props.caption}
      tabIndex={0}
    >
      <table role="table">
        <caption class="offscreen">{props.caption}</caption>
        <thead role="rowgroup">
          <tr role="row">
            {props.columns.map((column) => (
              <th
                key={column.key}
                role="columnheader"
                scope="col"
                class={classOf(column)}
                aria-sort={
                  sort?.key === column.key ? (sort.down ? "descending" : "ascending") : undefined
                }
              >
                {column.sortable && props.onSort ? (
                  <button type="button" onClick={() => props.onSort?.(column.key)}>
                    {column.title}
                    <span class="sort" aria-hidden="true">
                      {sort?.key === column.key ? (sort.down ? "↓" : "↑") : ""}
                    </span>
                  </button>
                ) : (
                  column.title
                )}
              </th>
            ))}
          </tr>
        </thead>
        <tbody role="rowgroup">
          {props.rows.map((row) => (
            <tr key={props.rowKey(row)} role="row" class={props.rowClass?.(row)}>
              {props.columns.map((column) => (
                <td
                  key={column.key}
                  role={column.heading ? "rowheader" : "cell"}
                  data-title={column.heading ? undefined : column.title}
                  class={classOf(column)}
                >
                  {column.cell(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
