/** The stack seen from its sides, xz below and yz beside the plane, in step with it and linked by a crosshair. */
import { clamp, el, fitCanvas } from './dom.js';
import type { Get } from './get.js';
import { recolour } from './paint-2d.js';
import type { Camera, Look } from './scene.js';
import { projectionPath, type Reduction, type StackMeta } from './stack-meta.js';

type Side = 'xz' | 'yz';

const LINE = '#e8590c';

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
  readonly #raw: Partial<Record<Side, ImageBitmap>> = {};
  readonly #coloured: Partial<Record<Side, { look: string; canvas: HTMLCanvasElement }>> = {};
  #path: Partial<Record<Side, string>> = {};
  #meta: StackMeta;
  #view: SideView | null = null;

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
  load(meta: StackMeta, how: Reduction, channel: number, prepared: number): void {
    this.#meta = meta;
    if (meta.planes.length < 2 || !prepared) return;
    for (const side of ['xz', 'yz'] as const) {
      const path = projectionPath(how, side, channel, prepared);
      if (path !== this.#path[side]) void this.#load(side, path);
    }
  }

  async #load(side: Side, path: string): Promise<void> {
    this.#path[side] = path;
    try {
      const image = await createImageBitmap(await (await this.#get(path, { priority: 'low' })).blob());
      if (this.#path[side] !== path) return image.close();
      this.#raw[side]?.close();
      this.#raw[side] = image;
      delete this.#coloured[side];
      this.#changed();
    } catch {
      // A stack that is still coming may have none yet; they are asked for again when more planes are here.
      if (this.#path[side] === path) delete this.#path[side];
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

  /** The side in the colours and contrast of the plane; made anew only when these change, it is small. */
  #picture(side: Side, look: Look): HTMLCanvasElement | null {
    const raw = this.#raw[side];
    if (!raw) return null;
    const key = `${look.map} ${look.asis} ${look.window.join()}`;
    const held = this.#coloured[side];
    if (held?.look === key) return held.canvas;
    const canvas = el('canvas', { width: raw.width, height: raw.height });
    const to = canvas.getContext('2d', { willReadFrequently: true });
    if (!to) return null;
    to.drawImage(raw, 0, 0);
    const pixels = to.getImageData(0, 0, raw.width, raw.height);
    recolour(pixels.data, look);
    to.putImageData(pixels, 0, 0);
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
    for (const image of Object.values(this.#raw)) image.close();
  }
}
