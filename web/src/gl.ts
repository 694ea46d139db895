/** The one small WebGL2 helper that every view shares. */

export interface Program {
  use(): void;
  readonly program: WebGLProgram;
  /** Where a uniform is set; null (which WebGL ignores) where the compiler left it out. */
  at(name: string): WebGLUniformLocation | null;
}

/** A WebGL2 context, or null where the browser or the machine has none. */
export function context(canvas: HTMLCanvasElement, options: WebGLContextAttributes = {}): WebGL2RenderingContext | null {
  // `?gl=0` shows what a browser without WebGL2 shows.
  if (new URLSearchParams(globalThis.location?.search).get('gl') === '0') return null;
  return canvas.getContext('webgl2', { alpha: false, antialias: false, powerPreference: 'high-performance', ...options });
}

const HEAD = '#version 300 es\nprecision highp float;precision highp int;precision highp sampler2D;';

function shader(gl: WebGL2RenderingContext, type: number, text: string): WebGLShader | null {
  const made = gl.createShader(type);
  if (!made) return null; // the context is lost
  gl.shaderSource(made, HEAD + text);
  gl.compileShader(made);
  if (!gl.getShaderParameter(made, gl.COMPILE_STATUS) && !gl.isContextLost())
    throw new Error(gl.getShaderInfoLog(made) ?? 'a shader does not compile');
  return made;
}

/** Compile and link; the sources go without their `#version` and precision. */
export function program(gl: WebGL2RenderingContext, vertex: string, fragment: string): Program {
  const made = gl.createProgram();
  for (const part of [shader(gl, gl.VERTEX_SHADER, vertex), shader(gl, gl.FRAGMENT_SHADER, fragment)])
    if (part) gl.attachShader(made, part);
  gl.linkProgram(made);
  if (!gl.getProgramParameter(made, gl.LINK_STATUS) && !gl.isContextLost())
    throw new Error(gl.getProgramInfoLog(made) ?? 'a program does not link');
  const places = new Map<string, WebGLUniformLocation | null>();
  return {
    program: made,
    use: () => gl.useProgram(made),
    at(name) {
      let place = places.get(name);
      if (place === undefined) places.set(name, (place = gl.getUniformLocation(made, name)));
      return place;
    },
  };
}

/** A texture, bound, that ends at its edges; `min` may ask for mipmaps. */
export function texture(gl: WebGL2RenderingContext, mag: number, min = mag, target: number = gl.TEXTURE_2D): WebGLTexture {
  const made = gl.createTexture();
  gl.bindTexture(target, made);
  gl.texParameteri(target, gl.TEXTURE_MAG_FILTER, mag);
  gl.texParameteri(target, gl.TEXTURE_MIN_FILTER, min);
  for (const axis of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T, gl.TEXTURE_WRAP_R])
    if (axis !== gl.TEXTURE_WRAP_R || target === gl.TEXTURE_3D) gl.texParameteri(target, axis, gl.CLAMP_TO_EDGE);
  return made;
}

/** A 256 × 1 texture of a colour map, for `lut()` of colours.ts. */
export function lutTexture(gl: WebGL2RenderingContext, colours: Uint8Array<ArrayBuffer>): WebGLTexture {
  const made = texture(gl, gl.LINEAR);
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, 256, 1, 0, gl.RGBA, gl.UNSIGNED_BYTE, colours);
  return made;
}

/**
 * Float attributes out of one buffer, into the bound vertex array. `fields` lie one after another; `divisor` 1 moves
 * on with each instance instead of each vertex.
 */
export function attributes(
  gl: WebGL2RenderingContext,
  of: Program,
  data: Float32Array<ArrayBuffer>,
  fields: readonly (readonly [string, number])[],
  divisor = 0,
): void {
  const stride = fields.reduce((sum, [, size]) => sum + size, 0) * 4;
  gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
  gl.bufferData(gl.ARRAY_BUFFER, data, gl.STATIC_DRAW);
  let offset = 0;
  for (const [name, size] of fields) {
    const place = gl.getAttribLocation(of.program, name);
    if (place >= 0) {
      gl.enableVertexAttribArray(place);
      gl.vertexAttribPointer(place, size, gl.FLOAT, false, stride, offset);
      gl.vertexAttribDivisor(place, divisor);
    }
    offset += size * 4;
  }
}

/** A vertex array, bound. */
export function vertexArray(gl: WebGL2RenderingContext): WebGLVertexArrayObject {
  const made = gl.createVertexArray();
  gl.bindVertexArray(made);
  return made;
}

/** A driver may take the context away at any time: hear of it, and of its return. Returns what ends it. */
export function survive(canvas: HTMLCanvasElement, lost: () => void, restored: () => void): () => void {
  const hearLost = (event: Event): void => {
    event.preventDefault(); // without it, the browser gives no context back
    lost();
  };
  canvas.addEventListener('webglcontextlost', hearLost);
  canvas.addEventListener('webglcontextrestored', restored);
  return () => {
    canvas.removeEventListener('webglcontextlost', hearLost);
    canvas.removeEventListener('webglcontextrestored', restored);
  };
}
