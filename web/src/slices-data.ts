/** The voxels of volumes: fetched once as a whole (or cut by cut where that is too much), and cut here. */
import { aborted, reason, type Get } from './get.js';
import type { Plane, SlicesMeta, Three, VolumeMeta } from './slices-meta.js';

type Voxels = Uint8Array | Uint16Array | Float32Array;

/** One slice, row after row. */
export interface Cut {
  readonly data: Uint16Array<ArrayBuffer> | Float32Array<ArrayBuffer>;
  readonly width: number;
  readonly height: number;
}

// A page that a reader drags through asks for far more slices than it shows.
const HELD_CUTS = 48;
const SAMPLES = 400_000;
// Of the values that are no zero, so many lie below white.
const BRIGHT = 0.995;

export class Volumes {
  readonly #meta: SlicesMeta;
  readonly #get: Get;
  readonly #came: () => void;
  readonly #whole = new Map<string, Voxels>();
  readonly #asked = new Map<string, AbortController>();
  readonly #cuts = new Map<string, Cut>();
  readonly #windows = new Map<string, readonly [number, number]>();
  problem: string | null = null;

  constructor(meta: SlicesMeta, get: Get, came: () => void) {
    this.#meta = meta;
    this.#get = get;
    this.#came = came;
  }

  of(name: string): VolumeMeta | null {
    return this.#meta.volumes.find((volume) => volume.name === name) ?? null;
  }

  get waiting(): boolean {
    return this.#asked.size > 0;
  }

  /** The slice of a volume through a place; null while it is on its way. */
  cut(name: string, plane: Plane, at: number): Cut | null {
    const key = `${name} ${plane.name} ${at}`;
    const known = this.#cuts.get(key);
    if (known) return known;
    const whole = this.#meta.sliced ? null : this.#whole.get(name);
    if (whole) return this.#hold(key, this.#cutOf(name, whole, plane, at));
    this.#ask(name, plane, at, key);
    return null;
  }

  /** The value of a volume at a voxel; null while it is not here. */
  value(name: string, voxel: Three): number | null {
    const [, dv, ml] = this.#meta.shape;
    const whole = this.#whole.get(name);
    if (whole) return whole[(voxel[0] * dv + voxel[1]) * ml + voxel[2]] ?? null;
    const cut = this.#cuts.get(`${name} coronal ${voxel[0]}`);
    return cut?.data[voxel[1] * cut.width + voxel[2]] ?? null;
  }

  /** What is shown black and white unless somebody says otherwise; null while it is not known. */
  window(name: string): readonly [number, number] | null {
    return this.#windows.get(name) ?? this.of(name)?.range ?? null;
  }

  #ask(name: string, plane: Plane, at: number, key: string): void {
    const { sliced } = this.#meta;
    const slot = sliced ? `${name} ${plane.name}` : name;
    const before = this.#asked.get(slot);
    if (before && !sliced) return;
    before?.abort(); // only the newest slice of a drag is wanted
    const end = new AbortController();
    this.#asked.set(slot, end);
    const mark = this.of(name)?.key;
    const path = sliced ? `slice/${name}/${['AP', 'DV', 'ML'][plane.through]}/${at}.bin` : `volume/${name}.bin${mark ? `?key=${mark}` : ''}`;
    this.#get(path, { signal: end.signal, priority: 'high' })
      .then((answer) => answer.arrayBuffer())
      .then((buffer) => {
        if (sliced) this.#hold(key, this.#turned(name, buffer, plane));
        else this.#take(name, buffer);
        this.problem = null;
      })
      .catch((error: unknown) => {
        if (!aborted(error)) this.problem = `${this.of(name)?.title ?? name}: ${reason(error)}`;
        // What failed is not asked for again with each frame.
        if (!aborted(error) && !sliced) this.#whole.set(name, new Float32Array(this.#count).fill(NaN));
      })
      .finally(() => {
        if (this.#asked.get(slot) === end) this.#asked.delete(slot);
        if (!end.signal.aborted) this.#came();
      });
  }

  get #count(): number {
    return this.#meta.shape.reduce((all, size) => all * size, 1);
  }

  #take(name: string, buffer: ArrayBuffer): void {
    const voxels = typed(buffer, this.#count);
    this.#whole.set(name, voxels);
    if (this.of(name)?.type === 'values') this.#windows.set(name, windowOf(voxels));
  }

  #hold(key: string, cut: Cut): Cut {
    if (this.#cuts.size >= HELD_CUTS) this.#cuts.delete(this.#cuts.keys().next().value ?? '');
    this.#cuts.set(key, cut);
    return cut;
  }

  #cutOf(name: string, whole: Voxels, { through, across, down }: Plane, at: number): Cut {
    const { shape } = this.#meta;
    const steps = [shape[1] * shape[2], shape[2], 1] as const;
    const [width, height] = [shape[across], shape[down]];
    const data = room(this.of(name)?.type === 'labels', width * height);
    for (let y = 0; y < height; y++) {
      let from = at * steps[through] + y * steps[down];
      for (let x = 0, to = y * width; x < width; x++, to++, from += steps[across]) data[to] = whole[from] ?? 0;
    }
    return { data, width, height };
  }

  /** A slice as it was sent, its axes in the order of the volume's: the sagittal one lies on its side. */
  #turned(name: string, buffer: ArrayBuffer, plane: Plane): Cut {
    const { shape } = this.#meta;
    const [width, height] = [shape[plane.across], shape[plane.down]];
    const sent = typed(buffer, width * height);
    const data = room(this.of(name)?.type === 'labels', width * height);
    const turn = plane.across < plane.down;
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++) data[y * width + x] = sent[turn ? x * height + y : y * width + x] ?? 0;
    return { data, width, height };
  }

  destroy(): void {
    for (const end of this.#asked.values()) end.abort();
    this.#asked.clear();
    this.#whole.clear();
    this.#cuts.clear();
  }
}

const room = (labels: boolean, count: number): Uint16Array<ArrayBuffer> | Float32Array<ArrayBuffer> =>
  labels ? new Uint16Array(count) : new Float32Array(count);

/** What was sent as numbers: how many bytes each has says their type. */
function typed(buffer: ArrayBuffer, count: number): Voxels {
  const size = buffer.byteLength / count;
  if (size === 4) return new Float32Array(buffer);
  if (size === 2) return new Uint16Array(buffer);
  if (size === 1) return new Uint8Array(buffer);
  throw new Error(`${buffer.byteLength} bytes for ${count} voxels`);
}

/** From the least value to one that nearly all others lie below: a few bright voxels do not darken the rest. */
function windowOf(voxels: Voxels): [number, number] {
  const step = Math.max(1, Math.floor(voxels.length / SAMPLES));
  const found: number[] = [];
  for (let i = 0; i < voxels.length; i += step) {
    const value = voxels[i] ?? NaN;
    if (Number.isFinite(value)) found.push(value);
  }
  if (!found.length) return [0, 1];
  const sorted = Float64Array.from(found).sort();
  const low = sorted[0] ?? 0;
  const above = sorted.filter((value) => value > low);
  const high = above[Math.floor(BRIGHT * (above.length - 1))] ?? low + 1;
  return [low, high > low ? high : low + 1];
}
