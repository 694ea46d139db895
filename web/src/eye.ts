/** Where on a plane one looks: moving, zooming, fitting, and the same in the state. */
import { clamp, fitCanvas } from './dom.js';
import type { Camera } from './scene.js';
import { aspect, fitting, type StackMeta } from './stack-meta.js';
import { numbers, type State } from './state.js';

/** Screen pixels for an image pixel, at most. */
const MOST_ZOOM = 32;

export class Eye {
  readonly canvas: HTMLCanvasElement;
  readonly #meta: StackMeta;
  readonly #state: State;
  readonly #moved: () => void;
  camera: Camera = { x: 0, y: 0, sx: 0, sy: 0 };
  /** The whole plane is shown, whatever the size of the canvas. */
  #fitted = true;

  constructor(canvas: HTMLCanvasElement, meta: StackMeta, state: State, moved: () => void) {
    this.canvas = canvas;
    this.#meta = meta;
    this.#state = state;
    this.#moved = moved;
  }

  /** Look where the state says; the canvas must be on the page. */
  restore(): void {
    this.size();
    const [zoom] = numbers(this.#state.get('zoom'), 1) ?? [];
    const at = numbers(this.#state.get('at'), 2);
    if (!zoom || !at) return;
    this.#fitted = false;
    const sx = clamp(zoom, 1e-4, MOST_ZOOM) * this.dense;
    const { width_px, height_px } = this.#meta;
    this.camera = { x: clamp(at[0] ?? 0, 0, width_px), y: clamp(at[1] ?? 0, 0, height_px), sx, sy: sx * aspect(this.#meta) };
  }

  get fitted(): boolean {
    return this.#fitted;
  }

  /** Device pixels for a CSS pixel. */
  get dense(): number {
    return this.canvas.width / Math.max(1, this.canvas.clientWidth);
  }

  get room(): readonly [number, number] {
    return [this.canvas.width, this.canvas.height];
  }

  /** CSS pixels for an image pixel. */
  get scale(): number {
    return this.camera.sx / this.dense;
  }

  /** The canvas may have another size now. */
  size(): void {
    const before = this.dense;
    fitCanvas(this.canvas);
    const by = this.dense / before;
    this.camera = this.#fitted
      ? fitting(this.#meta, ...this.room)
      : { ...this.camera, sx: this.camera.sx * by, sy: this.camera.sy * by };
  }

  #set(camera: Camera, fitted: boolean): void {
    const { width_px, height_px } = this.#meta;
    this.#fitted = fitted;
    this.camera = { ...camera, x: clamp(camera.x, 0, width_px), y: clamp(camera.y, 0, height_px) };
    this.#state.set('zoom', fitted ? null : String(Number(this.scale.toPrecision(6))));
    this.#state.set('at', fitted ? null : `${Math.round(this.camera.x)},${Math.round(this.camera.y)}`);
    this.#moved();
  }

  fit(): void {
    this.#set(fitting(this.#meta, ...this.room), true);
  }

  /** Move the picture, in CSS pixels. */
  pan(dx: number, dy: number): void {
    const { x, y, sx, sy } = this.camera;
    this.#set({ ...this.camera, x: x - (dx * this.dense) / sx, y: y - (dy * this.dense) / sy }, false);
  }

  /** Bring a place, in image pixels, into the middle. */
  centre(x: number, y: number): void {
    this.#set({ ...this.camera, x, y }, false);
  }

  /** Zoom around a place on the canvas, in CSS pixels; what is there stays there. */
  zoom(factor: number, x = this.canvas.clientWidth / 2, y = this.canvas.clientHeight / 2): void {
    const { camera: now, dense, room } = this;
    const least = Math.min(fitting(this.#meta, ...room).sx / 2, dense);
    const sx = clamp(now.sx * factor, least, MOST_ZOOM * dense);
    const sy = sx * aspect(this.#meta);
    const [dx, dy] = [x * dense - room[0] / 2, y * dense - room[1] / 2];
    this.#set({ x: now.x + dx / now.sx - dx / sx, y: now.y + dy / now.sy - dy / sy, sx, sy }, false);
  }

  /** Image pixels under a place on the canvas, in CSS pixels. */
  under(x: number, y: number): { x: number; y: number } {
    const { camera, dense, room } = this;
    return { x: (x * dense - room[0] / 2) / camera.sx + camera.x, y: (y * dense - room[1] / 2) / camera.sy + camera.y };
  }

  /** Where image pixels are on the canvas, in device pixels. */
  over(x: number, y: number): [number, number] {
    const { camera, room } = this;
    return [(x - camera.x) * camera.sx + room[0] / 2, (y - camera.y) * camera.sy + room[1] / 2];
  }

  /** What of the plane is on the canvas, as [x0, y0, x1, y1] in device pixels. */
  get visible(): readonly [number, number, number, number] {
    const [w, h] = this.room;
    const [x0, y0] = this.over(0, 0);
    const [x1, y1] = this.over(this.#meta.width_px, this.#meta.height_px);
    const whole = (at: number, most: number): number => clamp(Math.round(at), 0, most);
    return [whole(x0, w), whole(y0, h), whole(x1, w), whole(y1, h)];
  }
}
