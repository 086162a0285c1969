// Parameters of the sampler and the reducer that are chosen, in a row that opens under the bar: an
// overlay would be cut off by the cell's output, and hide the map that one is turning.

import type { State } from "../state";
import { h, s } from "../ui/dom";
import type { Field } from "../wire";

export type Target = "sampler" | "reducer";
export type Values = Record<string, string | boolean>;
type Input = HTMLInputElement | HTMLSelectElement;

const NAMES: Record<Target, { toggle: string; apply: string }> = {
  sampler: { toggle: "Parameters of the sampler", apply: "Sample anew" },
  reducer: { toggle: "Parameters of the map", apply: "Map anew" },
};

let forms = 0; // for ids that no other widget on the page has

export class Settings {
  readonly toggles: Record<Target, HTMLButtonElement>;
  /** Why a choice on the bar was refused. */
  readonly notice = h("div", {
    class: "lw-error",
    role: "alert",
    "data-testid": "notice",
    hidden: true,
  });
  private readonly form = h("form", {
    class: "lw-settings",
    "data-testid": "settings",
    hidden: true,
  });
  readonly element = h("div", {}, this.notice, this.form);
  private readonly id = `lw-settings-${++forms}`;
  private open: Target | null = null;
  private fields: Field[] = [];
  private inputs = new Map<string, Input>();
  private problems = new Map<string, HTMLElement>();
  private readonly apply = h("button", {
    class: "lw-button lw-small",
    type: "submit",
    "data-testid": "apply",
  });
  private readonly defaults = h(
    "button",
    { class: "lw-button lw-small", type: "button", "data-testid": "defaults" },
    "Defaults",
  );

  /** `send` asks the kernel for what was typed; it comes back to `answer`. */
  constructor(
    private readonly state: State,
    private readonly send: (what: Target, values: Values) => void,
  ) {
    this.toggles = { sampler: this.toggle("sampler"), reducer: this.toggle("reducer") };
    this.form.id = this.id;
    this.form.noValidate = true; // Python says what is wrong
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.open && this.changed) this.send(this.open, this.values);
    });
    this.form.addEventListener("input", () => this.drawButtons());
    this.form.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.close();
    });
    this.defaults.addEventListener("click", () => {
      for (const field of this.fields) write(this.inputs.get(field.name)!, field.default);
      this.drawButtons();
    });
  }

  private toggle(what: Target): HTMLButtonElement {
    const icon = s("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" });
    icon.append(s("path", { d: "M1 4h14M1 8h14M1 12h14" }));
    for (const [x, y] of [
      [5, 4],
      [11, 8],
      [6, 12],
    ] as const)
      icon.append(s("circle", { cx: x, cy: y, r: 2 }));
    const button = h(
      "button",
      {
        class: "lw-button lw-toggle",
        type: "button",
        title: NAMES[what].toggle,
        "aria-label": NAMES[what].toggle,
        "aria-expanded": "false",
        "aria-controls": this.id,
        "data-testid": `${what}-settings`,
      },
      icon,
    );
    button.addEventListener("click", () => {
      if (this.open === what) return this.close();
      this.open = what;
      this.draw();
      this.inputs.values().next().value?.focus();
    });
    return button;
  }

  private close(): void {
    const what = this.open;
    this.open = null;
    this.draw();
    if (what) this.toggles[what].focus();
  }

  /** Show the fields of what is chosen; what is being typed into others than changed ones stays. */
  draw(): void {
    for (const what of ["sampler", "reducer"] as const) {
      const none = this.state.settings(what).length === 0;
      this.toggles[what].disabled = none || !this.state.alive;
      if (this.toggles[what].disabled && this.open === what) this.open = null;
      this.toggles[what].setAttribute("aria-expanded", String(this.open === what));
    }
    this.form.hidden = this.open === null;
    const fields = this.open ? this.state.settings(this.open) : [];
    const signature = JSON.stringify([
      this.open,
      this.open && this.state.chosen(this.open),
      fields.map(({ name }) => name),
    ]);
    const before = new Map(this.fields.map(({ name, value }) => [name, value]));
    this.fields = fields;
    if (this.form.dataset.signature !== signature) {
      this.form.dataset.signature = signature;
      this.build();
    } else {
      for (const { name, value } of fields)
        if (before.get(name) !== value) write(this.inputs.get(name)!, value);
    }
    this.drawButtons();
  }

  private build(): void {
    this.inputs.clear();
    this.problems.clear();
    const rows = this.fields.map((field, number) => this.row(field, `${this.id}-${number}`));
    this.problems.set("", h("span", { class: "lw-problem", role: "alert" }));
    this.apply.textContent = this.open ? NAMES[this.open].apply : "";
    this.form.replaceChildren(
      h("div", { class: "lw-setting-grid" }, ...rows),
      h("div", { class: "lw-setting-buttons" }, this.apply, this.defaults, this.problems.get("")!),
    );
  }

  private row(field: Field, id: string): HTMLElement {
    const input = inputFor(field, {
      id,
      name: field.name,
      "aria-describedby": `${id}-help ${id}-problem`,
    });
    const problem = h("span", { class: "lw-problem", id: `${id}-problem`, role: "alert" });
    this.inputs.set(field.name, input);
    this.problems.set(field.name, problem);
    return h(
      "div",
      { class: `lw-setting lw-setting-${field.kind}`, "data-field": field.name },
      h("label", { for: id }, field.label),
      input,
      h("span", { class: "lw-help", id: `${id}-help` }, helpFor(field)),
      problem,
    );
  }

  private get values(): Values {
    return Object.fromEntries(this.fields.map(({ name }) => [name, read(this.inputs.get(name)!)]));
  }

  private get changed(): boolean {
    return this.fields.some(({ name, value }) => read(this.inputs.get(name)!) !== value);
  }

  private drawButtons(): void {
    this.apply.disabled = !this.changed;
    this.defaults.disabled = this.fields.every(
      (field) => read(this.inputs.get(field.name)!) === field.default,
    );
  }

  /** Show what Python said to a change, beside the fields that it is about; nothing if all is well. */
  answer(what: string, errors: Record<string, string>): void {
    const shown = this.open === what;
    for (const [name, problem] of this.problems) {
      const text = (shown && errors[name]) || "";
      problem.textContent = text;
      const input = this.inputs.get(name);
      if (input) input.setAttribute("aria-invalid", String(text !== ""));
    }
    const first = shown && this.fields.find(({ name }) => errors[name]);
    if (first) this.inputs.get(first.name)!.focus();
    const rest = shown && this.problems.size ? "" : Object.values(errors).join("\n");
    this.notice.hidden = rest === "";
    this.notice.textContent = rest;
  }
}

function inputFor(field: Field, attributes: Record<string, string | boolean>): Input {
  const type = field.kind === "flag" ? "checkbox" : "text";
  const input =
    field.kind === "choice"
      ? h(
          "select",
          { ...attributes, class: "lw-select" },
          ...field.choices.map((choice) => h("option", { value: choice }, choice)),
        )
      : h("input", {
          ...attributes,
          type,
          class: type === "text" ? "lw-input" : "lw-check",
          placeholder: field.empty || undefined,
          autocomplete: "off",
          spellcheck: "false",
        });
  write(input, field.value);
  return input;
}

/** What a parameter does, what it may be and what it is by default. */
export function helpFor({ help, kind, range, default: standard, empty }: Field): string {
  if (kind === "flag") return help;
  const usual = standard === "" ? `empty: ${empty}` : `default ${standard}`;
  return `${help} (${[range, usual].filter(Boolean).join("; ")})`;
}

function read(input: Input): string | boolean {
  return input instanceof HTMLInputElement && input.type === "checkbox"
    ? input.checked
    : input.value;
}

function write(input: Input, value: string | boolean): void {
  if (input instanceof HTMLInputElement && input.type === "checkbox")
    input.checked = value === true;
  else input.value = String(value);
}
