/** What a stack says of itself, and which pictures a view of it wants. */
import type { Camera } from './scene.js';
import type { Want } from './tiles.js';

export interface Plane {
  label: string;
  /** Depth; null where it is not known. */
  z_um: number | null;
  /** Names the plane's bytes; null while it has not been fetched. */
  key: string | null;
}

export interface StackMeta {
  title: string;
  address: string;
  simulated: boolean;
  width_px: number;
  height_px: number;
  pixel_um: readonly [number, number] | null;
  planes: readonly Plane[];
  z_label: string;
  levels: number;
  tile_px: number;
  /** How much smaller the pictures of whole planes are, coarse first. */
  overviews: readonly number[];
  colour: boolean;
  channels: readonly { name: string; window: readonly [number, number] }[];
  cell: string | null;
  complete: boolean;
}

/** The answer of `meta.json`, with what an older server leaves out. */
export function readMeta(answer: unknown): StackMeta {
  const meta = answer as StackMeta;
  const tile_px = meta.tile_px || 512;
  const levels = Math.ceil(Math.log2(Math.max(1, Math.max(meta.width_px, meta.height_px) / tile_px))) + 1;
  return {
    ...meta, tile_px, levels: meta.levels || levels, overviews: meta.overviews ?? [], channels: meta.channels ?? [],
    address: meta.address || meta.title || 'stack', z_label: meta.z_label || 'plane',
  };
}

export type Reduction = 'min' | 'max' | 'mean';

/** What of a stack is on screen. */
export interface Seen {
  plane: number;
  channel: number;
  /** Instead of one plane. */
  projection: Reduction | null;
  /** Of how many planes projections are made so far; they change while a stack is coming. */
  prepared: number;
}

/** Height of an image pixel over its width. */
export const aspect = (meta: StackMeta): number => (meta.pixel_um ? meta.pixel_um[1] / meta.pixel_um[0] : 1);

/** The camera that shows the whole plane on a canvas. */
export function fitting(meta: StackMeta, width: number, height: number): Camera {
  const sx = Math.min(width / meta.width_px, height / (meta.height_px * aspect(meta)));
  return { x: meta.width_px / 2, y: meta.height_px / 2, sx, sy: sx * aspect(meta) };
}

/** How many planes are here. */
export const fetched = (meta: StackMeta): number => meta.planes.filter((plane) => plane.key !== null).length;

export function projectionPath(how: Reduction, axes: 'xy' | 'xz' | 'yz', channel: number, prepared: number): string {
  // The count tells the answers apart, and the server what is expected: never fewer planes.
  return `projection/${how}_${axes}.jpg?planes=${prepared}${channel ? `&channel=${channel}` : ''}`;
}

/** The level whose pixels are about as large as those of the screen; 0 is the full size. */
export const levelAt = (camera: Camera, meta: StackMeta): number =>
  Math.min(meta.levels - 1, Math.max(0, Math.floor(0.25 - Math.log2(camera.sx))));

const whole = (meta: StackMeta, path: string, scale: number): Want => ({
  path, x: 0, y: 0, scale, whole: true, plane_px: [meta.width_px, meta.height_px],
});

/** The coarse picture of a whole plane, or the next finer ones (`finer` of them) too. */
export function overviews(meta: StackMeta, { plane, channel }: Seen, finer = 0): Want[] {
  const key = meta.planes[plane]?.key;
  if (key == null) return [];
  return meta.overviews.slice(0, finer + 1).map((scale) => whole(meta, `over/${scale}/${channel}/${key}.jpg`, scale));
}

/** The tiles of one level that the camera sees on a canvas. */
export function tiles(meta: StackMeta, seen: Seen, camera: Camera, canvas: readonly [number, number], level: number): Want[] {
  const key = meta.planes[seen.plane]?.key;
  if (key == null) return [];
  const step = meta.tile_px * 2 ** level;
  const range = (middle: number, half: number, size: number): [number, number] => [
    Math.max(0, Math.floor((middle - half) / step)),
    Math.min(Math.ceil(size / step), Math.ceil((middle + half) / step)),
  ];
  const [x0, x1] = range(camera.x, canvas[0] / 2 / camera.sx, meta.width_px);
  const [y0, y1] = range(camera.y, canvas[1] / 2 / camera.sy, meta.height_px);
  const found: Want[] = [];
  for (let y = y0; y < y1; y++)
    for (let x = x0; x < x1; x++)
      found.push({
        path: `tile/${seen.channel}/${key}/${level}/${x}_${y}.jpg`,
        x: x * step, y: y * step, scale: 2 ** level, whole: false, plane_px: [meta.width_px, meta.height_px],
      });
  // What one looks at is in the middle.
  const off = (want: Want): number => Math.hypot(want.x + step / 2 - camera.x, want.y + step / 2 - camera.y);
  return found.sort((a, b) => off(a) - off(b));
}

/** All that this view wants, coarse first, so that something is there at once. */
export function wants(meta: StackMeta, seen: Seen, camera: Camera, canvas: readonly [number, number]): Want[] {
  const { projection, channel, prepared } = seen;
  if (projection) return prepared ? [whole(meta, projectionPath(projection, 'xy', channel, prepared), 0)] : [];
  const level = levelAt(camera, meta);
  const scale = 2 ** level;
  const coarse = meta.overviews.filter((over, i) => i === 0 || over >= scale).length;
  const found = overviews(meta, seen, Math.max(0, coarse - 1));
  const finest = meta.overviews[coarse - 1];
  if (finest === undefined || finest > scale) found.push(...tiles(meta, seen, camera, canvas, level));
  return found;
}

/** Tiles of coarser levels that may still be held from before a zoom: better than the overview while finer ones come. */
export function leftovers(meta: StackMeta, seen: Seen, camera: Camera, canvas: readonly [number, number]): Want[] {
  if (seen.projection) return [];
  const level = levelAt(camera, meta);
  return [2, 1].flatMap((up) => (level + up < meta.levels ? tiles(meta, seen, camera, canvas, level + up) : []));
}

/** The planes around one, nearest first, those in the direction of the last step before the others. */
export function around(plane: number, count: number, direction: number): number[] {
  const found: number[] = [];
  for (let step = 1; step < count; step++)
    for (const side of [direction, -direction]) {
      const other = plane + side * step;
      if (other >= 0 && other < count) found.push(other);
    }
  return found;
}

// Coarse pictures of as many planes as fit in this are held, so that the slider never waits.
const AHEAD_BYTES = 96e6;

/**
 * What the reader is likely to want next: the planes beside those `seen` as these are shown, and all others coarsely;
 * only coarse ones while the reader is in a hurry.
 */
export function ahead(
  meta: StackMeta, seen: readonly Seen[], direction: number, camera: Camera, canvas: readonly [number, number], hurried: boolean,
): Want[] {
  const scale = meta.overviews[0];
  const others = around(seen[0]?.plane ?? 0, meta.planes.length, direction);
  const at = (planes: readonly number[], of: (one: Seen) => Want[]): Want[] =>
    planes.flatMap((plane) => seen.flatMap((one) => of({ ...one, plane, projection: null })));
  const coarse = (planes: readonly number[]): Want[] => at(planes, (one) => overviews(meta, one));
  const each = scale ? (meta.width_px * meta.height_px * (meta.colour ? 4 : 1) * 4) / 3 / scale ** 2 : Infinity;
  const most = Math.floor(AHEAD_BYTES / each / seen.length);
  const beside = hurried || seen[0]?.projection ? [] : at(others.slice(0, 2), (one) => wants(meta, one, camera, canvas));
  return [...coarse(others.slice(0, 8)), ...beside, ...coarse(others.slice(8, most))];
}

/** What is painted: one plane, or the projection of those that were prepared. */
export interface Shown {
  plane: number;
  flat: boolean;
  prepared: number;
}

/** The answer of `focus.json`: how sharp each plane is; null where nobody knows yet. */
export interface Focus {
  focus: readonly (number | null)[];
  /** Whether it is known of all planes that are here. */
  complete?: boolean;
}

/** The sharpest plane, or -1. */
export function sharpest(focus: Focus | null): number {
  const known = (focus?.focus ?? []).map((value) => value ?? -Infinity);
  const best = Math.max(...known);
  return Number.isFinite(best) ? known.indexOf(best) : -1;
}

/** The plane to begin with: the one `asked` for (from 1; 0 for none), else the sharpest, else one in the middle. */
export function firstPlane({ planes }: StackMeta, asked: number, focus: Focus | null): number {
  if (asked) return Math.min(Math.max(0, planes.length - 1), Math.max(0, Math.round(asked) - 1));
  const best = sharpest(focus);
  if (best >= 0 && best < planes.length) return best;
  const here = planes.flatMap((plane, i) => (plane.key === null ? [] : [i]));
  return here[here.length >> 1] ?? planes.length >> 1;
}

/** Usual distance between planes, in µm. */
export function spacing({ planes }: StackMeta): number {
  const depths = planes.flatMap(({ z_um }) => z_um ?? []);
  const steps = depths.slice(1).map((depth, i) => Math.abs(depth - (depths[i] ?? 0)));
  return steps.sort((a, b) => a - b)[steps.length >> 1] || 1;
}
