/** Mouse, touch, pen, wheel and keys on a picture, told as what the reader means. Lengths in CSS pixels. */

export interface Meant {
  pan(dx: number, dy: number): void;
  /** Zoom by a factor around a place on the canvas, or around its middle. */
  zoom(factor: number, x?: number, y?: number): void;
  fit(): void;
  /** Go on by so many planes. */
  step(planes: number): void;
  /** Go to the first (0) or the last (1) plane. */
  end(which: 0 | 1): void;
  tap(x: number, y: number): void;
  /** The mouse is over a place, or has left. */
  hover(x: number | null, y: number | null): void;
}

// A mouse's notch is about 100; a touchpad sends many small steps, which add up to one plane at this many pixels.
const NOTCH_PX = 60;
const FAR = 10;
const PAN_PX = 80;

/** Listen on `on`; returns what ends it. */
export function gestures(on: HTMLElement, meant: Meant): () => void {
  const end = new AbortController();
  const { signal } = end;
  on.style.touchAction = 'none';
  pointers(on, meant, signal);
  wheel(on, meant, signal);
  on.addEventListener('keydown', (event) => keys(event, meant), { signal });
  return () => end.abort();
}

function pointers(on: HTMLElement, meant: Meant, signal: AbortSignal): void {
  const down = new Map<number, readonly [number, number]>();
  let moved = 0;
  const place = (event: PointerEvent | MouseEvent): readonly [number, number] => {
    const box = on.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  on.addEventListener('pointerdown', (event) => {
    if (event.button > 1) return;
    on.setPointerCapture(event.pointerId);
    down.set(event.pointerId, place(event));
    if (down.size === 1) moved = 0;
  }, { signal });
  on.addEventListener('pointermove', (event) => {
    const now = place(event);
    if (event.pointerType === 'mouse') meant.hover(now[0], now[1]);
    const before = down.get(event.pointerId);
    if (!before) return;
    const others = [...down].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
    down.set(event.pointerId, now);
    moved += Math.hypot(now[0] - before[0], now[1] - before[1]);
    const [other] = others;
    if (other) pinch(before, now, other, meant);
    else if (moved > 3) meant.pan(now[0] - before[0], now[1] - before[1]);
  }, { signal });
  const up = (event: PointerEvent): void => {
    if (!down.delete(event.pointerId)) return;
    if (event.type === 'pointerup' && down.size === 0 && moved <= 3) meant.tap(...place(event));
    if (down.size > 0) moved = 99; // the second finger of a pinch is no tap
  };
  on.addEventListener('pointerup', up, { signal });
  on.addEventListener('pointercancel', up, { signal });
  on.addEventListener('pointerleave', () => meant.hover(null, null), { signal });
  on.addEventListener('dblclick', (event) => meant.zoom(event.shiftKey ? 0.5 : 2, ...place(event)), { signal });
}

function pinch(before: readonly [number, number], now: readonly [number, number], other: readonly [number, number], meant: Meant): void {
  const apart = (a: readonly [number, number]): number => Math.max(10, Math.hypot(a[0] - other[0], a[1] - other[1]));
  // The middle between two fingers goes half as far as the one that moves.
  meant.pan((now[0] - before[0]) / 2, (now[1] - before[1]) / 2);
  meant.zoom(apart(now) / apart(before), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
}

function wheel(on: HTMLElement, meant: Meant, signal: AbortSignal): void {
  let sum = 0;
  on.addEventListener('wheel', (event) => {
    event.preventDefault();
    const delta = event.deltaY * (event.deltaMode === WheelEvent.DOM_DELTA_PIXEL ? 1 : 33);
    if (event.ctrlKey || event.metaKey) {
      const box = on.getBoundingClientRect();
      // A touchpad's pinch comes as a wheel with ctrl and small steps.
      const speed = Math.abs(delta) < 30 ? 100 : 300;
      return meant.zoom(Math.exp(-delta / speed), event.clientX - box.left, event.clientY - box.top);
    }
    sum = Math.abs(delta) >= NOTCH_PX || Math.sign(delta) !== Math.sign(sum) ? delta : sum + delta;
    if (Math.abs(sum) < NOTCH_PX) return;
    meant.step(Math.sign(sum));
    sum = 0;
  }, { signal, passive: false });
}

function keys(event: KeyboardEvent, meant: Meant): void {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const pans: Record<string, [number, number]> = {
    ArrowLeft: [PAN_PX, 0], ArrowRight: [-PAN_PX, 0], ArrowUp: [0, PAN_PX], ArrowDown: [0, -PAN_PX],
  };
  // As on a slider: up and right go on, down and left go back.
  const does: Record<string, () => void> = {
    ArrowUp: () => meant.step(1),
    ArrowRight: () => meant.step(1),
    ArrowDown: () => meant.step(-1),
    ArrowLeft: () => meant.step(-1),
    PageUp: () => meant.step(FAR),
    PageDown: () => meant.step(-FAR),
    Home: () => meant.end(0),
    End: () => meant.end(1),
    '+': () => meant.zoom(1.5),
    '=': () => meant.zoom(1.5),
    '-': () => meant.zoom(1 / 1.5),
    '0': () => meant.fit(),
  };
  const pan = event.shiftKey ? pans[event.key] : undefined;
  const action = pan ? () => meant.pan(...pan) : does[event.key];
  if (!action) return;
  event.preventDefault();
  action();
}
