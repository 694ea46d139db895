/** What a stack's painters are given to paint, on WebGL2 or on a 2D canvas. */

/** Where one looks: image pixels in the middle of the canvas, and device pixels for an image pixel. */
export interface Camera {
  x: number;
  y: number;
  sx: number;
  sy: number;
}

/** A decoded picture that a painter holds. */
export interface Picture {
  readonly width: number;
  readonly height: number;
  readonly bytes: number;
}

/** A picture and what it covers, in image pixels. */
export interface Placed {
  picture: Picture;
  x: number;
  y: number;
  width: number;
  height: number;
}

/** How pictures become colours: `asis` for colour planes, else through a map of colours.ts. */
export interface Look {
  map: string;
  asis: boolean;
  /** Black and white, as parts of the picture's range. */
  window: readonly [number, number];
}

/** Pictures of one channel, coarse first. */
export interface Layer extends Look {
  pictures: readonly Placed[];
}

/** A reconstruction over the picture: `segments` of swc.ts, and how its µm become pixels and depth. */
export interface Overlay {
  segments: Float32Array<ArrayBuffer>;
  pixel_um: readonly [number, number];
  offset_um: readonly [number, number, number];
  z_um: number;
  /** How far from the plane a branch counts as in focus. */
  depth_um: number;
}

export interface Scene {
  camera: Camera;
  layers: readonly Layer[];
  overlay: Overlay | null;
  background: readonly [number, number, number];
}

export interface Painter {
  /** Hold a picture; `minified` ones are also shown much smaller than they are. */
  upload(image: ImageBitmap, minified: boolean): Picture;
  free(picture: Picture): void;
  paint(scene: Scene): void;
  /** How often each of the 256 values is on screen inside [x0, y0, x1, y1] of the canvas. */
  histogram(scene: Scene, layer: Layer, rect: readonly [number, number, number, number]): Uint32Array;
  destroy(): void;
}

/** A histogram of the red (or gray) values of RGBA pixels that are not transparent. */
export function count(pixels: Uint8Array | Uint8ClampedArray): Uint32Array {
  const made = new Uint32Array(256);
  for (let i = 0; i < pixels.length; i += 4) {
    if (!pixels[i + 3]) continue;
    const gray = (pixels[i] ?? 0) * 0.299 + (pixels[i + 1] ?? 0) * 0.587 + (pixels[i + 2] ?? 0) * 0.114;
    made[Math.round(gray)] = (made[Math.round(gray)] ?? 0) + 1;
  }
  return made;
}

/** Black and white so that all but the outermost 0.35 % at each end keep their difference. */
export function autoWindow(histogram: Uint32Array): [number, number] | null {
  const total = histogram.reduce((sum, n) => sum + n, 0);
  if (!total) return null;
  const at = (part: number): number => {
    let sum = 0;
    return histogram.findIndex((n) => (sum += n) >= part * total);
  };
  const low = at(0.0035);
  const high = Math.max(at(0.9965), low + 1);
  return [low / 255, high / 255];
}
