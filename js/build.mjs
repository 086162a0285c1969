// Bundles the front end into the Python package. The result is committed, so that installing from
// a clone needs no Node; a test builds it again and finds no difference.
import { build } from "esbuild";

await build({
  entryPoints: ["src/widget.ts"],
  outfile: "../landscape_widgets/static/widget.js",
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: true,
  legalComments: "none",
});
await build({
  entryPoints: ["src/widget.css"],
  outfile: "../landscape_widgets/static/widget.css",
  bundle: true,
  minify: true,
});
