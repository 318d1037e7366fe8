/**
 * @file Property tests draw the same examples in every run, so that a change is judged by itself and not by chance.
 * `DIPTYCH_SEED=random` draws new ones, a number draws those of that seed; the slow run is random unless told.
 */
import fc from "fast-check";

const asked = process.env.DIPTYCH_SEED ?? (process.env.DIPTYCH_SLOW ? "random" : "1");
if (asked !== "random") {
  const seed = Number(asked);
  if (!Number.isInteger(seed)) throw new Error(`DIPTYCH_SEED is "${asked}": it must be "random" or a whole number.`);
  fc.configureGlobal({ ...fc.readConfigureGlobal(), seed });
}
