/**
 * @file Pictures about a model, as text: plain data in, an SVG document out. No library, no browser, no clock.
 */
export { type CurvesFigure, curvesSvg, type Panel, type Series } from "./curves.js";
export { type SimilarityFigure, similarityMatrixSvg } from "./similarityMatrix.js";
