// What people call a browser, from its `User-Agent`. It is a guess, and only shown.

// Most browsers also name those that they descend from, so the order counts.
const BROWSERS = [
  [/Edg(e|A|iOS)?\//, "Edge"],
  [/OPR\//, "Opera"],
  [/(Firefox|FxiOS)\//, "Firefox"],
  [/(Chrome|Chromium|CriOS)\//, "Chrome"],
  [/Safari\//, "Safari"],
];
const SYSTEMS = [
  [/Android/, "Android"],
  [/iPhone|iPad/, "iOS"],
  [/CrOS/, "ChromeOS"],
  [/Windows/, "Windows"],
  [/Mac OS X/, "macOS"],
  [/Linux/, "Linux"],
];
const LONGEST = 60;

const named = (names, agent) => names.find(([pattern]) => pattern.test(agent))?.[1];

/** Such as "Firefox on Linux"; the beginning of what is not known. */
export function browserName(agent) {
  if (!agent) return "Unknown browser";
  const [browser, system] = [named(BROWSERS, agent), named(SYSTEMS, agent)];
  if (!browser) return agent.slice(0, LONGEST);
  return system ? `${browser} on ${system}` : browser;
}
