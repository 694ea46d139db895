/** Mouse, touch, pen, wheel and keys on a slice, told as what the reader means. Lengths in CSS pixels. */

export interface Meant {
  /** Put the crosshair here. */
  point(x: number, y: number): void;
  /** The mouse is here, or has left. */
  hover(x: number | null, y: number | null): void;
  pan(dx: number, dy: number): void;
  zoom(factor: number, x: number, y: number): void;
  fit(): void;
  /** Move the crosshair by voxels: across, down, through the slice. */
  move(across: number, down: number, through: number): void;
}

const NOTCH_PX = 60;
const FAR = 10;

/** Listen on `on`; returns what ends it. Where the view is not `alone` on its page, the wheel scrolls unless it has the focus. */
export function hands(on: HTMLElement, meant: Meant, alone: boolean): () => void {
  const end = new AbortController();
  const { signal } = end;
  // A finger that goes up or down scrolls the page, since slices fill the width of a phone.
  on.style.touchAction = 'pan-y';
  pointers(on, meant, signal);
  wheel(on, meant, alone, signal);
  on.addEventListener('keydown', (event) => keys(event, on, meant), { signal });
  return () => end.abort();
}

type Place = readonly [number, number];

function pointers(on: HTMLElement, meant: Meant, signal: AbortSignal): void {
  const down = new Map<number, Place>();
  let panning = false;
  const place = (event: MouseEvent): Place => {
    const box = on.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  on.addEventListener('pointerdown', (event) => {
    if (event.button > 1) return;
    on.setPointerCapture(event.pointerId);
    down.set(event.pointerId, place(event));
    panning = event.shiftKey || event.button === 1 || down.size > 1;
    if (!panning) meant.point(...place(event));
  }, { signal });
  on.addEventListener('pointermove', (event) => {
    const now = place(event);
    if (event.pointerType === 'mouse') meant.hover(...now);
    const before = down.get(event.pointerId);
    if (!before) return;
    const [other] = [...down].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
    down.set(event.pointerId, now);
    if (other) pinch(before, now, other, meant);
    else if (panning) meant.pan(now[0] - before[0], now[1] - before[1]);
    else meant.point(...now);
  }, { signal });
  const up = (event: PointerEvent): void => void down.delete(event.pointerId);
  on.addEventListener('pointerup', up, { signal });
  on.addEventListener('pointercancel', up, { signal });
  on.addEventListener('pointerleave', () => meant.hover(null, null), { signal });
  on.addEventListener('dblclick', (event) => meant.zoom(event.shiftKey ? 0.5 : 2, ...place(event)), { signal });
}

function pinch(before: Place, now: Place, other: Place, meant: Meant): void {
  const apart = (a: Place): number => Math.max(10, Math.hypot(a[0] - other[0], a[1] - other[1]));
  meant.pan((now[0] - before[0]) / 2, (now[1] - before[1]) / 2);
  meant.zoom(apart(now) / apart(before), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
}

function wheel(on: HTMLElement, meant: Meant, alone: boolean, signal: AbortSignal): void {
  let sum = 0;
  on.addEventListener('wheel', (event) => {
    if (!alone && document.activeElement !== on && !event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    const delta = event.deltaY * (event.deltaMode === WheelEvent.DOM_DELTA_PIXEL ? 1 : 33);
    if (event.ctrlKey || event.metaKey) {
      const box = on.getBoundingClientRect();
      const speed = Math.abs(delta) < 30 ? 100 : 300;
      return meant.zoom(Math.exp(-delta / speed), event.clientX - box.left, event.clientY - box.top);
    }
    sum = Math.abs(delta) >= NOTCH_PX || Math.sign(delta) !== Math.sign(sum) ? delta : sum + delta;
    if (Math.abs(sum) < NOTCH_PX) return;
    meant.move(0, 0, Math.sign(sum));
    sum = 0;
  }, { signal, passive: false });
}

function keys(event: KeyboardEvent, on: HTMLElement, meant: Meant): void {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const far = event.shiftKey ? FAR : 1;
  const [x, y] = [on.clientWidth / 2, on.clientHeight / 2];
  const does: Record<string, () => void> = {
    ArrowLeft: () => meant.move(-far, 0, 0),
    ArrowRight: () => meant.move(far, 0, 0),
    ArrowUp: () => meant.move(0, -far, 0),
    ArrowDown: () => meant.move(0, far, 0),
    PageUp: () => meant.move(0, 0, -far),
    PageDown: () => meant.move(0, 0, far),
    '+': () => meant.zoom(1.5, x, y),
    '=': () => meant.zoom(1.5, x, y),
    '-': () => meant.zoom(1 / 1.5, x, y),
    '0': () => meant.fit(),
  };
  const action = does[event.key];
  if (!action) return;
  event.preventDefault();
  action();
}
