/** The stack seen from its sides, xz below and yz beside the plane, in step with it and linked by a crosshair. */
import { clamp, el, fitCanvas } from './dom.js';
import type { Get } from './get.js';
import { recolour } from './paint-2d.js';
import type { Camera, Look } from './scene.js';
import { fetched, projectionPath, type Reduction, type StackMeta } from './stack-meta.js';

type Side = 'xz' | 'yz';

const LINE = '#e8590c';
const RETRY_MS = 2000;

/** Where the crosshair is, in image pixels and planes. */
export interface Cross {
  x: number;
  y: number;
  plane: number;
}

export interface SideView {
  camera: Camera;
  canvas: readonly [number, number];
  look: Look;
  cross: Cross;
}

export class Projections {
  readonly canvases: Record<Side, HTMLCanvasElement>;
  readonly #get: Get;
  readonly #changed: () => void;
  readonly #raw: Partial<Record<Side, { image: ImageBitmap; known: readonly boolean[] }>> = {};
  readonly #coloured: Partial<Record<Side, { look: string; canvas: HTMLCanvasElement }>> = {};
  #path: Partial<Record<Side, string>> = {};
  #meta: StackMeta;
  #view: SideView | null = null;
  #prepared = 0;
  #again: () => void = () => {};
  #timer = 0;
  #ended = false;

  /** `go` hears where on a side one has pointed. */
  constructor(meta: StackMeta, get: Get, changed: () => void, go: (cross: Partial<Cross>) => void) {
    this.#meta = meta;
    this.#get = get;
    this.#changed = changed;
    const side = (name: Side, label: string): HTMLCanvasElement => {
      const canvas = el('canvas', { class: name, role: 'img', 'aria-label': label });
      const point = (event: PointerEvent): void => {
        if (event.type === 'pointerdown') canvas.setPointerCapture(event.pointerId);
        if (event.buttons & 1) go(this.#place(name, canvas, event));
      };
      canvas.addEventListener('pointerdown', point);
      canvas.addEventListener('pointermove', point);
      canvas.style.touchAction = 'none';
      return canvas;
    };
    this.canvases = {
      xz: side('xz', 'The stack from its side: x to the right, depth down; a click goes to that plane'),
      yz: side('yz', 'The stack from its side: depth to the right, y down; a click goes to that plane'),
    };
  }

  /** Load both sides, if they are not those shown. */
  load(meta: StackMeta, how: Reduction, channel: number, known: readonly boolean[]): void {
    const prepared = known.filter(Boolean).length;
    this.#meta = meta;
    this.#prepared = prepared;
    if (meta.planes.length < 2 || !prepared) return;
    this.#again = () => this.load(meta, how, channel, known);
    for (const side of ['xz', 'yz'] as const) {
      const path = projectionPath(how, side, channel, prepared);
      if (path !== this.#path[side]) void this.#load(side, path, known);
    }
  }

  async #load(side: Side, path: string, known: readonly boolean[]): Promise<void> {
    this.#path[side] = path;
    try {
      const image = await createImageBitmap(await (await this.#get(path, { priority: 'low' })).blob());
      if (this.#path[side] !== path) return image.close();
      this.#raw[side]?.image.close();
      this.#raw[side] = { image, known };
      delete this.#coloured[side];
      this.#changed();
    } catch {
      // A stack that is still coming, or was opened anew, may have none yet.
      if (this.#path[side] !== path || this.#ended) return;
      delete this.#path[side];
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#again(), RETRY_MS) as unknown as number;
    }
  }

  draw(view: SideView): void {
    this.#view = view;
    for (const side of ['xz', 'yz'] as const) this.#draw(side, view);
  }

  #draw(side: Side, { camera, canvas: main, cross, look }: SideView): void {
    const canvas = this.canvases[side];
    const to = canvas.getContext('2d', { willReadFrequently: true });
    if (!to || !canvas.clientWidth) return;
    fitCanvas(canvas);
    to.fillStyle = getComputedStyle(canvas).getPropertyValue('--pic');
    to.fillRect(0, 0, canvas.width, canvas.height);
    const { width_px, height_px, planes } = this.#meta;
    const image = this.#picture(side, look);
    const deep = (cross.plane + 0.5) / planes.length;
    const dense = Math.max(1, Math.round(canvas.width / canvas.clientWidth));
    const line = (x: number, y: number, w: number, h: number): void => to.fillRect(Math.round(x), Math.round(y), w, h);
    to.imageSmoothingQuality = 'high';
    if (side === 'xz') {
      const at = (x: number): number => (x - camera.x) * camera.sx + main[0] / 2;
      if (image) to.drawImage(image, at(0), 0, width_px * camera.sx, canvas.height);
      else this.#wait(to, dense);
      to.fillStyle = LINE;
      line(at(cross.x), 0, dense, canvas.height);
      line(0, deep * canvas.height, canvas.width, dense);
    } else {
      const at = (y: number): number => (y - camera.y) * camera.sy + main[1] / 2;
      if (image) to.drawImage(image, 0, at(0), canvas.width, height_px * camera.sy);
      to.fillStyle = LINE;
      line(0, at(cross.y), canvas.width, dense);
      line(deep * canvas.width, 0, dense, canvas.height);
    }
  }

  /** In place of the side: that it is being made, and how far that is. */
  #wait(to: CanvasRenderingContext2D, dense: number): void {
    const here = fetched(this.#meta);
    if (!here) return;
    to.font = `${12 * dense}px system-ui, "Liberation Sans", sans-serif`;
    to.fillStyle = getComputedStyle(to.canvas).getPropertyValue('--dim');
    to.fillText(`preparing the side views: ${Math.min(this.#prepared, here)} of ${here} planes`, 12 * dense, 22 * dense);
  }

  /** The side in the colours and contrast of the plane; made anew only when these change, it is small. */
  #picture(side: Side, look: Look): HTMLCanvasElement | null {
    const raw = this.#raw[side];
    if (!raw) return null;
    const key = `${look.map} ${look.asis} ${look.window.join()}`;
    const held = this.#coloured[side];
    if (held?.look === key) return held.canvas;
    const { image, known } = raw;
    const canvas = el('canvas', { width: image.width, height: image.height });
    const to = canvas.getContext('2d', { willReadFrequently: true });
    if (!to) return null;
    to.drawImage(image, 0, 0);
    const pixels = to.getImageData(0, 0, image.width, image.height);
    recolour(pixels.data, look);
    to.putImageData(pixels, 0, 0);
    // Planes that are not here yet have no pixels; they are gaps, as on the slider.
    known.forEach((here, n) => {
      if (!here) to.clearRect(side === 'xz' ? 0 : n, side === 'xz' ? n : 0, side === 'xz' ? image.width : 1, side === 'xz' ? 1 : image.height);
    });
    this.#coloured[side] = { look: key, canvas };
    return canvas;
  }

  #place(side: Side, canvas: HTMLCanvasElement, event: PointerEvent): Partial<Cross> {
    const box = canvas.getBoundingClientRect();
    const dense = canvas.width / box.width;
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const deep = side === 'xz' ? y / box.height : x / box.width;
    const plane = clamp(Math.floor(deep * this.#meta.planes.length), 0, this.#meta.planes.length - 1);
    const view = this.#view;
    if (!view) return { plane };
    const { camera, canvas: main } = view;
    return side === 'xz'
      ? { plane, x: (x * dense - main[0] / 2) / camera.sx + camera.x }
      : { plane, y: (y * dense - main[1] / 2) / camera.sy + camera.y };
  }

  destroy(): void {
    this.#ended = true;
    clearTimeout(this.#timer);
    for (const { image } of Object.values(this.#raw)) image.close();
  }
}
