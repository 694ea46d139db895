/** The stretch of time on screen: what moves it, what it is bounded by, where it is written down. Times in s. */
import type { Bus } from './bus.js';
import { clamp } from './dom.js';
import type { State } from './state.js';

/** Width of what stands left of the time, the same for all that share the axis, and right of it, in px. */
export const GUTTER_PX = 104;
export const MARGIN_PX = 12;
const LEAST = 1e-7;
const WRITE_DECIMALS = 4;

/** A change of the window that comes from the same view, or from another one of the page. */
type Hear = () => void;

export class Span {
  readonly whole: readonly [number, number];
  /** The longest stretch shown at once. */
  readonly longest: number;
  from: number;
  to: number;
  readonly #state: State;
  readonly #bus: Bus | null;
  readonly #hear = new Set<Hear>();
  readonly #stop: () => void;

  /** `bus` is null for an axis that no other view has, such as a current. */
  constructor(whole: readonly [number, number], longest: number | null, state: State, bus: Bus | null) {
    const [from, to] = whole;
    this.whole = to > from ? whole : [from, from + 1];
    this.longest = Math.min(longest ?? Infinity, this.whole[1] - this.whole[0]);
    this.#state = state;
    this.#bus = bus;
    [this.from, this.to] = this.#bounded(this.whole[0], this.whole[0] + this.longest);
    const told = [state.get('from'), state.get('to')].map((text) => (text === null ? NaN : Number(text)));
    const [first = NaN, last = NaN] = told;
    if (first < last) [this.from, this.to] = this.#bounded(first, last);
    this.#stop = bus?.on('span', ({ from_s, to_s }) => this.#move(from_s, to_s), true) ?? (() => undefined);
  }

  get length(): number {
    return this.to - this.from;
  }

  /** Whether all that can be shown at once from the start is on screen. */
  get isStart(): boolean {
    return this.from === this.whole[0] && this.to === this.#bounded(this.whole[0], this.whole[0] + this.longest)[1];
  }

  on(hear: Hear): void {
    this.#hear.add(hear);
  }

  set(from: number, to: number): void {
    if (this.#move(from, to)) this.#bus?.emit('span', { from_s: this.from, to_s: this.to });
  }

  /** Move by a part of what is on screen. */
  pan(part: number): void {
    const by = clamp(part * this.length, this.whole[0] - this.from, this.whole[1] - this.to);
    if (by) this.set(this.from + by, this.to + by);
  }

  /** Show `factor` times as much detail around a place: a part of the window, from 0 to 1. */
  zoom(factor: number, part = 0.5): void {
    const length = clamp(this.length / factor, LEAST, this.longest);
    const from = this.from + (this.length - length) * part;
    this.set(from, from + length);
  }

  all(): void {
    this.set(this.whole[0], this.whole[0] + this.longest);
  }

  destroy(): void {
    this.#stop();
    this.#hear.clear();
  }

  #bounded(from: number, to: number): [number, number] {
    const [begin, end] = this.whole;
    const length = clamp(to - from, LEAST, this.longest);
    const start = clamp(from, begin, Math.max(begin, end - length));
    return [start, Math.min(end, start + length)];
  }

  #move(from: number, to: number): boolean {
    const [first, last] = this.#bounded(from, to);
    if (!(last > first) || (first === this.from && last === this.to)) return false;
    this.from = first;
    this.to = last;
    const places = Math.max(WRITE_DECIMALS, Math.ceil(-Math.log10(this.length)) + 3);
    const write = (name: string, value: number): void =>
      this.#state.set(name, this.isStart ? null : String(Number(value.toFixed(Math.min(9, places)))));
    write('from', first);
    write('to', last);
    for (const hear of this.#hear) hear();
    return true;
  }
}

/** Which part of the window, from 0 to 1, a place on an element is. */
export const partOf = (on: HTMLElement) => (clientX: number): number => {
  const box = on.getBoundingClientRect();
  return clamp((clientX - box.left - GUTTER_PX) / Math.max(1, box.width - GUTTER_PX - MARGIN_PX), 0, 1);
};

/** Wheel and keys on an element that shows time. */
export function timeGestures(on: HTMLElement, span: Span): () => void {
  const end = new AbortController();
  const part = partOf(on);
  on.addEventListener('wheel', (event) => {
    // Over the names at the left, the page scrolls.
    if (event.clientX < on.getBoundingClientRect().left + GUTTER_PX) return;
    event.preventDefault();
    const scale = event.deltaMode === WheelEvent.DOM_DELTA_PIXEL ? 1 : 33;
    if (Math.abs(event.deltaX) > Math.abs(event.deltaY) || event.shiftKey)
      return span.pan(((event.deltaX || event.deltaY) * scale) / 800);
    span.zoom(Math.exp((-event.deltaY * scale) / 300), part(event.clientX));
  }, { signal: end.signal, passive: false });
  on.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target !== on) return;
    const does: Record<string, () => void> = {
      ArrowLeft: () => span.pan(-0.2),
      ArrowRight: () => span.pan(0.2),
      PageUp: () => span.pan(-1),
      PageDown: () => span.pan(1),
      Home: () => span.pan(-Infinity),
      End: () => span.pan(Infinity),
      '+': () => span.zoom(1.5),
      '=': () => span.zoom(1.5),
      '-': () => span.zoom(1 / 1.5),
      '0': () => span.all(),
    };
    const action = does[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  }, { signal: end.signal });
  return () => end.abort();
}

/** Fingers on an element that shows time: one moves, two zoom. A mouse is left to what the view makes of it. */
export function timeTouch(on: HTMLElement, span: Span): () => void {
  const end = new AbortController();
  const part = partOf(on);
  const down = new Map<number, number>();
  on.style.touchAction = 'pan-y';
  on.addEventListener('pointerdown', (event) => {
    if (event.pointerType !== 'mouse') down.set(event.pointerId, part(event.clientX));
  }, { signal: end.signal });
  on.addEventListener('pointermove', (event) => {
    const before = down.get(event.pointerId);
    if (before === undefined) return;
    const now = part(event.clientX);
    const other = [...down].find(([id]) => id !== event.pointerId)?.[1];
    down.set(event.pointerId, now);
    if (other === undefined) return span.pan(before - now);
    const apart = (at: number): number => Math.max(0.02, Math.abs(at - other));
    span.zoom(apart(now) / apart(before), (now + other) / 2);
  }, { signal: end.signal });
  for (const name of ['pointerup', 'pointercancel', 'pointerleave'] as const)
    on.addEventListener(name, (event) => void down.delete(event.pointerId), { signal: end.signal });
  return () => end.abort();
}

/** A number of seconds with as many digits as the window can show. */
export function timeText(time: number, length: number): string {
  const places = clamp(Math.ceil(2.3 - Math.log10(Math.max(length, 1e-9))), 0, 6);
  return `${time.toFixed(places)}`;
}
