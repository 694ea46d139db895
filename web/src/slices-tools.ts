/** The tools above slices. */
import { COLOUR_MAPS } from './colours.js';
import { choose, el, labelled } from './dom.js';
import type { SlicesMeta } from './slices-meta.js';
import type { Settings } from './slices-settings.js';

export interface Doings {
  /** Other volumes are shown. */
  chosen(): void;
  /** The settings have changed. */
  changed(): void;
  fit(): void;
  save(): void;
}

const MOST_SHOWN = 6;

export class Tools {
  readonly element = el('div', { class: 'tools slices-tools', role: 'toolbar', 'aria-label': 'How the volumes are shown' });
  readonly #meta: SlicesMeta;
  readonly #settings: Settings;
  readonly #does: Doings;
  readonly #ofValues: HTMLElement[] = [];
  readonly #boxes = new Map<string, HTMLInputElement>();
  readonly #ends: AbortController = new AbortController();
  #one: HTMLSelectElement | null = null;
  #map: HTMLSelectElement;
  #fill: HTMLInputElement | null = null;
  #lines: HTMLInputElement | null = null;

  constructor(meta: SlicesMeta, settings: Settings, does: Doings) {
    this.#meta = meta;
    this.#settings = settings;
    this.#does = does;
    if (meta.simulated) this.element.append(el('span', { class: 'tag warn', text: 'simulated' }));
    if (meta.volumes.length > 1) this.element.append(...this.#volumes());
    const values = meta.volumes.some((volume) => volume.type === 'values');
    this.#map = choose(COLOUR_MAPS, settings.map, (map) => this.#then(() => (settings.map = map)));
    if (values) this.#ofValues.push(labelled('Colours', this.#map), labelled('Smooth', this.#smooth()));
    this.element.append(...this.#ofValues);
    if (settings.labels) this.element.append(...this.#overlays());
    const button = (text: string, title: string, onclick: () => void): HTMLElement =>
      el('button', { type: 'button', title, text, onclick });
    this.element.append(
      button('Fit', 'Show all of the slices (0)', does.fit),
      button('PNG', 'Save what is seen, with address and scale bar', does.save));
    this.show();
  }

  #then(change: () => void): void {
    change();
    this.#does.changed();
    this.show();
  }

  #smooth(): HTMLInputElement {
    const box = el('input', {
      type: 'checkbox', checked: this.#settings.smooth, title: 'Interpolate between voxels',
      onchange: () => this.#then(() => (this.#settings.smooth = box.checked)),
    });
    return box;
  }

  #overlays(): HTMLElement[] {
    const part = (title: string, then: (part: number) => void): HTMLInputElement => {
      const input: HTMLInputElement = el('input', {
        type: 'range', min: 0, max: 1, step: 0.05, title, oninput: () => this.#then(() => then(input.valueAsNumber)),
      });
      return input;
    };
    this.#fill = part('How much of the structures’ colours', (n) => (this.#settings.fill = n));
    this.#lines = part('How much of the structures’ outlines', (n) => (this.#settings.lines = n));
    return [labelled('Fill', this.#fill), labelled('Outlines', this.#lines)];
  }

  #volumes(): HTMLElement[] {
    const settings = this.#settings;
    const set = (names: string[]): void => {
      settings.shown = names;
      settings.range = null;
      this.#does.chosen();
      this.show();
    };
    const { volumes } = this.#meta;
    this.#one = choose([...volumes.map(({ name, title }): [string, string] => [name, title]), ['', 'several']], '', (name) => set([name]));
    const last = this.#one.lastElementChild as HTMLOptionElement;
    last.disabled = true;
    const list = volumes.map(({ name, title }) => {
      const box = el('input', {
        type: 'checkbox', onchange: () => {
          const now = volumes.map((one) => one.name).filter((one) => this.#boxes.get(one)?.checked);
          if (now.length && now.length <= MOST_SHOWN) set(now);
          else this.show();
        },
      });
      this.#boxes.set(name, box);
      return el('label', {}, box, title);
    });
    const beside = el('details', { class: 'pop' }, el('summary', { class: 'button', text: 'Side by side' }),
      el('div', { class: 'choices' }, ...list));
    const close = (event: Event): void => {
      if (!(event.target instanceof Node) || !beside.contains(event.target)) beside.open = false;
    };
    document.addEventListener('pointerdown', close, { signal: this.#ends.signal });
    beside.addEventListener('keydown', (event) => {
      if (event.key === 'Escape') beside.open = false;
    });
    return [labelled('Show', this.#one), beside];
  }

  /** Show the settings as they are. */
  show(): void {
    const settings = this.#settings;
    if (this.#one) this.#one.value = settings.shown.length === 1 ? (settings.shown[0] ?? '') : '';
    for (const [name, box] of this.#boxes) box.checked = settings.shown.includes(name);
    this.#map.value = settings.map;
    const values = settings.volumes.some((volume) => volume.type === 'values');
    for (const control of this.#ofValues) control.hidden = !values;
    if (this.#fill) this.#fill.value = String(settings.fill);
    if (this.#lines) this.#lines.value = String(settings.lines);
  }

  destroy(): void {
    this.#ends.abort();
    this.element.remove();
  }
}
