// The sides, in the order of their tabs. The first is shown where another cannot be.

import { BasinsSide } from "./basins";
import { CurvatureSide } from "./curvature";
import { PlaneSide } from "./plane";
import { PointSide } from "./point";
import type { MakeSide } from "./side";
import { SliceSide } from "./slice";

export const SIDES: readonly MakeSide[] = [
  (context) => new SliceSide(context),
  (context) => new PlaneSide(context),
  (context) => new PointSide(context),
  (context) => new BasinsSide(context),
  (context) => new CurvatureSide(context),
];
