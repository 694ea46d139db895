/** Pictures of a stack that are held, on their way, or wanted. */
import { aborted, GetError, reason, type Get } from './get.js';
import type { Painter, Picture, Placed } from './scene.js';

/** A picture that a view wants, and where it lies in image pixels. */
export interface Want {
  path: string;
  x: number;
  y: number;
  /** Image pixels for a pixel of the picture; 0 for a picture that covers the whole plane. */
  scale: number;
  /** Of the whole plane: also shown much smaller than it is. */
  whole: boolean;
  plane_px: readonly [number, number];
}

// What lies ahead of the reader is asked for two at a time, one while the reader still waits: what is on screen comes first.
const AHEAD = 2;
const RETRY_MS = 2000;

export class Tiles {
  readonly #get: Get;
  readonly #painter: Painter;
  readonly #cap_bytes: number;
  readonly #changed: (problem: string | null) => void;
  readonly #held = new Map<string, Placed>();
  readonly #coming = new Map<string, AbortController>();
  readonly #failed = new Map<string, { until_ms: number; times: number }>();
  #wants: readonly Want[] = [];
  #ahead: readonly Want[] = [];
  #bytes = 0;
  #timer = 0;
  #ended = false;

  /** `changed` is called when a picture has come, or with what went wrong. */
  constructor(get: Get, painter: Painter, cap_bytes: number, changed: (problem: string | null) => void) {
    this.#get = get;
    this.#painter = painter;
    this.#cap_bytes = cap_bytes;
    this.#changed = changed;
  }

  /** Ask for what is on screen (most wanted first) and, when that is here, for what lies ahead. */
  ask(wants: readonly Want[], ahead: readonly Want[]): void {
    this.#wants = wants;
    this.#ahead = ahead;
    const keep = new Set([...wants, ...ahead].map((want) => want.path));
    for (const [path, controller] of this.#coming) {
      if (keep.has(path)) continue;
      this.#coming.delete(path);
      controller.abort();
    }
    this.#pump();
  }

  /** The picture of a want, if it is here; counts as used now. */
  held(want: Want): Placed | undefined {
    const placed = this.#held.get(want.path);
    if (placed) {
      this.#held.delete(want.path);
      this.#held.set(want.path, placed);
    }
    return placed;
  }

  /** Whether all that is on screen is here (or will never come). */
  get settled(): boolean {
    return this.#wants.every((want) => this.#held.has(want.path) || (this.#failed.get(want.path)?.times ?? 0) > 2);
  }

  /** All pictures are gone: the context was lost, or the look of colour has changed. */
  forget(): void {
    this.#held.clear();
    this.#bytes = 0;
    this.#pump();
  }

  destroy(): void {
    this.#ended = true;
    clearTimeout(this.#timer);
    for (const controller of this.#coming.values()) controller.abort();
    for (const placed of this.#held.values()) this.#painter.free(placed.picture);
    this.#held.clear();
  }

  #missing(want: Want): boolean {
    if (this.#held.has(want.path) || this.#coming.has(want.path)) return false;
    const failed = this.#failed.get(want.path);
    return !failed || (failed.times <= 5 && failed.until_ms < performance.now());
  }

  #pump(): void {
    if (this.#ended) return;
    for (const want of this.#wants) if (this.#missing(want)) void this.#load(want, 'high');
    const shown = new Set(this.#wants.map((want) => want.path));
    const waiting = [...this.#coming.keys()].some((path) => shown.has(path));
    let free = (waiting ? 1 : AHEAD) - [...this.#coming.keys()].filter((path) => !shown.has(path)).length;
    for (const want of this.#ahead) {
      if (free <= 0) return;
      if (!this.#missing(want)) continue;
      free--;
      void this.#load(want, 'low');
    }
  }

  async #load(want: Want, priority: 'high' | 'low'): Promise<void> {
    const controller = new AbortController();
    this.#coming.set(want.path, controller);
    try {
      const blob = await (await this.#get(want.path, { signal: controller.signal, priority })).blob();
      const image = await createImageBitmap(blob, { colorSpaceConversion: 'none', premultiplyAlpha: 'none' });
      if (controller.signal.aborted || this.#ended) return image.close();
      this.#hold(want, image);
      const again = this.#failed.delete(want.path);
      // What lies ahead changes nothing on screen.
      if (again || this.#wants.some((one) => one.path === want.path)) this.#changed(null);
    } catch (error) {
      if (aborted(error) || controller.signal.aborted) return;
      this.#fail(want.path, error);
    } finally {
      if (this.#coming.get(want.path) === controller) this.#coming.delete(want.path);
      this.#pump();
    }
  }

  #hold(want: Want, image: ImageBitmap): void {
    const [width, height] = want.scale
      ? [image.width * want.scale, image.height * want.scale]
      : [want.plane_px[0], want.plane_px[1]];
    const picture: Picture = this.#painter.upload(image, want.whole);
    this.#held.set(want.path, { picture, x: want.x, y: want.y, width, height });
    this.#bytes += picture.bytes;
    const shown = new Set(this.#wants.map((one) => one.path));
    for (const [path, old] of this.#held) {
      if (this.#bytes <= this.#cap_bytes) break;
      if (shown.has(path)) continue;
      this.#held.delete(path);
      this.#bytes -= old.picture.bytes;
      this.#painter.free(old.picture);
    }
  }

  #fail(path: string, error: unknown): void {
    const times = (this.#failed.get(path)?.times ?? 0) + (error instanceof GetError && error.status === 404 ? 6 : 1);
    this.#failed.set(path, { until_ms: performance.now() + RETRY_MS * times, times });
    this.#changed(reason(error));
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#pump(), RETRY_MS * Math.min(times, 5) + 50) as unknown as number;
  }
}
