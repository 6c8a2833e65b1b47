// Arrays of numpy's in files (NEP 1): only float64, of one dimension.

const MAGIC = "\x93NUMPY";

/**
 * The values. Throws Error when the file is another one.
 * @param {ArrayBuffer} buffer
 * @returns {Float64Array}
 */
export function readVector(buffer) {
  const bytes = new Uint8Array(buffer);
  const begin = String.fromCharCode(...bytes.subarray(0, 6));
  if (begin !== MAGIC) throw new Error("This is not a file of numpy's.");
  const view = new DataView(buffer);
  const wide = bytes[6] >= 2;
  const length = wide ? view.getUint32(8, true) : view.getUint16(8, true);
  const start = (wide ? 12 : 10) + length;
  const header = String.fromCharCode(...bytes.subarray(wide ? 12 : 10, start));
  const shape = /'shape': \((\d+),\)/.exec(header);
  if (!/'descr': '<f8'/.test(header) || !shape) {
    throw new Error("The file has something else than one column of float64 values.");
  }
  const count = Number(shape[1]);
  if (buffer.byteLength < start + 8 * count) throw new Error("The file ends too early.");
  const values = new Float64Array(count);
  for (let index = 0; index < count; index += 1) {
    values[index] = view.getFloat64(start + 8 * index, true);
  }
  return values;
}
