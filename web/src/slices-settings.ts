/** How volumes are shown, kept in the page's address. */
import { COLOUR_MAPS, lut } from './colours.js';
import { clamp } from './dom.js';
import type { Ontology, SlicesMeta, Structure, VolumeMeta } from './slices-meta.js';
import { numbers, type State } from './state.js';

// Grey pictures of the brain, which structures are shown over; other values are measured.
const GREY = /template|atlasVolume|nissl|grey/i;
const FAINT = 70;

export class Settings {
  readonly #meta: SlicesMeta;
  readonly #state: State;
  /** Names of the volumes that are shown, side by side where there are several. */
  shown: string[];
  /** Black and white by hand; null where they follow the values. */
  range: readonly [number, number] | null;
  smooth: boolean;
  structure: Structure | null;
  #map: string | null;
  #fill: number | null;
  #lines: number | null;

  constructor(meta: SlicesMeta, state: State, ontology: Ontology) {
    this.#meta = meta;
    this.#state = state;
    const part = (name: string): number | null => {
      const [found] = numbers(state.get(name), 1) ?? [];
      return found === undefined ? null : clamp(found, 0, 1);
    };
    const known = (name: string): boolean => meta.volumes.some((volume) => volume.name === name);
    this.shown = (state.get('show') ?? '').split(',').filter(known);
    if (!this.shown.length) this.shown = meta.first.filter(known);
    const [low, high] = numbers(state.get('range'), 2) ?? [];
    this.range = low !== undefined && high !== undefined && high > low ? [low, high] : null;
    const map = state.get('map');
    this.#map = map !== null && COLOUR_MAPS.includes(map) ? map : null;
    this.smooth = state.get('smooth') === '1';
    this.#fill = part('fill');
    this.#lines = part('lines');
    const id = state.get('structure');
    this.structure = id === null ? null : ontology.find(Number(id));
  }

  get volumes(): VolumeMeta[] {
    return this.shown.flatMap((name) => this.#meta.volumes.filter((volume) => volume.name === name));
  }

  /** The labels that outlines and names come from: those that are shown, else the first there are. */
  get labels(): VolumeMeta | null {
    const labels = (volume: VolumeMeta): boolean => volume.type === 'labels';
    return this.volumes.find(labels) ?? this.#meta.volumes.find(labels) ?? null;
  }

  get #grey(): boolean {
    return this.volumes.every((volume) => GREY.test(volume.name));
  }

  get map(): string {
    return this.#map ?? (this.#grey ? 'gray' : 'viridis');
  }

  set map(name: string) {
    this.#map = name;
  }

  get fill(): number {
    return this.#fill ?? (this.volumes.every((volume) => volume.type === 'labels') ? 1 : this.#grey ? 0.3 : 0);
  }

  set fill(part: number) {
    this.#fill = part;
  }

  get lines(): number {
    return this.#lines ?? 0.5;
  }

  set lines(part: number) {
    this.#lines = part;
  }

  save(): void {
    const { first } = this.#meta;
    const set = (name: string, value: string | null): void => this.#state.set(name, value);
    set('show', this.shown.join() === first.join() ? null : this.shown.join());
    set('range', this.range && this.range.map((end) => Number(end.toPrecision(6))).join());
    set('map', this.#map);
    set('smooth', this.smooth ? '1' : null);
    set('fill', this.#fill === null ? null : String(this.#fill));
    set('lines', this.#lines === null ? null : String(this.#lines));
    set('structure', this.structure && String(this.structure.id));
  }
}

/** The colours of structures by what stands for them: what is highlighted stays, all others are faint. */
export function paletteOf(structures: readonly Structure[], chosen: Set<number> | null): Uint8Array<ArrayBuffer> {
  const last = structures.reduce((most, { index }) => Math.max(most, index), 0);
  const made = new Uint8Array(Math.ceil((last + 1) / 256) * 1024);
  for (const { index, rgb } of structures) made.set([...rgb, chosen && !chosen.has(index) ? FAINT : 255], index * 4);
  return made;
}

/** Black or white, whichever is seen over the dark end of a map. */
export function lineOver(map: string, labelsOnly: boolean): readonly [number, number, number] {
  const [r = 0, g = 0, b = 0] = lut(map);
  return labelsOnly || r + g + b > 384 ? [0, 0, 0] : [1, 1, 1];
}
