/** A reconstruction on WebGL2: tapered tubes, the soma as a ball, fog, and the plane of the stack as a sheet. */
import { attributes, program, vertexArray, type Program } from './gl.js';
import { turned, type Extent, type Projection } from './cell-camera.js';
import { segments, TYPES, type Node } from './swc.js';

export interface Sheet {
  z_um: number;
  rect_um: readonly [number, number, number, number];
}

export interface CellScene {
  projection: Projection;
  extent: Extent;
  background: readonly [number, number, number];
  accent: readonly [number, number, number];
  sheet: Sheet | null;
  /** Lines instead of tubes: a seventh of the work, while one turns. */
  quick: boolean;
}

// Branches are never thinner than a pixel and a half, or far ones would fall apart into dots.
const TUBE = `in vec3 ring;in vec4 a,b;in vec4 colour;uniform mat4 m;uniform mat3 turn;uniform float px;out vec3 normal,tint;out float deep;
void main(){vec3 d=b.xyz-a.xyz;float l=length(d);vec3 w=l>1e-6?d/l:vec3(0,1,0),u=normalize(cross(w,abs(w.x)<.9?vec3(1,0,0):vec3(0,1,0))),v=cross(w,u),o=u*ring.x+v*ring.y,c=mix(a.xyz,b.xyz,ring.z);
float r=max(mix(a.w,b.w,ring.z),.75*px*(m*vec4(c,1.)).w);gl_Position=m*vec4(c+o*r,1.);normal=turn*o;tint=colour.rgb;deep=gl_Position.w;}`;
const BALL = `in vec3 at;uniform vec4 ball;uniform mat4 m;uniform mat3 turn;uniform float px;uniform vec3 colour;out vec3 normal,tint;out float deep;
void main(){gl_Position=m*vec4(ball.xyz+at*max(ball.w,3.*px*(m*vec4(ball.xyz,1.)).w),1.);normal=turn*at;tint=colour;deep=gl_Position.w;}`;
const LINE = `in vec3 at;in vec3 colour;uniform mat4 m;out vec3 normal,tint;out float deep;
void main(){gl_Position=m*vec4(at,1.);normal=vec3(.4,.6,.8);tint=colour;deep=gl_Position.w;}`;
const SOLID = `in vec3 normal,tint;in float deep;uniform vec2 fog;uniform vec3 ground;out vec4 o;
void main(){vec3 n=normalize(normal);float light=.58+.42*max(0.,dot(n,normalize(vec3(.4,.6,.8))))+.12*max(0.,-n.y);
o=vec4(mix(tint*light,ground,clamp((deep-fog.x)/(fog.y-fog.x),0.,.62)),1.);}`;
const SHEET = `in vec2 corner;uniform vec3 low,high;uniform mat4 m;void main(){gl_Position=m*vec4(mix(low,high,vec3(corner,0.)),1.);}`;
const FLAT = `uniform vec4 colour;out vec4 o;void main(){o=vec4(colour.rgb*colour.a,colour.a);}`;

const SIDES = 6;

interface Part {
  program: Program;
  array: WebGLVertexArrayObject;
  draw(): void;
}

export class CellPainter {
  readonly #gl: WebGL2RenderingContext;
  readonly #tubes: Part;
  readonly #lines: Part;
  readonly #ball: Part | null;
  readonly #sheet: Part;

  constructor(gl: WebGL2RenderingContext, nodes: readonly Node[], extent: Extent) {
    this.#gl = gl;
    const data = segments(nodes);
    for (let i = 0; i < data.length; i += 12)
      for (const at of [i, i + 4]) data.set(turned(extent, data[at] ?? 0, data[at + 1] ?? 0, data[at + 2] ?? 0), at);
    this.#tubes = this.#makeTubes(data);
    this.#lines = this.#makeLines(data);
    this.#ball = this.#makeBall(nodes, extent);
    const to = program(gl, SHEET, FLAT);
    const array = vertexArray(gl);
    attributes(gl, to, new Float32Array([0, 0, 1, 0, 1, 1, 0, 1]), [['corner', 2]]);
    this.#sheet = { program: to, array, draw: () => {} };
  }

  #makeTubes(data: Float32Array<ArrayBuffer>): Part {
    const gl = this.#gl;
    const to = program(gl, TUBE, SOLID);
    const array = vertexArray(gl);
    const ring: number[] = [];
    for (let i = 0; i <= SIDES; i++) {
      const angle = (i / SIDES) * 2 * Math.PI;
      for (const end of [0, 1]) ring.push(Math.cos(angle), Math.sin(angle), end);
    }
    attributes(gl, to, new Float32Array(ring), [['ring', 3]]);
    attributes(gl, to, data, [['a', 4], ['b', 4], ['colour', 4]], 1);
    const count = data.length / 12;
    return { program: to, array, draw: () => gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, ring.length / 3, count) };
  }

  #makeLines(data: Float32Array<ArrayBuffer>): Part {
    const gl = this.#gl;
    const to = program(gl, LINE, SOLID);
    const array = vertexArray(gl);
    const ends = new Float32Array(data.length);
    for (let i = 0; i < data.length; i += 12)
      [0, 4].forEach((at, end) => {
        ends.set(data.subarray(i + at, i + at + 3), i + end * 6);
        ends.set(data.subarray(i + 8, i + 11), i + end * 6 + 3);
      });
    attributes(gl, to, ends, [['at', 3], ['colour', 3]]);
    return { program: to, array, draw: () => gl.drawArrays(gl.LINES, 0, ends.length / 6) };
  }

  #makeBall(nodes: readonly Node[], extent: Extent): Part | null {
    const gl = this.#gl;
    const [soma] = nodes.filter((node) => node.type === 1).sort((a, b) => b.r - a.r);
    if (!soma) return null;
    const to = program(gl, BALL, SOLID);
    const array = vertexArray(gl);
    const [rows, columns] = [12, 20];
    const points: number[] = [];
    const point = (i: number, j: number): void => {
      const [t, p] = [(i / rows) * Math.PI, (j / columns) * 2 * Math.PI];
      points.push(Math.sin(t) * Math.cos(p), Math.cos(t), Math.sin(t) * Math.sin(p));
    };
    for (let i = 0; i < rows; i++)
      for (let j = 0; j < columns; j++)
        for (const [di, dj] of [[0, 0], [1, 0], [1, 1], [0, 0], [1, 1], [0, 1]] as const) point(i + di, j + dj);
    attributes(gl, to, new Float32Array(points), [['at', 3]]);
    const at = turned(extent, soma.x, soma.y, soma.z);
    const draw = (): void => {
      gl.uniform4f(to.at('ball'), ...at, soma.r);
      gl.uniform3fv(to.at('colour'), [...(TYPES[0]?.colour ?? [1, 1, 1])]);
      gl.drawArrays(gl.TRIANGLES, 0, points.length / 3);
    };
    return { program: to, array, draw };
  }

  paint(scene: CellScene): void {
    const gl = this.#gl;
    gl.viewport(0, 0, gl.drawingBufferWidth, gl.drawingBufferHeight);
    gl.clearColor(...scene.background, 1);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    gl.enable(gl.DEPTH_TEST);
    gl.disable(gl.BLEND);
    for (const part of [scene.quick ? this.#lines : this.#tubes, this.#ball]) if (part) this.#solid(part, scene);
    if (scene.sheet) this.#paintSheet(scene, scene.sheet);
  }

  #solid({ program: to, array, draw }: Part, { projection, extent, background }: CellScene): void {
    const gl = this.#gl;
    to.use();
    gl.bindVertexArray(array);
    gl.uniformMatrix4fv(to.at('m'), false, projection.matrix);
    gl.uniformMatrix3fv(to.at('turn'), false, projection.rotation);
    gl.uniform1f(to.at('px'), projection.um_per_px);
    const deep = Math.max(extent.half[2], extent.radius / 2);
    gl.uniform2f(to.at('fog'), projection.distance - deep / 2, projection.distance + 2 * deep);
    gl.uniform3fv(to.at('ground'), [...background]);
    draw();
  }

  #paintSheet({ projection, extent, accent }: CellScene, { z_um, rect_um: [x0, y0, x1, y1] }: Sheet): void {
    const gl = this.#gl;
    const to = this.#sheet.program;
    to.use();
    gl.bindVertexArray(this.#sheet.array);
    gl.uniformMatrix4fv(to.at('m'), false, projection.matrix);
    gl.uniform3f(to.at('low'), ...turned(extent, x0, y0, z_um));
    gl.uniform3f(to.at('high'), ...turned(extent, x1, y1, z_um));
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    gl.depthMask(false);
    gl.uniform4f(to.at('colour'), ...accent, 0.16);
    gl.drawArrays(gl.TRIANGLE_FAN, 0, 4);
    gl.uniform4f(to.at('colour'), ...accent, 0.8);
    gl.drawArrays(gl.LINE_LOOP, 0, 4);
    gl.depthMask(true);
  }
}
