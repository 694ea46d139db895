/** Slices on a 2D canvas, where there is no WebGL2: a picture of a pixel for each voxel, and outlines as lines. */
import { lut } from './colours.js';
import { el } from './dom.js';
import { filled, type Look, type Panel, type SlicePainter } from './slices-scene.js';

const css = (colour: readonly number[], alpha = 1): string =>
  `rgb(${colour.map((part) => Math.round(part * 255)).join(' ')} / ${alpha})`;

export class FlatSlices implements SlicePainter {
  readonly #canvas: HTMLCanvasElement;
  readonly #spare = el('canvas');

  constructor(canvas: HTMLCanvasElement) {
    this.#canvas = canvas;
  }

  paint(panels: readonly Panel[], look: Look): void {
    const to = this.#canvas.getContext('2d');
    if (!to) return;
    to.fillStyle = css(look.background);
    to.fillRect(0, 0, this.#canvas.width, this.#canvas.height);
    for (const panel of panels) {
      to.save();
      to.beginPath();
      to.rect(panel.x, panel.y, panel.width, panel.height);
      to.clip();
      to.translate(panel.x - panel.from[0] / panel.step[0], panel.y - panel.from[1] / panel.step[1]);
      to.scale(1 / panel.step[0], 1 / panel.step[1]);
      this.#picture(to, panel, look);
      this.#edges(to, panel, look);
      to.restore();
    }
  }

  #picture(to: CanvasRenderingContext2D, panel: Panel, look: Look): void {
    const [width, height] = panel.size;
    const spare = this.#spare;
    spare.width = width;
    spare.height = height;
    const into = spare.getContext('2d');
    if (!into) return;
    const made = into.createImageData(width, height);
    const map = lut(look.map);
    const back = look.background.map((part) => part * 255);
    const [low, high] = panel.window;
    for (let i = 0; i < width * height; i++) {
      const index = panel.labels?.data[i] ?? look.outside;
      const share = index === look.outside ? 0 : filled(look, look.palette[index * 4 + 3] ?? 0);
      const value = panel.values?.data[i];
      const missing = look.missing[((i % width) + Math.floor(i / width)) & 1];
      const place = value === undefined || value !== value ? 0 : Math.round(Math.min(1, Math.max(0, (value - low) / (high - low))) * 255);
      for (let c = 0; c < 3; c++) {
        const under = value === undefined ? (back[c] ?? 0) : value !== value ? (missing?.[c] ?? 0) * 255 : (map[place * 4 + c] ?? 0);
        made.data[i * 4 + c] = under + ((look.palette[index * 4 + c] ?? 0) - under) * share;
      }
      made.data[i * 4 + 3] = 255;
    }
    into.putImageData(made, 0, 0);
    to.imageSmoothingEnabled = look.smooth;
    to.drawImage(spare, 0, 0);
  }

  #edges(to: CanvasRenderingContext2D, panel: Panel, look: Look): void {
    const labels = panel.labels;
    if (!labels) return;
    const { data, width, height } = labels;
    const marked = (index: number): boolean =>
      look.chosen && index !== look.outside && look.palette[index * 4 + 3] === 255;
    const [all, rim] = [new Path2D(), new Path2D()];
    const side = (a: number, b: number, x0: number, y0: number, x1: number, y1: number): void => {
      if (a === b) return;
      for (const path of marked(a) === marked(b) ? [all] : [all, rim]) {
        path.moveTo(x0, y0);
        path.lineTo(x1, y1);
      }
    };
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++) {
        const here = data[y * width + x] ?? 0;
        if (x + 1 < width) side(here, data[y * width + x + 1] ?? 0, x + 1, y, x + 1, y + 1);
        if (y + 1 < height) side(here, data[(y + 1) * width + x] ?? 0, x, y + 1, x + 1, y + 1);
      }
    const dense = Math.min(devicePixelRatio || 1, 2);
    to.lineWidth = panel.step[0] * dense;
    to.strokeStyle = css(look.line, look.lines);
    if (look.lines > 0) to.stroke(all);
    to.lineWidth *= 2;
    to.strokeStyle = css(look.accent);
    to.stroke(rim);
  }

  destroy(): void {
    this.#spare.width = 0;
  }
}
