/** What a view of volumes is told, and the structures that labels mean. Lengths along AP, DV, ML. */
import { numbers } from './state.js';

export type Three = [number, number, number];

export interface Structure {
  /** What stands for it in labels. */
  index: number;
  id: number;
  acronym: string;
  name: string;
  rgb: readonly [number, number, number];
  parent: number | null;
  address?: string | null;
}

export interface VolumeMeta {
  name: string;
  title: string;
  type: 'labels' | 'values';
  unit: string;
  range: [number, number] | null;
  /** Changes when the volume does. */
  key: string;
}

export interface SlicesMeta {
  title: string;
  simulated: boolean;
  shape: Three;
  voxel_um: Three;
  /** Too large to be sent as a whole: slices come one by one. */
  sliced: boolean;
  first: readonly string[];
  volumes: readonly VolumeMeta[];
  structures: readonly Structure[];
}

/** One of the three cuts: which axes go across, down and through it. */
export interface Plane {
  name: 'coronal' | 'sagittal' | 'horizontal';
  title: string;
  through: 0 | 1 | 2;
  across: 0 | 1 | 2;
  down: 0 | 1 | 2;
}

export const AXES = ['AP', 'DV', 'ML'] as const;

export const PLANES: readonly Plane[] = [
  { name: 'coronal', title: 'Coronal', through: 0, across: 2, down: 1 },
  { name: 'sagittal', title: 'Sagittal', through: 2, across: 0, down: 1 },
  { name: 'horizontal', title: 'Horizontal', through: 1, across: 2, down: 0 },
];

/** Structures by what stands for them, and the tree they make. */
export class Ontology {
  readonly all: readonly Structure[];
  readonly #byIndex = new Map<number, Structure>();
  readonly #byId = new Map<number, Structure>();
  readonly #children = new Map<number | null, Structure[]>();

  constructor(all: readonly Structure[]) {
    this.all = all;
    for (const one of all) {
      this.#byIndex.set(one.index, one);
      this.#byId.set(one.id, one);
    }
    for (const one of all) {
      if (one.id === 0) continue; // what is outside of all is no structure
      const parent = one.parent !== null && this.#byId.has(one.parent) ? one.parent : null;
      this.#children.set(parent, [...(this.#children.get(parent) ?? []), one]);
    }
  }

  at = (index: number): Structure | null => this.#byIndex.get(index) ?? null;
  find = (id: number | null): Structure | null => (id === null ? null : (this.#byId.get(id) ?? null));
  parts = (of: Structure | null): readonly Structure[] => this.#children.get(of ? of.id : null) ?? [];

  /** What a structure is part of, the whole first. */
  above(of: Structure): Structure[] {
    const found: Structure[] = [];
    for (let up = this.find(of.parent); up && !found.includes(up); up = this.find(up.parent)) found.unshift(up);
    return found;
  }

  /** What stands for a structure and for all its parts. */
  members(of: Structure): Set<number> {
    const found = new Set<number>();
    const waiting = [of];
    for (let one = waiting.pop(); one; one = waiting.pop()) {
      if (found.has(one.index)) continue;
      found.add(one.index);
      waiting.push(...this.parts(one));
    }
    return found;
  }

  /** Structures whose acronym, name or id is like a text: those that begin with it first. */
  search(text: string, most: number): Structure[] {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    const whole = words.join(' ');
    if (!whole) return [];
    const rank = ({ acronym, name, id }: Structure): number => {
      const [short, long] = [acronym.toLowerCase(), name.toLowerCase()];
      if (short === whole || String(id) === whole) return 0;
      if (long === whole) return 1;
      if (short.startsWith(whole)) return 2;
      if (long.startsWith(whole)) return 3;
      return words.every((word) => long.includes(word) || short.includes(word)) ? 4 : 9;
    };
    const found = this.all.filter((one) => one.id !== 0).map((one) => [rank(one), one] as const).filter(([r]) => r < 9);
    return found.sort(([a], [b]) => a - b).slice(0, most).map(([, one]) => one);
  }
}

/** Three whole numbers inside of a volume, out of the page's address. */
export function voxelOf(text: string | null, shape: Three): Three | null {
  const found = numbers(text, 3);
  if (!found) return null;
  return inside(found as Three, shape);
}

export const inside = (voxel: Three, shape: Three): Three =>
  voxel.map((at, axis) => Math.min((shape[axis] ?? 1) - 1, Math.max(0, Math.round(at)))) as Three;

/** A value with as many digits as a reader can use. */
export function readable(value: number): string {
  if (Number.isInteger(value) && Math.abs(value) < 1e6) return String(value);
  return Math.abs(value) >= 1e5 || (Math.abs(value) < 1e-3 && value !== 0) ? value.toExponential(2) : String(Number(value.toPrecision(4)));
}
