/** Beside slices: what is at the crosshair or under the cursor, and what the colours mean. */
import { lut } from './colours.js';
import { el } from './dom.js';
import { AXES, readable, type Structure, type Three, type VolumeMeta } from './slices-meta.js';
import { swatch } from './structures.js';

export interface Here {
  um: Three;
  structure: Structure | null;
  above: readonly Structure[];
  values: readonly { volume: VolumeMeta; value: number | null }[];
}

// A screen reader is told where the crosshair came to rest, not where it went by.
const REST_MS = 500;

export class Legend {
  readonly element = el('div', { class: 'here' });
  readonly #name = el('p', { class: 'name' });
  readonly #path = el('p', { class: 'path' });
  readonly #facts = el('dl', { class: 'facts' });
  readonly #spoken = el('p', { class: 'spoken', role: 'status' });
  readonly #scale: HTMLElement;
  readonly #bar = el('canvas', { class: 'bar', width: 256, height: 1, 'aria-hidden': 'true' });
  readonly #ends: readonly [HTMLInputElement, HTMLInputElement];
  readonly #unit = el('span', { class: 'unit' });
  #timer = 0;

  constructor(structures: boolean, ranged: (range: readonly [number, number] | null) => void) {
    const input = (label: string): HTMLInputElement => el('input', {
      type: 'number', step: 'any', 'aria-label': label, onchange: () => {
        const [low, high] = this.#ends.map((end) => end.valueAsNumber);
        if (low !== undefined && high !== undefined && high > low) ranged([low, high]);
      },
    });
    this.#ends = [input('Value that is shown darkest'), input('Value that is shown brightest')];
    this.#scale = el('div', { class: 'colours' }, this.#bar,
      el('div', { class: 'ends' }, this.#ends[0],
        el('button', { type: 'button', title: 'Range from the values', text: 'Auto', onclick: () => ranged(null) }), this.#ends[1]),
      el('p', { class: 'ends' }, this.#unit, el('span', { class: 'missing' }, el('i'), 'no value')));
    if (structures) this.element.append(this.#name, this.#path);
    this.element.append(this.#facts, this.#scale, this.#spoken);
  }

  /** Say what is at a place; `spoken` if the crosshair came there. */
  say(here: Here, spoken: boolean): void {
    const { structure, above, values } = here;
    const name = structure && structure.id !== 0 ? structure : null;
    this.#name.replaceChildren(...(name ? [swatch(name), el('b', { text: name.name }), el('span', { text: name.acronym })] : [el('span', { text: 'outside of all structures' })]));
    this.#path.textContent = above.map((one) => one.acronym).join(' › ');
    const rows: [string, string][] = values.map(({ volume, value }) => [volume.title, value === null ? '…' : value !== value ? 'no value' : `${readable(value)} ${volume.unit}`.trim()]);
    rows.push(['Place', here.um.map((um, axis) => `${AXES[axis]} ${(um / 1000).toFixed(2)}`).join('  ') + ' mm']);
    this.#facts.replaceChildren(...rows.map(([title, text]) => el('div', {}, el('dt', { text: title }), el('dd', { text }))));
    if (!spoken) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#spoken.textContent = [name ? `${name.name}, ${name.acronym}` : '', ...rows.map((row) => row.join(' '))].filter(Boolean).join('; ');
    }, REST_MS) as unknown as number;
  }

  /** Say what the colours mean; null where no values are shown. */
  colours(map: string, range: readonly [number, number] | null, unit: string): void {
    this.#scale.hidden = !range;
    if (!range) return;
    const to = this.#bar.getContext('2d');
    const pixels = to?.createImageData(256, 1);
    if (pixels) {
      pixels.data.set(lut(map));
      to?.putImageData(pixels, 0, 0);
    }
    range.forEach((end, i) => {
      const input = this.#ends[i];
      if (input && document.activeElement !== input) input.value = String(Number(end.toPrecision(4)));
    });
    this.#unit.textContent = unit;
  }

  destroy(): void {
    clearTimeout(this.#timer);
  }
}
