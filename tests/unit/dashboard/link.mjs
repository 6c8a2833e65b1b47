// Link modules without running them, as a browser does before it runs a page: fails for a module
// that is not there, and for a name that a module does not export.
import { readFile } from "node:fs/promises";
import vm from "node:vm";

const modules = new Map();

function load(url) {
  if (!modules.has(url)) {
    modules.set(
      url,
      readFile(new URL(url), "utf8").then(
        (text) => new vm.SourceTextModule(text, { identifier: url }),
      ),
    );
  }
  return modules.get(url);
}

for (const name of process.argv.slice(2)) {
  const module = await load(new URL(name, process.env.MODULES).href);
  if (module.status !== "unlinked") continue;
  await module.link((path, from) => load(new URL(path, from.identifier).href));
  module.instantiate?.();
}
