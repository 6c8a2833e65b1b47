// Reads `{log, appends, visits}` as JSON from stdin; writes what the viewer's pieces show of the log.
//
// The log grows by `appends` bytes at a time. After each step the pieces that `visits` names are
// looked at, and in the end all of them are, in the order of the last visits.
import { readFileSync } from "node:fs";

const load = (name) => import(new URL(name, process.env.MODULES));
const { LogBytes, PIECE_BYTES } = await load("log/bytes.js");
const { LogPieces } = await load("log/pieces.js");
const { LogLines } = await load("log/lines.js");

const { log, appends, visits } = JSON.parse(readFileSync(0, "utf8"));
const content = Buffer.from(log, "base64");
const bytes = new LogBytes();
const pieces = new LogPieces(bytes);
const lines = new LogLines("", bytes, () => {});

let at = 0;
for (const [step, length] of appends.entries()) {
  bytes.put(at, content.subarray(at, at + length));
  at += length;
  for (const piece of visits[step]) if (piece < bytes.count) look(piece);
}
const seen = new Map(visits.at(-1).concat([...Array(bytes.count).keys()]).map((each) => [each, look(each)]));
const ordered = [...seen].sort(([a], [b]) => a - b).flatMap(([, rows]) => rows);
process.stdout.write(JSON.stringify({ rows: ordered, size: bytes.size, piece: PIECE_BYTES }));

function look(piece) {
  for (const each of pieces.needed(piece)) {
    const from = each * PIECE_BYTES; // as the loader would
    bytes.put(from, content.subarray(from, from + bytes.length(each)));
  }
  const found = pieces.get(piece);
  const before = lines.before(piece);
  return found.rows.map((row) => [
    row.offset,
    before === undefined ? null : before + found.newlinesBefore + row.line + 1,
    row.continued,
    row.text,
  ]);
}
