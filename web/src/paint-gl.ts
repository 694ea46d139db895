/** The stack's painter on WebGL2. */
import { lut } from './colours.js';
import { attributes, context, lutTexture, program, survive, texture, vertexArray, type Program } from './gl.js';
import { count, type Layer, type Overlay, type Painter, type Picture, type Placed, type Scene } from './scene.js';

const PICTURE_VERTEX = `in vec2 corner;uniform vec4 rect,camera;out vec2 uv;
void main(){uv=corner;gl_Position=vec4((rect.xy+corner*rect.zw-camera.xy)*camera.zw,0.,1.);}`;

// mode 0: gray through the map; 1: brightness of a colour through the map; 2: the colour itself.
const PICTURE_FRAGMENT = `in vec2 uv;uniform sampler2D picture,map;uniform vec2 window;uniform int mode;uniform bool blocks;out vec4 o;
void main(){vec2 n=vec2(textureSize(picture,0)),q=blocks?(floor(uv*n)+.5)/n:uv;vec4 p=texture(picture,q);
vec3 v=clamp((p.rgb-window.x)/(window.y-window.x),0.,1.);
o=mode==2?vec4(v,1.):texture(map,vec2(((mode==0?v.r:dot(v,vec3(.299,.587,.114)))*255.+.5)/256.,.5));}`;

// A branch in focus is bright and a little wider; depth keeps the brightest where branches overlap, and keeps the
// joints of one branch from being blended twice.
const LINE_VERTEX = `in vec4 a,b,colour;uniform vec4 camera;uniform vec2 scale,pixel,focus;uniform vec3 offset;uniform float wide;out vec4 shade;
void main(){float end=float(gl_VertexID&1),side=float(gl_VertexID>>1)*2.-1.;
vec2 A=((a.xy+offset.xy)*scale-camera.xy)*camera.zw,B=((b.xy+offset.xy)*scale-camera.xy)*camera.zw;
vec2 along=normalize((A-B)/pixel+vec2(1e-6,0.));float off=mix(a.z,b.z,end)+offset.z-focus.x,k=exp(-off*off/(2.*focus.y*focus.y));
float half_px=wide*(.55+.75*k);vec2 at=mix(A,B,end)+(vec2(-along.y,along.x)*side+along*(1.-2.*end)*.7)*pixel*half_px;
gl_Position=vec4(at,.9-k*.8,1.);shade=vec4(colour.rgb,.2+.75*k);}`;

const LINE_FRAGMENT = `in vec4 shade;out vec4 o;void main(){o=vec4(shade.rgb*shade.a,shade.a);}`;

interface Held extends Picture {
  texture: WebGLTexture;
  mode: 0 | 1;
}

export class GlPainter implements Painter {
  readonly #gl: WebGL2RenderingContext;
  readonly #colour: boolean;
  readonly #luts = new Map<string, WebGLTexture>();
  readonly #end: () => void;
  #picture!: Program;
  #line!: Program;
  #quad!: WebGLVertexArrayObject;
  #lines: { of: Float32Array; array: WebGLVertexArrayObject } | null = null;

  /** Make the context that `on` will find, as that takes long where it is the first. */
  static warm(canvas: HTMLCanvasElement): void {
    context(canvas, { depth: true });
  }

  /** `restored` is called when a lost context is back and all pictures are gone. */
  static on(canvas: HTMLCanvasElement, colour: boolean, restored: () => void): GlPainter | null {
    const gl = context(canvas, { depth: true });
    return gl && new GlPainter(gl, canvas, colour, restored);
  }

  private constructor(gl: WebGL2RenderingContext, canvas: HTMLCanvasElement, colour: boolean, restored: () => void) {
    this.#gl = gl;
    this.#colour = colour;
    this.#prepare();
    this.#end = survive(canvas, () => {}, () => {
      this.#prepare();
      restored();
    });
  }

  #prepare(): void {
    const gl = this.#gl;
    this.#luts.clear();
    this.#lines = null;
    this.#picture = program(gl, PICTURE_VERTEX, PICTURE_FRAGMENT);
    this.#line = program(gl, LINE_VERTEX, LINE_FRAGMENT);
    this.#quad = vertexArray(gl);
    attributes(gl, this.#picture, new Float32Array([0, 0, 1, 0, 0, 1, 1, 1]), [['corner', 2]]);
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
  }

  upload(image: ImageBitmap, minified: boolean): Picture {
    const gl = this.#gl;
    const made = texture(gl, gl.LINEAR, minified ? gl.LINEAR_MIPMAP_LINEAR : gl.LINEAR);
    // Gray needs a quarter of the memory.
    if (this.#colour) gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA8, gl.RGBA, gl.UNSIGNED_BYTE, image);
    else gl.texImage2D(gl.TEXTURE_2D, 0, gl.R8, gl.RED, gl.UNSIGNED_BYTE, image);
    if (minified) gl.generateMipmap(gl.TEXTURE_2D);
    const bytes = image.width * image.height * (this.#colour ? 4 : 1) * (minified ? 4 / 3 : 1);
    const held: Held = { texture: made, mode: this.#colour ? 1 : 0, width: image.width, height: image.height, bytes };
    image.close();
    return held;
  }

  free(picture: Picture): void {
    this.#gl.deleteTexture((picture as Held).texture);
  }

  paint(scene: Scene): void {
    const gl = this.#gl;
    this.#clear(scene.background);
    for (const layer of scene.layers) this.#layer(scene, layer, scene.layers.length > 1);
    if (scene.overlay) this.#overlay(scene, scene.overlay);
    gl.disable(gl.DEPTH_TEST);
  }

  histogram(scene: Scene, layer: Layer, [x0, y0, x1, y1]: readonly [number, number, number, number]): Uint32Array {
    const gl = this.#gl;
    this.#clear([0, 0, 0]);
    this.#layer(scene, { ...layer, map: 'gray', window: [0, 1] }, false);
    const pixels = new Uint8Array(Math.max(0, (x1 - x0) * (y1 - y0) * 4));
    if (pixels.length) gl.readPixels(x0, gl.drawingBufferHeight - y1, x1 - x0, y1 - y0, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
    return count(pixels);
  }

  #clear([r, g, b]: readonly [number, number, number]): void {
    const gl = this.#gl;
    gl.viewport(0, 0, gl.drawingBufferWidth, gl.drawingBufferHeight);
    gl.clearColor(r, g, b, 1);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    gl.disable(gl.BLEND);
    gl.disable(gl.DEPTH_TEST);
  }

  #camera(of: Program, { camera }: Scene): void {
    const gl = this.#gl;
    const [w, h] = [gl.drawingBufferWidth, gl.drawingBufferHeight];
    gl.uniform4f(of.at('camera'), camera.x, camera.y, (2 * camera.sx) / w, (-2 * camera.sy) / h);
  }

  #layer(scene: Scene, layer: Layer, added: boolean): void {
    const gl = this.#gl;
    const to = this.#picture;
    to.use();
    gl.bindVertexArray(this.#quad);
    this.#camera(to, scene);
    gl.uniform2f(to.at('window'), layer.window[0], Math.max(layer.window[1], layer.window[0] + 1 / 512));
    gl.uniform1i(to.at('picture'), 0);
    gl.uniform1i(to.at('map'), 1);
    gl.activeTexture(gl.TEXTURE1);
    gl.bindTexture(gl.TEXTURE_2D, this.#lut(layer.map));
    gl.activeTexture(gl.TEXTURE0);
    let pictures = layer.pictures;
    if (added) {
      // Channels add up, but a fine picture must replace the coarse one under it: the fine ones go first, and the
      // depth test refuses whatever comes second.
      gl.clear(gl.DEPTH_BUFFER_BIT);
      gl.enable(gl.DEPTH_TEST);
      gl.depthFunc(gl.LESS);
      gl.enable(gl.BLEND);
      gl.blendFunc(gl.ONE, gl.ONE);
      pictures = pictures.toReversed();
    }
    for (const placed of pictures) this.#one(to, placed, layer.asis, scene.camera.sx);
  }

  #one(to: Program, placed: Placed, asis: boolean, scale: number): void {
    const gl = this.#gl;
    const held = placed.picture as Held;
    gl.bindTexture(gl.TEXTURE_2D, held.texture);
    gl.uniform1i(to.at('mode'), asis ? 2 : held.mode);
    // Far in, one sees the pixels as they were taken, not a blur between them.
    gl.uniform1i(to.at('blocks'), scale > 4 && placed.width === held.width ? 1 : 0);
    gl.uniform4f(to.at('rect'), placed.x, placed.y, placed.width, placed.height);
    gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
  }

  #lut(name: string): WebGLTexture {
    const made = this.#luts.get(name) ?? lutTexture(this.#gl, lut(name));
    this.#luts.set(name, made);
    return made;
  }

  #overlay(scene: Scene, overlay: Overlay): void {
    const gl = this.#gl;
    const to = this.#line;
    if (this.#lines?.of !== overlay.segments) {
      const array = vertexArray(gl);
      attributes(gl, to, overlay.segments, [['a', 4], ['b', 4], ['colour', 4]], 1);
      this.#lines = { of: overlay.segments, array };
    }
    to.use();
    gl.bindVertexArray(this.#lines.array);
    this.#camera(to, scene);
    gl.uniform2f(to.at('scale'), 1 / overlay.pixel_um[0], 1 / overlay.pixel_um[1]);
    gl.uniform3fv(to.at('offset'), overlay.offset_um as [number, number, number]);
    gl.uniform2f(to.at('focus'), overlay.z_um, overlay.depth_um);
    gl.uniform2f(to.at('pixel'), 2 / gl.drawingBufferWidth, 2 / gl.drawingBufferHeight);
    gl.uniform1f(to.at('wide'), Math.min(devicePixelRatio || 1, 2) * 1.15);
    gl.clear(gl.DEPTH_BUFFER_BIT);
    gl.enable(gl.DEPTH_TEST);
    gl.depthFunc(gl.LESS);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, overlay.segments.length / 12);
  }

  destroy(): void {
    this.#end();
    this.#gl.getExtension('WEBGL_lose_context')?.loseContext();
  }
}
