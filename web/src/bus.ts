/** How the views of a page tell each other what was chosen. Lengths are µm, times seconds. */

export interface Events {
  /** A plane of a stack is shown; `rect_um` is its outline [x0, y0, x1, y1], all in the reconstruction's frame. */
  plane: { z_um: number; rect_um: readonly [number, number, number, number] };
  /** A place on a reconstruction was clicked, in its own frame. */
  branch: { x_um: number; y_um: number; z_um: number };
  /** A place in a volume, in voxels and in µm from its corner, [AP, DV, ML]; `from` is the visual's title. */
  crosshair: { from: string; voxel: readonly [number, number, number]; um: readonly [number, number, number] };
  /** A region of interest was chosen; its traces are the tracks named. */
  roi: { id: number | string; tracks: readonly string[] };
  /** A stretch of time was chosen. */
  span: { from_s: number; to_s: number };
  /** A unit of a raster or a table was chosen. */
  unit: { id: number | string };
}

type Name = keyof Events;
type Hear<N extends Name> = (event: Events[N]) => void;

export class Bus {
  readonly #hear = new Map<Name, Set<(event: never) => void>>();
  readonly #last = new Map<Name, unknown>();

  emit<N extends Name>(name: N, event: Events[N]): void {
    this.#last.set(name, event);
    for (const hear of this.#hear.get(name) ?? []) (hear as Hear<N>)(event);
  }

  /** Hear of each `name` from now on, and of the last one if `late`; returns what ends it. */
  on<N extends Name>(name: N, hear: Hear<N>, late = false): () => void {
    const all = this.#hear.get(name) ?? new Set();
    this.#hear.set(name, all.add(hear as (event: never) => void));
    if (late && this.#last.has(name)) hear(this.#last.get(name) as Events[N]);
    return () => void all.delete(hear as (event: never) => void);
  }
}

const buses = new WeakMap<Element, Bus>();

/** The bus of the page, or of the nearest element marked `data-bus` (two widgets of a notebook are strangers). */
export function busOf(root: Element): Bus {
  const owner = root.closest('[data-bus]') ?? root.ownerDocument.documentElement;
  const bus = buses.get(owner) ?? new Bus();
  buses.set(owner, bus);
  return bus;
}
