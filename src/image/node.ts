/** @file Picture files, in Node: decoding, a pool of worker threads, writing a crop. */
export { type DecodeOptions, decodePicture } from "./decode.js";
export { encodePng, writePng } from "./png.js";
export { createPicturePool, type PictureJob, type PicturePool } from "./pool.js";
export { thumbnail } from "./thumbnail.js";
