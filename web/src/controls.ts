/** The tools above a stack. */
import { COLOUR_MAPS } from './colours.js';
import { choose, el, labelled } from './dom.js';
import type { Reduction, StackMeta } from './stack-meta.js';
import { AS_IS, type Settings } from './stack-settings.js';

export interface Doings {
  /** The settings have changed. */
  changed(): void;
  auto(): void;
  fit(): void;
  save(): void;
}

const LONG: readonly (readonly [Reduction, string])[] = [['min', 'minimum'], ['max', 'maximum'], ['mean', 'mean']];

export class Controls {
  readonly tools = el('div', { class: 'tools stack-tools', role: 'toolbar', 'aria-label': 'How the stack is shown' });
  /** Which projection the sides show; stands in the corner between them. */
  readonly corner = el('div', { class: 'corner' });
  readonly #settings: Settings;
  readonly #meta: StackMeta;
  readonly #black: HTMLInputElement;
  readonly #white: HTMLInputElement;

  constructor(meta: StackMeta, settings: Settings, does: Doings) {
    this.#meta = meta;
    this.#settings = settings;
    const then = (change: () => void) => (): void => {
      change();
      does.changed();
      this.show();
    };
    const level = (which: 0 | 1): HTMLInputElement => {
      const input: HTMLInputElement = el('input', {
        type: 'range', min: 0, max: 100, step: 0.5,
        oninput: then(() => this.#window(which, input.valueAsNumber / 100)),
      });
      return input;
    };
    this.#black = level(0);
    this.#white = level(1);
    const button = (text: string, title: string, onclick: () => void): HTMLElement =>
      el('button', { type: 'button', class: 'button', title, text, onclick });
    const left = el('div', { class: 'group' });
    if (meta.simulated) left.append(el('span', { class: 'tag warn', text: 'simulated' }));
    if (meta.planes.length > 1) left.append(this.#view(then));
    if (meta.channels.length > 1) left.append(this.#channels(then));
    if (meta.cell) left.append(this.#reconstruction(then));
    const maps = meta.colour ? [AS_IS, ...COLOUR_MAPS] : COLOUR_MAPS;
    this.tools.append(left, el('div', { class: 'group' },
      labelled('Colours', choose(maps, settings.map, (map) => then(() => (settings.map = map))())),
      labelled('Black', this.#black),
      labelled('White', this.#white),
      button('Auto', 'Black and white from what is seen', does.auto),
      button('Fit', 'Show the whole plane (0)', does.fit),
      button('PNG', 'Save what is seen, with address and scale bar', does.save)));
    this.show();
  }

  /** Show the settings as they are. */
  show(): void {
    const channel = this.#settings.active;
    const raw = this.#meta.channels[channel]?.window;
    this.#settings.windows[channel]?.forEach((part, i) => {
      const input = i ? this.#white : this.#black;
      input.value = String(part * 100);
      const text = raw ? String(Math.round(raw[0] + part * (raw[1] - raw[0]))) : `${Math.round(part * 100)} %`;
      input.setAttribute('aria-valuetext', text);
      input.title = text;
    });
    for (const list of [this.#show, this.#sides]) {
      if (!list) continue;
      const flat = list === this.#sides || this.#settings.flat;
      list.value = flat ? this.#settings.reduction : 'plane';
    }
  }

  #show: HTMLSelectElement | null = null;
  #sides: HTMLSelectElement | null = null;

  #view(then: (change: () => void) => () => void): HTMLElement {
    const settings = this.#settings;
    this.#sides = choose(LONG.map(([how]) => how), settings.reduction, (how) =>
      then(() => (settings.reduction = how as Reduction))());
    this.#sides.setAttribute('aria-label', 'Projection shown at the sides');
    this.corner.append(this.#sides);
    this.#show = choose([['plane', 'one plane'], ...LONG], settings.flat ? settings.reduction : 'plane', (how) =>
      then(() => {
        settings.flat = how !== 'plane';
        if (settings.flat) settings.reduction = how as Reduction;
      })());
    this.#show.setAttribute('aria-label', 'What is shown');
    return this.#show;
  }

  #channels(then: (change: () => void) => () => void): HTMLElement {
    const names = this.#meta.channels.map(({ name }, i): [string, string] => [String(i), name || `channel ${i + 1}`]);
    const now = this.#settings.channel === null ? 'all' : String(this.#settings.channel);
    return labelled('Channel', choose([...names, ['all', 'together']], now, (which) =>
      then(() => (this.#settings.channel = which === 'all' ? null : Number(which)))()));
  }

  #reconstruction(then: (change: () => void) => () => void): HTMLElement {
    const settings = this.#settings;
    const box = el('input', {
      type: 'checkbox', checked: settings.reconstruction,
      onchange: then(() => (settings.reconstruction = box.checked)),
    });
    const inputs = ['x', 'y', 'z'].map((axis, i) => {
      const input: HTMLInputElement = el('input', {
        type: 'number', step: 0.5, value: settings.offset_um[i] ?? 0, 'aria-label': `Offset along ${axis} in µm`,
        oninput: then(() => (settings.offset_um[i] = input.valueAsNumber || 0)),
      });
      return input;
    });
    const zero = then(() => {
      settings.offset_um.fill(0);
      for (const input of inputs) input.value = '0';
    });
    const offset = el('details', { class: 'pop' },
      el('summary', { class: 'button', text: 'Offset' }),
      el('div', {},
        el('p', { text: 'Where the reconstruction’s origin lies in the stack is not published. Move it until its branches lie on those of the picture.' }),
        el('div', { class: 'group' },
          ...inputs.map((input, i) => labelled(['x', 'y', 'z'][i] ?? '', input)), 'µm',
          el('button', { type: 'button', class: 'button', text: 'Zero', onclick: zero }))));
    offset.addEventListener('keydown', (event) => {
      if (event.key === 'Escape') offset.open = false;
    });
    return el('div', { class: 'group' }, labelled('Reconstruction', box), offset);
  }

  /** Black stays below white, whichever is moved. */
  #window(which: 0 | 1, part: number): void {
    const window = this.#settings.windows[this.#settings.active];
    if (!window) return;
    window[which] = part;
    if (window[0] >= window[1]) window[1 - which] = which ? Math.max(0, part - 0.005) : Math.min(1, part + 0.005);
  }
}
