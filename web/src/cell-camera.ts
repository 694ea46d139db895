/** Looking at a reconstruction from any side. */
import type { Node } from './swc.js';

/** Turned by `yaw` and `pitch` (radians); `near` 2 is twice as large as the whole cell. */
export interface Orbit {
  yaw: number;
  pitch: number;
  near: number;
}

/** What a cell's nodes span, in µm. */
export interface Extent {
  middle: readonly [number, number, number];
  half: readonly [number, number, number];
  radius: number;
}

export interface Projection {
  /** To clip space, column by column, from µm relative to the middle with y and z turned (see `turned`). */
  matrix: Float32Array<ArrayBuffer>;
  /** Directions from the cell's frame to the eye's, column by column. */
  rotation: Float32Array<ArrayBuffer>;
  /** How far the middle is from the eye, in µm. */
  distance: number;
  /** µm for a pixel of the canvas, at a distance of 1 µm. */
  um_per_px: number;
}

const HALF_ANGLE = 0.3;

export function extentOf(nodes: readonly Node[]): Extent {
  const low = [Infinity, Infinity, Infinity];
  const high = [-Infinity, -Infinity, -Infinity];
  for (const node of nodes)
    [node.x, node.y, node.z].forEach((value, i) => {
      low[i] = Math.min(low[i] ?? value, value);
      high[i] = Math.max(high[i] ?? value, value);
    });
  const each = (of: (i: number) => number): [number, number, number] => (nodes.length ? [of(0), of(1), of(2)] : [0, 0, 0]);
  const half = each((i) => ((high[i] ?? 0) - (low[i] ?? 0)) / 2);
  return { middle: each((i) => ((high[i] ?? 0) + (low[i] ?? 0)) / 2), half, radius: Math.max(1, Math.hypot(...half)) };
}

/** From the stack's frame (x right, y down, z into the tissue) to one with y up and z to the reader: no mirror image. */
export const turned = ({ middle }: Extent, x: number, y: number, z: number): [number, number, number] => [
  x - middle[0], middle[1] - y, middle[2] - z,
];

export function project({ yaw, pitch, near }: Orbit, { half, radius }: Extent, width: number, height: number): Projection {
  const focal = 1 / Math.tan(HALF_ANGLE);
  const wide = width / height;
  // Far enough for the whole cell seen from the front; a ball around it would leave flat cells small.
  const distance = (1.06 * focal * Math.max(half[1], half[0] / wide, 0.25 * radius) + half[2]) / near;
  const [cy, sy, cp, sp] = [Math.cos(yaw), Math.sin(yaw), Math.cos(pitch), Math.sin(pitch)];
  const rotation = new Float32Array([cy, sy * sp, -sy * cp, 0, cp, sp, sy, -cy * sp, cy * cp]);
  const closest = Math.max(distance - 6 * radius, distance * 0.02);
  const farthest = distance + 6 * radius;
  const a = (farthest + closest) / (closest - farthest);
  const b = (2 * farthest * closest) / (closest - farthest);
  const matrix = new Float32Array(16);
  for (let j = 0; j < 3; j++) {
    const [x = 0, y = 0, z = 0] = rotation.subarray(3 * j, 3 * j + 3);
    matrix.set([(focal / wide) * x, focal * y, a * z, -z], 4 * j);
  }
  matrix.set([0, 0, -a * distance + b, distance], 12);
  return { matrix, rotation, distance, um_per_px: 2 / height / focal };
}

/** Where a point (as from `turned`) lies on the canvas, from 0 to 1 each way, and how far it is from the eye. */
export function onCanvas({ matrix: m }: Projection, [x, y, z]: readonly [number, number, number]): [number, number, number] {
  const row = (i: number): number => (m[i] ?? 0) * x + (m[i + 4] ?? 0) * y + (m[i + 8] ?? 0) * z + (m[i + 12] ?? 0);
  const w = row(3);
  return [(row(0) / w + 1) / 2, (1 - row(1) / w) / 2, w];
}
