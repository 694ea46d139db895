/** The stack's painter where there is no WebGL2: the same pictures on a 2D canvas, colours by table. */
import { lut } from './colours.js';
import { count, type Camera, type Layer, type Overlay, type Painter, type Picture, type Scene } from './scene.js';

interface Held extends Picture {
  image: ImageBitmap;
}

export class FlatPainter implements Painter {
  readonly #canvas: HTMLCanvasElement;
  readonly #to: CanvasRenderingContext2D;
  readonly #scratch = document.createElement('canvas').getContext('2d', { willReadFrequently: true });

  constructor(canvas: HTMLCanvasElement) {
    // Without WebGL2 there is seldom a graphics card: the processor then paints faster by itself.
    const to = canvas.getContext('2d', { willReadFrequently: true });
    if (!to) throw new Error('this browser has no canvas to paint on');
    this.#canvas = canvas;
    this.#to = to;
  }

  upload(image: ImageBitmap): Picture {
    const held: Held = { image, width: image.width, height: image.height, bytes: image.width * image.height * 4 };
    return held;
  }

  free(picture: Picture): void {
    (picture as Held).image.close();
  }

  paint(scene: Scene): void {
    const to = this.#to;
    to.globalCompositeOperation = 'source-over';
    to.fillStyle = `rgb(${scene.background.map((part) => Math.round(part * 255)).join(' ')})`;
    to.fillRect(0, 0, this.#canvas.width, this.#canvas.height);
    scene.layers.forEach((layer, i) => {
      if (i) to.globalCompositeOperation = 'lighter';
      const plain = (layer.asis || layer.map === 'gray') && layer.window[0] === 0 && layer.window[1] === 1;
      if (plain && scene.layers.length === 1) this.#pictures(to, scene.camera, layer);
      else this.#coloured(scene.camera, layer);
    });
    to.globalCompositeOperation = 'source-over';
    if (scene.overlay) this.#overlay(scene.camera, scene.overlay);
  }

  histogram(scene: Scene, layer: Layer, [x0, y0, x1, y1]: readonly [number, number, number, number]): Uint32Array {
    const scratch = this.#draw(scene.camera, layer);
    if (!scratch || x1 <= x0 || y1 <= y0) return new Uint32Array(256);
    return count(scratch.getImageData(x0, y0, x1 - x0, y1 - y0).data);
  }

  #pictures(to: CanvasRenderingContext2D, camera: Camera, layer: Layer): void {
    const [mx, my] = [this.#canvas.width / 2, this.#canvas.height / 2];
    to.imageSmoothingEnabled = camera.sx <= 4;
    for (const { picture, x, y, width, height } of layer.pictures) {
      // Whole device pixels, or seams show between neighbours.
      const left = Math.round((x - camera.x) * camera.sx + mx);
      const top = Math.round((y - camera.y) * camera.sy + my);
      const right = Math.round((x + width - camera.x) * camera.sx + mx);
      const bottom = Math.round((y + height - camera.y) * camera.sy + my);
      to.drawImage((picture as Held).image, left, top, right - left, bottom - top);
    }
  }

  #draw(camera: Camera, layer: Layer): CanvasRenderingContext2D | null {
    const scratch = this.#scratch;
    if (!scratch) return null;
    scratch.canvas.width = this.#canvas.width;
    scratch.canvas.height = this.#canvas.height;
    this.#pictures(scratch, camera, layer);
    return scratch;
  }

  #coloured(camera: Camera, layer: Layer): void {
    const scratch = this.#draw(camera, layer);
    if (!scratch) return;
    const image = scratch.getImageData(0, 0, scratch.canvas.width, scratch.canvas.height);
    recolour(image.data, layer);
    scratch.putImageData(image, 0, 0);
    this.#to.drawImage(scratch.canvas, 0, 0);
  }

  #overlay(camera: Camera, overlay: Overlay): void {
    const to = this.#to;
    const { segments, pixel_um, offset_um, z_um, depth_um } = overlay;
    const [mx, my] = [this.#canvas.width / 2, this.#canvas.height / 2];
    const px = (um: number): number => ((um + offset_um[0]) / pixel_um[0] - camera.x) * camera.sx + mx;
    const py = (um: number): number => ((um + offset_um[1]) / pixel_um[1] - camera.y) * camera.sy + my;
    // One path for each colour and each of four depths: a stroke for each branch would take seconds.
    const paths = new Map<string, { path: Path2D; step: number }>();
    for (let i = 0; i < segments.length; i += 12) {
      const [x0 = 0, y0 = 0, z0 = 0, , x1 = 0, y1 = 0, z1 = 0, , r = 0, g = 0, b = 0] = segments.subarray(i, i + 12);
      const off = ((z0 + z1) / 2 + offset_um[2] - z_um) / depth_um;
      const step = Math.round(3 * Math.exp((-off * off) / 2));
      const key = `rgb(${r * 255} ${g * 255} ${b * 255} / ${0.2 + 0.25 * step})`;
      let held = paths.get(key);
      if (!held) paths.set(key, (held = { path: new Path2D(), step }));
      held.path.moveTo(px(x0), py(y0));
      held.path.lineTo(px(x1), py(y1));
    }
    to.lineCap = 'round';
    for (const [colour, { path, step }] of [...paths].sort((a, b) => a[1].step - b[1].step)) {
      to.strokeStyle = colour;
      to.lineWidth = 1.2 + 0.6 * step;
      to.stroke(path);
    }
  }

  destroy(): void {}
}

/** Put RGBA pixels through a layer's black, white and map, in place; transparent ones stay. */
export function recolour(pixels: Uint8ClampedArray, { window: [low, high], map, asis }: Omit<Layer, 'pictures'>): void {
  const wide = Math.max(high - low, 1 / 512);
  const level = Uint8ClampedArray.from({ length: 256 }, (_, i) => ((i / 255 - low) / wide) * 255);
  const colours = lut(map);
  for (let i = 0; i < pixels.length; i += 4) {
    if (!pixels[i + 3]) continue;
    for (let c = 0; c < 3; c++) pixels[i + c] = level[pixels[i + c] ?? 0] ?? 0;
    if (asis) continue;
    const gray = Math.round((pixels[i] ?? 0) * 0.299 + (pixels[i + 1] ?? 0) * 0.587 + (pixels[i + 2] ?? 0) * 0.114);
    for (let c = 0; c < 3; c++) pixels[i + c] = colours[gray * 4 + c] ?? 0;
  }
}
