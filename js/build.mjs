// Bundles the front end into the Python package. The result is committed, so that installing from
// a clone needs no Node; a test builds it elsewhere (npm run build -- FOLDER) and finds no difference.
import { build } from "esbuild";

const out = process.argv[2] ?? "../landscape_widgets/static";

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
