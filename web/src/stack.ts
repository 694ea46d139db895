/** The view of an image stack: one plane to zoom into, a slider through the others, and the stack's sides. */
import { busOf, type Bus } from './bus.js';
import { Controls } from './controls.js';
import { clamp, cssColour, el, fitCanvas, framed, onScheme } from './dom.js';
import { aborted, reason, type Get } from './get.js';
import { gestures } from './gestures.js';
import { FlatPainter } from './paint-2d.js';
import { GlPainter } from './paint-gl.js';
import { composed, download, scaleBar, type Bar } from './picture.js';
import { Projections, type Cross } from './projections.js';
import { autoWindow, type Camera, type Layer, type Painter, type Placed, type Scene } from './scene.js';
import { Slider } from './slider.js';
import { around, aspect, fetched, fitting, leftovers, levelAt, overviews, tiles, wants, type Seen, type StackMeta } from './stack-meta.js';
import { Settings } from './stack-settings.js';
import { numbers, type State, type View } from './state.js';
import { readSwc, segments } from './swc.js';
import { Tiles, type Want } from './tiles.js';

const HELD_BYTES = { webgl: 256e6, flat: 192e6 };
// Coarse pictures of as many planes as fit in this are held, so that the slider never waits.
const AHEAD_BYTES = 96e6;
const POLL_MS = 3000;
const START_WAIT_MS = 300;
const MOST_ZOOM = 32;
const CANVAS_LABEL = 'A plane of the stack. Arrow keys change the plane, plus and minus zoom, zero shows all, shift and arrows move';

/** Show the stack that `get` answers for. */
export function mount(root: HTMLElement, get: Get, state: State): View {
  const end = new AbortController();
  let stack: Stack | null = null;
  const start = async (): Promise<void> => {
    const focus = get('focus.json', { signal: end.signal }).then((answer) => answer.json() as Promise<Focus>).catch(() => null);
    const meta = (await (await get('meta.json', { signal: end.signal })).json()) as StackMeta;
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
  readonly #painter: Painter;
  readonly #tiles: Tiles;
  readonly #slider: Slider;
  readonly #sides: Projections;
  readonly #ends: (() => void)[] = [];
  readonly #draw = framed(() => this.#paint());
  #meta: StackMeta;
  #camera: Camera = { x: 0, y: 0, sx: 0, sy: 0 };
  #fitted = true;
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
    const [x, y] = numbers(state.get('cross'), 2) ?? [];
    this.#cross = { x: x ?? meta.width_px / 2, y: y ?? meta.height_px / 2, plane: this.#plane };
    const gl = GlPainter.on(this.#canvas, meta.colour, () => this.#tiles.forget());
    this.#painter = gl ?? new FlatPainter(this.#canvas);
    root.dataset['painter'] = gl ? 'webgl' : 'flat';
    this.#tiles = new Tiles(get, this.#painter, HELD_BYTES[gl ? 'webgl' : 'flat'], (problem) => this.#came(problem));
    this.#slider = new Slider(meta, (plane) => this.#go(plane));
    this.#sides = new Projections(meta, get, this.#draw, (to) => this.#point(to));
    const controls = new Controls(meta, settings, {
      changed: () => this.#changed(), auto: () => this.#auto(controls), fit: () => this.#fit(), save: () => void this.#save(),
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
    if (best >= 0) return best;
    const here = planes.flatMap((plane, i) => (plane.key === null ? [] : [i]));
    return here[here.length >> 1] ?? planes.length >> 1;
  }

  #build(controls: Controls): void {
    this.#place.append(this.#bar, this.#notice, ...this.#lines);
    const single = this.#meta.planes.length < 2;
    const views = el('div', { class: single ? 'views single' : 'views' }, this.#place);
    if (!single) views.append(this.#sides.canvases.yz, this.#sides.canvases.xz, controls.corner);
    this.#root.replaceChildren(el('div', { class: 'stack' }, controls.tools, views, this.#slider.element));
    this.#restore();
  }

  #restore(): void {
    const [zoom] = numbers(this.#state.get('zoom'), 1) ?? [];
    const at = numbers(this.#state.get('at'), 2);
    this.#size();
    if (!zoom || !at) return;
    this.#fitted = false;
    const sx = zoom * this.#dense;
    this.#camera = { x: at[0] ?? 0, y: at[1] ?? 0, sx, sy: sx * aspect(this.#meta) };
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
        pan: (dx, dy) => this.#move({ ...this.#camera, x: this.#camera.x - (dx * this.#dense) / this.#camera.sx, y: this.#camera.y - (dy * this.#dense) / this.#camera.sy }),
        zoom: (factor, x, y) => this.#zoom(factor, x, y),
        fit: () => this.#fit(),
        step: (by) => this.#go(this.#plane + by),
        end: (which) => this.#go(which ? this.#meta.planes.length - 1 : 0),
        tap: (x, y) => this.#point(this.#under(x, y)),
        hover: (x, y) => this.#over(x, y),
      }),
    );
  }

  /** Device pixels for a CSS pixel. */
  get #dense(): number {
    return this.#canvas.width / Math.max(1, this.#canvas.clientWidth);
  }

  get #room(): readonly [number, number] {
    return [this.#canvas.width, this.#canvas.height];
  }

  #size(): void {
    const before = this.#dense;
    this.#background = cssColour(this.#place, '--pic');
    if (fitCanvas(this.#canvas) && !this.#fitted && before !== this.#dense) {
      const by = this.#dense / before;
      this.#camera = { ...this.#camera, sx: this.#camera.sx * by, sy: this.#camera.sy * by };
    }
    if (this.#fitted) this.#camera = fitting(this.#meta, ...this.#room);
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

  #move(camera: Camera, fitted = false): void {
    const { width_px, height_px } = this.#meta;
    this.#touched = true;
    this.#fitted = fitted;
    this.#camera = { ...camera, x: clamp(camera.x, 0, width_px), y: clamp(camera.y, 0, height_px) };
    this.#state.set('zoom', fitted ? null : String(Number((camera.sx / this.#dense).toPrecision(4))));
    this.#state.set('at', fitted ? null : `${Math.round(this.#camera.x)},${Math.round(this.#camera.y)}`);
    this.#ask();
  }

  #fit(): void {
    this.#move(fitting(this.#meta, ...this.#room), true);
  }

  #zoom(factor: number, x = this.#canvas.clientWidth / 2, y = this.#canvas.clientHeight / 2): void {
    const { camera: now, dense } = { camera: this.#camera, dense: this.#dense };
    const least = Math.min(fitting(this.#meta, ...this.#room).sx / 2, dense);
    const sx = clamp(now.sx * factor, least, MOST_ZOOM * dense);
    const [dx, dy] = [x * dense - this.#room[0] / 2, y * dense - this.#room[1] / 2];
    const sy = sx * aspect(this.#meta);
    this.#move({ x: now.x + dx / now.sx - dx / sx, y: now.y + dy / now.sy - dy / sy, sx, sy });
  }

  #under(x: number, y: number): { x: number; y: number } {
    const { camera, dense } = { camera: this.#camera, dense: this.#dense };
    return {
      x: (x * dense - this.#room[0] / 2) / camera.sx + camera.x,
      y: (y * dense - this.#room[1] / 2) / camera.sy + camera.y,
    };
  }

  #over(x: number | null, y: number | null): void {
    this.#hover = x === null || y === null ? null : this.#under(x, y);
    this.#draw();
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
    const off = planes.map((plane) => Math.abs(plane.z_um - z_um - oz));
    this.#point({ x: (x_um + ox) / pixel_um[0], y: (y_um + oy) / pixel_um[1], plane: off.indexOf(Math.min(...off)) });
    if (!this.#fitted) this.#move({ ...this.#camera, x: this.#cross.x, y: this.#cross.y });
  }

  /** Tell the cell beside which plane is shown, in its own frame. */
  #tell(): void {
    const { pixel_um, planes, width_px, height_px } = this.#meta;
    const plane = planes[this.#plane];
    if (!pixel_um || !plane) return;
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
    return wants(this.#meta, this.#seen(channel), this.#camera, this.#room);
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
      channels.flatMap((channel) => wants(meta, this.#seen(channel, plane, false), this.#camera, this.#room)));
    const most = Math.floor(AHEAD_BYTES / each / channels.length);
    return [...coarse(others.slice(0, 8)), ...(this.#settings.flat ? [] : beside), ...coarse(others.slice(8, most))];
  }

  #pictures(seen: Seen): Placed[] {
    const all = wants(this.#meta, seen, this.#camera, this.#room);
    const old = leftovers(this.#meta, seen, this.#camera, this.#room);
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
    const scene: Scene = { camera: this.#camera, layers: this.#layers(), overlay: null, background: this.#background };
    const shown = planes[this.#shown?.plane ?? this.#plane];
    if (!this.#cell || !reconstruction || !pixel_um || !shown) return scene;
    const depth_um = this.#shown?.flat ? 1e9 : 3 * spacing(this.#meta);
    return { ...scene, overlay: { segments: this.#cell, pixel_um, offset_um, z_um: shown.z_um, depth_um } };
  }

  #paint(): void {
    if (!this.#canvas.clientWidth || !this.#camera.sx) return;
    this.#painter.paint(this.#scene());
    const cross = { ...this.#cross, ...this.#hover };
    this.#sides.draw({ camera: this.#camera, canvas: this.#room, look: this.#settings.look(this.#settings.active), cross });
    const bar = this.#scale();
    (this.#bar.firstChild as HTMLElement).style.width = `${bar.length_px}px`;
    (this.#bar.lastChild as HTMLElement).textContent = bar.text;
    this.#crosshair();
    this.#slider.say(this.#cursor(cross), percent(this.#camera.sx / this.#dense));
    this.#status();
  }

  #scale(): Bar {
    const image_px = this.#dense / this.#camera.sx;
    const { pixel_um } = this.#meta;
    return scaleBar(pixel_um && pixel_um[0] * image_px, image_px, 120);
  }

  #crosshair(): void {
    const { camera, dense } = { camera: this.#camera, dense: this.#dense };
    const set = this.#state.get('cross') !== null;
    const x = ((this.#cross.x - camera.x) * camera.sx + this.#room[0] / 2) / dense;
    const y = ((this.#cross.y - camera.y) * camera.sy + this.#room[1] / 2) / dense;
    const [across, down] = this.#lines;
    across.hidden = down.hidden = !set;
    across.style.transform = `translateY(${Math.round(y)}px)`;
    down.style.transform = `translateX(${Math.round(x)}px)`;
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
    this.#root.dataset['level'] = String(levelAt(this.#camera, this.#meta));
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
    if (this.#touched || this.#state.get('plane') || best < 0 || best === this.#plane) return;
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
      const meta = (await (await this.#get('meta.json')).json()) as StackMeta;
      if (meta.complete) clearInterval(timer);
      if (fetched(meta) === fetched(this.#meta) || meta.planes.length !== this.#meta.planes.length) return;
      this.#meta = this.#slider.meta = meta;
      this.#changed();
      this.sharpness((await (await this.#get(`focus.json?planes=${fetched(meta)}`)).json()) as Focus);
    };
  }

  /** Black and white from what is on screen, for each channel shown. */
  #auto(controls: Controls): void {
    const { camera } = this.#camera.sx ? { camera: this.#camera } : { camera: fitting(this.#meta, ...this.#room) };
    const [w, h] = this.#room;
    const edge = (at: number, middle: number, scale: number, room: number): number =>
      clamp(Math.round((at - middle) * scale + room / 2), 0, room);
    const rect = [
      edge(0, camera.x, camera.sx, w), edge(0, camera.y, camera.sy, h),
      edge(this.#meta.width_px, camera.x, camera.sx, w), edge(this.#meta.height_px, camera.y, camera.sy, h),
    ] as const;
    const scene = this.#scene();
    scene.layers.forEach((layer, i) => {
      const window = autoWindow(this.#painter.histogram(scene, layer, rect));
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
      : `plane ${this.#plane + 1} of ${planes.length}, ${at?.z_um.toFixed(2) ?? '?'} µm`;
    const middle = this.#cursor({ ...this.#camera, plane: this.#plane });
    const pixel = pixel_um ? `, ${pixel_um[0]} µm a pixel` : '';
    this.#paint(); // WebGL keeps a picture only until the browser has shown it
    const picture = composed(this.#canvas, this.#dense, this.#scale(), [
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
    this.#root.replaceChildren();
  }
}

function sharpest(focus: Focus | null): number {
  const known = (focus?.focus ?? []).map((value) => value ?? -Infinity);
  const best = Math.max(...known);
  return Number.isFinite(best) ? known.indexOf(best) : -1;
}

/** Usual distance between planes, in µm. */
function spacing({ planes }: StackMeta): number {
  const steps = planes.slice(1).map((plane, i) => Math.abs(plane.z_um - (planes[i]?.z_um ?? 0)));
  return steps.sort((a, b) => a - b)[steps.length >> 1] || 1;
}

const percent = (scale: number): string => `${(scale * 100).toFixed(scale < 0.1 ? 1 : 0)} %`;
