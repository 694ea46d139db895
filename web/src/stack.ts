/** The view of an image stack: one plane to zoom into, a slider through the others, and the stack's sides. */
import { busOf, type Bus } from './bus.js';
import { Controls } from './controls.js';
import { follow } from './coming.js';
import { clamp, cssColour, el, framed, onScheme, stage } from './dom.js';
import { Eye } from './eye.js';
import { aborted, reason, type Get } from './get.js';
import { gestures } from './gestures.js';
import { FlatPainter } from './paint-2d.js';
import { GlPainter } from './paint-gl.js';
import { caption, composed, download, scaleBar, type Bar } from './picture.js';
import { Projections, type Cross } from './projections.js';
import { autoWindow, type Layer, type Painter, type Placed, type Scene } from './scene.js';
import { Slider } from './slider.js';
import { ahead, fetched, firstPlane, leftovers, levelAt, readMeta, sharpest, spacing, wants, type Focus, type Seen, type Shown, type StackMeta } from './stack-meta.js';
import { Settings } from './stack-settings.js';
import { numbers, type State, type View } from './state.js';
import { readSwc, segments } from './swc.js';
import { Tiles, type Want } from './tiles.js';

const HELD_BYTES = { webgl: 256e6, flat: 192e6 };
const HURRY_MS = 120;
const START_WAIT_MS = 300;
const CANVAS_LABEL = 'A plane of the stack. Arrow keys change the plane, plus and minus zoom, zero shows all, shift and arrows move';

/** Show the stack that `get` answers for. */
export function mount(root: HTMLElement, get: Get, state: State): View {
  const end = new AbortController();
  let stack: Stack | null = null;
  let unfollow = (): void => {};
  const canvas = el('canvas', { role: 'img', tabindex: 0, 'aria-label': CANVAS_LABEL });
  const start = async (): Promise<void> => {
    const focus = get('focus.json', { signal: end.signal }).then((answer) => answer.json() as Promise<Focus>).catch(() => null);
    const told = get('meta.json', { signal: end.signal });
    GlPainter.warm(canvas); // while the answer is on its way
    const meta = readMeta(await (await told).json());
    const soon = state.get('plane') ? null : await Promise.race([focus, new Promise<null>((then) => setTimeout(then, START_WAIT_MS, null))]);
    if (end.signal.aborted) return;
    stack = new Stack(root, canvas, get, state, meta, soon);
    const made = stack;
    unfollow = follow(get, meta, focus, { meta: (next) => made.more(next), focus: (next) => made.sharpness(next) });
  };
  start().catch((error: unknown) => {
    if (aborted(error)) return;
    root.prepend(el('p', { class: 'notice', role: 'status', text: `The stack cannot be shown: ${reason(error)}.` }));
  });
  return {
    destroy() {
      end.abort();
      unfollow();
      stack?.destroy();
    },
  };
}

class Stack {
  readonly #root: HTMLElement;
  readonly #get: Get;
  readonly #state: State;
  readonly #bus: Bus;
  readonly #settings: Settings;
  readonly #canvas: HTMLCanvasElement;
  readonly #place: HTMLElement;
  readonly #panes = el('div', { class: 'panes' });
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
  #shown: Shown | null = null;
  #cross: Cross;
  #hover: { x: number; y: number } | null = null;
  #touched = false;
  /** Of how many planes the sides are made. */
  #prepared = 0;
  #known: readonly boolean[] = [];
  /** When the last two steps were made. */
  #stepped: [number, number] = [-Infinity, -Infinity];
  #resting = 0;
  #problem: string | null = null;
  #cell: Float32Array<ArrayBuffer> | null = null;
  #background: [number, number, number] = [0, 0, 0];

  constructor(root: HTMLElement, canvas: HTMLCanvasElement, get: Get, state: State, meta: StackMeta, focus: Focus | null) {
    this.#root = root;
    this.#canvas = canvas;
    this.#place = el('div', { class: 'plane' }, canvas);
    this.#get = get;
    this.#state = state;
    this.#meta = meta;
    this.#bus = busOf(root);
    const settings = (this.#settings = new Settings(meta, state));
    this.#plane = firstPlane(meta, Number(state.get('plane')), focus);
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
    if (meta.cell) void this.#loadCell(meta.cell);
    this.#slider.show(this.#plane);
    this.#changed();
  }

  #build(controls: Controls): void {
    this.#place.append(this.#bar, this.#notice, ...this.#lines);
    const panes = this.#panes;
    panes.classList.toggle('single', this.#meta.planes.length < 2);
    panes.append(this.#place, this.#sides.canvases.yz, this.#sides.canvases.xz, controls.corner);
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
    this.#stepped = [this.#stepped[1], performance.now()];
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
    this.#sides.load(this.#meta, this.#settings.reduction, this.#settings.active, this.#known);
    this.#tell();
    this.#ask();
  }

  #seen(channel: number, { plane, flat, prepared } = { plane: this.#plane, flat: this.#settings.flat, prepared: this.#prepared }): Seen {
    return { plane, channel, projection: flat ? this.#settings.reduction : null, prepared };
  }

  #ask(): void {
    clearTimeout(this.#resting);
    this.#resting = 0;
    const seen = this.#settings.channels.map((channel) => this.#seen(channel));
    const all = seen.flatMap((one) => wants(this.#meta, one, this.#eye.camera, this.#eye.room));
    const coarse = all.filter((want) => want.whole);
    // Who drags the slider gets coarse planes; the fine ones are asked for where it comes to rest.
    const hurried = coarse.length > 0 && performance.now() - this.#stepped[0] < HURRY_MS;
    if (hurried) this.#resting = setTimeout(() => this.#ask(), HURRY_MS) as unknown as number;
    if (this.#canvas.clientWidth && this.#meta.planes.length)
      this.#tiles.ask(hurried ? coarse : all, ahead(this.#meta, seen, this.#direction, this.#eye.camera, this.#eye.room, hurried));
    this.#draw();
  }

  #pictures(seen: Seen): Placed[] {
    const all = wants(this.#meta, seen, this.#eye.camera, this.#eye.room);
    const old = leftovers(this.#meta, seen, this.#eye.camera, this.#eye.room);
    const held = (some: readonly Want[]): Placed[] => some.flatMap((want) => this.#tiles.held(want) ?? []);
    const [whole, fine] = [held(all.filter((want) => want.whole)), held(all.filter((want) => !want.whole))];
    // What is covered anyway is not painted: without a graphics card that would take most of the time.
    if (fine.length && fine.length === all.filter((want) => !want.whole).length) return fine;
    return [...whole.slice(-1), ...held(old), ...fine];
  }

  #layers(): Layer[] {
    const { channels, flat } = this.#settings;
    const at = (what: Shown): Layer[] =>
      channels.map((channel) => ({ ...this.#settings.look(channel), pictures: this.#pictures(this.#seen(channel, what)) }));
    const asked = { plane: this.#plane, flat, prepared: this.#prepared };
    const now = at(asked);
    if (now.some((layer) => layer.pictures.length > 0)) this.#shown = asked;
    else if (this.#shown) return at(this.#shown);
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
    this.#slider.say(this.#cursor(cross), this.#eye.scale);
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

  #cursor({ x, y }: { x: number; y: number }): string {
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
    this.#root.dataset['state'] = !here ? 'gap' : !first ? 'loading' : this.#tiles.settled && !this.#resting ? 'whole' : 'first';
  }

  #came(problem: string | null): void {
    this.#problem = problem;
    this.#draw();
  }

  /** More planes are here. */
  more(meta: StackMeta): void {
    this.#meta = this.#slider.meta = meta;
    this.#changed();
  }

  /**
   * How sharp planes are has come, and with it the sides. Go to the sharpest plane, unless the reader has begun or the
   * address says another.
   */
  sharpness(focus: Focus): void {
    this.#known = focus.focus.map((value) => value !== null);
    const known = this.#known.filter(Boolean).length;
    const first = this.#prepared === 0;
    this.#slider.focus = focus.focus;
    this.#prepared = known;
    const whole = focus.complete !== false;
    // Nobody makes sides of a stack that lies beyond a network: it would have to be read whole.
    this.#panes.classList.toggle('single', this.#meta.planes.length < 2 || (whole && !known));
    this.#changed();
    const best = sharpest(focus);
    if (this.#touched || this.#state.get('plane') || best < 0 || best >= this.#meta.planes.length) return;
    // Of a few planes, the sharpest tells nothing.
    if (best === this.#plane || !(whole || (first && 2 * known > fetched(this.#meta)))) return;
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
    this.#paint(); // WebGL keeps a picture only until the browser has shown it
    const middle = this.#cursor(this.#eye.camera);
    const lines = caption(this.#meta, this.#seen(this.#settings.active), middle, this.#settings.map);
    const picture = composed(this.#canvas, this.#eye.dense, this.#scale(), lines);
    await download(picture, `${this.#meta.address}-plane-${this.#plane + 1}`).catch((error: unknown) => this.#came(reason(error)));
  }

  destroy(): void {
    this.#draw.cancel();
    clearTimeout(this.#resting);
    for (const end of this.#ends) end();
    this.#slider.destroy();
    this.#sides.destroy();
    this.#tiles.destroy();
    this.#painter.destroy();
  }
}
