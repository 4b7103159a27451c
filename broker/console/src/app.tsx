/** The frame around every page: where one is, how it stands with the broker, and how to get
 * elsewhere. */
import type { FunctionComponent } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { signal } from "@preact/signals";
import { addKeys } from "./keys.js";
import { go, href, route } from "./route.js";
import { setTheme, theme, type Theme } from "./theme.js";
import {
  askToSignIn,
  cancelSignIn,
  client,
  config,
  signedIn,
  signIn,
  signOut,
  welcome,
} from "./store.js";
import { findings } from "./overview/findings_now.js";
import { Connection } from "./frame/connection.js";
import { Help } from "./frame/help.js";
import { SignInForm } from "./frame/signin.js";
import { Asking, Dialog } from "./parts/dialog.js";
import { IconButton } from "./parts/controls.js";
import { Icon, Logo, type IconName } from "./parts/icons.js";
import { Toasts } from "./parts/toast.js";
import { OverviewPage } from "./pages/overview.js";
import { PublishPage } from "./pages/publish.js";
import { SessionsPage } from "./pages/sessions.js";
import { TopicsPage } from "./pages/topics.js";
import { WatchPage } from "./pages/watch.js";

interface Page {
  /** In the hash; the overview's is empty. */
  name: string;
  title: string;
  icon: IconName;
  /** After `g`. */
  key: string;
  view: FunctionComponent;
}

const PAGES: readonly Page[] = [
  { name: "", title: "Overview", icon: "overview", key: "o", view: OverviewPage },
  { name: "topics", title: "Topics", icon: "topics", key: "t", view: TopicsPage },
  { name: "watch", title: "Watch", icon: "watch", key: "w", view: WatchPage },
  { name: "publish", title: "Publish", icon: "publish", key: "p", view: PublishPage },
  { name: "sessions", title: "Sessions", icon: "sessions", key: "s", view: SessionsPage },
];

const THEMES: Record<Theme, { next: Theme; icon: IconName; label: string }> = {
  system: { next: "light", icon: "system", label: "Colours: as the system" },
  light: { next: "dark", icon: "sun", label: "Colours: light" },
  dark: { next: "system", icon: "moon", label: "Colours: dark" },
};

const helpOpen = signal(false);

/** What `/` goes to: a page marks its field with `data-search`. */
function focusSearch(): void {
  const field = document.querySelector<HTMLInputElement>("[data-search]");
  field?.focus();
  field?.select();
}

addKeys([
  ...PAGES.map((page) => ({ keys: `g ${page.key}`, text: page.title, run: () => go(page.name) })),
  { keys: "/", text: "Search on this page", run: focusSearch },
  { keys: "?", text: "This help", run: () => (helpOpen.value = true) },
]);

function Navigation(props: { current: Page | undefined }) {
  const urgent = findings.value.filter((found) => found.tone === "bad").length;
  return (
    <nav class="pages" aria-label="Pages">
      {PAGES.map((page) => (
        <a
          key={page.name}
          href={href(page.name)}
          aria-current={page === props.current ? "page" : undefined}
        >
          <Icon name={page.icon} />
          <span>{page.title}</span>
          {page.name === "" && urgent > 0 ? (
            <span class="count" aria-label={`${urgent} urgent`}>
              {urgent}
            </span>
          ) : null}
        </a>
      ))}
    </nav>
  );
}

function Tools() {
  const now = THEMES[theme.value];
  const token = config.value?.auth || signedIn.value;
  return (
    <div class="tools">
      <IconButton icon={now.icon} label={now.label} onClick={() => setTheme(now.next)} />
      <IconButton
        class="help"
        icon="help"
        label="Keys and help"
        onClick={() => (helpOpen.value = true)}
      />
      {signedIn.value ? (
        <IconButton icon="signout" label="Sign out" onClick={signOut} />
      ) : token && client.value ? (
        <IconButton icon="signin" label="Sign in" onClick={askToSignIn} />
      ) : null}
    </div>
  );
}

function Content(props: { page: Page | undefined }) {
  if (signIn.value.asked && !client.value) return <SignInForm />;
  if (!props.page) {
    return (
      <div class="empty">
        <p class="empty-title">There is no such page</p>
        <p>
          <a href={href("")}>Go to the overview</a>
        </p>
      </div>
    );
  }
  const View = props.page.view;
  return <View />;
}

export function App() {
  const page = PAGES.find((p) => p.name === route.value.page);
  const main = useRef<HTMLElement>(null);
  const shown = useRef(page);
  useEffect(() => {
    if (shown.current !== page) main.current?.focus();
    shown.current = page;
  }, [page]);
  const node = welcome.value?.node ?? config.value?.node;
  useEffect(() => {
    document.title = [page?.title, node, "Fantail"].filter(Boolean).join(" · ");
  }, [page, node]);
  return (
    <>
      <a
        class="skip"
        href="#main"
        onClick={(event) => {
          event.preventDefault();
          main.current?.focus();
        }}
      >
        Skip to the content
      </a>
      <header class="top">
        <a class="brand" href={href("")} aria-label="Fantail, overview">
          <Logo />
          <span>Fantail</span>
        </a>
        <Navigation current={page} />
        <Connection />
        <Tools />
      </header>
      <main id="main" ref={main} tabIndex={-1}>
        <h1 class="offscreen">{page?.title ?? "Nothing here"}</h1>
        <Content page={page} />
      </main>
      <Toasts />
      <Asking />
      {helpOpen.value ? <Help onClose={() => (helpOpen.value = false)} /> : null}
      {signIn.value.asked && client.value ? (
        <Dialog title="Sign in" onClose={cancelSignIn}>
          <SignInForm />
        </Dialog>
      ) : null}
    </>
  );
}
