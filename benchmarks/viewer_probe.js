// What is on screen, frame by frame, seen from outside: the same for every page. Frames are asked
// for through one queue, and when all callbacks of a frame have painted, the picture is read, if
// it was painted: reading costs too, and only a picture painted in this frame can be read.
(() => {
  const native = window.requestAnimationFrame.bind(window);
  const painters = new Map(); // of this frame
  let queue = new Map();
  let running = new Map();
  let next = 1;
  let asked = false;
  window.seen = { frames: [], keys: [] };
  addEventListener('keydown', (event) => window.seen.keys.push(event.timeStamp), true);

  for (const [of, name] of [
    [WebGL2RenderingContext, 'drawArrays'], [WebGLRenderingContext, 'drawArrays'], [CanvasRenderingContext2D, 'drawImage'],
  ]) {
    const paint = of.prototype[name];
    of.prototype[name] = function (...given) {
      painters.set(this.canvas, this);
      return paint.apply(this, given);
    };
  }
  window.requestAnimationFrame = (call) => {
    queue.set(next, call);
    if (!asked) native(frame);
    asked = true;
    return next++;
  };
  window.cancelAnimationFrame = (id) => (queue.delete(id), running.delete(id));

  function frame(now) {
    asked = false;
    [running, queue] = [queue, new Map()];
    for (const id of [...running.keys()]) {
      const call = running.get(id);
      running.delete(id);
      call?.(now);
    }
    const of = document.querySelector('.plane canvas, .openseadragon-canvas canvas');
    const painter = painters.get(of);
    painters.clear();
    if (painter) look(of, painter);
  }

  function read(painter, { width, height }) {
    if (painter instanceof CanvasRenderingContext2D) return painter.getImageData(0, 0, width, height).data;
    const data = new Uint8Array(width * height * 4);
    painter.readPixels(0, 0, width, height, painter.RGBA, painter.UNSIGNED_BYTE, data);
    return data;
  }

  function look(of, painter) {
    const data = read(painter, of);
    let [hash, sum, squares, count] = [0, 0, 0, 0];
    for (let i = 0; i < data.length; i += 4 * 31) {
      hash = (Math.imul(hash, 31) + data[i] * 65536 + data[i + 1] * 256 + data[i + 2]) | 0;
      if (data[i + 3] < 255) continue;
      sum += data[i];
      squares += data[i] ** 2;
      count++;
    }
    // A picture has detail; its empty ground has none.
    if (count && squares / count - (sum / count) ** 2 > 4) window.seen.frames.push([performance.now(), hash]);
  }
})();
