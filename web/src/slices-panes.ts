/** The rooms that slices are shown in, above one canvas: what is written and drawn over each, and its gestures. */
import { el } from './dom.js';
import type { Room } from './slices-eye.js';
import { hands, type Meant } from './slices-hands.js';
import { AXES, PLANES, type Plane, type SlicesMeta, type VolumeMeta } from './slices-meta.js';

const KEYS = 'Arrow keys move the crosshair, page up and page down go through the slices, plus and minus zoom, zero shows all';

export interface Pane {
  readonly plane: Plane;
  readonly volume: VolumeMeta;
  readonly element: HTMLElement;
  readonly room: Room & { x: number; y: number };
  place(x_px: number, y_px: number): void;
  caption(at_um: number): void;
}

export class Panes {
  readonly element = el('div', { class: 'cuts' });
  readonly canvas = el('canvas', { 'aria-hidden': 'true' });
  readonly #meta: SlicesMeta;
  readonly #meant: (pane: Pane) => Meant;
  readonly #corner: HTMLElement;
  #all: Pane[] = [];
  #ends: (() => void)[] = [];

  constructor(meta: SlicesMeta, corner: HTMLElement, meant: (pane: Pane) => Meant) {
    this.#meta = meta;
    this.#corner = corner;
    this.#meant = meant;
  }

  get all(): readonly Pane[] {
    return this.#all;
  }

  /** Make room for volumes: three slices around the corner for one, else a column for each. */
  show(volumes: readonly VolumeMeta[]): void {
    for (const end of this.#ends) end();
    this.#ends = [];
    const alone = volumes.length === 1;
    this.#all = PLANES.flatMap((plane) => volumes.map((volume) => this.#pane(plane, volume, alone)));
    const [ap, dv, ml] = this.#meta.shape.map((count, axis) => count * (this.#meta.voxel_um[axis] ?? 1)) as [number, number, number];
    this.element.classList.toggle('several', !alone);
    const style = this.element.style;
    style.setProperty('--columns', alone ? `${ml}fr ${ap}fr` : `repeat(${volumes.length}, minmax(0, 1fr))`);
    style.setProperty('--rows', alone ? `minmax(0, ${dv}fr) minmax(0, ${ap}fr)` : `minmax(0, ${dv}fr) minmax(0, ${dv}fr) minmax(0, ${ap}fr)`);
    this.element.replaceChildren(this.canvas, ...this.#all.map(({ element }) => element), ...(alone ? [this.#corner] : []));
  }

  #pane(plane: Plane, volume: VolumeMeta, alone: boolean): Pane {
    const title = el('span');
    const caption = el('p', { class: 'caption' }, ...(alone ? [] : [el('b', { text: volume.title })]), title);
    const [across, down] = [el('i', { class: 'cross across' }), el('i', { class: 'cross down' })];
    const element = el('div', {
      class: `cut ${plane.name}`, tabindex: 0, role: 'application', 'aria-label': `${plane.title} slice of ${volume.title}. ${KEYS}`,
    }, caption, across, down);
    const panes = this;
    const pane: Pane = {
      plane, volume, element,
      get room() {
        return panes.#room(element);
      },
      place(x_px, y_px) {
        across.style.transform = `translateY(${Math.round(y_px)}px)`;
        down.style.transform = `translateX(${Math.round(x_px)}px)`;
      },
      caption(at_um) {
        title.textContent = `${plane.title} · ${AXES[plane.through]} ${(at_um / 1000).toFixed(2)} mm`;
      },
    };
    this.#ends.push(hands(element, this.#meant(pane), this.element.closest('.visual')?.matches(':only-child') ?? false));
    return pane;
  }

  /** Where a pane lies on the canvas, in device pixels. */
  #room(element: HTMLElement): Room & { x: number; y: number } {
    const dense = this.dense;
    const x = Math.round(element.offsetLeft * dense);
    const y = Math.round(element.offsetTop * dense);
    return { x, y, width: Math.round(element.offsetWidth * dense), height: Math.round(element.offsetHeight * dense) };
  }

  /** Device pixels for a CSS pixel. */
  get dense(): number {
    return this.canvas.width / Math.max(1, this.canvas.clientWidth);
  }

  destroy(): void {
    for (const end of this.#ends) end();
  }
}
