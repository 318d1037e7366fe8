/**
 * @file Pictures and pages about a model, as text: plain data in, an SVG or HTML document out. No library, no browser, no
 * clock.
 */
export { type CurvesFigure, curvesSvg, type Panel, type Series } from "./curves.js";
export { stateOf } from "./ending.js";
export type { Part } from "./html.js";
export { livePage, reportPage, runParts } from "./runPage.js";
export { type SimilarityFigure, similarityMatrixSvg } from "./similarityMatrix.js";
export type { RunStory, StoryPair, StoryProbe, StoryRemark, StoryStep, StoryValidation } from "./story.js";
