/** The view of an image stack: one plane to zoom into, a slider through the others, and the stack's sides. */
import { busOf, type Bus } from './bus.js';
import { Controls } from './controls.js';
import { clamp, cssColour, el, framed, onScheme, stage } from './dom.js';
import { Eye } from './eye.js';
import { aborted, reason, type Get } from './get.js';
import { gestures } from './gestures.js';
import { FlatPainter } from './paint-2d.js';
import { GlPainter } from './paint-gl.js';
import { composed, download, scaleBar, type Bar } from './picture.js';
import { Projections, type Cross } from './projections.js';
import { autoWindow, type Layer, type Painter, type Placed, type Scene } from './scene.js';
import { Slider } from './slider.js';
import { around, fetched, leftovers, levelAt, overviews, readMeta, wants, type Seen, type StackMeta } from './stack-meta.js';
import { Settings } from './stack-settings.js';
import { numbers, type State, type View } from './state.js';
import { readSwc, segments } from './swc.js';
import { Tiles, type Want } from './tiles.js';

const HELD_BYTES = { webgl: 256e6, flat: 192e6 };
// Coarse pictures of as many planes as fit in this are held, so that the slider never waits.
const AHEAD_BYTES = 96e6;
const POLL_MS = 3000;
const START_WAIT_MS = 300;
const CANVAS_LABEL = 'A plane of the stack. Arrow keys change the plane, plus and minus zoom, zero shows all, shift and arrows move';

/** Show the stack that `get` answers for. */
export function mount(root: HTMLElement, get: Get, state: State): View {
  const end = new AbortController();
  let stack: Stack | null = null;
  const start = async (): Promise<void> => {
    const focus = get('focus.json', { signal: end.signal }).then((answer) => answer.json() as Promise<Focus>).catch(() => null);
    const meta = readMeta(await (await get('meta.json', { signal: end.signal })).json());
    const soon = state.get('plane') ? null : await Promise.race([focus, new Promise<null>((then) => setTimeout(then, START_WAIT_MS, null))]);
    if (end.signal.aborted) return;
    stack = new Stack(root, get, state, meta, soon);
    const late = await focus;
    if (late && !end.signal.aborted) stack.sharpness(late);
  };
  start().catch((error: unknown) => {
    if (aborted(error)) return;
    root.prepend(el('p', { class: 'notice', role: 'status', text: `The stack cannot be shown: ${reason(error)}.` }));
  });
  return {
    destroy() {
      end.abort();
      stack?.destroy();
    },
  };
}

interface Focus {
  focus: (number | null)[];
}

class Stack {
  readonly #root: HTMLElement;
  readonly #get: Get;
  readonly #state: State;
  readonly #bus: Bus;
  readonly #settings: Settings;
  readonly #canvas = el('canvas', { role: 'img', tabindex: 0, 'aria-label': CANVAS_LABEL });
  readonly #place = el('div', { class: 'plane' }, this.#canvas);
  readonly #bar = el('div', { class: 'scale', 'aria-hidden': 'true' }, el('i'), el('b'));
  readonly #notice = el('p', { class: 'notice', role: 'status', hidden: true });
  readonly #lines = [el('i', { class: 'cross across', hidden: true }), el('i', { class: 'cross down', hidden: true })] as const;
  readonly #eye: Eye;
  readonly #painter: Painter;
  readonly #tiles: Tiles;
  readonly #slider: Slider;
  readonly #sides: Projections;
  readonly #ends: (() => void)[] = [];
  readonly #draw = framed(() => this.#paint());
  #meta: StackMeta;
  #plane: number;
  #direction = 1;
  /** What was last painted; stays until something of what is wanted is here. */
  #shown: { plane: number; flat: boolean } | null = null;
  #cross: Cross;
  #hover: { x: number; y: number } | null = null;
  #touched = false;
  #problem: string | null = null;
  #cell: Float32Array<ArrayBuffer> | null = null;
  #background: [number, number, number] = [0, 0, 0];

  constructor(root: HTMLElement, get: Get, state: State, meta: StackMeta, focus: Focus | null) {
    this.#root = root;
    this.#get = get;
    this.#state = state;
    this.#meta = meta;
    this.#bus = busOf(root);
    const settings = (this.#settings = new Settings(meta, state));
    this.#plane = this.#first(focus);
    this.#eye = new Eye(this.#canvas, meta, state, () => {
      this.#touched = true;
      this.#ask();
    });
    const [x, y] = numbers(state.get('cross'), 2) ?? [];
    this.#cross = { x: x ?? meta.width_px / 2, y: y ?? meta.height_px / 2, plane: this.#plane };
    const gl = GlPainter.on(this.#canvas, meta.colour, () => this.#tiles.forget());
    this.#painter = gl ?? new FlatPainter(this.#canvas);
    root.dataset['painter'] = gl ? 'webgl' : 'flat';
    this.#tiles = new Tiles(get, this.#painter, HELD_BYTES[gl ? 'webgl' : 'flat'], (problem) => this.#came(problem));
    this.#slider = new Slider(meta, (plane) => this.#go(plane));
    this.#sides = new Projections(meta, get, this.#draw, (to) => this.#point(to));
    const controls = new Controls(meta, settings, {
      changed: () => this.#changed(), auto: () => this.#auto(controls), fit: () => this.#eye.fit(), save: () => void this.#save(),
    });
    this.#build(controls);
    this.#listen();
    if (focus) this.sharpness(focus);
    if (meta.cell) void this.#loadCell(meta.cell);
    if (!meta.complete) this.#poll();
    this.#slider.show(this.#plane);
    this.#changed();
  }

  #first(focus: Focus | null): number {
    const { planes } = this.#meta;
    const asked = Number(this.#state.get('plane'));
    if (asked) return clamp(Math.round(asked) - 1, 0, Math.max(0, planes.length - 1));
    const best = sharpest(focus);
    if (best >= 0 && best < planes.length) return best;
    const here = planes.flatMap((plane, i) => (plane.key === null ? [] : [i]));
    return here[here.length >> 1] ?? planes.length >> 1;
  }

  #build(controls: Controls): void {
    this.#place.append(this.#bar, this.#notice, ...this.#lines);
    const single = this.#meta.planes.length < 2;
    const panes = el('div', { class: single ? 'panes single' : 'panes' }, this.#place);
    if (!single) panes.append(this.#sides.canvases.yz, this.#sides.canvases.xz, controls.corner);
    this.#ends.push(stage(this.#root, el('div', { class: 'stack' }, panes, this.#slider.element)));
    this.#ends.push(this.#putTools(controls.tools));
    this.#eye.restore();
    this.#background = cssColour(this.#place, '--pic');
  }

  /** Above the stack; in the page's own bar where the stack has the page to itself, which leaves more for the picture. */
  #putTools(tools: HTMLElement): () => void {
    const bar = this.#root.matches('.views > .visual:only-child') && document.querySelector('header.top > .tools');
    if (bar) bar.prepend(tools);
    else this.#place.parentElement?.before(tools);
    return () => tools.remove();
  }

  #listen(): void {
    const resized = new ResizeObserver(() => {
      this.#size();
      this.#ask();
    });
    resized.observe(this.#canvas);
    this.#ends.push(
      () => resized.disconnect(),
      onScheme(() => (this.#size(), this.#slider.draw(), this.#draw())),
      this.#bus.on('branch', ({ x_um, y_um, z_um }) => this.#toBranch(x_um, y_um, z_um)),
      gestures(this.#canvas, {
        pan: (dx, dy) => this.#eye.pan(dx, dy),
        zoom: (factor, x, y) => this.#eye.zoom(factor, x, y),
        fit: () => this.#eye.fit(),
        step: (by) => this.#go(this.#plane + by),
        end: (which) => this.#go(which ? this.#meta.planes.length - 1 : 0),
        tap: (x, y) => this.#point(this.#eye.under(x, y)),
        hover: (x, y) => {
          this.#hover = x === null || y === null ? null : this.#eye.under(x, y);
          this.#draw();
        },
      }),
    );
  }

  #size(): void {
    this.#background = cssColour(this.#place, '--pic');
    this.#eye.size();
    // At once, not in the next frame: a canvas is blank once its size has changed.
    this.#paint();
  }

  #go(plane: number): void {
    const next = clamp(plane, 0, this.#meta.planes.length - 1);
    this.#touched = true;
    if (next === this.#plane) return;
    this.#direction = next > this.#plane ? 1 : -1;
    this.#plane = this.#cross.plane = next;
    this.#slider.show(next);
    this.#state.set('plane', String(next + 1));
    this.#tell();
    this.#ask();
  }

  /** Put the crosshair somewhere. */
  #point(to: Partial<Cross>): void {
    const { width_px, height_px } = this.#meta;
    this.#cross.x = clamp(to.x ?? this.#cross.x, 0, width_px);
    this.#cross.y = clamp(to.y ?? this.#cross.y, 0, height_px);
    this.#hover = null;
    this.#state.set('cross', `${Math.round(this.#cross.x)},${Math.round(this.#cross.y)}`);
    if (to.plane !== undefined) this.#go(to.plane);
    this.#draw();
  }

  #toBranch(x_um: number, y_um: number, z_um: number): void {
    const { pixel_um, planes } = this.#meta;
    if (!pixel_um) return;
    const [ox, oy, oz] = this.#settings.offset_um;
    const off = planes.map((plane) => Math.abs((plane.z_um ?? Infinity) - z_um - oz));
    this.#point({ x: (x_um + ox) / pixel_um[0], y: (y_um + oy) / pixel_um[1], plane: off.indexOf(Math.min(...off)) });
    if (!this.#eye.fitted) this.#eye.centre(this.#cross.x, this.#cross.y);
  }

  /** Tell the cell beside which plane is shown, in its own frame. */
  #tell(): void {
    const { pixel_um, planes, width_px, height_px } = this.#meta;
    const plane = planes[this.#plane];
    if (!pixel_um || plane?.z_um == null) return;
    const [x, y, z] = this.#settings.offset_um;
    this.#bus.emit('plane', {
      z_um: plane.z_um - z, rect_um: [-x, -y, width_px * pixel_um[0] - x, height_px * pixel_um[1] - y],
    });
  }

  #changed(): void {
    this.#settings.save();
    this.#sides.load(this.#meta, this.#settings.reduction, this.#settings.active);
    this.#tell();
    this.#ask();
  }

  #seen(channel: number, plane = this.#plane, flat = this.#settings.flat): Seen {
    return { plane, channel, projection: flat ? this.#settings.reduction : null };
  }

  #ask(): void {
    if (this.#canvas.clientWidth && this.#meta.planes.length)
      this.#tiles.ask(this.#settings.channels.flatMap((channel) => this.#wants(channel)), this.#ahead());
    this.#draw();
  }

  #wants(channel: number): Want[] {
    return wants(this.#meta, this.#seen(channel), this.#eye.camera, this.#eye.room);
  }

  /** What the reader is likely to want next: the planes beside this one as they are shown, and all others coarsely. */
  #ahead(): Want[] {
    const meta = this.#meta;
    const scale = meta.overviews[0];
    const each = scale ? (meta.width_px * meta.height_px * (meta.colour ? 4 : 1) * 4) / 3 / scale ** 2 : Infinity;
    const channels = this.#settings.channels;
    const others = around(this.#plane, meta.planes.length, this.#direction);
    const coarse = (planes: readonly number[]): Want[] =>
      planes.flatMap((plane) => channels.flatMap((channel) => overviews(meta, this.#seen(channel, plane, false))));
    const beside = others.slice(0, 2).flatMap((plane) =>
      channels.flatMap((channel) => wants(meta, this.#seen(channel, plane, false), this.#eye.camera, this.#eye.room)));
    const most = Math.floor(AHEAD_BYTES / each / channels.length);
    return [...coarse(others.slice(0, 8)), ...(this.#settings.flat ? [] : beside), ...coarse(others.slice(8, most))];
  }

  #pictures(seen: Seen): Placed[] {
    const all = wants(this.#meta, seen, this.#eye.camera, this.#eye.room);
    const old = leftovers(this.#meta, seen, this.#eye.camera, this.#eye.room);
    const ordered = [...all.filter((want) => want.whole), ...old, ...all.filter((want) => !want.whole)];
    return ordered.flatMap((want) => this.#tiles.held(want) ?? []);
  }

  #layers(): Layer[] {
    const { channels, flat } = this.#settings;
    const at = (plane: number, over: boolean): Layer[] =>
      channels.map((channel) => ({ ...this.#settings.look(channel), pictures: this.#pictures(this.#seen(channel, plane, over)) }));
    const now = at(this.#plane, flat);
    if (now.some((layer) => layer.pictures.length > 0)) this.#shown = { plane: this.#plane, flat };
    else if (this.#shown) return at(this.#shown.plane, this.#shown.flat);
    return now;
  }

  #scene(): Scene {
    const { pixel_um, planes } = this.#meta;
    const { offset_um, reconstruction } = this.#settings;
    const scene: Scene = { camera: this.#eye.camera, layers: this.#layers(), overlay: null, background: this.#background };
    const shown = planes[this.#shown?.plane ?? this.#plane];
    if (!this.#cell || !reconstruction || !pixel_um || shown?.z_um == null) return scene;
    const depth_um = this.#shown?.flat ? 1e9 : 3 * spacing(this.#meta);
    return { ...scene, overlay: { segments: this.#cell, pixel_um, offset_um, z_um: shown.z_um, depth_um } };
  }

  #paint(): void {
    if (!this.#canvas.clientWidth || !this.#eye.camera.sx) return;
    this.#painter.paint(this.#scene());
    const cross = { ...this.#cross, ...this.#hover };
    this.#sides.draw({ camera: this.#eye.camera, canvas: this.#eye.room, look: this.#settings.sideLook, cross });
    const bar = this.#scale();
    (this.#bar.firstChild as HTMLElement).style.width = `${bar.length_px}px`;
    (this.#bar.lastChild as HTMLElement).textContent = bar.text;
    this.#crosshair();
    this.#slider.say(this.#cursor(cross), percent(this.#eye.scale));
    this.#status();
  }

  #scale(): Bar {
    const image_px = 1 / this.#eye.scale;
    const { pixel_um } = this.#meta;
    return scaleBar(pixel_um && pixel_um[0] * image_px, image_px, 120);
  }

  #crosshair(): void {
    const set = this.#state.get('cross') !== null;
    const [x, y] = this.#eye.over(this.#cross.x, this.#cross.y).map((px) => Math.round(px / this.#eye.dense));
    const [across, down] = this.#lines;
    across.hidden = down.hidden = !set;
    across.style.transform = `translateY(${y ?? 0}px)`;
    down.style.transform = `translateX(${x ?? 0}px)`;
  }

  #cursor({ x, y }: Cross): string {
    const { pixel_um } = this.#meta;
    if (!pixel_um) return `x ${Math.round(x)}  y ${Math.round(y)} px`;
    return `x ${(x * pixel_um[0]).toFixed(1)}  y ${(y * pixel_um[1]).toFixed(1)} µm`;
  }

  #status(): void {
    const { planes, z_label } = this.#meta;
    const here = planes[this.#plane]?.key != null || this.#settings.flat;
    const gap = `${z_label || 'Plane'} ${this.#plane + 1} has not been fetched yet.`;
    const text = !planes.length ? 'This stack has no planes.' : here ? this.#problem && `A picture is missing: ${this.#problem}.` : gap;
    this.#notice.hidden = !text;
    if (this.#notice.textContent !== (text ?? '')) this.#notice.textContent = text ?? '';
    const first = this.#shown?.plane === this.#plane && this.#shown.flat === this.#settings.flat;
    this.#root.dataset['plane'] = String(this.#plane + 1);
    this.#root.dataset['level'] = String(levelAt(this.#eye.camera, this.#meta));
    this.#root.dataset['state'] = !here ? 'gap' : !first ? 'loading' : this.#tiles.settled ? 'whole' : 'first';
  }

  #came(problem: string | null): void {
    this.#problem = problem;
    this.#draw();
  }

  /** How sharp each plane is has come; go to the sharpest unless the reader has begun or the address says another. */
  sharpness({ focus }: Focus): void {
    this.#slider.focus = focus;
    const best = sharpest({ focus });
    if (this.#touched || this.#state.get('plane') || best < 0 || best >= this.#meta.planes.length || best === this.#plane) return;
    this.#go(best);
    this.#state.set('plane', null);
    this.#touched = false;
  }

  async #loadCell(name: string): Promise<void> {
    try {
      this.#cell = segments(readSwc(await (await this.#get(`../${name}/cell.swc`, { priority: 'low' })).text()));
      this.#draw();
    } catch (error) {
      this.#came(`the reconstruction did not come, ${reason(error)}`);
    }
  }

  /** A stack that is being fetched: look again until it is whole. */
  #poll(): void {
    const timer = setInterval(() => void again().catch(() => {}), POLL_MS);
    this.#ends.push(() => clearInterval(timer));
    const again = async (): Promise<void> => {
      if (document.hidden) return;
      const meta = readMeta(await (await this.#get('meta.json')).json());
      if (meta.complete) clearInterval(timer);
      if (fetched(meta) === fetched(this.#meta) || meta.planes.length !== this.#meta.planes.length) return;
      this.#meta = this.#slider.meta = meta;
      this.#changed();
      this.sharpness((await (await this.#get(`focus.json?planes=${fetched(meta)}`)).json()) as Focus);
    };
  }

  /** Black and white from what is on screen, for each channel shown. */
  #auto(controls: Controls): void {
    const scene = this.#scene();
    scene.layers.forEach((layer, i) => {
      const window = autoWindow(this.#painter.histogram(scene, layer, this.#eye.visible));
      const channel = this.#settings.channels[i];
      if (window && channel !== undefined) this.#settings.windows[channel] = window;
    });
    controls.show();
    this.#changed();
    this.#paint();
  }

  async #save(): Promise<void> {
    const { address, planes, simulated, pixel_um } = this.#meta;
    const at = planes[this.#plane];
    const where = this.#settings.flat
      ? `${this.#settings.reduction} of ${fetched(this.#meta)} planes`
      : `plane ${this.#plane + 1} of ${planes.length}${at?.z_um == null ? '' : `, ${at.z_um.toFixed(2)} µm`}`;
    const middle = this.#cursor({ ...this.#eye.camera, plane: this.#plane });
    const pixel = pixel_um ? `, ${Number(pixel_um[0].toPrecision(4))} µm a pixel` : '';
    this.#paint(); // WebGL keeps a picture only until the browser has shown it
    const picture = composed(this.#canvas, this.#eye.dense, this.#scale(), [
      `${address}${simulated ? ' (simulated)' : ''} · ${where}`, `middle at ${middle}${pixel} · ${this.#settings.map}`,
    ]);
    await download(picture, `${address}-plane-${this.#plane + 1}`).catch((error: unknown) => this.#came(reason(error)));
  }

  destroy(): void {
    this.#draw.cancel();
    for (const end of this.#ends) end();
    this.#slider.destroy();
    this.#sides.destroy();
    this.#tiles.destroy();
    this.#painter.destroy();
  }
}

function sharpest(focus: Focus | null): number {
  const known = (focus?.focus ?? []).map((value) => value ?? -Infinity);
  const best = Math.max(...known);
  return Number.isFinite(best) ? known.indexOf(best) : -1;
}

/** Usual distance between planes, in µm. */
function spacing({ planes }: StackMeta): number {
  const depths = planes.flatMap(({ z_um }) => z_um ?? []);
  const steps = depths.slice(1).map((depth, i) => Math.abs(depth - (depths[i] ?? 0)));
  return steps.sort((a, b) => a - b)[steps.length >> 1] || 1;
}

const percent = (scale: number): string => `${(scale * 100).toFixed(scale < 0.1 ? 1 : 0)} %`;
