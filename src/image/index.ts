/** @file Pictures to numbers, without a platform: what a picture is, the reference's crop of it, and normalised pixels. */
export { resizeAxis } from "./axis.js";
export { type Augmentation, augmentPicture, cropPicture } from "./crop.js";
export { normalise } from "./normalise.js";
export { channelsOf, type Picture, type PictureMode, toRgb } from "./picture.js";
export { cropSize, openaiPreprocess, type PreprocessConfig, preprocessSchema } from "./preprocess.js";
export { randomStream } from "./random.js";
