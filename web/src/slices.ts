/** The view of volumes: three linked slices of each that is shown, structures to search, values with units. */
import { busOf, type Bus } from './bus.js';
import { cssColour, el, fitCanvas, framed, onScheme, stage } from './dom.js';
import { aborted, reason, type Get } from './get.js';
import { composed, download, scaleBar, type Bar } from './picture.js';
import { Volumes } from './slices-data.js';
import { Eye } from './slices-eye.js';
import { FlatSlices } from './slices-flat.js';
import { GlSlices } from './slices-gl.js';
import type { Meant } from './slices-hands.js';
import { Legend } from './slices-here.js';
import { AXES, inside, Ontology, voxelOf, type SlicesMeta, type Structure, type Three } from './slices-meta.js';
import { Panes, type Pane } from './slices-panes.js';
import type { Look, Panel, SlicePainter } from './slices-scene.js';
import { lineOver, paletteOf, Settings } from './slices-settings.js';
import { Tools } from './slices-tools.js';
import type { State, View } from './state.js';
import { StructureTree } from './structures.js';

/** Show the volumes that `get` answers for. */
export function mount(root: HTMLElement, get: Get, state: State): View {
  const end = new AbortController();
  let slices: Slices | null = null;
  get('meta.json', { signal: end.signal, priority: 'high' })
    .then((answer) => answer.json())
    .then((meta) => {
      if (!end.signal.aborted) slices = new Slices(root, get, state, meta as SlicesMeta);
    })
    .catch((error: unknown) => {
      if (aborted(error)) return;
      root.prepend(el('p', { class: 'notice', role: 'status', text: `The volumes cannot be shown: ${reason(error)}.` }));
    });
  return {
    destroy() {
      end.abort();
      slices?.destroy();
    },
  };
}

interface Centre {
  voxel: Three | null;
  voxels: number;
  mm3: number;
}

class Slices {
  readonly #root: HTMLElement;
  readonly #get: Get;
  readonly #state: State;
  readonly #bus: Bus;
  readonly #meta: SlicesMeta;
  readonly #ontology: Ontology;
  readonly #settings: Settings;
  readonly #volumes: Volumes;
  readonly #eye: Eye;
  readonly #panes: Panes;
  readonly #legend: Legend;
  readonly #tools: Tools;
  readonly #tree: StructureTree | null;
  readonly #painter: SlicePainter;
  readonly #notice = el('p', { class: 'notice', role: 'status', hidden: true });
  readonly #size = el('p', { class: 'told', role: 'status', hidden: true });
  readonly #bar = el('div', { class: 'scale', 'aria-hidden': 'true' }, el('i'), el('b'));
  readonly #side = el('div', { class: 'slices-side' });
  readonly #sliders: HTMLInputElement[];
  readonly #places: HTMLOutputElement[] = [];
  readonly #ends: (() => void)[] = [];
  readonly #draw = framed(() => this.#paint());
  #voxel: Three;
  #hover: Three | null = null;
  #palette!: Uint8Array<ArrayBuffer>;
  #background: [number, number, number] = [0, 0, 0];
  #accent: [number, number, number] = [1, 1, 1];
  #fg: [number, number, number] = [1, 1, 1];

  constructor(root: HTMLElement, get: Get, state: State, meta: SlicesMeta) {
    this.#root = root;
    this.#get = get;
    this.#state = state;
    this.#meta = meta;
    this.#bus = busOf(root);
    this.#ontology = new Ontology(meta.structures);
    this.#settings = new Settings(meta, state, this.#ontology);
    this.#volumes = new Volumes(meta, get, this.#draw);
    this.#eye = new Eye(meta, state);
    this.#voxel = voxelOf(state.get('at'), meta.shape) ?? inside(meta.shape.map((n) => n / 2) as Three, meta.shape);
    this.#tree = this.#settings.labels ? new StructureTree(this.#ontology, (one) => void this.#choose(one)) : null;
    this.#legend = new Legend(this.#tree !== null, (range) => {
      this.#settings.range = range;
      this.#changed();
    });
    this.#panes = new Panes(meta, el('div', { class: 'slices-corner' }), (pane) => this.#meant(pane));
    const gl = GlSlices.on(this.#panes.canvas, this.#draw);
    this.#painter = gl ?? new FlatSlices(this.#panes.canvas);
    root.dataset['painter'] = gl ? 'webgl' : 'flat';
    this.#tools = new Tools(meta, this.#settings, {
      chosen: () => this.#shown(), changed: () => this.#changed(), fit: () => (this.#eye.fit(), this.#draw()), save: () => void this.#save(),
    });
    this.#sliders = AXES.map((name, axis) => this.#slider(name, axis));
    this.#build();
    this.#listen();
    this.#colour();
    this.#shown();
    this.#tree?.show(this.#settings.structure);
    if (this.#settings.structure) void this.#measure(this.#settings.structure, false);
  }

  #slider(name: string, axis: number): HTMLInputElement {
    const input: HTMLInputElement = el('input', {
      type: 'range', min: 0, max: (this.#meta.shape[axis] ?? 1) - 1, step: 1, 'aria-label': `Slice along ${name}`,
      oninput: () => {
        const to = [...this.#voxel] as Three;
        to[axis] = input.valueAsNumber;
        this.#go(to);
      },
    });
    return input;
  }

  #build(): void {
    const sliders = el('div', { class: 'slices-sliders' }, ...AXES.map((name, axis) => {
      const place = el('output');
      this.#places.push(place);
      return el('label', {}, name, this.#sliders[axis] ?? '', place);
    }));
    if (this.#tree) this.#side.append(el('h3', { text: 'Structures' }), this.#size, this.#tree.element);
    const view = el('div', { class: this.#tree ? 'slices' : 'slices plain' },
      el('div', { class: 'slices-main' }, this.#panes.element, this.#notice, this.#bar), this.#side, sliders);
    this.#ends.push(stage(this.#root, view));
    const bar = this.#root.matches('.views > .visual:only-child') && document.querySelector('header.top > .tools');
    if (bar) bar.prepend(this.#tools.element);
    else view.prepend(this.#tools.element);
  }

  #listen(): void {
    const resized = new ResizeObserver(() => this.#paint());
    resized.observe(this.#panes.element);
    this.#ends.push(
      () => resized.disconnect(),
      onScheme(() => (this.#colour(), this.#draw())),
      this.#bus.on('crosshair', ({ from, um }) => {
        const { title, voxel_um, shape } = this.#meta;
        if (from !== title) this.#go(inside(um.map((at, axis) => at / (voxel_um[axis] ?? 1) - 0.5) as Three, shape), false);
      }),
    );
  }

  #colour(): void {
    this.#background = cssColour(this.#panes.element, '--pic');
    this.#fg = cssColour(this.#panes.element, '--fg');
    this.#accent = cssColour(this.#panes.element, '--accent');
    const { structure } = this.#settings;
    this.#palette = paletteOf(this.#meta.structures, structure && this.#ontology.members(structure));
  }

  // --- what the reader does ---------------------------------------------------------------------

  #meant(pane: Pane): Meant {
    const { plane } = pane;
    const dense = (): number => this.#panes.dense;
    return {
      point: (x, y) => this.#go(this.#under(pane, x, y)),
      hover: (x, y) => {
        this.#hover = x === null || y === null ? null : this.#under(pane, x, y, true);
        this.#draw();
      },
      pan: (dx, dy) => (this.#eye.pan(plane, dx * dense(), dy * dense()), this.#draw()),
      zoom: (factor, x, y) => (this.#eye.zoom(plane, pane.room, factor, x * dense(), y * dense()), this.#draw()),
      fit: () => (this.#eye.fit(), this.#draw()),
      move: (across, down, through) => {
        const to = [...this.#voxel] as Three;
        to[plane.across] += across;
        to[plane.down] += down;
        to[plane.through] += through;
        this.#go(inside(to, this.#meta.shape));
      },
    };
  }

  /** The voxel at a place on a slice; null (or the nearest) where there is none. */
  #under(pane: Pane, x: number, y: number, within: true): Three | null;
  #under(pane: Pane, x: number, y: number): Three;
  #under({ plane, room }: Pane, x: number, y: number, within = false): Three | null {
    const { shape, voxel_um } = this.#meta;
    const [left, top] = this.#eye.corner(plane, room);
    const to = [...this.#voxel] as Three;
    const scale = this.#panes.dense / this.#eye.scale;
    to[plane.across] = Math.floor((left + x * scale) / voxel_um[plane.across]);
    to[plane.down] = Math.floor((top + y * scale) / voxel_um[plane.down]);
    if (within && to.some((at, axis) => at < 0 || at >= (shape[axis] ?? 0))) return null;
    return inside(to, shape);
  }

  #go(voxel: Three, tell = true): void {
    if (voxel.join() === this.#voxel.join()) return;
    this.#voxel = voxel;
    this.#hover = null;
    this.#root.dataset['voxel'] = voxel.join();
    this.#state.set('at', voxel.join());
    if (tell) this.#bus.emit('crosshair', { from: this.#meta.title, voxel, um: this.#um(voxel) });
    this.#draw();
  }

  async #choose(structure: Structure | null): Promise<void> {
    this.#settings.structure = structure;
    this.#tree?.show(structure);
    this.#changed();
    this.#size.hidden = true;
    if (structure) await this.#measure(structure, true);
  }

  /** Ask where a structure is and how large, and go there. */
  async #measure(structure: Structure, go: boolean): Promise<void> {
    try {
      const found = (await (await this.#get(`centre.json?id=${structure.id}`)).json()) as Centre;
      if (this.#settings.structure !== structure) return;
      this.#size.hidden = false;
      this.#size.textContent = found.voxel
        ? `${structure.acronym || structure.name}: ${found.mm3.toPrecision(3)} mm³`
        : `${structure.acronym || structure.name} has no voxel here`;
      if (!found.voxel || !go) return;
      this.#go(found.voxel);
      this.#eye.follow(this.#um(found.voxel));
    } catch (error) {
      if (!aborted(error)) this.#volumes.problem = `${structure.name}: ${reason(error)}`;
    }
    this.#draw();
  }

  /** Other volumes are shown. */
  #shown(): void {
    const { volumes } = this.#settings;
    this.#panes.show(volumes);
    const corner = this.#panes.element.querySelector('.slices-corner');
    if (corner) corner.replaceChildren(this.#legend.element);
    else this.#side.prepend(this.#legend.element);
    this.#side.hidden = !this.#side.childElementCount;
    this.#root.querySelector('.slices')?.classList.toggle('plain', !this.#side.childElementCount);
    this.#changed();
    this.#paint();
  }

  #changed(): void {
    this.#settings.save();
    this.#colour();
    this.#draw();
  }

  // --- what is drawn ----------------------------------------------------------------------------

  #um(voxel: Three): Three {
    return voxel.map((at, axis) => (at + 0.5) * (this.#meta.voxel_um[axis] ?? 1)) as Three;
  }

  /** Volumes of one unit share a range, so that their colours can be compared. */
  #window(name: string): readonly [number, number] {
    const { volumes, range } = this.#settings;
    const unit = this.#volumes.of(name)?.unit;
    const values = volumes.filter((volume) => volume.type === 'values');
    if (range && unit === values[0]?.unit) return range;
    const all = values.filter((volume) => volume.unit === unit).flatMap((volume) => this.#volumes.window(volume.name) ?? []);
    return all.length ? [Math.min(...all), Math.max(...all)] : [0, 1];
  }

  #panel(pane: Pane): Panel {
    const { plane, volume, room } = pane;
    const { voxel_um, shape } = this.#meta;
    const at = this.#voxel[plane.through];
    const [left, top] = this.#eye.corner(plane, room);
    const labels = volume.type === 'labels' ? volume : this.#settings.labels;
    return {
      ...room,
      size: [shape[plane.across], shape[plane.down]],
      from: [left / voxel_um[plane.across], top / voxel_um[plane.down]],
      step: [1 / this.#eye.scale / voxel_um[plane.across], 1 / this.#eye.scale / voxel_um[plane.down]],
      values: volume.type === 'values' ? this.#volumes.cut(volume.name, plane, at) : null,
      labels: labels && this.#volumes.cut(labels.name, plane, at),
      window: this.#window(volume.name),
    };
  }

  /** The background with a little of the colour of writing. */
  #tinted(part: number): [number, number, number] {
    return this.#background.map((back, i) => back + ((this.#fg[i] ?? 0) - back) * part) as [number, number, number];
  }

  #look(): Look {
    const { map, fill, lines, smooth, structure, volumes } = this.#settings;
    const only = volumes.every((volume) => volume.type === 'labels');
    return {
      map, fill, lines, smooth, palette: this.#palette, chosen: structure !== null,
      outside: this.#ontology.find(0)?.index ?? 0xffff,
      background: this.#background, missing: [this.#tinted(0.07), this.#tinted(0.16)], line: lineOver(map, only), accent: this.#accent,
    };
  }

  #paint(): void {
    const { canvas, element } = this.#panes;
    if (!element.clientWidth || !element.clientHeight) return;
    fitCanvas(canvas);
    const panes = this.#panes.all;
    this.#eye.fitTo(panes.map((pane) => [pane.plane, pane.room]));
    const panels = panes.map((pane) => this.#panel(pane));
    this.#painter.paint(panels, this.#look());
    for (const pane of panes) this.#over(pane);
    this.#scale();
    this.#say();
    const missing = panels.some(({ values, labels }, i) => (panes[i]?.volume.type === 'labels' ? !labels : !values || (this.#settings.labels && !labels)));
    this.#status(missing);
  }

  /** The crosshair and the caption over a slice. */
  #over(pane: Pane): void {
    const { plane, room } = pane;
    const um = this.#um(this.#voxel);
    const [left, top] = this.#eye.corner(plane, room);
    const scale = this.#eye.scale / this.#panes.dense;
    pane.place((um[plane.across] - left) * scale, (um[plane.down] - top) * scale);
    pane.caption(um[plane.through]);
  }

  #scale(): void {
    const bar = this.#scaleBar();
    (this.#bar.firstChild as HTMLElement).style.width = `${bar.length_px}px`;
    (this.#bar.lastChild as HTMLElement).textContent = bar.text;
    this.#sliders.forEach((slider, axis) => {
      slider.value = String(this.#voxel[axis]);
      const text = `${((this.#um(this.#voxel)[axis] ?? 0) / 1000).toFixed(2)} mm`;
      slider.setAttribute('aria-valuetext', text);
      const place = this.#places[axis];
      if (place) place.textContent = text;
    });
  }

  #scaleBar(): Bar {
    const um_per_px = this.#panes.dense / this.#eye.scale;
    return scaleBar(um_per_px, um_per_px, 110);
  }

  #say(): void {
    const voxel = this.#hover ?? this.#voxel;
    const { volumes, labels, map } = this.#settings;
    const index = labels && this.#volumes.value(labels.name, voxel);
    const structure = index === null ? null : this.#ontology.at(index);
    const values = volumes.filter((volume) => volume.type === 'values');
    this.#legend.say({
      um: this.#um(voxel), structure, above: structure ? this.#ontology.above(structure) : [],
      values: values.map((volume) => ({ volume, value: this.#volumes.value(volume.name, voxel) })),
    }, this.#hover === null);
    const [first] = values;
    this.#legend.colours(map, first ? this.#window(first.name) : null, first ? first.unit || 'no unit' : '');
  }

  #status(missing: boolean): void {
    const { problem, waiting } = this.#volumes;
    const text = problem ? `Something is missing: ${problem}.` : missing && waiting && !this.#root.dataset['painted'] ? 'Loading …' : '';
    this.#notice.hidden = !text;
    if (this.#notice.textContent !== text) this.#notice.textContent = text;
    if (!missing) this.#root.dataset['painted'] = '';
    this.#root.dataset['state'] = missing ? 'loading' : 'whole';
    this.#root.dataset['voxel'] = this.#voxel.join();
  }

  async #save(): Promise<void> {
    const { title, simulated } = this.#meta;
    const { volumes, map, labels } = this.#settings;
    const place = this.#um(this.#voxel).map((um, axis) => `${AXES[axis]} ${(um / 1000).toFixed(2)}`).join(', ');
    const address = decodeURIComponent(location.pathname.replace(/^\/item\//, ''));
    this.#paint(); // WebGL keeps a picture only until the browser has shown it
    const ranges = volumes.filter((one) => one.type === 'values').map((one) => `${one.title} ${this.#window(one.name).map((end) => Number(end.toPrecision(4))).join(' to ')} ${one.unit}`.trim());
    const picture = composed(this.#panes.canvas, this.#panes.dense, this.#scaleBar(), [
      `${address} · ${title}${simulated ? ' (simulated)' : ''} · at ${place} mm`,
      [...ranges, ranges.length ? map : '', labels ? `outlines: ${labels.title}` : ''].filter(Boolean).join(' · '),
    ]);
    await download(picture, `${address}-${this.#voxel.join('-')}`).catch((error: unknown) => {
      this.#volumes.problem = reason(error);
      this.#draw();
    });
  }

  destroy(): void {
    this.#draw.cancel();
    for (const end of this.#ends) end();
    this.#tools.destroy();
    this.#legend.destroy();
    this.#panes.destroy();
    this.#volumes.destroy();
    this.#painter.destroy();
  }
}

