// Bundles the front end into the Python package. The result is committed, so that installing from
// a clone needs no Node; a test builds it elsewhere (npm run build -- FOLDER) and finds no difference.
// With --watch it is built again with each change.
import { context } from "esbuild";

const watched = process.argv.includes("--watch");
const out =
  process.argv.slice(2).find((word) => word !== "--watch") ?? "../landscape_widgets/static";

async function build(options) {
  const building = await context({ ...options, logLevel: watched ? "info" : "warning" });
  if (watched) return building.watch();
  await building.rebuild();
  await building.dispose();
}

await build({
  entryPoints: ["src/main.ts"],
  outfile: `${out}/widget.js`,
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: true,
  legalComments: "none",
});
await build({
  entryPoints: ["src/styles/widget.css"],
  outfile: `${out}/widget.css`,
  bundle: true,
  minify: true,
});
