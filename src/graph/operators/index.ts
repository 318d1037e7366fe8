/** @file Every operator, one family a file. */
export * from "./elementwise.js";
export * from "./indexing.js";
export * from "./layout.js";
export * from "./leaves.js";
export * from "./matrix.js";
export * from "./neural.js";
export * from "./override.js";
export * from "./quantised.js";
export * from "./reduce.js";
export * from "./spatial.js";
