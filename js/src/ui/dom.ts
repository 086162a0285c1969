// Small helpers for elements. Text goes in as text, never as HTML: names are the user's.

type Attributes = Record<string, string | number | boolean | undefined>;

// Lumino looks for this on the very element that has the focus, and takes no key from it.
const SUPPRESS = "data-lm-suppress-shortcuts";
const CONTROLS = new Set(["button", "input", "select", "textarea", "summary", "a"]);

/** "a, b and c". */
export const listed = (names: readonly string[]): string =>
  names.length < 2
    ? names.join("")
    : `${names.slice(0, -1).join(", ")} and ${names[names.length - 1]}`;

export const capitalised = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  if (CONTROLS.has(tag) || "tabindex" in attributes) element.setAttribute(SUPPRESS, "");
  set(element, attributes);
  element.append(...children);
  return element;
}

export function s<K extends keyof SVGElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: (Node | string)[]
): SVGElementTagNameMap[K] {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  if ("tabindex" in attributes) element.setAttribute(SUPPRESS, "");
  set(element, attributes);
  element.append(...children);
  return element;
}

export function set(element: Element, attributes: Attributes): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) element.removeAttribute(name);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
}

/**
 * Keep every key that is pressed within an element from what is around it. JupyterLab has shortcuts
 * on single letters, on arrows and on Enter; what the browser does with a key, Tab above all, it does.
 */
export function keepKeys(element: HTMLElement, signal: AbortSignal): void {
  for (const name of ["keydown", "keypress", "keyup", "copy", "cut", "paste"]) {
    element.addEventListener(name, (event) => event.stopPropagation(), { signal });
  }
  element.addEventListener(
    "keydown",
    (event) => {
      // All of the page would be marked, and what is marked can be dragged: no lasso could be drawn.
      const all = event.key.toLowerCase() === "a" && (event.ctrlKey || event.metaKey);
      if (all && !(event.target instanceof HTMLInputElement && event.target.type === "text"))
        event.preventDefault();
    },
    { signal },
  );
}
