// The rows that a log's bytes make: `node --test`, run by test_log_modules.py.
import assert from "node:assert/strict";
import { test } from "node:test";

const load = (name) => import(new URL(name, process.env.MODULES));
const { Screen } = await load("log/screen.js");
const { BOLD, DIM, INVERSE, PLAIN, RGB, UNDERLINE } = await load("log/style.js");
const { charactersBefore, countSlices, placeIn, sliceOf } = await load("log/slices.js");
const { Row, charactersOf } = await load("log/row.js");
const { FoldEnd, Folds, headingOf } = await load("log/folds.js");
const { hashOf, placeOf } = await load("log/place.js");
const { patternOf } = await load("log/search.js");
const { commandLine } = await load("lib/shell_quote.js");

const encoder = new TextEncoder();

function screenOf(text) {
  const screen = new Screen(0);
  screen.feed(encoder.encode(text));
  return screen;
}

const textOf = (text) => screenOf(text).rows.map((row) => row.text);

const TEXTS = [
  ["lines", "a\n\nb", ["a", "", "b"]],
  ["a last newline begins no row", "a\n", ["a"]],
  ["escapes alone make no row", "\x1b[0m", []],
  ["a progress bar", "10%\r20%\r100%\n", ["100%"]],
  ["what is not overwritten stays", "100%\r5\n", ["500%"]],
  ["line ends of Windows", "a\r\nb\r\n", ["a", "b"]],
  ["backspaces", "abc\b\bX\n", ["aXc"]],
  ["erased to the end", "working...\r\x1b[Kdone\n", ["done"]],
  ["a whole line erased", "one\x1b[2K\rtwo\n", ["two"]],
  ["lines drawn again", "a 1\nb 1\n\x1b[2Aa 2\nb 2\nc\n", ["a 2", "b 2", "c"]],
  ["one of several lines drawn again", "a\nb\nc\n\x1b[3A\rX\x1b[3B\rd\n", ["X", "b", "c", "d"]],
  ["not above the first row", "a\n\x1b[99AX\n", ["X"]],
  ["erased below", "a\nb\nc\n\x1b[2A\x1b[Jd\n", ["a", "d"]],
  ["a column", "\x1b[5Gx\r\x1b[2Cy\n", ["  y x"]],
  ["no endless columns", "\x1b[999999999Cx\n", [" ".repeat(2000) + "x"]],
  ["titles, modes and other strings", "\x1b]0;title\x07a\x1b[?25lb\x1bP1;2q\x1b\\c\x1b(Bd\n", ["abcd"]],
  ["control characters", "a\x00\x07\x7f\x9bb\n", ["ab"]],
  ["a sequence that no newline ends", "a\x1b]8;;http://x\nb\n", ["a", "b"]],
  ["combining marks", "e\u0301x\re\n", ["ex"]],
];

for (const [what, given, expected] of TEXTS) {
  test(what, () => assert.deepEqual(textOf(given), expected));
}

test("bytes one by one make the same rows", () => {
  const text = TEXTS.map(([, given]) => given).join("\x1b[0m\n") + "日本\x1b[1;31mé\x1b]8;;https://x.y\x1b\\z\n";
  const bytes = encoder.encode(text);
  const slow = new Screen(0);
  for (const byte of bytes) slow.feed(Uint8Array.of(byte));
  const shown = (screen) => screen.rows.map(({ offset, line, spans }) => ({ offset, line, spans }));
  assert.deepEqual(shown(slow), shown(screenOf(text)));
});

const STYLES = [
  ["31", { fg: 1 }],
  ["97;101", { fg: 15, bg: 9 }],
  ["38;5;200", { fg: 200 }],
  ["48;2;1;2;3", { bg: RGB + 0x010203 }],
  ["38:2::255:0:1", { fg: RGB + 0xff0001 }],
  ["38:5:7;1", { fg: 7, flags: BOLD }],
  ["58;5;9;4", { flags: UNDERLINE }],
  ["1;2;7", { flags: BOLD | DIM | INVERSE }],
  ["1;22;31;39", {}],
  ["4:0", {}],
  ["38;5;999;1", { flags: BOLD }],
  ["31;", {}],
];

for (const [parameters, expected] of STYLES) {
  test(`style ${parameters}`, () => {
    const [{ style }] = screenOf(`\x1b[${parameters}mx`).rows[0].spans;
    assert.deepEqual({ ...style }, { fg: null, bg: null, flags: 0, link: null, ...expected });
  });
}

test("styles last over lines", () => {
  const styles = screenOf("\x1b[32ma\nb\x1b[0m\nc\n").rows.map((row) => row.spans[0].style.fg);
  assert.deepEqual(styles, [2, 2, null]);
});

test("links are those of the web, and no others", () => {
  const linked = (address) => screenOf(`\x1b]8;;${address}\x1b\\x`).rows[0].spans[0].style.link;
  assert.equal(linked("https://a.example/b?c"), "https://a.example/b?c");
  for (const bad of ["javascript:alert(1)", "data:text/html,x", "file:///etc", "//x", "https://", "ftp://x"])
    assert.equal(linked(bad), null, bad);
});

test("offsets of lines lead to rows", () => {
  const screen = screenOf("a\nbb\n\x1b[2Ac\nd\ne\n");
  assert.equal(screen.rowAt(0), 0);
  assert.equal(screen.rowAt(3), 1);
  assert.equal(screen.rows[2].text, "e");
});

test("long rows are cut into slices that together are the row", () => {
  for (const text of ["x".repeat(1001), "日本".repeat(70), "a\tb".repeat(40), "", "e\u0301".repeat(90)]) {
    const row = new Row(0, 0, false);
    if (text) row.put(0, text, PLAIN);
    for (const width of [1, 7, 80, 4000]) {
      const count = countSlices(row, width);
      const parts = Array.from({ length: count }, (_, at) => sliceOf(row, width, at));
      assert.equal(parts.flat().map((span) => span.text).join(""), text);
      assert.ok(count >= 1);
      charactersOf(text).forEach((_, at) => {
        const { index, column } = placeIn(row, width, at);
        assert.ok(charactersBefore(row, width, index) <= at && at < charactersBefore(row, width, index + 1));
        assert.ok(column < width);
      });
    }
  }
});

test("a row of many colours is cut into slices of few elements", () => {
  const { rows } = screenOf(Array.from({ length: 5000 }, (_, at) => `\x1b[38;5;${at % 256}mx`).join(""));
  const count = countSlices(rows[0], 4000);
  const parts = Array.from({ length: count }, (_, at) => sliceOf(rows[0], 4000, at));
  assert.deepEqual(parts.flat(), rows[0].spans);
  assert.ok(Math.max(...parts.map((spans) => spans.length)) <= 150);
  const { index, column } = placeIn(rows[0], 4000, 4321);
  assert.equal(charactersBefore(rows[0], 4000, index) + column, 4321);
});

test("parts that can be folded", () => {
  assert.deepEqual(headingOf("::group::Build it"), { kind: "group", title: "Build it" });
  assert.deepEqual(headingOf("=== FAILURES ==="), { kind: "section", title: "FAILURES" });
  assert.deepEqual(headingOf("____ test_x ____"), { kind: "test", title: "test_x" });
  assert.equal(headingOf("= no ="), null);
  const group = new FoldEnd("group");
  const rows = ["::group::inner", "x", "::endgroup::", "y", "::endgroup::"];
  assert.deepEqual(rows.map((row) => group.at(row)), [null, null, null, null, "with"]);
  assert.equal(new FoldEnd("test").at("=== short test summary info ==="), "before");
  const folds = new Folds();
  folds.add(10, 50);
  assert.deepEqual([10, 11, 49, 50].map((offset) => folds.hides(offset)), [false, true, true, false]);
  assert.equal(folds.reveal(30), true);
  assert.equal(folds.any, false);
});

test("places, patterns and command lines", () => {
  assert.deepEqual(placeOf("#o5-3"), { from: 3, to: 5 });
  assert.equal(hashOf(placeOf("#o7")), "#o7");
  assert.equal(placeOf("#o7x"), null);
  assert.equal("A+B a+b".match(patternOf("a+b")).length, 2);
  assert.equal(patternOf("a-b/c\\[(").source.length > 0, true);
  assert.equal(commandLine(["sh", "-c", "echo 'a b'", null, ["$X"]]), `sh -c 'echo '\\''a b'\\''' '$X'`);
});
