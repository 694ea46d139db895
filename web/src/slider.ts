/** The slider below a stack: planes, how sharp each is, and which have not come yet. */
import { clamp, el, fitCanvas } from './dom.js';
import type { StackMeta } from './stack-meta.js';

export class Slider {
  readonly element: HTMLElement;
  readonly #range: HTMLInputElement;
  readonly #curve = el('canvas', { 'aria-hidden': 'true' });
  readonly #where = el('output', { class: 'where' });
  readonly #cursor = el('span', { class: 'cursor' });
  readonly #zoom = el('span', { class: 'zoom' });
  readonly #watch: ResizeObserver;
  #meta: StackMeta;
  #focus: readonly (number | null)[] = [];
  #plane = 0;

  constructor(meta: StackMeta, go: (plane: number) => void) {
    this.#meta = meta;
    this.#range = el('input', {
      type: 'range', min: 0, max: Math.max(0, meta.planes.length - 1), step: 1,
      'aria-label': `${meta.z_label}; the line above shows how sharp each one is`,
      oninput: () => go(this.#range.valueAsNumber),
    });
    this.element = el('div', { class: 'slider' },
      this.#where, el('div', { class: 'track' }, this.#curve, this.#range), this.#cursor, this.#zoom);
    if (meta.planes.length < 2) this.element.classList.add('single');
    this.#watch = new ResizeObserver(() => this.draw());
    this.#watch.observe(this.#curve);
  }

  set meta(meta: StackMeta) {
    this.#meta = meta;
    this.show(this.#plane);
  }

  set focus(focus: readonly (number | null)[]) {
    this.#focus = focus;
    this.draw();
  }

  show(plane: number): void {
    this.#plane = plane;
    const { planes, z_label } = this.#meta;
    const at = planes[plane];
    this.#range.value = String(plane);
    const what = z_label.toLowerCase();
    const depth = at?.z_um != null && planes.length > 1 ? ` · ${at.z_um.toFixed(2)} µm` : '';
    const text = `${what} ${plane + 1} of ${planes.length}${depth}${at?.key === null ? ' · not here yet' : ''}`;
    this.#where.textContent = text;
    this.#range.setAttribute('aria-valuetext', text);
    this.draw();
  }

  /** Say where the cursor is, and how large a pixel is on screen. */
  say(cursor: string, scale: number): void {
    this.#cursor.textContent = cursor;
    this.#zoom.textContent = `${(scale * 100).toFixed(scale < 0.1 ? 1 : 0)} %`;
  }

  draw(): void {
    const canvas = this.#curve;
    const to = canvas.getContext('2d', { willReadFrequently: true });
    if (!to || !canvas.clientWidth) return;
    fitCanvas(canvas);
    const dense = canvas.width / canvas.clientWidth;
    const style = getComputedStyle(canvas);
    const planes = this.#meta.planes;
    // The thumb's middle goes from one half of its width (16 px) to the other end less a half.
    const x = (plane: number): number =>
      8 * dense + (plane / Math.max(1, planes.length - 1)) * (canvas.width - 16 * dense);
    to.clearRect(0, 0, canvas.width, canvas.height);
    const step = x(1) - x(0);
    to.fillStyle = style.getPropertyValue('--gap');
    planes.forEach((plane, i) => {
      if (plane.key === null) to.fillRect(x(i) - step / 2, canvas.height - 5 * dense, Math.ceil(step), 5 * dense);
    });
    this.#line(to, x, dense, style.getPropertyValue('--accent'));
    to.fillStyle = style.getPropertyValue('--accent');
    to.fillRect(Math.round(x(this.#plane) - dense / 2), 0, Math.max(1, Math.round(dense)), canvas.height);
  }

  #line(to: CanvasRenderingContext2D, x: (plane: number) => number, dense: number, colour: string): void {
    const known = this.#focus.filter((value) => value !== null);
    const low = Math.min(...known);
    const range = Math.max(...known) - low;
    if (known.length < 2 || !(range > 0)) return;
    to.beginPath();
    let pen = false;
    this.#focus.forEach((value, i) => {
      if (value === null) return void (pen = false);
      const y = to.canvas.height - 6 * dense - clamp((value - low) / range, 0, 1) * (to.canvas.height - 9 * dense);
      if (pen) to.lineTo(x(i), y);
      else to.moveTo(x(i), y);
      pen = true;
    });
    to.strokeStyle = colour;
    to.lineWidth = 1.5 * dense;
    to.lineJoin = 'round';
    to.stroke();
  }

  destroy(): void {
    this.#watch.disconnect();
  }
}
