/**
 * A list of any length of which only the rows in sight are in the document. Rows are elements that
 * are used again and again: as the list moves on, one is filled anew and put elsewhere. Everything
 * is done once a frame, in draw(), however often things changed before.
 */
import * as rows from "../model/rows.js";

export interface LongListOptions {
  /** The element that scrolls; its content is the list's. */
  host: HTMLElement;
  /** Makes the element of a row, with nothing in it yet. */
  make: () => HTMLElement;
  /** Draws the row of this number. */
  fill: (element: HTMLElement, number: number) => void;
  /**
   * Rows have the numbers `first` to `end - 1`. Asked in each frame in which something is drawn.
   */
  range: () => rows.Span;
  /** Told after each frame in which something was drawn: which numbers are drawn. */
  onDrawn?: (span: rows.Span) => void;
}

interface Slot {
  element: HTMLElement;
  number: number;
  top: number;
}

const NONE = -1;
let lists = 0;

export class LongList {
  /** Stays at its end while it grows. */
  follow = false;
  readonly #options: LongListOptions;
  readonly #sizer: HTMLElement;
  readonly #sizes: ResizeObserver;
  readonly #id = `rows-${++lists}`;
  #slots: Slot[] = [];
  #first = 0;
  #end = 0;
  #rowHeight = 0;
  #height = 0;
  #sizerHeight = -1;
  #active = NONE;
  #stale = true;
  #frame = 0;

  constructor(options: LongListOptions) {
    this.#options = options;
    this.#sizer = document.createElement("div");
    this.#sizer.className = "rows-all";
    this.#sizer.setAttribute("role", "presentation");
    options.host.append(this.#sizer);
    options.host.addEventListener("scroll", this.schedule, { passive: true });
    this.#sizes = new ResizeObserver(() => this.#measure());
    this.#sizes.observe(options.host);
    this.#measure();
  }

  /** What rows show has changed, not only which there are. */
  refill(): void {
    this.#stale = true;
    this.schedule();
  }

  get count(): number {
    return this.#end - this.#first;
  }

  get isAtEnd(): boolean {
    const { host } = this.#options;
    return host.scrollTop >= rows.lastTop(this.count, this.#rowHeight, this.#height) - 2;
  }

  get active(): number | null {
    return this.#active >= this.#first && this.#active < this.#end ? this.#active : null;
  }

  /** The row that the keys are at; readers of screens are told by `aria-activedescendant`. */
  setActive(number: number | null, show: boolean): void {
    this.#active = number ?? NONE;
    if (show && number !== null) {
      const { host } = this.#options;
      const view = { top: host.scrollTop, height: this.#height };
      host.scrollTop = rows.topToShow(number - this.#first, this.#rowHeight, view);
    }
    this.refill();
  }

  /** The number that a key leads to from the active row, or null. */
  afterKey(key: string): number | null {
    const inSight = Math.floor(this.#height / this.#rowHeight);
    const from = this.active ?? (this.follow ? this.#end : this.#first - 1);
    const next = rows.rowAfterKey(key, from - this.#first, this.count, inSight);
    return next === null ? null : this.#first + next;
  }

  /** The number of the row that an event happened in. */
  numberAt(target: EventTarget | null): number | null {
    if (!(target instanceof Node)) return null;
    return this.#slots.find((slot) => slot.element.contains(target))?.number ?? null;
  }

  /** The element that shows a row, while it is in sight. */
  elementOf(number: number): HTMLElement | null {
    return this.#slots.find((slot) => slot.number === number)?.element ?? null;
  }

  readonly schedule = (): void => {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      ({ first: this.#first, end: this.#end } = this.#options.range());
      this.#draw();
    });
  };

  destroy(): void {
    cancelAnimationFrame(this.#frame);
    this.#sizes.disconnect();
    this.#options.host.removeEventListener("scroll", this.schedule);
    this.#sizer.remove();
  }

  /** Style sheets say how high a row is: it differs between a desk and a phone. */
  #measure(): void {
    const { host } = this.#options;
    const height = parseFloat(getComputedStyle(host).getPropertyValue("--row-height"));
    this.#rowHeight = height || 28;
    this.#height = host.clientHeight;
    const wanted = rows.poolSize(this.#rowHeight, this.#height);
    for (const slot of this.#slots.splice(wanted)) slot.element.remove();
    while (this.#slots.length < wanted) this.#slots.push(this.#makeSlot(this.#slots.length));
    for (const slot of this.#slots) slot.number = NONE;
    this.#stretch();
    // What somebody looks at closely makes the list smaller, and stays in sight.
    if (this.active === null) this.refill();
    else this.setActive(this.active, true);
  }

  /** Makes the scroll bar that of all rows. */
  #stretch(): void {
    const height = this.count * this.#rowHeight;
    if (height !== this.#sizerHeight) this.#sizer.style.height = `${height}px`;
    this.#sizerHeight = height;
  }

  #makeSlot(index: number): Slot {
    const element = this.#options.make();
    element.id = `${this.#id}-${index}`;
    element.hidden = true;
    this.#sizer.append(element);
    return { element, number: NONE, top: -1 };
  }

  #draw(): void {
    const { host } = this.#options;
    this.#stretch();
    const last = rows.lastTop(this.count, this.#rowHeight, this.#height);
    const top = this.follow ? last : Math.min(host.scrollTop, last);
    if (this.follow && host.scrollTop !== last) host.scrollTop = last;
    const span = rows.spanInSight(this.count, this.#rowHeight, { top, height: this.#height });
    const stale = this.#stale;
    this.#stale = false;
    this.#hideOthers(this.#first + span.first, this.#first + span.end);
    for (let row = span.first; row < span.end; row += 1) this.#place(this.#first + row, row, stale);
    this.#tellActive();
    this.#options.onDrawn?.({ first: this.#first + span.first, end: this.#first + span.end });
  }

  #hideOthers(first: number, end: number): void {
    for (const slot of this.#slots) {
      if (slot.number === NONE || (slot.number >= first && slot.number < end)) continue;
      slot.number = NONE;
      slot.element.hidden = true;
    }
  }

  #place(number: number, row: number, stale: boolean): void {
    const slot = this.#slots[number % this.#slots.length];
    if (!slot) return;
    if (slot.number !== number || stale) {
      if (slot.number === NONE) slot.element.hidden = false;
      slot.number = number;
      this.#options.fill(slot.element, number);
    }
    const top = row * this.#rowHeight;
    if (slot.top !== top) slot.element.style.transform = `translateY(${top}px)`;
    slot.top = top;
  }

  #tellActive(): void {
    const { host } = this.#options;
    const element = this.#active === NONE ? null : this.elementOf(this.#active);
    const told = host.getAttribute("aria-activedescendant");
    if (element && told !== element.id) host.setAttribute("aria-activedescendant", element.id);
    else if (!element && told !== null) host.removeAttribute("aria-activedescendant");
  }
}
