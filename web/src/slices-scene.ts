/** What the painters of slices are given, on WebGL2 or on a 2D canvas. */
import type { Cut } from './slices-data.js';

/** One slice on the canvas. Lengths in device pixels from the top left. */
export interface Panel {
  x: number;
  y: number;
  width: number;
  height: number;
  /** Voxels of the slice. */
  size: readonly [number, number];
  /** The place in the slice at the panel's top left corner, and voxels for a pixel. */
  from: readonly [number, number];
  step: readonly [number, number];
  values: Cut | null;
  labels: Cut | null;
  /** Values that are black and white. */
  window: readonly [number, number];
}

export interface Look {
  map: string;
  /** How much of the structures' colours, and of their outlines, from 0 to 1. */
  fill: number;
  lines: number;
  /** Whether values between voxels are interpolated. */
  smooth: boolean;
  /** RGBA of each structure by its index; alpha 255 is shown in full, less is faint. */
  palette: Uint8Array<ArrayBuffer>;
  /** Whether something is highlighted: then what has alpha 255 is. */
  chosen: boolean;
  /** The index of what is outside of all structures. */
  outside: number;
  background: readonly [number, number, number];
  /** Two colours that stripes have where there is no value. */
  missing: readonly (readonly [number, number, number])[];
  line: readonly [number, number, number];
  accent: readonly [number, number, number];
}

export interface SlicePainter {
  paint(panels: readonly Panel[], look: Look): void;
  destroy(): void;
}

/** How strongly a structure is filled: what is highlighted is seen over values too. */
export const filled = (look: Look, alpha: number): number =>
  look.chosen && alpha === 255 ? Math.max(look.fill, 0.55) : (look.fill * alpha) / 255;

export const STRIPE_PX = 4;
