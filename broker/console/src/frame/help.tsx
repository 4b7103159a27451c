/** What the keys do, and where to read more. */
import { Check } from "../parts/controls.js";
import { Dialog } from "../parts/dialog.js";
import { config } from "../store.js";
import { keys, keysOn, setKeysOn } from "../keys.js";

export function Help(props: { onClose: () => void }) {
  return (
    <Dialog title="Keys and help" onClose={props.onClose}>
      <dl class="keys">
        {keys.value.map((key) => (
          <div key={key.keys}>
            <dt>
              {key.keys.split(" ").map((part) => (
                <kbd key={part}>{part}</kbd>
              ))}
            </dt>
            <dd>{key.text}</dd>
          </div>
        ))}
      </dl>
      <Check label="Keys work without Ctrl or Alt" checked={keysOn.value} onChange={setKeysOn} />
      <p class="hint">
        {config.value?.version === undefined ? null : <>Fantail {config.value.version}. </>}
        The figures come from <code>$sys/&lt;node&gt;/stats</code>; the same are at{" "}
        <a href="/metrics">/metrics</a> for Prometheus. What this page is made of:{" "}
        <a href="/console/licenses.txt">licenses</a>.
      </p>
    </Dialog>
  );
}
