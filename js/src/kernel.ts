// Whether there is a kernel behind a view. A widget whose kernel has ended never gets it back: what
// is shown goes on by itself, and a new run of its cell makes a new widget.

import type { BackboneModel, Model } from "./wire";

/** Of the kernel that JupyterLab's and Notebook's managers have; others have none to look at. */
interface Connection {
  status: string;
  connectionStatus: string;
  isDisposed: boolean;
  statusChanged: { connect(slot: Slot): void; disconnect(slot: Slot): void };
}
type Slot = (sender: unknown, status: string) => void;

const ENDED = new Set(["restarting", "autorestarting", "terminating", "dead"]);
const LOOK_EVERY = 1000; // ms

export class Kernel {
  /** Whether it can be asked for anything. */
  alive: boolean;
  private ended = false;
  private readonly first: Connection | null;

  /** `changed` is told when `alive` is another. */
  constructor(
    private readonly model: Model,
    private readonly changed: () => void,
    signal: AbortSignal,
  ) {
    this.alive = model.send !== undefined;
    this.first = this.now;
    if (!this.alive) return;
    const slot: Slot = (_, status) => this.look(ENDED.has(status));
    this.first?.statusChanged?.connect(slot);
    // The manager tells nobody that a kernel was shut down, or that its server is away.
    const timer = setInterval(() => this.look(), LOOK_EVERY);
    signal.addEventListener("abort", () => {
      clearInterval(timer);
      this.first?.statusChanged?.disconnect(slot);
    });
  }

  private get now(): Connection | null {
    return this.model.widget_manager?.kernel ?? null;
  }

  /** Take a model that Python has made for a witness: the manager tells it when it is on its own. */
  follow(witness: BackboneModel, signal: AbortSignal): void {
    const look = () => this.look(!witness.comm_live);
    witness.on("comm_live_update", look);
    signal.addEventListener("abort", () => witness.off("comm_live_update", look));
    look();
  }

  private look(ended = false): void {
    const { first, now } = this;
    this.ended ||=
      ended || (first !== null && (now !== first || first.isDisposed || ENDED.has(first.status)));
    const alive = !this.ended && first?.connectionStatus !== "disconnected";
    if (alive === this.alive) return;
    this.alive = alive;
    this.changed();
  }
}
