/** The brightest of each pixel with the outlines of the cells: a click chooses a cell, another one lets it go. */
import { el } from './dom.js';
import { aborted, type Get } from './get.js';
import { colour, type RoiMeta } from './traces-meta.js';

export class Rois {
  readonly element = el('div', { class: 'rois' });
  readonly #canvas: HTMLCanvasElement;
  readonly #list = el('ul', { class: 'chips' });
  readonly #said = el('p', { class: 'said', role: 'status' });
  readonly #meta: RoiMeta;
  readonly #choose: (id: number) => void;
  #image: ImageBitmap | null = null;
  #labels: Uint16Array | null = null;
  #chosen: readonly number[] = [];
  #hovered = 0;

  constructor(meta: RoiMeta, get: Get, signal: AbortSignal, choose: (id: number) => void) {
    this.#meta = meta;
    this.#choose = choose;
    this.#canvas = el('canvas', { role: 'img', 'aria-label': `Maximum projection with ${meta.ids.length} cells; choose them in the list below` });
    this.#canvas.style.aspectRatio = `${meta.width_px} / ${meta.height_px}`;
    const clear = el('button', { type: 'button', text: 'All', title: 'Show the first cells again', onclick: () => this.#choose(0) });
    this.element.append(el('div', { class: 'group' }, el('h3', { text: 'Cells' }), clear), this.#canvas, this.#said, this.#list);
    for (const id of meta.ids)
      this.#list.append(el('li', {}, el('button', { type: 'button', 'aria-pressed': 'false', 'data-id': id, text: String(id), onclick: () => this.#choose(id) })));
    this.#canvas.addEventListener('click', (event) => {
      const id = this.#at(event);
      if (id) this.#choose(id);
    });
    this.#canvas.addEventListener('pointermove', (event) => {
      const id = this.#at(event) ?? 0;
      if (id === this.#hovered) return;
      this.#hovered = id;
      this.#canvas.style.cursor = id ? 'pointer' : '';
      this.#tell();
      this.draw();
    });
    this.#canvas.addEventListener('pointerleave', () => {
      this.#hovered = 0;
      this.#tell();
      this.draw();
    });
    void this.#load(get, signal);
  }

  /** Mark the cells that are chosen. */
  show(chosen: readonly number[]): void {
    this.#chosen = chosen;
    for (const button of this.#list.querySelectorAll('button')) {
      const on = chosen.indexOf(Number(button.dataset['id']));
      button.setAttribute('aria-pressed', String(on >= 0));
      button.style.setProperty('--mark', on >= 0 ? colour(on) : 'transparent');
    }
    this.#tell();
    this.draw();
  }

  async #load(get: Get, signal: AbortSignal): Promise<void> {
    try {
      const [image, labels] = await Promise.all([get('rois/image.png', { signal }), get('rois/labels.bin', { signal })]);
      this.#image = await createImageBitmap(await image.blob());
      this.#labels = new Uint16Array(await labels.arrayBuffer());
      this.draw();
      this.element.dataset['ready'] = '';
    } catch (error) {
      if (!aborted(error)) this.#said.textContent = 'The image of the cells cannot be read.';
    }
  }

  draw(): void {
    const { width_px: width, height_px: height, ids } = this.#meta;
    const labels = this.#labels;
    // Outlines one pixel wide are seen at any size if the picture has some more pixels than the image.
    const scale = Math.max(1, Math.round(512 / Math.max(width, height)));
    const to = this.#canvas.getContext('2d');
    if (!to || !labels || !this.#image) return;
    this.#canvas.width = width * scale;
    this.#canvas.height = height * scale;
    to.imageSmoothingEnabled = false;
    to.drawImage(this.#image, 0, 0, width * scale, height * scale);
    const edge = Math.max(1, scale / 3);
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++) {
        const label = labels[y * width + x] ?? 0;
        if (!label) continue;
        const id = ids[label - 1] ?? 0;
        const place = this.#chosen.indexOf(id);
        to.fillStyle = place >= 0 ? colour(place) : id === this.#hovered ? '#fff' : '#f2b134';
        const other = (dx: number, dy: number): boolean =>
          x + dx < 0 || x + dx >= width || y + dy < 0 || y + dy >= height || labels[(y + dy) * width + x + dx] !== label;
        const [left, top, side] = [x * scale, y * scale, scale];
        const wide = place >= 0 ? edge * 2 : edge;
        if (other(-1, 0)) to.fillRect(left, top, wide, side);
        if (other(1, 0)) to.fillRect(left + side - wide, top, wide, side);
        if (other(0, -1)) to.fillRect(left, top, side, wide);
        if (other(0, 1)) to.fillRect(left, top + side - wide, side, wide);
      }
  }

  #at(event: MouseEvent): number | null {
    const box = this.#canvas.getBoundingClientRect();
    const { width_px: width, height_px: height, ids } = this.#meta;
    const x = Math.floor(((event.clientX - box.left) / box.width) * width);
    const y = Math.floor(((event.clientY - box.top) / box.height) * height);
    const label = this.#labels?.[y * width + x] ?? 0;
    return label ? ids[label - 1] ?? null : null;
  }

  #tell(): void {
    const count = this.#chosen.length;
    this.#said.textContent = this.#hovered ? `cell ${this.#hovered}` : count ? `${count} chosen` : 'Click a cell to see its trace alone.';
  }
}
