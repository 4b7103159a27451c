/** The console's few icons, drawn on 20 by 20 in the colour of the text beside them. */
const PATHS = {
  overview: "M3 16.5V9m4.7 7.5V4m4.6 12.5V11M17 16.5V6.5",
  topics: "M4 4v11.5h5M4 8.5h5M12 8.5h5M12 15.5h5M4 4h3",
  watch:
    "M2 10s3-5.5 8-5.5 8 5.5 8 5.5-3 5.5-8 5.5S2 10 2 10z" +
    "m8 2.4a2.4 2.4 0 1 0 0-4.8 2.4 2.4 0 0 0 0 4.8z",
  publish: "M17 3 9 11m8-8-5 14-3-6-6-3z",
  sessions:
    "M7 9.5a3 3 0 1 0 0-6 3 3 0 0 0 0 6zm-5 7c0-3 2-4.8 5-4.8s5 1.8 5 4.8" +
    "M13 3.9a3 3 0 0 1 0 5.3m1.6 2.8c2 .6 3.2 2.2 3.2 4.5",
  sun:
    "M10 13.5a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM10 1.5v2m0 13v2M1.5 10h2m13 0h2" +
    "M4 4l1.4 1.4m9.2 9.2L16 16m0-12-1.4 1.4M5.4 14.6 4 16",
  moon: "M16.5 12.2A7 7 0 0 1 7.8 3.5a7 7 0 1 0 8.7 8.7z",
  system: "M3 4h14v9.5H3zM7 17h6m-3-3.5V17",
  help: "M7.4 7.4a2.7 2.7 0 1 1 4 2.4c-.9.5-1.4 1-1.4 2.2m0 2.9v.1",
  signout: "M12 4H4v12h8m-4-6h9.5m-3-3 3 3-3 3",
  signin: "M8 4h8v12H8m4-6H2.5m6-3 3 3-3 3",
  close: "m5 5 10 10M15 5 5 15",
  copy: "M7 7h9.5v9.5H7zM13 7V3.5H3.5V13H7",
  check: "m4 10.5 4 4 8-9",
  search: "M9 14.5a5.5 5.5 0 1 0 0-11 5.5 5.5 0 0 0 0 11zm4-1.5 4 4",
  pause: "M7 4v12M13 4v12",
  play: "M6 3.5v13l10-6.5z",
  down: "M10 4v9.5m-4-4 4 4 4-4M4 16.5h12",
  chevron: "m7.5 5 5 5-5 5",
  more: "M5 10h.01M10 10h.01M15 10h.01",
  trash: "M4 6h12M8 6V3.5h4V6m-6.5 0 .7 10.5h7.6L14.5 6",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon(props: { name: IconName; class?: string }) {
  return (
    <svg
      class={`icon ${props.class ?? ""}`}
      viewBox="0 0 20 20"
      aria-hidden="true"
      focusable="false"
    >
      <path d={PATHS[props.name]} />
    </svg>
  );
}

/** One line in, five out: a fan, and what a broker does. */
export function Logo() {
  return (
    <svg class="logo" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d="M3.5 20.5 6 3m-2.5 17.5L13 4.5m-9.5 16L19 11m-15.5 9.5L21 18M3.5 20.5h0" />
      <circle cx="3.5" cy="20.5" r="2" />
    </svg>
  );
}
