// The colours that were chosen, before anything is drawn: src/theme.ts has the rest.
{
  const chosen = localStorage.getItem("fantail.theme");
  const dark = chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = dark ? "dark" : "light";
}
