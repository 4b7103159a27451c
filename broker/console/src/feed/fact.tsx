/** A name and what goes with it, as a row of a list of such. */
import type { ComponentChildren } from "preact";

export function Fact(props: { name: string; title?: string; children: ComponentChildren }) {
  return (
    <div>
      <dt>{props.name}</dt>
      <dd class="num" title={props.title}>
        {props.children}
      </dd>
    </div>
  );
}
