/** Where one looks at three slices at once: one middle and one scale for all, so that they stay in line. */
import { clamp } from './dom.js';
import type { Plane, SlicesMeta, Three } from './slices-meta.js';
import { numbers, type State } from './state.js';

/** Room for one slice, in device pixels. */
export interface Room {
  width: number;
  height: number;
}

const MOST_ZOOM = 60;
const MARGIN = 0.96;

export class Eye {
  readonly #size_um: Three;
  readonly #state: State;
  #zoom = 1;
  #middle_um: Three;
  /** Device pixels for a µm when everything fits. */
  #fitting = 1;

  constructor(meta: SlicesMeta, state: State) {
    this.#size_um = meta.shape.map((count, axis) => count * (meta.voxel_um[axis] ?? 1)) as Three;
    this.#state = state;
    const [zoom] = numbers(state.get('zoom'), 1) ?? [];
    const middle = numbers(state.get('mid'), 3) as Three | null;
    this.#zoom = clamp(zoom ?? 1, 1, MOST_ZOOM);
    this.#middle_um = middle ?? (this.#size_um.map((um) => um / 2) as Three);
  }

  /** All slices must fit their rooms at zoom 1. */
  fitTo(rooms: readonly (readonly [Plane, Room])[]): void {
    const each = rooms.map(([plane, room]) =>
      Math.min(room.width / this.#size_um[plane.across], room.height / this.#size_um[plane.down]));
    this.#fitting = Math.max(1e-6, Math.min(...each) * MARGIN);
  }

  /** Device pixels for a µm. */
  get scale(): number {
    return this.#fitting * this.#zoom;
  }

  /** What is at the top left corner of a slice's room, in µm across and down. */
  corner(plane: Plane, room: Room): readonly [number, number] {
    return [
      this.#middle_um[plane.across] - room.width / 2 / this.scale,
      this.#middle_um[plane.down] - room.height / 2 / this.scale,
    ];
  }

  pan(plane: Plane, dx: number, dy: number): void {
    this.#to(plane, -dx / this.scale, -dy / this.scale);
  }

  zoom(plane: Plane, room: Room, factor: number, x: number, y: number): void {
    const before = this.scale;
    this.#zoom = clamp(this.#zoom * factor, 1, MOST_ZOOM);
    const by = 1 / before - 1 / this.scale;
    this.#to(plane, (x - room.width / 2) * by, (y - room.height / 2) * by);
  }

  fit(): void {
    this.#zoom = 1;
    this.#middle_um = this.#size_um.map((um) => um / 2) as Three;
    this.#keep();
  }

  /** Bring a place into view, where one looks at a part only. */
  follow(um: Three): void {
    if (this.#zoom <= 1) return;
    this.#middle_um = [...um];
    this.#keep();
  }

  #to({ across, down }: Plane, dx_um: number, dy_um: number): void {
    const to = [...this.#middle_um] as Three;
    to[across] = clamp(to[across] + dx_um, 0, this.#size_um[across]);
    to[down] = clamp(to[down] + dy_um, 0, this.#size_um[down]);
    this.#middle_um = to;
    this.#keep();
  }

  #keep(): void {
    const whole = this.#zoom === 1 && this.#middle_um.every((um, axis) => um === (this.#size_um[axis] ?? 0) / 2);
    this.#state.set('zoom', this.#zoom === 1 ? null : String(Number(this.#zoom.toPrecision(4))));
    this.#state.set('mid', whole ? null : this.#middle_um.map(Math.round).join());
  }
}
