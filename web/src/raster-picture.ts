/** Draws spikes: counts as colours from afar, single spikes from close, one row for each unit. */
import { lut } from './colours.js';
import { clamp, el, fitCanvas } from './dom.js';
import type { Counts, Spikes } from './raster-meta.js';
import { GUTTER_PX, MARGIN_PX, partOf, type Span } from './span.js';
import { labelColour, PALETTE, type Stretches } from './traces-meta.js';

const AXIS_PX = 40;
const TOP_PX = 4;
const LEAST_PX = 160;
const MOST_PX = 560;

export interface Shown {
  order: readonly number[];
  map: string;
  /** Contrast: 1 shows the most as the brightest, more shows less of it so. */
  gain: number;
  chosen: number | null;
  /** Runs of neighbours that have the same value in the column of the order. */
  groups: readonly { name: string; from: number; to: number }[];
}

export class RasterPicture {
  readonly canvas = el('canvas', { role: 'img', tabindex: 0 });
  readonly #span: Span;
  readonly #sheet = el('canvas');
  #counts: Counts | null = null;
  #spikes: Spikes | null = null;
  #bars: Stretches | null = null;
  #shown: Shown = { order: [], map: 'viridis', gain: 1, chosen: null, groups: [] };

  constructor(span: Span, units: number) {
    this.#span = span;
    this.canvas.style.height = `${clamp(units * 12, LEAST_PX, MOST_PX) + AXIS_PX + TOP_PX}px`;
  }

  /** Which part of the window a place on screen is. */
  readonly part = partOf(this.canvas);

  /** The unit at a place on screen. */
  unit(clientY: number): number | null {
    const box = this.canvas.getBoundingClientRect();
    const place = ((clientY - box.top - TOP_PX) / (box.height - AXIS_PX - TOP_PX)) * this.#shown.order.length;
    return this.#shown.order[Math.floor(place)] ?? null;
  }

  get width(): number {
    return Math.max(50, this.canvas.clientWidth - GUTTER_PX - MARGIN_PX);
  }

  arrange(shown: Shown): void {
    this.#shown = shown;
    this.#colour();
    this.draw();
  }

  show(counts: Counts | null, spikes: Spikes | null, bars: Stretches | null): void {
    if (counts) {
      this.#counts = counts;
      this.#colour();
    }
    this.#spikes = spikes;
    this.#bars = bars;
    this.draw();
  }

  /** Count under a place, for the readout. */
  count(unit: number, time: number): number | null {
    const found = this.#counts;
    if (!found) return null;
    const bin = Math.floor((time - found.from_s) / found.bin_s);
    return bin < 0 || bin >= found.bins ? null : Math.round((found.values[unit * found.bins + bin] ?? 0) * found.scale);
  }

  get binWidth(): number {
    return this.#counts?.bin_s ?? 0;
  }

  /** Colours of all counts, a row for each unit in the order shown. */
  #colour(): void {
    const found = this.#counts;
    const { order, map, gain } = this.#shown;
    const to = this.#sheet.getContext('2d');
    if (!found || !to || !found.bins || !order.length) return;
    this.#sheet.width = found.bins;
    this.#sheet.height = order.length;
    const picture = to.createImageData(found.bins, order.length);
    const pixels = new Uint32Array(picture.data.buffer);
    const colours = new Uint32Array(lut(map).buffer);
    // Counts of neurons spread over decades: their square root shows the few and the many.
    const table = Uint32Array.from({ length: 256 }, (_, value) =>
      colours[Math.min(255, Math.round(Math.sqrt(value / Math.min(255, found.most || 1)) * 255 * gain))] ?? 0);
    order.forEach((unit, row) => {
      const from = unit * found.bins;
      const at = row * found.bins;
      for (let bin = 0; bin < found.bins; bin++) pixels[at + bin] = table[found.values[from + bin] ?? 0] ?? 0;
    });
    to.putImageData(picture, 0, 0);
  }

  draw(): void {
    const to = this.canvas.getContext('2d');
    const wide = this.canvas.clientWidth;
    if (!to || wide <= GUTTER_PX) return;
    fitCanvas(this.canvas);
    const dense = this.canvas.width / wide;
    const tall = this.canvas.clientHeight;
    const style = getComputedStyle(this.canvas);
    const look = { ink: style.getPropertyValue('--dim'), bright: style.getPropertyValue('--fg'), accent: style.getPropertyValue('--accent'), grid: style.getPropertyValue('--line') };
    to.setTransform(dense, 0, 0, dense, 0, 0);
    to.clearRect(0, 0, wide, tall);
    const box = { left: GUTTER_PX, top: TOP_PX, width: wide - GUTTER_PX - MARGIN_PX, height: tall - AXIS_PX - TOP_PX };
    const x = (time: number): number => box.left + ((time - this.#span.from) / this.#span.length) * box.width;
    to.save();
    to.beginPath();
    to.rect(box.left, box.top, box.width, box.height);
    to.clip();
    if (this.#spikes && !this.#spikes.many) this.#single(to, box, x, look.bright);
    else this.#many(to, box, x);
    to.restore();
    this.#names(to, box, look);
    axis(to, box, this.#span, x, look);
  }

  #many(to: CanvasRenderingContext2D, box: Box, x: (time: number) => number): void {
    const found = this.#counts;
    if (!found?.bins) return;
    to.fillStyle = `rgb(${lut(this.#shown.map).slice(0, 3).join()})`;
    to.fillRect(box.left, box.top, box.width, box.height);
    to.imageSmoothingEnabled = false;
    const [left, right] = [x(found.from_s), x(found.from_s + found.bins * found.bin_s)];
    to.drawImage(this.#sheet, left, box.top, right - left, box.height);
  }

  #single(to: CanvasRenderingContext2D, box: Box, x: (time: number) => number, ink: string): void {
    const { order, groups } = this.#shown;
    const bars = this.#bars;
    to.globalAlpha = 0.16;
    bars?.start.forEach((start, i) => {
      to.fillStyle = labelColour(bars.labels, bars.label[i] ?? '');
      to.fillRect(x(start), box.top, Math.max(1, x(bars.stop[i] ?? start) - x(start)), box.height);
    });
    to.globalAlpha = 1;
    const place = new Int32Array(order.length);
    const tint: string[] = order.map(() => ink);
    order.forEach((unit, row) => (place[unit] = row));
    groups.forEach(({ from, to: until }, i) => tint.fill(PALETTE[i % PALETTE.length] ?? ink, from, until));
    const tall = box.height / Math.max(1, order.length);
    const spike = Math.max(1, tall * 0.8);
    this.#spikes?.t.forEach((time, i) => {
      const row = place[this.#spikes?.row[i] ?? 0] ?? 0;
      to.fillStyle = tint[row] ?? ink;
      to.fillRect(x(time) - 0.5, box.top + row * tall + (tall - spike) / 2, 1.2, spike);
    });
  }

  /** Names of the groups left, and a mark at the unit that is chosen. */
  #names(to: CanvasRenderingContext2D, box: Box, look: Look): void {
    const { order, groups, chosen } = this.#shown;
    const tall = box.height / Math.max(1, order.length);
    to.font = '12px system-ui, "Liberation Sans", sans-serif';
    to.textAlign = 'right';
    to.textBaseline = 'middle';
    let free = -Infinity;
    groups.forEach(({ name, from, to: until }, i) => {
      const [top, bottom] = [box.top + from * tall, box.top + until * tall];
      to.fillStyle = PALETTE[i % PALETTE.length] ?? look.ink;
      to.fillRect(box.left - 5, top + 0.5, 3, Math.max(1, bottom - top - 1));
      const middle = (top + bottom) / 2;
      if (middle - 8 < free) return;
      free = middle + 8;
      to.fillStyle = look.ink;
      to.fillText(name.length > 13 ? `${name.slice(0, 12)}…` : name, box.left - 10, middle);
    });
    const row = chosen === null ? -1 : order.indexOf(chosen);
    if (row < 0) return;
    const middle = box.top + (row + 0.5) * tall;
    to.strokeStyle = look.accent;
    to.lineWidth = 2;
    to.strokeRect(box.left, middle - Math.max(3, tall / 2), box.width, Math.max(6, tall));
  }
}

interface Box {
  left: number;
  top: number;
  width: number;
  height: number;
}

interface Look {
  ink: string;
  bright: string;
  accent: string;
  grid: string;
}

function axis(to: CanvasRenderingContext2D, box: Box, span: Span, x: (time: number) => number, look: Look): void {
  const raw = span.length / Math.max(2, box.width / 64);
  const size = 10 ** Math.floor(Math.log10(raw));
  const step = ([1, 2, 5, 10].find((n) => n * size >= raw) ?? 10) * size;
  const bottom = box.top + box.height;
  to.strokeStyle = look.grid;
  to.fillStyle = look.ink;
  to.lineWidth = 1;
  to.textAlign = 'center';
  to.textBaseline = 'top';
  for (let n = Math.ceil(span.from / step); n * step <= span.to; n++) {
    const at = Math.round(x(n * step)) + 0.5;
    to.beginPath();
    to.moveTo(at, bottom);
    to.lineTo(at, bottom + 5);
    to.stroke();
    to.fillText((n * step).toLocaleString('en-US', { maximumFractionDigits: 6 }), at, bottom + 8);
  }
  to.fillText('time (s)', box.left + box.width / 2, bottom + 24);
}
