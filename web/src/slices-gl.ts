/** Slices on WebGL2: each is a quad; colours, outlines and interpolation are made for each pixel. */
import { lut } from './colours.js';
import { attributes, context, lutTexture, program, survive, texture, vertexArray, type Program } from './gl.js';
import type { Cut } from './slices-data.js';
import { STRIPE_PX, type Look, type Panel, type SlicePainter } from './slices-scene.js';

const VERTEX = 'in vec2 corner;void main(){gl_Position=vec4(corner*2.-1.,0.,1.);}';

// A value that is NaN comes as the most negative number, since WebGL need not keep NaN.
const FRAGMENT = `precision highp usampler2D;
uniform sampler2D values,palette,map;uniform usampler2D labels;
uniform vec2 corner_px,from,stp,size,window;uniform bool has_values,has_labels,smoothed,chosen;
uniform float fill,lines,dense;uniform uint outside;uniform vec3 back,line,accent,none_a,none_b;out vec4 o;
uint id(vec2 p){return any(lessThan(p,vec2(0)))||any(greaterThanEqual(p,size))?outside:texelFetch(labels,ivec2(p),0).r;}
vec4 colour(uint i){return texelFetch(palette,ivec2(int(i&255u),int(i>>8)),0);}
float raw(ivec2 p){return texelFetch(values,clamp(p,ivec2(0),ivec2(size)-1),0).r;}
bool known(float v){return v>-3e38;}
float value(vec2 p){
  float here=raw(ivec2(p));if(!smoothed||!known(here))return here;
  vec2 q=p-.5,f=fract(q);ivec2 c=ivec2(floor(q));float sum=0.,all=0.;
  for(int i=0;i<4;i++){ivec2 d=ivec2(i&1,i>>1);float v=raw(c+d),w=(d.x==1?f.x:1.-f.x)*(d.y==1?f.y:1.-f.y);
    if(known(v)){sum+=v*w;all+=w;}}
  return all>0.?sum/all:here;}
bool marked(uint i){return chosen&&i!=outside&&colour(i).a>.999;}
void main(){
  vec2 at=vec2(gl_FragCoord.x-corner_px.x,corner_px.y-gl_FragCoord.y),p=from+at*stp;vec3 c=back;
  if(any(lessThan(p,vec2(0)))||any(greaterThanEqual(p,size))){o=vec4(back,1.);return;}
  if(has_values){float v=value(p);
    if(known(v))c=texture(map,vec2((clamp((v-window.x)/(window.y-window.x),0.,1.)*255.+.5)/256.,.5)).rgb;
    else c=mod(floor((at.x+at.y)/(dense*${STRIPE_PX}.)),2.)<1.?none_a:none_b;}
  if(has_labels){uint i=id(p);
    if(i!=outside){vec4 s=colour(i);c=mix(c,s.rgb,chosen&&s.a>.999?max(fill,.55):fill*s.a);}
    vec2 w=stp*.5*dense;bool edge=false,rim=false;
    for(int k=0;k<4;k++){vec2 d=k<2?vec2(k*2-1,0):vec2(0,k*2-5);
      if(id(p+d*w)!=i)edge=true;if(marked(i)!=marked(id(p+d*w*1.8)))rim=true;}
    if(edge)c=mix(c,line,lines);if(rim)c=accent;}
  o=vec4(c,1.);}`;

const LOWEST = -3.4e38;

export class GlSlices implements SlicePainter {
  readonly #gl: WebGL2RenderingContext;
  readonly #end: () => void;
  readonly #luts = new Map<string, WebGLTexture>();
  #cuts = new Map<Cut, WebGLTexture>();
  #palette: { of: Uint8Array; texture: WebGLTexture } | null = null;
  #program!: Program;
  #quad!: WebGLVertexArrayObject;
  #none!: WebGLTexture;

  /** `restored` is called when a lost context is back and everything has to be drawn anew. */
  static on(canvas: HTMLCanvasElement, restored: () => void): GlSlices | null {
    const gl = context(canvas);
    return gl && new GlSlices(gl, canvas, restored);
  }

  private constructor(gl: WebGL2RenderingContext, canvas: HTMLCanvasElement, restored: () => void) {
    this.#gl = gl;
    this.#prepare();
    this.#end = survive(canvas, () => {}, () => {
      this.#prepare();
      restored();
    });
  }

  #prepare(): void {
    const gl = this.#gl;
    this.#luts.clear();
    this.#cuts = new Map();
    this.#palette = null;
    this.#program = program(gl, VERTEX, FRAGMENT);
    this.#quad = vertexArray(gl);
    attributes(gl, this.#program, new Float32Array([0, 0, 1, 0, 0, 1, 1, 1]), [['corner', 2]]);
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    this.#none = texture(gl, gl.NEAREST);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.R16UI, 1, 1, 0, gl.RED_INTEGER, gl.UNSIGNED_SHORT, new Uint16Array(1));
  }

  paint(panels: readonly Panel[], look: Look): void {
    const gl = this.#gl;
    const to = this.#program;
    gl.disable(gl.SCISSOR_TEST);
    gl.viewport(0, 0, gl.drawingBufferWidth, gl.drawingBufferHeight);
    gl.clearColor(...look.background, 1);
    gl.clear(gl.COLOR_BUFFER_BIT);
    to.use();
    gl.bindVertexArray(this.#quad);
    ['values', 'labels', 'palette', 'map'].forEach((name, unit) => gl.uniform1i(to.at(name), unit));
    gl.uniform1f(to.at('fill'), look.fill);
    gl.uniform1f(to.at('lines'), look.lines);
    gl.uniform1i(to.at('smoothed'), Number(look.smooth));
    gl.uniform1i(to.at('chosen'), Number(look.chosen));
    gl.uniform1ui(to.at('outside'), look.outside);
    gl.uniform3f(to.at('back'), ...look.background);
    gl.uniform3f(to.at('line'), ...look.line);
    look.missing.forEach((colour, i) => gl.uniform3f(to.at(i ? 'none_b' : 'none_a'), ...colour));
    gl.uniform3f(to.at('accent'), ...look.accent);
    this.#bind(2, this.#colours(look.palette));
    this.#bind(3, this.#map(look.map));
    for (const panel of panels) this.#panel(panel);
    this.#tidy(panels);
  }

  #panel(panel: Panel): void {
    const gl = this.#gl;
    const to = this.#program;
    const top = gl.drawingBufferHeight - panel.y;
    gl.viewport(panel.x, top - panel.height, panel.width, panel.height);
    gl.uniform2f(to.at('corner_px'), panel.x, top);
    gl.uniform2f(to.at('from'), ...panel.from);
    gl.uniform2f(to.at('stp'), ...panel.step);
    gl.uniform2f(to.at('size'), ...panel.size);
    gl.uniform2f(to.at('window'), ...panel.window);
    gl.uniform1i(to.at('has_values'), Number(panel.values !== null));
    gl.uniform1i(to.at('has_labels'), Number(panel.labels !== null));
    gl.uniform1f(to.at('dense'), Math.min(devicePixelRatio || 1, 2));
    // A sampler needs a texture of its type even where it is not read.
    this.#bind(0, panel.values ? this.#cut(panel.values) : this.#map('gray'));
    this.#bind(1, panel.labels ? this.#cut(panel.labels) : this.#none);
    gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
  }

  /** A texture is made on a unit of its own: making it binds it, and what is bound elsewhere must stay. */
  #spare(): void {
    this.#gl.activeTexture(this.#gl.TEXTURE0 + 7);
  }

  #bind(unit: number, bound: WebGLTexture): void {
    this.#gl.activeTexture(this.#gl.TEXTURE0 + unit);
    this.#gl.bindTexture(this.#gl.TEXTURE_2D, bound);
  }

  #cut(cut: Cut): WebGLTexture {
    const known = this.#cuts.get(cut);
    if (known) return known;
    const gl = this.#gl;
    this.#spare();
    const made = texture(gl, gl.NEAREST);
    const { width, height, data } = cut;
    if (data instanceof Uint16Array) gl.texImage2D(gl.TEXTURE_2D, 0, gl.R16UI, width, height, 0, gl.RED_INTEGER, gl.UNSIGNED_SHORT, data);
    else gl.texImage2D(gl.TEXTURE_2D, 0, gl.R32F, width, height, 0, gl.RED, gl.FLOAT, data.map((v) => (v === v ? Math.max(v, -3e38) : LOWEST)));
    this.#cuts.set(cut, made);
    return made;
  }

  #map(name: string): WebGLTexture {
    const known = this.#luts.get(name);
    if (known) return known;
    this.#spare();
    const made = lutTexture(this.#gl, lut(name));
    this.#luts.set(name, made);
    return made;
  }

  #colours(palette: Uint8Array<ArrayBuffer>): WebGLTexture {
    if (this.#palette?.of === palette) return this.#palette.texture;
    const gl = this.#gl;
    if (this.#palette) gl.deleteTexture(this.#palette.texture);
    this.#spare();
    const made = texture(gl, gl.NEAREST);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA8, 256, palette.length / 1024, 0, gl.RGBA, gl.UNSIGNED_BYTE, palette);
    this.#palette = { of: palette, texture: made };
    return made;
  }

  /** Only what is on screen stays with the driver: a slice is cut and uploaded in a few milliseconds. */
  #tidy(panels: readonly Panel[]): void {
    const seen = new Set(panels.flatMap(({ values, labels }) => [values, labels]));
    for (const [cut, made] of this.#cuts)
      if (!seen.has(cut)) {
        this.#gl.deleteTexture(made);
        this.#cuts.delete(cut);
      }
  }

  destroy(): void {
    this.#end();
    this.#gl.getExtension('WEBGL_lose_context')?.loseContext();
  }
}
