/** What the server tells of spikes, and what it answers. Times in s. */
import type { NamedMeta } from './traces-meta.js';

export interface Column {
  name: string;
  numeric: boolean;
}

export type Cell = string | number | boolean | null;

export interface RasterMeta {
  title: string;
  units: number;
  from_s: number;
  to_s: number;
  close_s: number;
  columns: Column[];
  intervals: NamedMeta[];
  events: NamedMeta[];
}

export interface Units {
  columns: Column[];
  rows: Cell[][];
}

/** Counts of units x bins; a value times `scale` is a count. */
export interface Counts {
  units: number;
  bins: number;
  from_s: number;
  bin_s: number;
  scale: number;
  most: number;
  values: Uint8Array;
}

export interface Spikes {
  t: number[];
  row: number[];
  total: number;
  many: boolean;
}

/** Read what `view.bin` answers: a length, a JSON header, the counts. */
export function readCounts(buffer: ArrayBuffer): Counts {
  const length = new DataView(buffer).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length))) as Omit<Counts, 'values'>;
  return { ...head, values: new Uint8Array(buffer, 4 + length, head.units * head.bins) };
}

/** The rows in the order of a column; ties stay as they are, what has no value comes last. */
export function ordered(units: Units, column: string, down: boolean): number[] {
  const rows = units.rows.map((_, i) => i);
  const at = units.columns.findIndex(({ name }) => name === column);
  if (at < 0) return down ? rows.reverse() : rows;
  const value = (row: number): Cell => units.rows[row]?.[at] ?? null;
  return rows.sort((a, b) => {
    const [x, y] = [value(a), value(b)];
    if (x === null || y === null) return Number(x === null) - Number(y === null) || a - b;
    const sign = typeof x === 'number' && typeof y === 'number' ? x - y : String(x).localeCompare(String(y), 'en', { numeric: true });
    return (down ? -sign : sign) || a - b;
  });
}
