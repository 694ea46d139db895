/** How a stack is shown: colours, contrast, projection, channel, reconstruction; kept in the state. */
import { CHANNEL_COLOURS, COLOUR_MAPS } from './colours.js';
import { clamp } from './dom.js';
import type { Look } from './scene.js';
import type { Reduction, StackMeta } from './stack-meta.js';
import { numbers, type State } from './state.js';

export const AS_IS = 'as taken';
const REDUCTIONS: readonly Reduction[] = ['min', 'max', 'mean'];

export class Settings {
  readonly #state: State;
  readonly #start: { map: string; reduction: Reduction };
  map: string;
  /** Which projection the sides show, and the plane's place too where `flat`. */
  reduction: Reduction;
  flat: boolean;
  /** Index of a channel; null shows them together. */
  channel: number | null;
  /** Black and white for each channel, as parts of the range. */
  windows: [number, number][];
  reconstruction: boolean;
  offset_um: [number, number, number];

  constructor(meta: StackMeta, state: State) {
    this.#state = state;
    // A stained cell is dark in a bright field; what glows is bright in a dark one.
    this.#start = { map: meta.colour ? AS_IS : 'gray', reduction: meta.channels.length > 0 ? 'max' : 'min' };
    const known = (name: string | null, all: readonly string[], other: string): string =>
      name !== null && all.includes(name) ? name : other;
    this.map = known(state.get('colours'), meta.colour ? [AS_IS, ...COLOUR_MAPS] : COLOUR_MAPS, this.#start.map);
    this.reduction = known(state.get('projection'), REDUCTIONS, this.#start.reduction) as Reduction;
    this.flat = state.get('view') === 'projection' && meta.planes.length > 1;
    const count = Math.max(1, meta.channels.length);
    const channel = state.get('channel');
    this.channel = channel === 'all' && count > 1 ? null : clamp((Number(channel) || 1) - 1, 0, count - 1);
    const percents = numbers(state.get('contrast'), 2 * count);
    this.windows = Array.from({ length: count }, (_, i) => [
      clamp((percents?.[2 * i] ?? 0) / 100, 0, 1),
      clamp((percents?.[2 * i + 1] ?? 100) / 100, 0, 1),
    ]);
    this.reconstruction = state.get('reconstruction') !== 'off';
    const [x = 0, y = 0, z = 0] = numbers(state.get('offset'), 3) ?? [];
    this.offset_um = [x, y, z];
  }

  /** The channels on screen. */
  get channels(): number[] {
    return this.channel === null ? this.windows.map((_, i) => i) : [this.channel];
  }

  /** The one that the contrast controls change. */
  get active(): number {
    return this.channel ?? 0;
  }

  look(channel: number): Look {
    const together = CHANNEL_COLOURS[channel % CHANNEL_COLOURS.length] ?? 'ffffff';
    return {
      map: this.channel === null ? together : this.map === AS_IS ? 'gray' : this.map,
      asis: this.map === AS_IS && this.channel !== null,
      window: this.windows[channel] ?? [0, 1],
    };
  }

  /** The sides show one channel, in gray where the plane shows several. */
  get sideLook(): Look {
    const look = this.look(this.active);
    return this.channel === null ? { ...look, map: 'gray' } : look;
  }

  /** Write down what differs from the start. */
  save(): void {
    const put = (name: string, value: string, start: string): void => this.#state.set(name, value === start ? null : value);
    put('colours', this.map, this.#start.map);
    put('projection', this.reduction, this.#start.reduction);
    put('view', this.flat ? 'projection' : 'plane', 'plane');
    put('channel', this.channel === null ? 'all' : String(this.channel + 1), '1');
    const percents = this.windows.flat().map((part) => Math.round(part * 1000) / 10);
    put('contrast', percents.join(), this.windows.map(() => '0,100').join());
    put('reconstruction', this.reconstruction ? 'on' : 'off', 'on');
    put('offset', this.offset_um.join(), '0,0,0');
  }
}
